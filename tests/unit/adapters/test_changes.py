"""What the change readers tell of a release folder and of a repository."""

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from penelope.adapters.changes.by_adapter import Changes
from penelope.domain.service import Target
from penelope.errors import InvalidCatalogue, Unavailable


def read(adapter: str, **options: Any) -> dict[str, Any]:
    target = Target(name="app", service="shop", adapter=adapter, options=options)
    return dict(asyncio.run(Changes().changes(target)))


def test_a_process_tells_its_releases(tmp_path: Path) -> None:
    (tmp_path / "releases" / "v2").mkdir(parents=True)
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "releases" / "v2")
    os.utime(link, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    options = {
        "supervisor": "http://127.0.0.1:9",
        "program": "app",
        "release_link": str(link),
        "releases": str(tmp_path / "releases"),
    }
    facts = {"release": "v2", "deployed_at": "2023-11-14T22:13:20.000000Z"}
    assert read("process", **options) == facts
    (tmp_path / "current.history").write_text("v1\nv2\n")
    assert read("process", **options) == {**facts, "previous_release": "v1"}
    link.unlink()
    link.mkdir()
    with pytest.raises(Unavailable):
        read("process", **options)


def test_a_process_without_releases_and_other_targets_tell_nothing() -> None:
    assert read("process", supervisor="http://127.0.0.1:9", program="app") == {}
    assert read("traffic", anything=1) == {}
    with pytest.raises(InvalidCatalogue):
        read("process", program="app")


def _git(path: Path, *argv: str) -> str:
    people = {f"GIT_{role}_{part}": "dev" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_COMMITTER_DATE": "2023-11-14T23:13:20+01:00",
        **people,
    }
    done = subprocess.run(
        ["git", "-C", str(path), *argv], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("message", "ours"),
    [
        ("Break the shop", False),
        ("Mend\n\nPenelope-Action: inc/plan/0", True),
        ("Take back\n\nPenelope-Compensation: inc/plan/0", True),
        ("Penelope-Action: talked about\n\nonly.", False),
    ],
)
def test_a_repository_tells_its_last_commit_and_whose_it_is(tmp_path: Path, message: str, ours: bool) -> None:  # noqa: FBT001 - pytest gives it by name
    _git(tmp_path, "init", "--quiet")
    with pytest.raises(Unavailable):
        read("git_patch", repository=str(tmp_path))
    _git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", message)
    assert read("git_patch", repository=str(tmp_path)) == {
        "head": _git(tmp_path, "rev-parse", "HEAD"),
        "last_change": {
            "subject": message.split("\n", maxsplit=1)[0],
            "author": "dev",
            "at": "2023-11-14T22:13:20.000000Z",
        },
        "head_is_ours": ours,
    }
