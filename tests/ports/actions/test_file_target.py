"""What is special about files: crashes between any two calls of the system, writers at work, and hostile places."""

import asyncio
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_file import (
    LOG,
    Crash,
    file_create,
    file_edit,
    file_mode,
    file_remove_old,
    file_replace,
    file_rotate,
    file_rotate_packed,
    file_symlink,
    file_truncate,
)
from benching import Bench, an_action

from penelope.adapters.actions.file import FileAdapter
from penelope.domain.action import Progress
from penelope.errors import ActionFailed, CompensationFailed, OutcomeUnknown, Unavailable
from penelope.kit.canonical import canonical
from penelope.kit.codec import to_data
from penelope.rooms.act.run import perform, undo

CALLS = (
    "rename",
    "replace",
    "link",
    "unlink",
    "symlink",
    "write",
    "pwrite",
    "ftruncate",
    "fchmod",
    "chmod",
    "utime",
)
MAKES = [file_replace, file_create, file_edit, file_mode, file_symlink, file_truncate, file_rotate, file_rotate_packed, file_remove_old]  # fmt: skip


def tree(root: Path) -> dict[str, Any]:
    """All that is below a folder: links, modes, owners, times and contents."""
    found = {}
    for path in sorted(root.rglob("*")):
        stat = path.lstat()
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[name] = ("folder", stat.st_mode)
        elif path.is_file():
            found[name] = (stat.st_mode, stat.st_uid, stat.st_gid, path.read_bytes())
        else:
            found[name] = ("else", stat.st_mode)
    return found


def killed_at(patch: pytest.MonkeyPatch, number: int) -> list[str]:
    """From the n-th changing call on nothing more happens, as if the process had been killed in front of it."""
    calls: list[str] = []
    for name in CALLS:
        real = getattr(os, name)

        def dying(*args: Any, _real: Any = real, _name: str = name, **options: Any) -> Any:
            calls.append(_name)
            if len(calls) >= number:
                raise Crash
            return _real(*args, **options)

        patch.setattr(os, name, dying)
    return calls


def crashed(steps: Any, number: int) -> bool:
    """Whether the n-th changing call was reached."""
    with pytest.MonkeyPatch.context() as patch:
        calls = killed_at(patch, number)
        try:
            asyncio.run(steps)
        except Crash:
            return True
        assert len(calls) < number
        return False


def _fresh(request: pytest.FixtureRequest, make: Callable[..., Bench], number: int) -> tuple[Bench, Path]:
    class Asking:
        def getfixturevalue(self, name: str) -> Any:
            if name != "tmp_path":
                return request.getfixturevalue(name)
            folder = request.getfixturevalue("tmp_path") / str(number)
            folder.mkdir(exist_ok=True)
            return folder

    bench = make(Asking())
    return bench, request.getfixturevalue("tmp_path") / str(number) / "root"


@pytest.mark.parametrize("make", MAKES, ids=lambda make: make.__name__)
def test_killed_anywhere_it_is_carried_to_its_end_once(request: pytest.FixtureRequest, make: Any) -> None:
    bench, root = _fresh(request, make, 0)
    snapshot = bench.snapshot()
    bench.perform(snapshot)
    wanted = tree(root)
    for number in range(1, 60):
        bench, root = _fresh(request, make, number)
        snapshot = bench.snapshot()
        reached = crashed(bench.adapter.execute(bench.action, snapshot), number)
        assert bench.probe(snapshot) is not Progress.UNKNOWN
        bench.perform(snapshot, first_attempt=False)
        assert tree(root) == wanted, number
        assert bench.probe(snapshot) is Progress.APPLIED
        if not reached:
            assert number > 1
            return
    pytest.fail("it never ends")


@pytest.mark.parametrize("make", MAKES, ids=lambda make: make.__name__)
def test_killed_anywhere_on_either_way_it_can_be_taken_back(
    request: pytest.FixtureRequest, make: Any
) -> None:
    done, number, total = set(), 0, 0
    while done != {"there", "back"}:
        number += 1
        for way in ("there", "back"):
            if way in done:
                continue
            total += 1
            bench, root = _fresh(request, make, total)
            before = tree(root)
            snapshot = bench.snapshot()
            if way == "back":
                bench.perform(snapshot)
            steps = bench.adapter.execute if way == "there" else bench.adapter.compensate
            if not crashed(steps(bench.action, snapshot), number):
                done.add(way)
            bench.undo(snapshot)
            assert tree(root) == before, (way, number)
            assert bench.differences(snapshot) == []
            bench.undo(snapshot)
            assert tree(root) == before, (way, number)


def test_a_file_comes_back_with_mode_owner_and_time(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    bench = file_replace(request)
    file = tmp_path / "root" / "app.conf"
    os.utime(file, ns=(5, 1_700_000_000_123_456_789))
    file.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(file, 1234, 1235)
    before = file.stat()
    snapshot = bench.snapshot()
    canonical(to_data(snapshot))
    bench.perform(snapshot)
    assert file.stat().st_mtime_ns != before.st_mtime_ns
    bench.undo(snapshot)
    after = file.stat()
    kept = ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]


@pytest.mark.parametrize("make", [file_replace, file_edit, file_truncate, file_rotate, file_remove_old])
def test_what_somebody_else_did_since_is_not_taken_back(request: pytest.FixtureRequest, make: Any) -> None:
    bench = make(request)
    root = request.getfixturevalue("tmp_path") / "root"
    snapshot = bench.snapshot()
    bench.perform(snapshot)
    for name in ("app.conf", "app.log"):
        (root / "new").write_text("somebody else's\n")
        (root / "new").rename(root / name)
    (root / "app.log.1").unlink(missing_ok=True)
    (root / "cache" / "0.tmp").write_text("somebody else's\n")
    left = tree(root)
    with pytest.raises(CompensationFailed, match=r"somebody else|taken by other"):
        bench.undo(snapshot)
    assert {name: left[name] for name in left} == {name: tree(root)[name] for name in left}


def test_a_file_that_changed_since_the_snapshot_is_left_alone(request: pytest.FixtureRequest) -> None:
    bench = file_edit(request)
    root = request.getfixturevalue("tmp_path") / "root"
    snapshot = bench.snapshot()
    (root / "app.conf").write_text("mine\n")
    with pytest.raises(ActionFailed, match="changed by somebody else: content"):
        bench.perform(snapshot)
    assert (root / "app.conf").read_text() == "mine\n"


def test_old_files_in_use_again_stay(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    bench = file_remove_old(request)
    snapshot = bench.snapshot()
    (tmp_path / "root" / "cache" / "0.tmp").write_text("in use")
    bench.perform(snapshot)
    assert (tmp_path / "root" / "cache" / "0.tmp").read_text() == "in use"
    assert bench.probe(snapshot) is Progress.APPLIED
    bench.undo(snapshot)
    assert bench.differences(snapshot) == []


def test_links_and_second_names_are_neither_followed_nor_removed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "cache" / ".git").mkdir(parents=True)
    outside.mkdir()
    for file in (outside / "a.tmp", root / "cache" / "b.tmp", root / "cache" / ".git" / "c.tmp", root / "d"):
        file.write_text("precious")
        os.utime(file, (1, 1))
    (root / "cache" / "link.tmp").symlink_to(outside / "a.tmp")
    (root / "cache" / "folder").symlink_to(outside)
    (root / "cache" / "second.tmp").hardlink_to(root / "d")
    os.utime(root / "d", (1, 1))
    os.mkfifo(root / "cache" / "pipe.tmp")
    params = {"folder": ".", "pattern": "*.tmp", "older_than_seconds": 60, "at_most_files": 99, "at_most_bytes": 10**6}  # fmt: skip
    adapter = FileAdapter(tmp_path / "kept")
    action = an_action("file", "remove_old", {"root": str(root)}, params)
    snapshot = asyncio.run(adapter.snapshot(action))
    assert snapshot.state["files"] == 1
    asyncio.run(perform(adapter, action, snapshot, first_attempt=True))
    assert not (root / "cache" / "b.tmp").exists()
    for name in ("cache/link.tmp", "cache/folder", "cache/second.tmp", "cache/pipe.tmp", "cache/.git/c.tmp"):
        assert os.path.lexists(root / name)
    assert (outside / "a.tmp").read_text() == "precious"


@pytest.fixture
def other_disk() -> Iterator[Path]:
    if (
        not Path("/dev/shm").is_dir()
        or Path("/dev/shm").stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev
    ):
        pytest.skip("there is only one file system here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_a_trash_on_another_disk_frees_this_one_and_gives_all_back(
    request: pytest.FixtureRequest, tmp_path: Path, other_disk: Path
) -> None:
    bench = file_remove_old(request)
    target = bench.action.target
    options = {**target.options, "trash": str(other_disk / "trash")}
    bench.action = an_action("file", "remove_old", options, dict(bench.action.params))
    before = {path: path.stat() for path in (tmp_path / "root" / "cache").rglob("*.tmp")}
    snapshot = bench.snapshot()
    bench.perform(snapshot)
    assert not (tmp_path / "root" / "cache" / "0.tmp").exists()
    assert bench.probe(snapshot) is Progress.APPLIED
    bench.undo(snapshot)
    for path, stat in before.items():
        assert (path.stat().st_mtime_ns, path.stat().st_mode) == (stat.st_mtime_ns, stat.st_mode)


_WRITER = """
import sys, os, time
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
number = 0
while not os.path.exists(sys.argv[2]):
    os.write(out, b"live %07d\\n" % number)
    number += 1
    time.sleep(0.002)
"""


def test_a_program_goes_on_writing_while_its_log_is_cut_and_given_back(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    bench, log = file_truncate(request), tmp_path / "root" / "app.log"
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(log), str(tmp_path / "stop")])
    try:
        until = time.monotonic() + 10
        while log.stat().st_size < len(LOG) + 2000:
            assert time.monotonic() < until
            time.sleep(0.01)
        snapshot = bench.snapshot()
        time.sleep(0.1)
        bench.perform(snapshot)
        assert log.stat().st_size < len(LOG)
        time.sleep(0.1)
        assert bench.probe(snapshot) is Progress.APPLIED
        bench.undo(snapshot)
        assert bench.differences(snapshot) == []
        time.sleep(0.1)
    finally:
        (tmp_path / "stop").touch()
        writer.wait(10)
    text = log.read_text()
    assert text.startswith(LOG)
    live = [int(line.split()[1]) for line in text[len(LOG) :].splitlines()]
    assert len(live) == len(set(live)), "a line is there twice"
    # The instant of the cut may cost lines written in it; each cut costs two at the most at this pace.
    assert len(set(range(max(live) + 1)) - set(live)) <= 4


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    (root / "one").write_text("x")
    (root / "two").hardlink_to(root / "one")
    with socket.socket(socket.AF_UNIX) as unix:
        here = Path.cwd()
        os.chdir(root)
        unix.bind("socket")
        os.chdir(here)
        expected = {"pipe": "a pipe", "folder": "a folder", "socket": "a socket", "one": "2 hard links"}
        before = tree(root)
        for name, said in expected.items():
            for operation, params in (
                ("replace", {"path": name, "text": "y"}),
                ("set_mode", {"path": name, "mode": "0600"}),
                ("truncate_log", {"path": name}),
            ):
                action = an_action("file", operation, {"root": str(root)}, params)
                with pytest.raises(ActionFailed, match=said):
                    asyncio.run(FileAdapter(tmp_path / "kept").snapshot(action))
        assert tree(root) == before


def test_a_link_put_into_the_way_after_the_snapshot_is_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "conf", outside):
        folder.mkdir(parents=True)
        (folder / "app.conf").write_text("old\n")
    adapter = FileAdapter(tmp_path / "kept")
    action = an_action("file", "replace", {"root": str(root)}, {"path": "conf/app.conf", "text": "new\n"})
    snapshot = asyncio.run(adapter.snapshot(action))
    (root / "conf").rename(root / "moved")
    (root / "conf").symlink_to(outside)
    with pytest.raises(ActionFailed, match="leads through a symbolic link"):
        asyncio.run(adapter.execute(action, snapshot))
    with pytest.raises(CompensationFailed, match="leads through a symbolic link"):
        asyncio.run(undo(adapter, action, snapshot))
    assert (outside / "app.conf").read_text() == "old\n"


def test_what_was_kept_and_altered_is_not_given_back(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    bench = file_replace(request)
    snapshot = bench.snapshot()
    bench.perform(snapshot)
    kept = tmp_path / "kept" / hashlib.sha256(b"workers = 4\ntimeout = 30\nworkers = 4\n").hexdigest()
    kept.write_text("workers = 666\n")
    with pytest.raises(CompensationFailed, match="has been altered"):
        bench.undo(snapshot)
    assert (tmp_path / "root" / "app.conf").read_text() == "workers = 8\n"


def test_a_preview_shows_no_secret(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "app.conf").write_text("password = hunter2hunter2\n")
    action = an_action("file", "replace", {"root": str(root)}, {"path": "app.conf", "text": "clean\n"})
    adapter = FileAdapter(tmp_path / "kept")
    snapshot = asyncio.run(adapter.snapshot(action))
    preview = asyncio.run(adapter.dry_run(action, snapshot))
    assert "+clean" in preview.diff
    assert "hunter2" not in preview.diff + canonical(to_data(snapshot)).decode()


def test_limits_are_kept(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "big").write_bytes(bytes(1001))
    options = {"root": str(root), "most_bytes": 1000, "most_log_bytes": 1000}
    for operation, params in (("replace", {"path": "big", "text": ""}), ("truncate_log", {"path": "big"})):
        with pytest.raises(ActionFailed, match="larger than 1000 bytes"):
            asyncio.run(
                FileAdapter(tmp_path / "kept").snapshot(an_action("file", operation, options, params))
            )


def test_a_disk_that_refuses_is_out_of_reach(request: pytest.FixtureRequest) -> None:
    bench = file_replace(request)
    snapshot = bench.snapshot()
    with pytest.MonkeyPatch.context() as patch:

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "rename", full)
        with pytest.raises(Unavailable, match="No space left"):
            asyncio.run(bench.adapter.execute(bench.action, snapshot))
        with pytest.raises(ActionFailed, match="No space left"):
            asyncio.run(perform(bench.adapter, bench.action, snapshot, first_attempt=True))
    assert bench.probe(snapshot) is Progress.NOT_APPLIED
    assert bench.effects() == 0


def test_a_trash_that_was_emptied_is_noticed(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    bench = file_remove_old(request)
    snapshot = bench.snapshot()
    bench.perform(snapshot)
    shutil.rmtree(tmp_path / "kept" / "trash")
    assert bench.probe(snapshot) is Progress.UNKNOWN
    with pytest.raises(CompensationFailed, match="gone for good"):
        bench.undo(snapshot)
    assert [item.subject for item in bench.differences(snapshot)] == ["trash"]


def test_what_others_remove_meanwhile_is_no_difference(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    bench = file_remove_old(request)
    snapshot = bench.snapshot()
    (tmp_path / "root" / "cache" / "deep" / "1.tmp").unlink()
    bench.perform(snapshot)
    assert bench.probe(snapshot) is Progress.APPLIED
    bench.undo(snapshot)
    assert bench.differences(snapshot) == []


def test_what_cannot_be_seen_is_never_taken_for_not_done(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    bench = file_replace(request)
    snapshot = bench.snapshot()
    bench.perform(snapshot)
    (tmp_path / "root" / "app.conf").unlink()
    os.mkfifo(tmp_path / "root" / "app.conf")
    for look in (bench.adapter.probe, bench.adapter.differences):
        with pytest.raises(Unavailable, match="is a pipe"):
            asyncio.run(look(bench.action, snapshot))
    with pytest.raises(OutcomeUnknown, match="was tried before"):
        bench.perform(snapshot, first_attempt=False)
