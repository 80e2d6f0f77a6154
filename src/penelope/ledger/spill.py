"""The spill file: batches of log lines that wait on disk for their sink, and outlive the process."""

import fcntl
import os
import zlib
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from penelope.domain.log import LogLine
from penelope.errors import BadSettings

_MODE = 0o600


class LogBatch(NamedTuple):
    """Lines that are written together, under an id that stays the same however often that is tried."""

    id: str
    lines: tuple[LogLine, ...]


class _Place(NamedTuple):
    offset: int
    length: int
    records: int


_DECODER = msgspec.json.Decoder(LogBatch)


class SpillFile:
    """A queue of batches in one file, of at most `limit_bytes`; one process has it at a time.

    Each batch is a text line: number of records, CRC-32 of the JSON, the JSON. Space is given back when all
    batches were taken and done with; until then a new process finds them all again, so that the sink must know
    a batch by its id. `torn` counts the records of lines that a crash left incomplete; they are cut off.

    Not thread-safe. `append` may raise OSError.
    """

    def __init__(self, path: Path, *, limit_bytes: int) -> None:
        """Raises BadSettings when another process has the file open."""
        self._limit = limit_bytes
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        try:
            _lock(self._file, path)
            os.fchmod(self._file, _MODE)
            self._waiting, self._size, self.torn = _scan(self._file)
            os.ftruncate(self._file, self._size)
        except BaseException:
            self.close()
            raise
        self.records = sum(place.records for place in self._waiting)
        """How many records wait, without those of a batch that was taken."""

    def append(self, batch: LogBatch) -> bool:
        """Whether there was room for the batch; it is on disk then."""
        text = msgspec.json.encode(batch)
        data = b"%d %08x %s\n" % (len(batch.lines), zlib.crc32(text), text)
        if self._size + len(data) > self._limit:
            return False
        try:
            _write(self._file, data, self._size)
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._waiting.append(_Place(self._size, len(data), len(batch.lines)))
        self._size += len(data)
        self.records += len(batch.lines)
        return True

    def take(self) -> tuple[int, LogBatch | None]:
        """The oldest batch and how many records it has; None in its stead if it is damaged or cannot be read.

        It stays in the file until `done`. Raises IndexError if none waits.
        """
        place = self._waiting.popleft()
        self.records -= place.records
        data = b""
        with suppress(OSError):  # else one bad place would keep all behind it from being written
            data = os.pread(self._file, place.length, place.offset)
        return place.records, _decode(data, place.records)

    def done(self) -> None:
        """What was taken need not be found again."""
        if self._waiting:
            return
        # If not, the space is given back later, and batches that are found again are known by their ids.
        with suppress(OSError):
            os.ftruncate(self._file, 0)
            self._size = 0

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lock(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BadSettings(
            f"another process has the spill file {path} open", hint="Give each process a file of its own."
        ) from None


def _scan(file: int) -> tuple[deque[_Place], int, int]:
    """The batches in the file, where the last of them ends, and how many records are torn off behind it."""
    waiting: deque[_Place] = deque()
    end = 0
    with os.fdopen(os.dup(file), "rb") as reader:
        for data in reader:
            records = _records(data)
            if not data.endswith(b"\n"):
                return waiting, end, records
            waiting.append(_Place(end, len(data), records))
            end += len(data)
    return waiting, end, 0


def _records(data: bytes) -> int:
    """What the head of a line says; 1, the least there can be, where it is illegible."""
    head = data.partition(b" ")[0]
    return int(head) if head.isdigit() and len(head) < 10 else 1


def _decode(data: bytes, records: int) -> LogBatch | None:
    _, _, rest = data.partition(b" ")
    checksum, _, text = rest.removesuffix(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        batch = _DECODER.decode(text)
    except msgspec.DecodeError:
        return None
    return batch if len(batch.lines) == records else None


def _write(file: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, offset)
        rest, offset = rest[written:], offset + written
