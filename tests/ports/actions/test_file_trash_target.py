"""The trash of files: what lies in it comes back, is not walked through, and goes for good only when that is asked for."""

import asyncio
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from benching import an_action

from penelope.adapters.actions.file import FileAdapter
from penelope.adapters.actions.installed import operations
from penelope.adapters.actions.trash import bin_of
from penelope.adapters.playbooks.lint import lint
from penelope.domain.action import Action, Progress, Snapshot, Tier
from penelope.errors import CompensationFailed, InvalidPlaybook
from penelope.rooms.act.run import perform, undo

HOUR, DAY = 3600, 86_400


def action_of(tmp_path: Path, operation: str, params: dict[str, Any], **changes: Any) -> Action:
    options = {"root": str(tmp_path / "root"), **changes.pop("options", {})}
    made = an_action("file", operation, options, params)
    story = changes.pop("story", "inc_1")
    fields = {name: getattr(made, name) for name in made.__dataclass_fields__}
    return Action(**{**fields, "key": f"{story}/plan/{operation}", **changes})


def removing(tmp_path: Path, **changes: Any) -> Action:
    params = {"folder": changes.pop("folder", "."), "pattern": "*.tmp", "older_than_seconds": HOUR}
    return action_of(
        tmp_path, "remove_old", {**params, "at_most_files": 99, "at_most_bytes": 10**6}, **changes
    )


def emptying(tmp_path: Path, older_than_seconds: int = DAY, **changes: Any) -> Action:
    params = {"older_than_seconds": older_than_seconds}
    return action_of(tmp_path, "empty_trash", params, story="inc_2", tier=Tier.IRREVERSIBLE, **changes)


def old_file(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, ns=(1, time.time_ns() - 10**15))
    return path


@pytest.fixture
def adapter(tmp_path: Path) -> FileAdapter:
    (tmp_path / "root").mkdir()
    return FileAdapter(tmp_path / "kept")


def snapshot_of(adapter: FileAdapter, action: Action) -> Snapshot:
    return asyncio.run(adapter.snapshot(action))


def done(adapter: FileAdapter, action: Action) -> Snapshot:
    snapshot = snapshot_of(adapter, action)
    asyncio.run(perform(adapter, action, snapshot, first_attempt=True))
    return snapshot


def aged(trash: Path, seconds: int = 2 * DAY) -> None:
    """Makes what lies in a trash that much older."""
    for label in trash.glob("*/of.json"):
        said = json.loads(label.read_text())
        label.write_text(json.dumps({**said, "at": said["at"] - seconds}))


def size_of(trash: Path) -> int:
    return sum(path.stat().st_size for path in trash.rglob("*") if path.is_file())


# --- taking back ------------------------------------------------------------------------------------------


def test_a_folder_that_is_gone_keeps_no_other_file_from_coming_back(
    tmp_path: Path, adapter: FileAdapter
) -> None:
    """Caches take their empty folders away: all that can come back does, and what cannot is named."""
    lost = old_file(tmp_path / "root" / "a" / "0.tmp")
    back = old_file(tmp_path / "root" / "b" / "1.tmp")
    snapshot = done(adapter, removing(tmp_path))
    lost.parent.rmdir()
    with pytest.raises(CompensationFailed, match=r"1 .*'a/0\.tmp'"):
        asyncio.run(undo(adapter, removing(tmp_path), snapshot))
    assert back.exists()
    lost.parent.mkdir()
    asyncio.run(undo(adapter, removing(tmp_path), snapshot))
    assert lost.exists()
    assert asyncio.run(adapter.differences(removing(tmp_path), snapshot)) == []


def test_a_folder_that_is_gone_before_stops_no_removal(tmp_path: Path, adapter: FileAdapter) -> None:
    gone = old_file(tmp_path / "root" / "a" / "0.tmp")
    there = old_file(tmp_path / "root" / "b" / "1.tmp")
    snapshot = snapshot_of(adapter, removing(tmp_path))
    shutil.rmtree(gone.parent)
    asyncio.run(perform(adapter, removing(tmp_path), snapshot, first_attempt=True))
    assert not there.exists()
    asyncio.run(undo(adapter, removing(tmp_path), snapshot))
    assert there.exists()


@pytest.mark.parametrize("inside", ["trash", "kept"])
def test_what_lies_in_the_trash_is_no_old_file(tmp_path: Path, inside: str) -> None:
    """A trash below the root, and Penelope's own folder there: another removal would break the way back of the first."""
    root = tmp_path / "root"
    file = old_file(root / "a.tmp")
    adapter = FileAdapter(root / "kept")
    options = {"trash": str(root / "trash")} if inside == "trash" else {}
    first = removing(tmp_path, options=options)
    snapshot = done(adapter, first)
    params = {**first.params, "pattern": "*"}
    second = action_of(tmp_path, "remove_old", params, story="inc_2", options=options)
    os.utime(root / "kept" / str(snapshot.state["list"]), ns=(1, 1))
    assert done(adapter, second).state["files"] == 0
    asyncio.run(undo(adapter, first, snapshot))
    assert file.exists()


# --- emptying ---------------------------------------------------------------------------------------------


def test_an_emptied_trash_frees_its_disk_and_says_that_nothing_comes_back(
    tmp_path: Path, adapter: FileAdapter
) -> None:
    trash = tmp_path / "kept" / "trash"
    old_file(tmp_path / "root" / "a.tmp", "x" * 5000)
    (tmp_path / "root" / "app.log").write_text("a line\n" * 500)
    removed = done(adapter, removing(tmp_path))
    done(adapter, action_of(tmp_path, "truncate_log", {"path": "app.log"}))
    aged(trash)
    assert size_of(trash) > 5000
    action = emptying(tmp_path)
    snapshot = snapshot_of(adapter, action)
    assert snapshot.state["actions"] == 2
    assert asyncio.run(adapter.probe(action, snapshot)) is Progress.NOT_APPLIED
    preview = asyncio.run(adapter.dry_run(action, snapshot))
    assert "for good" in preview.summary
    assert "inc_1/plan/remove_old" in preview.diff
    assert asyncio.run(adapter.differences(action, snapshot)) == []
    asyncio.run(undo(adapter, action, snapshot))
    assert size_of(trash) > 5000
    asyncio.run(perform(adapter, action, snapshot, first_attempt=True))
    assert list(trash.iterdir()) == []
    assert asyncio.run(adapter.probe(action, snapshot)) is Progress.APPLIED
    assert len(asyncio.run(adapter.differences(action, snapshot))) == 2
    with pytest.raises(CompensationFailed, match="for good"):
        asyncio.run(undo(adapter, action, snapshot))
    with pytest.raises(CompensationFailed, match="for good"):
        asyncio.run(undo(adapter, removing(tmp_path), removed))


def test_what_is_young_or_of_another_target_or_of_the_same_incident_stays(
    tmp_path: Path, adapter: FileAdapter
) -> None:
    """All targets share one trash by default, and a plan that empties it must not lose its own way back."""
    trash = tmp_path / "kept" / "trash"
    old_file(tmp_path / "root" / "a.tmp")
    done(adapter, removing(tmp_path))
    assert snapshot_of(adapter, emptying(tmp_path)).state["actions"] == 0
    aged(trash)
    assert snapshot_of(adapter, emptying(tmp_path, older_than_seconds=9 * DAY)).state["actions"] == 0
    other = emptying(tmp_path)
    other = Action(
        **{
            **{name: getattr(other, name) for name in other.__dataclass_fields__},
            "target": type(other.target)(
                name="other", service="shop", adapter="file", options=other.target.options
            ),
        }
    )
    assert snapshot_of(adapter, other).state["actions"] == 0
    same = action_of(tmp_path, "empty_trash", {"older_than_seconds": DAY}, story="inc_1")
    assert snapshot_of(adapter, same).state["actions"] == 0
    assert snapshot_of(adapter, emptying(tmp_path)).state["actions"] == 1


def test_what_was_put_there_anew_since_the_look_stays(tmp_path: Path, adapter: FileAdapter) -> None:
    old_file(tmp_path / "root" / "a.tmp")
    done(adapter, removing(tmp_path))
    aged(tmp_path / "kept" / "trash")
    snapshot = snapshot_of(adapter, emptying(tmp_path))
    old_file(tmp_path / "root" / "b.tmp")
    again = done(adapter, removing(tmp_path))
    asyncio.run(perform(adapter, emptying(tmp_path), snapshot, first_attempt=True))
    asyncio.run(undo(adapter, removing(tmp_path), again))
    assert (tmp_path / "root" / "b.tmp").exists()


class Crash(BaseException):
    """Stands for a kill: nothing catches it."""


@pytest.mark.parametrize("call", ["rename", "unlink", "rmdir"])
@pytest.mark.parametrize("number", [1, 2])
def test_killed_anywhere_it_is_emptied_all_the_same(
    tmp_path: Path, adapter: FileAdapter, call: str, number: int
) -> None:
    trash = tmp_path / "kept" / "trash"
    for story in ("inc_a", "inc_b"):
        old_file(tmp_path / "root" / f"{story}.tmp")
        done(adapter, removing(tmp_path, story=story))
    aged(trash)
    action = emptying(tmp_path)
    snapshot = snapshot_of(adapter, action)
    calls = 0
    real = getattr(os, call)

    def dying(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls >= number:
            raise Crash
        return real(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, dying)
        with pytest.raises(Crash):
            asyncio.run(adapter.execute(action, snapshot))
    nothing = call == "rename" and number == 1
    wanted = Progress.NOT_APPLIED if nothing else Progress.PARTIAL
    assert asyncio.run(adapter.probe(action, snapshot)) is wanted
    asyncio.run(perform(adapter, action, snapshot, first_attempt=False))
    assert asyncio.run(adapter.probe(action, snapshot)) is Progress.APPLIED
    assert list(trash.iterdir()) == []


def test_a_trash_that_is_not_there_is_empty(tmp_path: Path, adapter: FileAdapter) -> None:
    snapshot = done(adapter, emptying(tmp_path))
    assert asyncio.run(adapter.probe(emptying(tmp_path), snapshot)) is Progress.APPLIED
    asyncio.run(undo(adapter, emptying(tmp_path), snapshot))


def test_what_is_no_folder_of_ours_stays(tmp_path: Path, adapter: FileAdapter) -> None:
    """Links, folders without a label, and labels that lie or do not parse."""
    trash, outside = tmp_path / "kept" / "trash", tmp_path / "outside"
    outside.mkdir(parents=True)
    trash.mkdir(parents=True)
    label = json.dumps({"place": "shop/app", "key": "inc_9/plan/x", "at": 1})
    (outside / "of.json").write_text(label)
    (trash / ("a" * 64)).symlink_to(outside)
    for number, said in enumerate((label, "[]", "{", '{"place": "shop/app", "key": 1, "at": "x"}')):
        folder = trash / (str(number) * 64)
        folder.mkdir()
        (folder / "of.json").write_text(said)
    (trash / "plain").mkdir()
    assert snapshot_of(adapter, emptying(tmp_path)).state["actions"] == 0


@pytest.mark.parametrize("params", [{}, {"older_than_seconds": HOUR}, {"older_than_seconds": DAY, "x": 1}])
def test_it_is_bounded_below(adapter: FileAdapter, params: dict[str, Any]) -> None:
    with pytest.raises(InvalidPlaybook):
        adapter.validate("empty_trash", params)


def test_its_state_can_be_seen(tmp_path: Path, adapter: FileAdapter) -> None:
    old_file(tmp_path / "root" / "a.tmp", "12345")
    done(adapter, removing(tmp_path))
    seen = asyncio.run(adapter.observe(emptying(tmp_path)))
    assert (seen["actions"], seen["bytes"], seen["old_actions"]) == (1, 5, 0)


def test_it_cannot_be_called_easy_to_take_back(tmp_path: Path) -> None:
    """The playbook that docs/local-actions.md shows is a sound one, with this tier only."""
    page = (Path(__file__).parents[3] / "docs" / "local-actions.md").read_text()
    (playbook,) = [
        part.partition("```")[0] for part in page.split("```yaml\n")[1:] if "file.empty_trash" in part
    ]
    file = tmp_path / "empty-trash.yaml"
    file.write_text(playbook)
    assert lint(file, operations()) == []
    file.write_text(playbook.replace("tier: 4", "tier: 2"))
    assert "tier" in str(lint(file, operations())[0])


# --- large logs -------------------------------------------------------------------------------------------


def test_a_large_log_is_never_read_at_once(
    tmp_path: Path, adapter: FileAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut and given back a piece at a time: a log may be larger than memory."""
    log, content = tmp_path / "root" / "app.log", b"a line of the log\n" * 500_000
    log.write_bytes(content)
    asked: list[int] = []
    pread, read_bytes = os.pread, Path.read_bytes

    def counting(descriptor: int, length: int, offset: int) -> bytes:
        asked.append(length)
        return pread(descriptor, length, offset)

    def counted(path: Path) -> bytes:
        asked.append(path.stat().st_size)
        return read_bytes(path)

    monkeypatch.setattr(os, "pread", counting)
    monkeypatch.setattr(Path, "read_bytes", counted)
    action = action_of(tmp_path, "truncate_log", {"path": "app.log", "keep_bytes": 1000})
    snapshot = done(adapter, action)
    since = b"a line since then\n" * 200_000
    with log.open("ab") as stream:
        stream.write(since)
    asyncio.run(undo(adapter, action, snapshot))
    assert max(asked) <= 1024 * 1024
    monkeypatch.undo()
    assert log.read_bytes() == content + since


def test_a_log_that_grew_beyond_its_bound_is_not_read_to_find_that_out(
    tmp_path: Path, adapter: FileAdapter
) -> None:
    log = tmp_path / "root" / "app.log"
    log.write_bytes(b"a line of the log\n" * 1000)
    options = {"most_log_bytes": 20_000}
    action = action_of(tmp_path, "truncate_log", {"path": "app.log"}, options=options)
    snapshot = done(adapter, action)
    os.truncate(log, 1 << 40)  # a hole: to read it would take an hour
    with pytest.raises(CompensationFailed, match="has grown by"):
        asyncio.run(undo(adapter, action, snapshot))


def test_a_log_is_packed_on_the_disk_before_it_is_cut(
    tmp_path: Path, adapter: FileAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name too: what is renamed into a folder is there after a power cut only if the folder was put on the disk."""
    (tmp_path / "root" / "app.log").write_bytes(b"a line of the log\n" * 1000)
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        events.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def replaced(path: Path, target: Path) -> Path:
        events.append(f"replace {target.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    action = action_of(tmp_path, "truncate_log", {"path": "app.log"})
    snapshot_of(adapter, action)
    folder = bin_of(tmp_path / "kept" / "trash", action.key).name
    assert f"sync {folder}" in events[events.index("replace log.zst") :]
