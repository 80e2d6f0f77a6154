"""Moves old files out of a folder into the trash, by which they can be brought back exactly as they were."""

import contextlib
import errno
import fnmatch
import hashlib
import json
import os
import shutil
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.options import read_params
from penelope.adapters.actions.rooted import Place, Root, aside_name, check_path, entered, walkable
from penelope.adapters.actions.trash import bin_of, made, settle
from penelope.domain.action import Action, Difference, Preview, Progress
from penelope.errors import ActionFailed, CompensationFailed, InvalidPlaybook
from penelope.kit.canonical import Json

MOST_FILES = 10_000
MOST_LOOKED_AT = 200_000
_DEEPEST = 32
_SHOWN, _MOST_SHOWN = 5, 100


class RemoveOldParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Plain files below `folder` whose names fit `pattern` (``*``, ``?``, ``[abc]``) and that were last changed more
    than `older_than_seconds` ago, the oldest first, until one of both bounds is reached.
    """

    folder: str
    pattern: str
    older_than_seconds: int
    at_most_files: int
    at_most_bytes: int


@dataclass(frozen=True, slots=True)
class Old:
    """A file to be removed, as it was seen; what was changed since is in use, and stays."""

    path: str
    inode: int
    size: int
    changed: int

    def is_at(self, found: os.stat_result | None) -> bool:
        return found is not None and (found.st_ino, found.st_size, found.st_mtime_ns) == (
            self.inode,
            self.size,
            self.changed,
        )


def check(params: Mapping[str, Json]) -> None:
    """Raises InvalidPlaybook."""
    wanted = read_params(RemoveOldParams, params)
    if wanted.folder != ".":
        check_path(wanted.folder)
    check_path(wanted.pattern)
    if "/" in wanted.pattern:
        raise InvalidPlaybook("the pattern is about names, and has no folders")
    if wanted.older_than_seconds < 1:
        raise InvalidPlaybook("older_than_seconds is at least 1: what is in use is not old")
    if not 1 <= wanted.at_most_files <= MOST_FILES:
        raise InvalidPlaybook(f"at_most_files is at least 1 and at most {MOST_FILES}")
    if not 1 <= wanted.at_most_bytes < 2**53:
        raise InvalidPlaybook("at_most_bytes is at least 1")


class OldFiles:
    """The operation `remove_old`. The list of files is kept whole, by its hash: history only holds how many they are."""

    def __init__(self, keep: Keep, trash: Path, stop: threading.Event) -> None:
        self._keep = keep
        self._trash = trash
        self._stop = stop

    def snapshot(self, root: Root, action: Action) -> dict[str, Json]:
        wanted = read_params(RemoveOldParams, action.params)
        old: list[Old] = []
        size = 0
        before = time.time_ns() - wanted.older_than_seconds * 10**9
        found = [item for item in self._found(root, wanted) if item.changed < before]
        for item in sorted(found, key=lambda item: (item.changed, item.path)):
            if len(old) == wanted.at_most_files or size + item.size > wanted.at_most_bytes:
                break
            old.append(item)
            size += item.size
        made(self._trash, action)
        listed = json.dumps([[item.path, item.inode, item.size, item.changed] for item in old]).encode()
        return {"list": self._keep.put(listed), "files": len(old), "bytes": size}

    def probe(self, root: Root, action: Action, state: Mapping[str, Json]) -> Progress:
        if not self._bins(action).is_dir():
            return Progress.UNKNOWN
        removed = left = 0
        listed = self._listed(state)
        for number, item in enumerate(listed):
            here = self._is_here(root, item)
            removed += self._bin(action, number).exists() and not here
            left += here
        if removed and left:
            return Progress.PARTIAL
        # Where there was nothing to be removed, nothing is left to be done.
        return Progress.APPLIED if removed or not listed else Progress.NOT_APPLIED

    def preview(self, root: Root, action: Action, state: Mapping[str, Json]) -> Preview:  # noqa: ARG002 - the list tells
        paths = [item.path for item in self._listed(state) if self._is_here(root, item)]
        more = f"-and {len(paths) - _MOST_SHOWN} more\n" if len(paths) > _MOST_SHOWN else ""
        summary = f"{state['files']} files with {state['bytes']} bytes would be moved into the trash"
        return Preview(summary=summary, diff="".join(f"-{path}\n" for path in paths[:_MOST_SHOWN]) + more)

    def apply(self, root: Root, action: Action, state: Mapping[str, Json]) -> str:
        if not self._bins(action).is_dir():
            raise ActionFailed("the trash of this action is gone: look at the files anew")
        count = size = 0
        for number, item in enumerate(self._listed(state)):
            if self._stop.is_set():
                raise ActionFailed("it was given up")
            if self._is_here(root, item):
                with root.at(item.path) as place:
                    place.plain()
                    self._away(place, self._bin(action, number), item)
            if self._bin(action, number).exists():
                count, size = count + 1, size + item.size
        return f"{count} files with {size} bytes were moved into the trash"

    def give_back(self, root: Root, action: Action, state: Mapping[str, Json]) -> bool:
        """Whether there was something to give back. Brings back all that it can before it complains about the rest."""
        if not self._bins(action).is_dir():
            raise CompensationFailed("the trash was emptied: what was removed is gone for good")
        returned, stuck = 0, []
        for number, item in enumerate(self._listed(state)):
            try:
                returned += _given_back(root, item, self._bin(action, number), aside_name(action.key))
            except (ActionFailed, CompensationFailed):
                stuck.append(item.path)
        if stuck:
            shown = ", ".join(ascii(path) for path in stuck[:_SHOWN])
            raise CompensationFailed(
                f"{len(stuck)} files cannot return: their places are taken by other files, or gone: {shown}",
                hint=f"They lie in {self._bins(action)}; make room for them, and take the action back again.",
            )
        return returned > 0

    def differences(self, root: Root, action: Action, state: Mapping[str, Json]) -> list[Difference]:  # noqa: ARG002 - the trash tells
        """What lies in the trash; a file that somebody else has removed is none of ours."""
        if not self._bins(action).is_dir():
            return [Difference(subject="trash", before="there", now="emptied")]
        gone = [
            item.path for number, item in enumerate(self._listed(state)) if self._bin(action, number).exists()
        ]
        return [Difference(subject=path, before="there", now="removed") for path in gone[:_MOST_SHOWN]]

    def observe(self, root: Root, action: Action) -> dict[str, Json]:
        wanted = read_params(RemoveOldParams, action.params)
        found = list(self._found(root, wanted))
        before = time.time_ns() - wanted.older_than_seconds * 10**9
        old = [item for item in found if item.changed < before]
        listing = json.dumps(sorted([item.path, item.size, str(item.changed)] for item in found)).encode()
        return {
            "files": len(found),
            "bytes": sum(item.size for item in found),
            "old_files": len(old),
            "old_bytes": sum(item.size for item in old),
            "listing": hashlib.sha256(listing).hexdigest(),
        }

    def _found(self, root: Root, wanted: RemoveOldParams) -> Iterator[Old]:
        """The plain files of one name only that fit, below the folder; links are neither followed nor touched."""
        with root.opened() as top:
            device = os.fstat(top).st_dev
            start = os.dup(top)
            folder = wanted.folder
            for part in folder.split("/") if folder != "." else ():
                below = entered(start, part, folder, device)
                os.close(start)
                start = below
            prefix = "" if folder == "." else f"{folder}/"
            ours = frozenset(_identities(self._trash, self._keep.folder))
            try:
                yield from _Walk(wanted.pattern, device, ours, self._stop).below(start, prefix)
            finally:
                os.close(start)

    def _listed(self, state: Mapping[str, Json]) -> list[Old]:
        return [Old(*fields) for fields in json.loads(self._keep.get(state["list"]))]

    def _is_here(self, root: Root, item: Old) -> bool:
        """Whether the very file that was seen stands in its place, unchanged."""
        try:
            with root.at(item.path) as place:
                return item.is_at(place.look())
        except ActionFailed:
            return False

    def _bins(self, action: Action) -> Path:
        """The action's own folder in the trash. It is made by the snapshot: one that is missing later was emptied."""
        return bin_of(self._trash, action.key)

    def _bin(self, action: Action, number: int) -> Path:
        return self._bins(action) / f"{number:05d}"

    def _away(self, place: Place, thrown: Path, item: Old) -> None:
        """In the trash, whole and on the disk, before it leaves its place."""
        try:
            os.rename(place.name, thrown, src_dir_fd=place.folder)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with os.fdopen(place.open(), "rb") as source:
                _copy(source, thrown)
            # In use meanwhile: it stays, and the copy goes.
            if not item.is_at(place.look()):
                thrown.unlink()
                return
            place.remove()
        settle(thrown.parent)
        place.settle()


@dataclass(slots=True)
class _Walk:
    """A look through folders for files whose names fit. `ours` are folders of Penelope's own, by device and inode."""

    pattern: str
    device: int
    ours: frozenset[tuple[int, int]]
    stop: threading.Event
    looked_at: int = 0

    def below(self, folder: int, prefix: str) -> Iterator[Old]:
        about = os.fstat(folder)
        if prefix.count("/") > _DEEPEST or (about.st_dev, about.st_ino) in self.ours:
            return
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
        self.looked_at += len(names)
        if self.looked_at > MOST_LOOKED_AT:
            raise ActionFailed(f"there are more than {MOST_LOOKED_AT} files to be looked at")
        for name in names:
            if self.stop.is_set():
                return
            try:
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(found.st_mode) and found.st_dev == self.device and walkable(name):
                yield from self._entered(folder, name, prefix)
            elif _removable(found) and fnmatch.fnmatchcase(name, self.pattern) and _nameable(prefix + name):
                yield Old(prefix + name, found.st_ino, found.st_size, found.st_mtime_ns)

    def _entered(self, folder: int, name: str, prefix: str) -> Iterator[Old]:
        try:
            below = entered(folder, name, prefix + name, self.device)
        except ActionFailed:
            return  # it went meanwhile, or became something else: caches do that
        try:
            yield from self.below(below, f"{prefix}{name}/")
        finally:
            os.close(below)


def _identities(*folders: Path) -> Iterator[tuple[int, int]]:
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            found = folder.stat()
            yield found.st_dev, found.st_ino


def _copy(source: BinaryIO, thrown: Path) -> None:
    found = os.fstat(source.fileno())
    aside = thrown.with_suffix(".aside")
    with aside.open("wb") as stream:
        shutil.copyfileobj(source, stream)
        stream.flush()
        _dress(stream.fileno(), found)
        os.fsync(stream.fileno())
    aside.replace(thrown)
    settle(thrown.parent)


def _dress(descriptor: int, found: os.stat_result) -> None:
    """Gives a copy the owner, mode and times of its original."""
    if os.geteuid() == 0:
        os.fchown(descriptor, found.st_uid, found.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
    os.utime(descriptor, ns=(found.st_atime_ns, found.st_mtime_ns))


def _back(thrown: Path, place: Place, aside: str) -> None:
    """A link, not a rename: it never takes the place of what somebody else puts there in that instant."""
    try:
        os.link(thrown, place.name, dst_dir_fd=place.folder, follow_symlinks=False)
    except FileExistsError:
        raise CompensationFailed(f"the place of {place.path!a} is taken by another file now") from None
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        descriptor = os.open(
            aside,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
            dir_fd=place.folder,
        )
        with thrown.open("rb") as source, os.fdopen(descriptor, "wb") as stream:
            shutil.copyfileobj(source, stream)
            stream.flush()
            _dress(stream.fileno(), os.fstat(source.fileno()))
            os.fsync(stream.fileno())
        os.link(aside, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder, follow_symlinks=False)
        os.unlink(aside, dir_fd=place.folder)
    place.settle()
    thrown.unlink()
    settle(thrown.parent)


def _given_back(root: Root, item: Old, thrown: Path, aside: str) -> bool:
    """Whether a file returned. Raises ActionFailed where its folder is gone, CompensationFailed where its place is taken."""
    try:
        with root.at(item.path) as place:
            place.beside(aside).remove()
            if not thrown.exists():
                return False
            found = place.look()
            if found is None:
                _back(thrown, place, aside)
                return True
            if not _same_file(thrown, found):
                raise CompensationFailed(f"the place of {item.path!a} is taken by another file now")
            thrown.unlink()
            return False
    except ActionFailed:
        if thrown.exists():
            raise
        return False  # its folder went, and nothing of it is ours


def _same_file(thrown: Path, found: os.stat_result) -> bool:
    """Whether a crash left a file both in its place and in the trash."""
    kept = thrown.stat()
    if (kept.st_ino, kept.st_dev) == (found.st_ino, found.st_dev):
        return True
    return (kept.st_size, kept.st_mtime_ns) == (found.st_size, found.st_mtime_ns)


def _removable(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def _nameable(path: str) -> bool:
    """Whether a path can be written down and read again; others are left where they are."""
    try:
        check_path(path)
    except InvalidPlaybook:
        return False
    return True
