"""The side of the archive that lies in the database: what is due, what was recorded, and taking payloads away."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.work import UnitOfWork
from penelope.errors import ChainBroken
from penelope.flow.archiving import Logged
from penelope.ledger.erasures import ARCHIVE, ERASURE, Archived, Erasures
from penelope.ledger.segment import SEGMENT, Line
from penelope.store import rows, tables

_entries, _payloads = tables.units_of_work_history, tables.history_payloads
_leaves, _units = tables.log_leaves, tables.units_of_work

SAME_ENTRY = (_payloads.c.unit == _entries.c.unit) & (_payloads.c.version == _entries.c.version)


class SqlArchive:
    """Fulfils flow's SegmentStore and Places."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self._writer = writer
        self._reader = reader

    async def segments(self) -> Sequence[UnitOfWork]:
        found = await self._units(_units.c.incident == ARCHIVE)
        return sorted(found, key=lambda unit: Archived.of(unit).first)

    async def erasures(self) -> Erasures:
        return Erasures(await self._units(_units.c.incident.in_([ARCHIVE, ERASURE])))

    async def newest(self, first: int, last: int) -> datetime:
        query = (
            select(func.max(_entries.c.recorded_at))
            .join(_leaves, _leaves.c.seq == _entries.c.seq)
            .where(_leaves.c.index.between(first, last))
        )
        async with self._reader.connect() as connection:
            found = await connection.scalar(query)
        if found is None:
            raise ChainBroken(f"the entries {first} to {last} of the log are missing")
        return datetime.fromisoformat(found)

    async def logged(self, first: int, last: int) -> Sequence[Logged]:
        query = (
            select(
                _leaves.c.index,
                _entries.c.seq,
                _entries.c.body,
                _payloads.c.salt,
                _payloads.c.body.label("payload"),
            )
            .join(_entries, _entries.c.seq == _leaves.c.seq)
            .outerjoin(_payloads, SAME_ENTRY)
            .where(_leaves.c.index.between(first, last))
            .order_by(_leaves.c.index)
        )
        async with self._reader.connect() as connection:
            found = (await connection.execute(query)).mappings().all()
        return [
            Logged(
                row["seq"],
                Line(index=row["index"], header=row["body"], salt=row["salt"], payload=row["payload"]),
            )
            for row in found
        ]

    async def clear(self, first: int, last: int) -> int:
        return await clear(
            self._writer,
            select(_entries.c.unit, _entries.c.version)
            .join(_leaves, _leaves.c.seq == _entries.c.seq)
            .where(_leaves.c.index.between(first, last)),
        )

    async def indices(self, seqs: Collection[int]) -> Mapping[int, int]:
        found: dict[int, int] = {}
        async with self._reader.connect() as connection:
            for chunk in rows.chunks(list(seqs)):
                query = select(_leaves.c.seq, _leaves.c.index).where(_leaves.c.seq.in_(chunk))
                found |= {row.seq: row.index for row in await connection.execute(query)}
        return found

    async def segment(self, first: int) -> Archived | None:
        identifier = f"ledger:segment:{first}-{first + SEGMENT - 1}"
        found = await self._units(_units.c.id == identifier, _units.c.incident == ARCHIVE)
        return Archived.of(found[0]) if found else None

    async def _units(self, *wanted: ColumnElement[bool]) -> list[UnitOfWork]:
        async with self._reader.connect() as connection:
            found = (await connection.execute(select(_units).where(*wanted))).mappings().all()
        return [rows.sound_unit_from(dict(row)) for row in found]


async def clear(writer: AsyncEngine, which: Select[tuple[str, int]]) -> int:
    """Deletes the payloads of these units and versions, in one transaction; tells how many there were."""
    async with writer.begin() as connection:
        same = tuple_(_payloads.c.unit, _payloads.c.version).in_(which)
        return int((await connection.execute(delete(_payloads).where(same))).rowcount)
