"""The archive as a private folder of zstd files, each written whole or not at all, and never changed."""

import fcntl
import hashlib
import io
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError

from penelope.errors import ChainBroken, EntryTooLarge, Unavailable
from penelope.flow.archiving import File
from penelope.ledger.segment import LARGEST_LINE

_LEVEL = 9
"""Of compression: a third smaller than the default at a tenth of a second a segment."""

_LARGEST_WINDOW = 64 * 1024 * 1024
"""Bytes that a file may make us keep while it is unpacked."""

_LOCK = ".lock"
_NAME = re.compile(r"[0-9]{12,19}-[0-9]{12,19}\.[0-9a-f]{16}\.jsonl\.zst")
_ROOM = "Make room in the folder of ledger.archive, or name another one; nothing was taken from the database."
_RESTORE = "Restore the file from a backup of the archive."


class FolderArchive:
    """Fulfils flow's PayloadArchive. A file is called by its leaves and by the beginning of its SHA-256."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The lock goes with its holder: a process that is killed leaves none behind, only what it wrote aside."""
        with _as_unavailable():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._folder / _LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unavailable("another process changes the archive at this moment") from None
            for left in self._folder.glob(".*.new"):
                left.unlink()
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def draft(self, first: int, last: int) -> Iterator["FileDraft"]:
        stem = f"{first:012}-{last:012}"
        aside = self._folder / f".{stem}.new"
        with _as_unavailable():
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as stream:
                yield FileDraft(stream, aside, stem)
        finally:
            aside.unlink(missing_ok=True)

    def files(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for file in sorted(self._folder.glob("*.jsonl.zst")):
            if _NAME.fullmatch(file.name):
                found.setdefault(int(file.name.partition("-")[0]), []).append(file.name)
        return found

    def lines(self, name: str) -> Iterator[bytes]:
        with self._open(name) as stream:
            unpacked = ZstdDecompressor(max_window_size=_LARGEST_WINDOW).stream_reader(stream)
            buffered = io.BufferedReader(unpacked)
            try:
                while line := buffered.readline(LARGEST_LINE + 1):
                    if not line.endswith(b"\n"):
                        raise ChainBroken(f"{name} of the archive is cut off", hint=_RESTORE)
                    yield line
            except (ZstdError, OSError) as error:
                raise ChainBroken(f"{name} of the archive is damaged: {error}", hint=_RESTORE) from error

    def sha256(self, name: str) -> str:
        with self._open(name) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)
        _sync(self._folder)

    def _open(self, name: str) -> io.BufferedReader:
        if not _NAME.fullmatch(name):
            raise ChainBroken(f"no segment of the archive can be called {name[:80]!r}")
        try:
            return (self._folder / name).open("rb")
        except OSError as error:
            message = f"{name} of the archive cannot be read: {error.strerror}"
            raise ChainBroken(message, hint=_RESTORE) from error


class FileDraft:
    """Fulfils flow's Draft."""

    def __init__(self, stream: io.RawIOBase, aside: Path, stem: str) -> None:
        self._stream = stream
        self._aside = aside
        self._stem = stem
        self._packing = ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
        self._digest = hashlib.sha256()

    def add(self, lines: Collection[bytes]) -> None:
        for line in lines:
            if len(line) > LARGEST_LINE:
                raise EntryTooLarge(
                    f"a payload has more than {LARGEST_LINE} bytes, which no segment can hold"
                )
            self._write(self._packing.compress(line))

    def finish(self) -> File:
        self._write(self._packing.flush())
        sha256 = self._digest.hexdigest()
        file = self._aside.with_name(f"{self._stem}.{sha256[:16]}.jsonl.zst")
        with _as_unavailable():
            os.fsync(self._stream.fileno())
            self._aside.rename(file)
            _sync(file.parent)
        return File(file.name, sha256)

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        rest = memoryview(data)
        with _as_unavailable():
            while rest:
                rest = rest[self._stream.write(rest) or 0 :]


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"the archive cannot be written: {error.strerror}", hint=_ROOM) from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
