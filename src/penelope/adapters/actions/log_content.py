"""What a log held before it was made short: kept packed in the trash, and put back in front of what came since."""

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import zstandard

from penelope.adapters.actions.command_guard import write_durably
from penelope.adapters.actions.rooted import Place
from penelope.adapters.actions.trash import bin_of, made, settle
from penelope.domain.action import Action
from penelope.errors import ActionFailed, CompensationFailed

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log before it is made short: its inode (as text), its size and hash, how much of its end stays, and that hash;
    `last` is the hash of its last block of `block` bytes.
    """

    inode: str
    size: int
    content: str
    mode: str
    owner: tuple[int, int]
    tail: int = 0
    tail_content: str = ""
    block: int = 0
    last: str = ""


class Stage:
    """The folder in the trash that belongs to one action: what it kept, and how far it has come."""

    def __init__(self, trash: Path, key: str) -> None:
        self._folder = bin_of(trash, key)
        self.kept = self._folder / "log.zst"
        self.cut = self._folder / "cut"
        self.rest = self._folder / "rest"
        self.extended = self._folder / "extended"

    def mark(self, path: Path, content: bytes = b"") -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(path, content)

    def fill(self, path: Path, chunks: Iterable[bytes]) -> None:
        """A file that is there whole and on the disk, or not at all; nothing of it need fit into memory."""
        aside = path.with_suffix(".aside")
        with aside.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
        settle(self._folder)

    def over(self) -> None:
        """Nothing is left to be done: in this order a crash in between only does the same again."""
        for path in (self.cut, self.rest, self.extended):
            path.unlink(missing_ok=True)


@contextmanager
def opened(place: Place, flags: int) -> Iterator[int]:
    descriptor = place.open(flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_path(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class Contents:
    """Keeps contents of logs, compares with them, and gives them back."""

    def __init__(self, trash: Path, most_bytes: int, stop: threading.Event) -> None:
        self.trash = trash
        self._most_bytes = most_bytes
        self._stop = stop

    def taken(self, place: Place, action: Action) -> Log:
        """The log as it is, its content kept. Raises ActionFailed for what is no log, or too large."""
        found = place.plain()
        if found is None:
            raise ActionFailed(f"{place.path!a} is not there")
        if found.st_size > self._most_bytes:
            raise ActionFailed(f"{place.path!a} is larger than {self._most_bytes} bytes")
        with opened(place, os.O_RDONLY) as descriptor:
            return Log(
                inode=str(found.st_ino),
                size=found.st_size,
                content=self._packed(descriptor, found.st_size, action),
                mode=f"{found.st_mode & 0o777:04o}",
                owner=(found.st_uid, found.st_gid),
            )

    def _packed(self, descriptor: int, size: int, action: Action) -> str:
        """Keeps the first `size` bytes, on the disk before this returns their hash."""
        stage, digest = Stage(self.trash, action.key), hashlib.sha256()
        made(self.trash, action)

        def packed() -> Iterator[bytes]:
            packing = zstandard.ZstdCompressor().compressobj()
            for chunk in self.chunks(descriptor, 0, size):
                digest.update(chunk)
                yield packing.compress(chunk)
            yield packing.flush()

        stage.fill(stage.kept, packed())
        return digest.hexdigest()

    def chunks(self, descriptor: int, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            if self._stop.is_set():
                raise ActionFailed("it was given up")
            chunk = os.pread(descriptor, min(_CHUNK, end - start), start)
            if not chunk:
                return
            start += len(chunk)
            yield chunk

    def unpacked(self, action: Action, log: Log) -> Iterator[bytes]:
        """What was kept, never more than there was. Raises CompensationFailed where it is gone or was altered."""
        digest, left = hashlib.sha256(), log.size
        try:
            with (
                Stage(self.trash, action.key).kept.open("rb") as stream,
                zstandard.ZstdDecompressor().stream_reader(stream) as reader,
            ):
                while left and (chunk := reader.read(min(_CHUNK, left))):
                    left -= len(chunk)
                    digest.update(chunk)
                    yield chunk
        except (FileNotFoundError, zstandard.ZstdError) as error:
            raise CompensationFailed("what was cut away is no longer kept") from error
        if digest.hexdigest() != log.content:
            raise CompensationFailed("what was kept of the log has been altered")

    def begins_with(self, place: Place, log: Log) -> bool:
        digest = hashlib.sha256()
        with opened(place, os.O_RDONLY) as descriptor:
            if os.fstat(descriptor).st_size < log.size:
                return False
            for chunk in self.chunks(descriptor, 0, log.size):
                digest.update(chunk)
        return digest.hexdigest() == log.content

    def prepend(self, place: Place, action: Action, log: Log, skip: int) -> None:
        """Puts the kept content in front of what was written since; `skip` bytes at the front are of it already."""
        stage = Stage(self.trash, action.key)
        for _ in self.unpacked(action, log):
            pass  # Looked through whole before a byte of the log is touched: it may have been altered.
        with opened(place, os.O_RDWR) as descriptor:
            if not stage.rest.exists():
                size = os.fstat(descriptor).st_size
                if size - skip > self._most_bytes:
                    raise CompensationFailed(f"{place.path!a} has grown by {size - skip} bytes since")
                stage.fill(stage.rest, self.chunks(descriptor, skip, size))
            since = stage.rest.stat().st_size
            if not stage.extended.exists():
                self._extend(descriptor, skip + since, log.size + since)
                stage.mark(stage.extended)
            offset = 0
            for chunk in self.unpacked(action, log):
                write_at(descriptor, chunk, offset)
                offset += len(chunk)
            with opened_path(stage.rest) as rest:
                for chunk in self.chunks(rest, 0, since):
                    write_at(descriptor, chunk, offset)
                    offset += len(chunk)
            os.fsync(descriptor)

    def _extend(self, descriptor: int, known: int, goal: int) -> None:
        """From here on the program's lines come behind the goal; what came just before is put there, too."""
        if os.fstat(descriptor).st_size < goal:
            os.ftruncate(descriptor, goal)
        for chunk in self.chunks(descriptor, known, goal):
            late = chunk.rstrip(b"\0")
            write_at(descriptor, late, os.fstat(descriptor).st_size)
            if len(late) < len(chunk):
                return


def hash_at(descriptor: int, start: int, length: int) -> str:
    return hashlib.sha256(os.pread(descriptor, length, start)).hexdigest()


def write_at(descriptor: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
