"""Files below roots, opened so that no link leads out of them, whoever changes folders meanwhile."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_PASSED_BY = frozenset({"node_modules", "__pycache__", "venv", "target", "dist"})
_HIDDEN_BUT_READ = frozenset({".github", ".gitlab"})

_DEEPEST = 64
"""Folders inside each other: the walk takes a step of the stack and an open file for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file, or a folder that could not be looked into.

    `content` is None where it is left out (`left_out` says why) or could not be read (`unread` does).
    """

    path: Path
    content: bytes | None = None
    changed_at: datetime | None = None
    left_out: str = ""
    unread: str = ""


def files(root: Path, largest: int) -> Iterator[Found]:
    """The files at or below a resolved root, in order of their names. Never raises: what cannot be read is said so."""
    if not root.is_dir():
        yield _alone(root, largest)
        return
    troubles: list[OSError] = []
    for folder, below, names, descriptor in os.fwalk(root, onerror=troubles.append, follow_symlinks=False):
        while troubles:
            yield _untold(troubles.pop(), root)
        if _depth(folder, root) >= _DEEPEST:
            yield from (
                Found(path=Path(folder) / name, left_out="its folder lies too deep") for name in sorted(below)
            )
            below.clear()
        linked = [name for name in below if _is_link(name, descriptor)]
        below[:] = sorted(name for name in below if _is_entered(name) and name not in linked)
        for name in sorted([*names, *linked]):
            yield _opened(name, Path(folder) / name, root, largest, descriptor)
    while troubles:
        yield _untold(troubles.pop(), root)


def count(roots: Sequence[Path], most: int) -> int:
    """How many files there are, at most one more than `most`: for a progress bar, and for the bound."""
    number = 0
    for root in roots:
        if not root.is_dir():
            number += 1
            continue
        for folder, below, names in os.walk(root, followlinks=False):
            deep = _depth(folder, root) >= _DEEPEST
            below[:] = [] if deep else [name for name in below if _is_entered(name)]
            number += len(names)
            if number > most:
                return most + 1
    return number


def _depth(folder: str, root: Path) -> int:
    return len(Path(folder).parts) - len(root.parts)


def _is_entered(name: str) -> bool:
    return name in _HIDDEN_BUT_READ or not (name.startswith(".") or name in _PASSED_BY)


def _is_link(name: str, descriptor: int) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode)
    return False


def _alone(path: Path, largest: int) -> Found:
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        return Found(path=path, unread=_reason(error))
    try:
        return _opened(path.name, path, path.parent, largest, descriptor)
    finally:
        os.close(descriptor)


def _opened(name: str, path: Path, root: Path, largest: int, descriptor: int) -> Found:
    try:
        if _is_link(name, descriptor):
            return Found(path=path, left_out=_linked(path, root))
        # Without following what became a link since, and without waiting at a pipe.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, dir_fd=descriptor), "rb") as stream:
            state = os.fstat(stream.fileno())
            if not stat.S_ISREG(state.st_mode):
                return Found(path=path, left_out="it is no ordinary file")
            # Not by its size alone: what grows meanwhile is not read without end.
            content = stream.read(largest + 1)
    except OSError as error:
        return Found(path=path, unread=_reason(error))
    if len(content) > largest:
        return Found(path=path, left_out=f"it is larger than {largest:,} bytes")
    return Found(path=path, content=content, changed_at=_moment(state.st_mtime))


def _linked(path: Path, root: Path) -> str:
    try:
        inside = path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        return "it is a link that leads nowhere"
    return "it is a link to what is looked at itself" if inside else "it is a link that leaves the folder"


def _moment(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _untold(error: OSError, root: Path) -> Found:
    return Found(path=Path(os.fsdecode(error.filename or root)), unread=_reason(error))


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
