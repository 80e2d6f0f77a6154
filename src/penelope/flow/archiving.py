"""Takes old payloads from the database once they lie, proven, in the archive."""

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from penelope.domain.work import UnitOfWork
from penelope.errors import ChainBroken, PenelopeError
from penelope.flow.log import LogStore, SignedCheckpoint
from penelope.flow.ports import LedgerWriter
from penelope.kit.clock import Clock
from penelope.ledger import segment
from penelope.ledger.erasures import CLEARED, WRITTEN, Archived, Erasures, runs
from penelope.ledger.ports import Verifier
from penelope.ledger.segment import SEGMENT, Head, Line
from penelope.ledger.tiles import tiles_of_inclusion

PAGE = 256
"""Entries in memory at once while a segment is made, and rows deleted in one transaction: writers hardly wait."""

_log = logging.getLogger(__name__)


# --- ports ------------------------------------------------------------------------------------------------


class Logged(NamedTuple):
    """A leaf with its payload, if that is there, and the line of history that it stands for."""

    seq: int
    line: Line


class SegmentStore(Protocol):
    """The side of the archive that lies in the database."""

    async def segments(self) -> Sequence[UnitOfWork]:
        """The units about segments, in order of their leaves."""

    async def erasures(self) -> Erasures:
        """The lines of history whose payloads may be missing."""

    async def newest(self, first: int, last: int) -> datetime:
        """When the newest of these leaves was recorded. Raises ChainBroken if there is none."""

    async def logged(self, first: int, last: int) -> Sequence[Logged]:
        """These leaves, in order. Those that are missing are left out."""

    async def clear(self, first: int, last: int) -> int:
        """Deletes the payloads of these leaves, in one transaction; tells how many there were."""


class File(NamedTuple):
    """A file of the archive: its name, and the SHA-256 (hexadecimal) of its content."""

    name: str
    sha256: str


class Draft(Protocol):
    """A segment that is being written aside. Its methods wait for the disk."""

    def add(self, lines: Collection[bytes]) -> None:
        """Appends lines. Raises Unavailable where there is no room for them."""

    def finish(self) -> File:
        """Puts the file in place, durably. Raises Unavailable."""


class PayloadArchive(Protocol):
    """Where segments lie. Its methods wait for the disk."""

    def locked(self) -> AbstractContextManager[None]:
        """Keeps other processes from changing the archive. Raises Unavailable while one does."""

    def draft(self, first: int, last: int) -> AbstractContextManager[Draft]:
        """Begins the segment of these leaves; without `finish` nothing of it stays."""

    def files(self) -> Mapping[int, Sequence[str]]:
        """The names of all segments, by the first leaf."""

    def lines(self, name: str) -> Iterator[bytes]:
        """What is in a segment. Raises ChainBroken for a file that is missing or damaged, when it comes to that."""

    def sha256(self, name: str) -> str:
        """The SHA-256 (hexadecimal) of a file's content. Raises ChainBroken if there is no such file."""

    def remove(self, name: str) -> None:
        """Deletes a segment, durably."""


class Trusted(Protocol):
    """Whose signature makes a checkpoint the log's."""

    @property
    def verifiers(self) -> Sequence[Verifier]:
        """All keys that ever signed."""


# --- the job ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveParts:
    """What the archive is kept with."""

    store: SegmentStore
    log: LogStore
    archive: PayloadArchive
    writer: LedgerWriter
    keys: Trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one run came to: segments added to the archive, and payloads taken from the database."""

    segments: int
    payloads: int


class Archiver:
    """Moves payloads, a segment at a time: written, read back and verified, recorded in the ledger, then deleted.

    It may die anywhere in between: the next run goes on from what is recorded, and begins anew what is not.
    """

    def __init__(self, parts: ArchiveParts, payload_days: int) -> None:
        self._parts = parts
        self._days = payload_days

    async def run(self, clock: Clock, seconds: float) -> None:
        """Archives at once, and then each `seconds`, until cancelled."""
        while True:
            try:
                await self.archive_once(clock.now())
            except PenelopeError as error:
                _log.error("old payloads were not archived: %s", error.message)
            except Exception:  # noqa: BLE001 - the database may be away for a moment; the next run tries again
                _log.exception("old payloads were not archived")
            await asyncio.sleep(seconds)

    async def archive_once(self, now: datetime) -> Done:
        """Archives every full segment whose newest entry is older than the payloads that are kept.

        Raises ChainBroken where payloads are not those that were recorded, or the archive not what was written:
        nothing is deleted then. Raises Unavailable while another process archives, and where there is no room.
        """
        with self._parts.archive.locked():
            cleared = await self.resume()
            first = await self._next()
            added = 0
            while (checkpoint := await self._ripe(first, now)) is not None:
                cleared += await self._archive(first, checkpoint)
                first, added = first + SEGMENT, added + 1
            return Done(segments=added, payloads=cleared)

    async def resume(self) -> int:
        """Ends what an earlier run had begun; the number of payloads that were deleted. Needs the archive locked."""
        files, cleared = await asyncio.to_thread(self._parts.archive.files), 0
        for unit in await self._parts.store.segments():
            archived = Archived.of(unit)
            await self._tidy(files.get(archived.first, ()), archived.file)
            if unit.status != CLEARED:
                await self._verify(archived)
                cleared += await self._clear(archived, unit.version)
        await self._tidy(files.get(await self._next(), ()), None)
        return cleared

    async def verify_all(self) -> int:
        """Reads the whole archive back and proves it; the number of segments. Raises ChainBroken at the first flaw."""
        units = await self._parts.store.segments()
        for unit in units:
            await self._verify(Archived.of(unit))
        return len(units)

    async def _next(self) -> int:
        """The first leaf that is in no segment yet."""
        units = await self._parts.store.segments()
        return Archived.of(units[-1]).last + 1 if units else 0

    async def _ripe(self, first: int, now: datetime) -> SignedCheckpoint | None:
        """The newest checkpoint, if it covers a whole segment and all of that is old enough."""
        last = first + SEGMENT - 1
        checkpoint = await self._parts.log.latest()
        if checkpoint is None or checkpoint.size <= last:
            return None
        newest = await self._parts.store.newest(first, last)
        return checkpoint if newest <= now - timedelta(days=self._days) else None

    async def _archive(self, first: int, checkpoint: SignedCheckpoint) -> int:
        archived = await self._write(first, checkpoint)
        try:
            await self._verify(archived)
        except PenelopeError:
            await asyncio.to_thread(self._parts.archive.remove, archived.file)
            raise
        reason = f"payloads of more than {self._days} days lie in the archive"
        await self._parts.writer.save(archived.change("PayloadsArchived", reason, status=WRITTEN, version=0))
        return await self._clear(archived, 1)

    async def _write(self, first: int, checkpoint: SignedCheckpoint) -> Archived:
        last, seqs, payloads = first + SEGMENT - 1, [], 0
        erasures = await self._parts.store.erasures()
        with self._parts.archive.draft(first, last) as draft:
            await asyncio.to_thread(draft.add, [(await self._head(first, checkpoint)).encode()])
            for start in range(first, last, PAGE):
                page = await self._parts.store.logged(start, start + PAGE - 1)
                _check_present(page, erasures)
                await asyncio.to_thread(draft.add, [each.line.encode() for each in page])
                seqs += [each.seq for each in page]
                payloads += sum(each.line.salt is not None for each in page)
            file = await asyncio.to_thread(draft.finish)
        return Archived(
            first=first,
            last=last,
            seqs=runs(seqs),
            file=file.name,
            sha256=file.sha256,
            checkpoint=checkpoint.size,
            payloads=payloads,
        )

    async def _head(self, first: int, checkpoint: SignedCheckpoint) -> Head:
        tiles = await self._parts.log.tiles(tiles_of_inclusion(first, checkpoint.size))
        return segment.head(first, checkpoint.size, checkpoint.note, tiles)

    async def _verify(self, archived: Archived) -> None:
        """Raises ChainBroken unless the file is the one that was recorded, and proves itself."""
        await asyncio.to_thread(verify_file, self._parts.archive, archived, self._parts.keys.verifiers)

    async def _clear(self, archived: Archived, version: int) -> int:
        cleared = 0
        for start in range(archived.first, archived.last, PAGE):
            cleared += await self._parts.store.clear(start, start + PAGE - 1)
            await asyncio.sleep(0)  # on SQLite nothing in here waits, and others want to write, too
        reason = "the payloads of the segment were taken from the database"
        done = archived.change("PayloadsCleared", reason, status=CLEARED, version=version)
        await self._parts.writer.save(done)
        return cleared

    async def _tidy(self, files: Sequence[str], recorded: str | None) -> None:
        """Removes files of a segment that a run left behind before it was recorded, or after another took its place.

        Only what this log's keys vouch for: a folder that is another log's is not touched.
        """
        archive = self._parts.archive
        for name in files:
            if name == recorded:
                continue
            try:
                await asyncio.to_thread(segment.verify, archive.lines(name), self._parts.keys.verifiers)
            except PenelopeError as error:
                message = f"{name} is in the archive, but was not made for this log: {error.message}"
                raise ChainBroken(
                    message, hint="Move the file away, or name another folder in ledger.archive."
                ) from error
            await asyncio.to_thread(archive.remove, name)


def verify_file(archive: PayloadArchive, archived: Archived, verifiers: Sequence[Verifier]) -> None:
    """Raises ChainBroken unless a segment's file is the one that was recorded, and proves itself."""
    if archive.sha256(archived.file) != archived.sha256:
        raise ChainBroken(f"{archived.file} of the archive was altered", hint=_RESTORE)
    proven = segment.verify(archive.lines(archived.file), verifiers)
    if proven != segment.Proven(archived.first, archived.checkpoint, archived.payloads):
        raise ChainBroken(f"{archived.file} of the archive is not what was recorded of it", hint=_RESTORE)


_RESTORE = "Restore the file from a backup; until then nothing more is archived."


def _check_present(page: Sequence[Logged], erasures: Erasures) -> None:
    """What is missing without a word must not be taken for archived."""
    for each in page:
        if each.line.salt is None and each.seq not in erasures:
            raise ChainBroken(
                f"the payload of entry {each.line.index} is missing, and no erasure of it is recorded"
            )
