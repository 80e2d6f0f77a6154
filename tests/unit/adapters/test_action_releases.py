"""The link to the release in force, and its history."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from penelope.adapters.actions.releases import Releases
from penelope.errors import ActionFailed, InvalidPlaybook, Unavailable


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    for name in ("v1", "v2", "v3"):
        (tmp_path / "releases" / name).mkdir(parents=True)
    return Releases(tmp_path / "current", tmp_path / "releases")


def test_the_first_release_makes_the_link(releases: Releases, tmp_path: Path) -> None:
    assert (releases.present(), releases.previous(), releases.deployed_at()) == (None, None, None)
    before = datetime.now(UTC)
    releases.switch("v1")
    assert (tmp_path / "current").resolve() == tmp_path / "releases" / "v1"
    assert (releases.present(), releases.previous()) == ("v1", None)
    deployed_at = releases.deployed_at()
    assert deployed_at is not None
    assert abs((deployed_at - before).total_seconds()) < 60


def test_history_notes_each_change_once(releases: Releases, tmp_path: Path) -> None:
    for release in ("v1", "v2", "v2", "v3", "v2"):
        releases.switch(release)
    assert (tmp_path / "current.history").read_text() == "v1\nv2\nv3\nv2\n"
    assert (releases.present(), releases.previous()) == ("v2", "v3")


def test_a_release_put_in_force_by_others_is_noted_before_it_is_left(
    releases: Releases, tmp_path: Path
) -> None:
    (tmp_path / "current").symlink_to(Path("releases") / "v2")
    releases.switch("v1")
    assert (releases.present(), releases.previous()) == ("v1", "v2")


def test_a_switch_that_was_interrupted_is_finished(releases: Releases, tmp_path: Path) -> None:
    releases.switch("v1")
    (tmp_path / ".current.next").symlink_to("nowhere")
    releases.switch("v2")
    assert releases.present() == "v2"
    assert not (tmp_path / ".current.next").is_symlink()
    (tmp_path / "current.history").write_text("v1\n")
    releases.switch("v2")
    assert (tmp_path / "current.history").read_text() == "v1\nv2\n"


@pytest.mark.parametrize(
    ("release", "error"),
    [
        ("v9", ActionFailed),
        ("../releases/v1", InvalidPlaybook),
        ("..", InvalidPlaybook),
        (".v1", InvalidPlaybook),
    ],
)
def test_only_an_existing_plain_folder_is_a_release(
    releases: Releases, tmp_path: Path, release: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        releases.switch(release)
    assert not (tmp_path / "current").exists()


def test_what_is_no_link_and_no_history_is_out_of_reach(releases: Releases, tmp_path: Path) -> None:
    (tmp_path / "current").mkdir()
    with pytest.raises(Unavailable, match="link cannot be read"):
        releases.present()
    (tmp_path / "current").rmdir()
    (tmp_path / "current.history").write_bytes(b"\xff")
    with pytest.raises(Unavailable, match="history"):
        releases.previous()
    (tmp_path / "current.history").unlink()
    (tmp_path / ".current.next").mkdir()
    with pytest.raises(Unavailable, match="cannot be switched"):
        releases.switch("v1")
