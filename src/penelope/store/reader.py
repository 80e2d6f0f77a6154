"""Reads for screens and reports, from what was committed."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import orjson
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penelope.domain.approval import ApprovalStatus
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.work import Entry, UnitOfWork
from penelope.kit.codec import from_data
from penelope.ledger.chain import Flaw, check
from penelope.ledger.merkle import Checkpoint, checkpoint
from penelope.store import rows, tables

_units, _entries, _incidents = tables.units_of_work, tables.ledger_entries, tables.incidents

Row = Mapping[str, Any]

_UNITS_A_STRETCH = 500
"""Units whose history is held in memory at once while the ledger is walked."""


class SqlReader:
    """Fulfils flow's Reader."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def incidents(
        self, *, states: Collection[str], before: str | None, limit: int
    ) -> Sequence[Mapping[str, object]]:
        query = select(_units.c.attributes).join(_incidents, _incidents.c.id == _units.c.id)
        if states:
            query = query.where(_incidents.c.state.in_(sorted(states)))
        if before is not None:
            query = query.where(_incidents.c.id < before)
        found = await self._rows(query.order_by(_incidents.c.id.desc()).limit(limit))
        return [orjson.loads(row["attributes"]) for row in found]

    async def incident(self, identifier: str) -> Incident | None:
        query = select(_units).where(_units.c.id == identifier, _units.c.kind == "incident")
        found = await self._rows(query)
        return from_data(Incident, rows.unit_from(found[0]).attributes) if found else None

    async def units(self, incident: str) -> Sequence[UnitOfWork]:
        first = select(_entries.c.unit, func.min(_entries.c.seq).label("born"))
        born = first.where(_entries.c.incident == incident).group_by(_entries.c.unit).subquery()
        query = select(_units).join(born, born.c.unit == _units.c.id).order_by(born.c.born)
        return [rows.unit_from(row) for row in await self._rows(query)]

    async def entries(self, *, incident: str | None, after: int, limit: int) -> Sequence[Entry]:
        query = select(_entries).where(_entries.c.seq > after).order_by(_entries.c.seq).limit(limit)
        if incident is not None:
            query = query.where(_entries.c.incident == incident)
        return [rows.entry_from(row) for row in await self._rows(query)]

    async def answered(self) -> Sequence[str]:
        waiting = IncidentState.AWAITING_APPROVAL.value
        answers = [ApprovalStatus.APPROVED.value, ApprovalStatus.REJECTED.value]
        query = (
            select(_incidents.c.id)
            .join(_units, _units.c.incident == _incidents.c.id)
            .where(_incidents.c.state == waiting, _units.c.kind == "approval", _units.c.status.in_(answers))
            .distinct()
        )
        return [row["id"] for row in await self._rows(query)]

    async def counts(self) -> Mapping[str, int]:
        query = select(_incidents.c.state, func.count().label("number")).group_by(_incidents.c.state)
        return {row["state"]: row["number"] for row in await self._rows(query)}

    async def flaws(self) -> AsyncIterator[Flaw]:
        """Walks units in order of their names, and with them every entry that names no unit at all."""
        last = ""
        while True:
            # One transaction a stretch: state and history must be of the same moment.
            async with self._engine.connect() as connection:
                names = await _names_after(connection, last)
                found = await _flaws_of(connection, names)
            for flaw in found:
                yield flaw
            if not names:
                return
            last = names[-1]

    async def checkpoint(self) -> Checkpoint:
        async with self._engine.connect() as connection:
            query = select(_entries.c.hash).order_by(_entries.c.seq)
            result = await connection.execute(query)
            return checkpoint(result.scalars().all())

    async def _rows(self, query: Any) -> Sequence[Row]:
        async with self._engine.connect() as connection:
            return await _rows(connection, query)


async def _rows(connection: AsyncConnection, query: Any) -> Sequence[Row]:
    return [dict(row) for row in (await connection.execute(query)).mappings()]


async def _names_after(connection: AsyncConnection, last: str) -> list[str]:
    units = select(_units.c.id.label("name")).where(_units.c.id > last)
    orphans = select(_entries.c.unit.label("name")).where(_entries.c.unit > last)
    names = units.union(orphans).subquery()
    query = select(names.c.name).order_by(names.c.name).limit(_UNITS_A_STRETCH)
    return [row["name"] for row in await _rows(connection, query)]


async def _flaws_of(connection: AsyncConnection, names: Sequence[str]) -> list[Flaw]:
    units = await _rows(connection, select(_units).where(_units.c.id.in_(names)))
    incidents = await _rows(connection, select(_incidents).where(_incidents.c.id.in_(names)))
    history = select(_entries).where(_entries.c.unit.in_(names)).order_by(_entries.c.unit, _entries.c.version)
    states, filed = {row["id"]: row for row in units}, {row["id"]: row for row in incidents}
    entries = groupby(await _rows(connection, history), key=lambda row: row["unit"])
    chains = {name: list(chain) for name, chain in entries}
    flaws: list[Flaw] = []
    for name in names:
        try:
            flaws += _flaws_in(states.get(name), chains.get(name, []), filed.get(name))
        except (TypeError, ValueError) as error:
            flaws.append(Flaw(unit=name, version=0, problem=f"cannot be read any more: {error}"))
    return flaws


def _flaws_in(state: Row | None, entries: Iterable[Row], filed: Row | None) -> list[Flaw]:
    unit = None if state is None else rows.unit_from(state)
    flaws = list(check(unit, map(rows.entry_from, entries)))
    if unit is not None and unit.kind == "incident" and filed != rows.incident_row(unit):
        problem = "is filed as something that it is not"
        flaws.append(Flaw(unit=unit.id, version=unit.version, problem=problem))
    return flaws
