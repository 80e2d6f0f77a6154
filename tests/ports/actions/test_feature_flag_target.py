"""What is particular to a file of feature flags: whose change it is, and that all else stays byte for byte."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from bench_services import FLAGS
from benching import an_action, with_options

from penelope.adapters.actions.feature_flag import FeatureFlagAdapter
from penelope.adapters.actions.flag_file import FlagFile
from penelope.adapters.actions.keep import Keep
from penelope.domain.action import Action, Progress
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InvalidCatalogue,
    InvalidPlaybook,
    Unavailable,
)
from penelope.rooms.act.run import perform, undo


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "flags.json"
    made.write_text(FLAGS, encoding="utf-8")
    made.chmod(0o640)
    return made


@pytest.fixture
def adapter(tmp_path: Path) -> FeatureFlagAdapter:
    return FeatureFlagAdapter(Keep(tmp_path / "keep"))


def an_operation(file: Path, operation: str = "disable", flag: str = "new-checkout", **params: Any) -> Action:
    options = {"file": str(file), "flags": ["new-checkout", "bare", "missing", "broken"]}
    return an_action("feature_flag", operation, options, {"flag": flag, **params})


def run(steps: Any) -> Any:
    return asyncio.run(steps)


def test_all_but_one_token_stays_byte_for_byte(file: Path, adapter: FeatureFlagAdapter) -> None:
    action = an_operation(file, "set_default_variant", variant="off")
    snapshot = run(adapter.snapshot(action))
    run(perform(adapter, action, snapshot, first_attempt=True))
    assert file.read_text() == FLAGS.replace('"defaultVariant":   "on"', '"defaultVariant":   "off"')
    assert file.stat().st_mode & 0o777 == 0o640
    run(undo(adapter, action, snapshot))
    assert file.read_text() == FLAGS
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


def test_a_member_that_is_not_there_is_added_and_taken_out_again(
    file: Path, adapter: FeatureFlagAdapter
) -> None:
    for raw in ("{}", '{ "variants": {"on": true} }'):
        text = FLAGS.replace('"other":', f'"bare": {raw}, "other":')
        file.write_text(text)
        action = an_operation(file, flag="bare")
        snapshot = run(adapter.snapshot(action))
        run(perform(adapter, action, snapshot, first_attempt=True))
        assert json.loads(file.read_text())["flags"]["bare"]["state"] == "DISABLED"
        run(undo(adapter, action, snapshot))
        assert file.read_text() == text


def test_changes_of_other_flags_in_between_survive(file: Path, adapter: FeatureFlagAdapter) -> None:
    action = an_operation(file)
    snapshot = run(adapter.snapshot(action))
    file.write_text(file.read_text().replace("1.50", "9.75"))
    run(perform(adapter, action, snapshot, first_attempt=True))
    file.write_text(file.read_text().replace("2e0", "3e0"))
    run(undo(adapter, action, snapshot))
    assert file.read_text() == FLAGS.replace("1.50", "9.75").replace("2e0", "3e0")
    assert run(adapter.differences(action, snapshot)) == []


def test_somebody_elses_change_is_left_alone(file: Path, adapter: FeatureFlagAdapter) -> None:
    action = an_operation(file)
    snapshot = run(adapter.snapshot(action))
    theirs = FLAGS.replace('"on": true', '"on": 1')
    file.write_text(theirs)
    with pytest.raises(ActionFailed, match="somebody else"):
        run(adapter.execute(action, snapshot))
    with pytest.raises(CompensationFailed, match="somebody else"):
        run(adapter.compensate(action, snapshot))
    assert file.read_text() == theirs
    assert run(adapter.differences(action, snapshot))
    file.write_text(FLAGS)
    run(perform(adapter, action, snapshot, first_attempt=True))
    after = file.read_text().replace('"on": true', '"on": 1')
    file.write_text(after)
    with pytest.raises(CompensationFailed, match="left as it is"):
        run(undo(adapter, action, snapshot))
    assert file.read_text() == after


def test_what_was_disabled_before_stays_so(file: Path, adapter: FeatureFlagAdapter) -> None:
    file.write_text(FLAGS.replace("ENABLED", "DISABLED"))
    before = file.stat()
    action = an_operation(file)
    snapshot = run(adapter.snapshot(action))
    assert run(adapter.probe(action, snapshot)) is Progress.APPLIED
    run(perform(adapter, action, snapshot, first_attempt=True))
    run(undo(adapter, action, snapshot))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"flags": []}',
        '{"flags": {"new-checkout": 1}}',
        '{"flags": {"new-checkout": {"state": "ENABLED", "state": "DISABLED"}}}',
        '{"flags": {}, "flags": {}}',
        '{"flags": {"new-checkout": {}, "new-checkout": {}}}',
        '{"flags": {"new-checkout": {"state": "ENABLED"}',
        '{"flags": ' * 5000,
    ],
)
def test_a_file_that_cannot_be_changed_safely_is_not_changed(
    file: Path, adapter: FeatureFlagAdapter, text: str
) -> None:
    action = an_operation(file)
    snapshot = run(adapter.snapshot(action))
    file.write_text(text)
    with pytest.raises(ActionFailed):
        run(adapter.snapshot(action))
    with pytest.raises(ActionFailed):
        run(perform(adapter, action, snapshot, first_attempt=True))
    with pytest.raises(CompensationFailed):
        run(undo(adapter, action, snapshot))
    assert run(adapter.differences(action, snapshot))
    assert file.read_text() == text


def test_a_file_too_large_or_in_another_encoding_is_not_read(file: Path, adapter: FeatureFlagAdapter) -> None:
    for content in (b"\xff\xfe", b" " * (5 * 1024 * 1024)):
        file.write_bytes(content)
        with pytest.raises(Unavailable):
            run(adapter.snapshot(an_operation(file)))


def test_only_listed_flags_and_known_variants(file: Path, adapter: FeatureFlagAdapter) -> None:
    with pytest.raises(InvalidPlaybook, match="does not list"):
        run(adapter.snapshot(an_operation(file, flag="other")))
    with pytest.raises(ActionFailed, match="no flag"):
        run(adapter.snapshot(an_operation(file, flag="missing")))
    with pytest.raises(ActionFailed, match="no variant"):
        run(adapter.snapshot(an_operation(file, "set_default_variant", variant="nope")))
    with pytest.raises(InvalidCatalogue):
        run(adapter.snapshot(with_options(an_operation(file), file="flags.json")))
    with pytest.raises(InvalidCatalogue):
        run(adapter.snapshot(with_options(an_operation(file), file="/etc/flags.yaml")))
    for params in ({"flag": ""}, {"flag": "a\nb"}, {"flag": "a" * 300}, {}, {"flag": "a", "variant": "b"}):
        with pytest.raises(InvalidPlaybook):
            adapter.validate("disable", params)


def test_a_write_of_somebody_else_in_the_middle_is_not_lost(file: Path) -> None:
    flags = FlagFile(file)
    with flags.changing() as text:
        file.write_text(FLAGS + "\n")
        with pytest.raises(Unavailable, match="somebody else"):
            flags.replace(text, "{}")
    assert file.read_text() == FLAGS + "\n"
    assert len(list(file.parent.iterdir())) == 1


def test_two_workers_change_one_after_the_other(file: Path, tmp_path: Path) -> None:
    """Each of many changes of two flags must be there in the end."""
    text = json.dumps({"flags": {name: {"state": "ENABLED", "n": 0} for name in ("a", "b")}})
    file.write_text(text)

    def count(name: str) -> None:
        flags = FlagFile(file)
        for number in range(1, 26):
            with flags.changing() as before:
                flags.replace(before, before.flag(name).with_value("n", number))

    workers = [threading.Thread(target=count, args=(name,)) for name in ("a", "b")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [flag["n"] for flag in json.loads(file.read_text())["flags"].values()] == [25, 25]
    assert {path.name for path in tmp_path.iterdir()} == {"flags.json"}


def test_a_link_is_followed_and_stays(file: Path, adapter: FeatureFlagAdapter) -> None:
    link = file.with_name("linked.json")
    link.symlink_to(file)
    action = an_operation(link)
    snapshot = run(adapter.snapshot(action))
    run(perform(adapter, action, snapshot, first_attempt=True))
    assert link.is_symlink()
    assert "DISABLED" in file.read_text()
