"""Benches of the adapter for files: real ones, in a folder of the test."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benching import Bench, an_action, with_options

from penelope.adapters.actions import file_log
from penelope.adapters.actions.file import FileAdapter
from penelope.adapters.actions.file_rotate import Rotations
from penelope.domain.action import Action, Snapshot

LOG = "".join(f"{number:06d} a line of the log\n" for number in range(4000))


class Crash(BaseException):
    """Stands for a kill: nothing catches it."""


def _bench(
    request: pytest.FixtureRequest,
    operation: str,
    params: dict[str, Any],
    shown: tuple[str, ...],
    changed: Callable[[Path], bool],
) -> Bench:
    folder: Path = request.getfixturevalue("tmp_path")
    root = folder / "root"
    (root / "cache" / "deep").mkdir(parents=True)
    (root / "app.conf").write_text("workers = 4\ntimeout = 30\nworkers = 4\n")
    (root / "app.conf").chmod(0o640)
    (root / "app.log").write_text(LOG)
    (root / "current").symlink_to("cache")
    for number in range(6):
        file = root / "cache" / ("deep" if number % 2 else "") / f"{number}.tmp"
        file.write_text("x" * (number + 1))
        if number < 4:
            os.utime(file, ns=(1, time.time_ns() - (100 - number) * 3600 * 10**9))
    adapter = FileAdapter(folder / "kept")
    action = an_action("file", operation, {"root": str(root)}, params)
    return Bench(
        adapter=adapter,
        action=action,
        effects=lambda: int(changed(root)),
        shown=shown,
        unreachable=(adapter, with_options(action, root=str(folder / "nowhere"))),
    )


def _content(name: str, before: str) -> Callable[[Path], bool]:
    return lambda root: (root / name).read_text() != before


_CONF = "workers = 4\ntimeout = 30\nworkers = 4\n"
_ENTRY = ("kind", "content", "mode", "link", "owner", "size")


def file_replace(request: pytest.FixtureRequest) -> Bench:
    params = {"path": "app.conf", "text": "workers = 8\n", "mode": "0600"}
    return _bench(request, "replace", params, _ENTRY, _content("app.conf", _CONF))


def file_create(request: pytest.FixtureRequest) -> Bench:
    params = {"path": "cache/new.conf", "base64": "AP8=", "create": True}
    return _bench(request, "replace", params, _ENTRY, lambda root: (root / "cache" / "new.conf").exists())


def file_edit(request: pytest.FixtureRequest) -> Bench:
    edits = [
        {"old": "workers = 4", "new": "workers = 8", "count": 2},
        {"old": "timeout = 30", "new": None},
    ]
    return _bench(
        request, "edit_lines", {"path": "app.conf", "edits": edits}, _ENTRY, _content("app.conf", _CONF)
    )


def file_mode(request: pytest.FixtureRequest) -> Bench:
    params = {"path": "app.conf", "mode": "0600"}
    return _bench(
        request,
        "set_mode",
        params,
        _ENTRY,
        lambda root: (root / "app.conf").stat().st_mode & 0o777 == 0o600,
    )


def file_symlink(request: pytest.FixtureRequest) -> Bench:
    params = {"path": "current", "to": "cache/deep"}
    return _bench(
        request,
        "symlink",
        params,
        _ENTRY,
        lambda root: (root / "current").readlink() == Path("cache/deep"),
    )


def _crashing(bench: Bench, monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> Bench:
    """Leaves the action half done, where a part of the adapter is called."""

    async def half(snapshot: Snapshot) -> None:
        def crash(*_: object) -> None:
            raise Crash

        with monkeypatch.context() as patch:
            patch.setattr(module, name, crash)
            with pytest.raises(Crash):
                await bench.adapter.execute(bench.action, snapshot)

    bench.half = half
    return bench


def file_truncate(request: pytest.FixtureRequest) -> Bench:
    params = {"path": "app.log", "keep_bytes": 1000}
    bench = _bench(
        request, "truncate_log", params, ("kind", "size", "content"), lambda root: _length(root) < 2000
    )
    return _crashing(bench, request.getfixturevalue("monkeypatch"), file_log.os, "ftruncate")


def _length(root: Path) -> int:
    return (root / "app.log").stat().st_size


def file_rotate(request: pytest.FixtureRequest) -> Bench:
    params = {"path": "app.log", "to": "app.log.1"}
    bench = _bench(request, "rotate", params, ("kind", "size", "content"), lambda root: _length(root) == 0)
    return _crashing(bench, request.getfixturevalue("monkeypatch"), Rotations, "_renewed")


def file_rotate_packed(request: pytest.FixtureRequest) -> Bench:
    params = {"path": "app.log", "to": "app.log.1", "compress": True}
    bench = _bench(request, "rotate", params, ("kind", "size", "content"), lambda root: _length(root) == 0)
    return _crashing(bench, request.getfixturevalue("monkeypatch"), Rotations, "_compress")


def file_remove_old(request: pytest.FixtureRequest) -> Bench:
    params = {
        "folder": "cache",
        "pattern": "*.tmp",
        "older_than_seconds": 3600,
        "at_most_files": 3,
        "at_most_bytes": 100,
    }
    bench = _bench(
        request,
        "remove_old",
        params,
        ("files", "bytes", "listing"),
        lambda root: not (root / "cache" / "0.tmp").exists(),
    )

    async def half(snapshot: Snapshot) -> None:
        await _first_only(bench.action, Path(request.getfixturevalue("tmp_path")) / "kept", snapshot)

    bench.half = half
    return bench


async def _first_only(action: Action, kept: Path, snapshot: Snapshot) -> None:
    """Carries the action out as far as a process that is killed after the first file."""

    class Mortal(FileAdapter):
        def _parts(self, action: Action) -> Any:
            parts = super()._parts(action)
            away = parts.old._away

            def once(*arguments: Any) -> None:
                away(*arguments)
                raise Crash

            parts.old._away = once  # type: ignore[method-assign]  # the kill comes behind it
            return parts

    with pytest.raises(Crash):
        await Mortal(kept).execute(action, snapshot)


BENCHES = [
    file_replace,
    file_create,
    file_edit,
    file_mode,
    file_symlink,
    file_truncate,
    file_rotate,
    file_rotate_packed,
    file_remove_old,
]
HALVED = [file_truncate, file_rotate, file_rotate_packed, file_remove_old]
