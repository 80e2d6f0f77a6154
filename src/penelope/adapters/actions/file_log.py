"""Cuts a log in place while its program goes on writing into it.

What is cut away is kept, packed, in the target's trash, and put back before what was written since. The instant between
the last look and the cut is that of every copy-and-truncate: a line written just then is lost. A program must append
(O_APPEND), as loggers do; one that writes at an offset of its own leaves a hole.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from penelope.adapters.actions.log_content import Contents, Log, Stage, hash_at, opened, write_at
from penelope.adapters.actions.options import read_params
from penelope.adapters.actions.rooted import Place, Root, check_path
from penelope.domain.action import Action, Difference, Progress
from penelope.errors import ActionFailed, CompensationFailed, InvalidPlaybook
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data

_BLOCK = 4096
_MOST_TAIL = 64 * 1024 * 1024


class TruncateParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last `keep_bytes` of the log at `path` stay, from the beginning of a line on."""

    path: str
    keep_bytes: int = 0


def check(params: Mapping[str, Json]) -> None:
    """Raises InvalidPlaybook."""
    cut = read_params(TruncateParams, params)
    check_path(cut.path)
    if not 0 <= cut.keep_bytes <= _MOST_TAIL:
        raise InvalidPlaybook(f"keep_bytes is at least 0 and at most {_MOST_TAIL}")


class Cuts:
    """The operation `truncate_log`."""

    def __init__(self, trash: Path, contents: Contents) -> None:
        self._trash = trash
        self._contents = contents

    def snapshot(self, root: Root, action: Action) -> dict[str, Json]:
        with root.at(str(action.params["path"])) as place:
            log = self._contents.taken(place, action)
            with opened(place, os.O_RDONLY) as descriptor:
                return {"log": to_data(_with_tail(descriptor, log, action, place.path))}

    def probe(self, root: Root, action: Action, state: Mapping[str, Json]) -> Progress:
        with root.at(str(action.params["path"])) as place:
            return self._probe_cut(place, action, from_data(Log, state["log"]))

    def apply(self, root: Root, action: Action, state: Mapping[str, Json]) -> str:
        log = from_data(Log, state["log"])
        with root.at(str(action.params["path"])) as place:
            self._cut(place, action, log)
            return f"{place.path} was cut by {log.size - log.tail} bytes"

    def give_back(self, root: Root, action: Action, state: Mapping[str, Json]) -> bool:
        """Whether there was something to give back."""
        log, stage = from_data(Log, state["log"]), Stage(self._trash, action.key)
        with root.at(str(action.params["path"])) as place:
            progress = self._probe_cut(place, action, log)
            if progress is Progress.NOT_APPLIED and not stage.rest.exists():
                return False
            if progress is Progress.UNKNOWN:
                raise CompensationFailed(f"{place.path!a} was replaced or rewritten by somebody else since")
            if progress is Progress.PARTIAL and not stage.rest.exists():
                self._cut(place, action, log)
            self._contents.prepend(place, action, log, skip=log.tail)
            stage.over()
            return True

    def differences(self, root: Root, action: Action, state: Mapping[str, Json]) -> list[Difference]:
        log = from_data(Log, state["log"])
        with root.at(str(action.params["path"])) as place:
            if place.look() is not None and self._contents.begins_with(place, log):
                return []
        return [Difference(subject="content", before=log.content, now="changed")]

    def _probe_cut(self, place: Place, action: Action, log: Log) -> Progress:
        found, stage = place.plain(), Stage(self._trash, action.key)
        if found is None or str(found.st_ino) != log.inode:
            return Progress.UNKNOWN
        if stage.cut.exists():
            return Progress.APPLIED
        if self._contents.begins_with(place, log):
            return Progress.NOT_APPLIED
        with opened(place, os.O_RDONLY) as descriptor:
            size = os.fstat(descriptor).st_size
            if size >= log.size and hash_at(descriptor, log.size - log.block, log.block) == log.last:
                return Progress.PARTIAL
            head = hash_at(descriptor, 0, log.tail)
        return Progress.APPLIED if head == log.tail_content else Progress.UNKNOWN

    def _cut(self, place: Place, action: Action, log: Log) -> None:
        """Moves the end that stays to the front, then cuts the rest off; until then the last block tells that it did not."""
        progress = self._probe_cut(place, action, log)
        if progress is Progress.UNKNOWN:
            raise ActionFailed(f"{place.path!a} was replaced or rewritten by somebody else")
        stage = Stage(self._trash, action.key)
        if progress is Progress.APPLIED:
            stage.mark(stage.cut)
            return
        tail = _end_of(self._contents.unpacked(action, log), log.size - log.tail)
        with opened(place, os.O_RDWR) as descriptor:
            size = os.fstat(descriptor).st_size
            room = log.size - log.block - log.tail
            if size - log.size > min(room, _MOST_TAIL):
                raise ActionFailed(f"{place.path!a} has grown too much since: look at it anew")
            stay = tail + b"".join(self._contents.chunks(descriptor, log.size, size))
            write_at(descriptor, stay, 0)
            late = b"".join(self._contents.chunks(descriptor, size, log.size + room))
            write_at(descriptor, late, len(stay))
            os.ftruncate(descriptor, len(stay) + len(late))
            os.fsync(descriptor)
        stage.mark(stage.cut)


def _with_tail(descriptor: int, log: Log, action: Action, path: str) -> Log:
    wanted = read_params(TruncateParams, action.params).keep_bytes
    tail = os.pread(descriptor, min(wanted, log.size), max(0, log.size - wanted))
    if len(tail) < log.size:
        tail = tail[tail.find(b"\n") + 1 :] if b"\n" in tail else b""
    block = min(_BLOCK, (log.size - len(tail)) // 2)
    if block < 1:
        raise ActionFailed(f"{path!a} has only {log.size} bytes: there is nothing to cut")
    return Log(
        inode=log.inode,
        size=log.size,
        content=log.content,
        mode=log.mode,
        owner=log.owner,
        tail=len(tail),
        tail_content=hashlib.sha256(tail).hexdigest(),
        block=block,
        last=hash_at(descriptor, log.size - block, block),
    )


def _end_of(chunks: Iterator[bytes], skip: int) -> bytes:
    """What comes after the first `skip` bytes; all of it is read, for only its end tells whether it was altered."""
    end = bytearray()
    for chunk in chunks:
        end += chunk[skip:]
        skip = max(0, skip - len(chunk))
    return bytes(end)
