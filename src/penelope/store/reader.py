"""Reads for screens and reports, from what was committed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.approval import ApprovalStatus
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.lease import Lease
from penelope.domain.work import Entry, UnitOfWork
from penelope.flow.ports import AskedCounts
from penelope.kit.clock import timestamp
from penelope.kit.codec import from_data
from penelope.store import rows, tables
from penelope.store.asked import AskedReader
from penelope.store.leases import LEASE_COLUMNS, lease_from

_units, _entries, _incidents = tables.units_of_work, tables.units_of_work_history, tables.incidents
_payloads, _leases = tables.history_payloads, tables.leases

HISTORY = select(_entries, _payloads.c.salt, _payloads.c.body.label("payload")).outerjoin(
    _payloads, (_payloads.c.unit == _entries.c.unit) & (_payloads.c.version == _entries.c.version)
)
"""Lines of history with their payloads, where those were not erased."""

Row = Mapping[str, Any]


class SqlReader:
    """Fulfils flow's Reader."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._asked = AskedReader(engine)

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

    async def asked(
        self, kind: str, *, statuses: Collection[str], before: str | None, limit: int
    ) -> Sequence[UnitOfWork]:
        return await self._asked.page(kind, statuses=statuses, before=before, limit=limit)

    async def asked_unit(self, kind: str, identifier: str) -> UnitOfWork | None:
        found = await self._rows(select(_units).where(_units.c.id == identifier, _units.c.kind == kind))
        return rows.unit_from(found[0]) if found else None

    async def asked_counts(self, now: datetime) -> AskedCounts:
        return await self._asked.counts(now)

    async def entries(self, *, incident: str | None, after: int, limit: int) -> Sequence[Entry]:
        query = HISTORY.where(_entries.c.seq > after).order_by(_entries.c.seq).limit(limit)
        if incident is not None:
            query = query.where(_entries.c.incident == incident)
        return [rows.entry_from(row) for row in await self._rows(query)]

    async def answered(self) -> Sequence[str]:
        waiting = IncidentState.AWAITING_APPROVAL.value
        requests = (
            select(_units.c.status)
            .where(_units.c.incident == _incidents.c.id, _units.c.kind == "approval")
            .correlate(_incidents)
        )
        pending = requests.where(_units.c.status == ApprovalStatus.PENDING.value)
        query = select(_incidents.c.id).where(
            _incidents.c.state == waiting, requests.exists(), ~pending.exists()
        )
        return [row["id"] for row in await self._rows(query)]

    async def halts(self, causes_since: datetime) -> Sequence[UnitOfWork]:
        told = (
            _units.c.id.not_like("halt:cause:%")
            | (_units.c.status != "closed")
            | (_units.c.updated_at >= timestamp(causes_since))
        )
        query = (
            select(_units).where(_units.c.incident == "", _units.c.kind == "halt", told).order_by(_units.c.id)
        )
        return [rows.unit_from(row) for row in await self._rows(query)]

    async def leases(self) -> Sequence[tuple[Lease, UnitOfWork | None]]:
        columns = [_leases.c[name] for name in LEASE_COLUMNS]
        # What belongs to no incident is the traffic that a deployment holds: no target, and no action.
        held = select(*columns).where(_leases.c.holder.is_not(None), _leases.c.incident != "")
        held = held.order_by(_leases.c.since, _leases.c.target)
        found = [lease_from(tuple(row.values())) for row in await self._rows(held)]
        query = select(_units).where(_units.c.id.in_([lease.holder for lease in found]))
        actions = {row["id"]: rows.unit_from(row) for row in await self._rows(query)}
        return [(lease, actions.get(lease.holder)) for lease in found]

    async def counts(self) -> Mapping[str, int]:
        query = select(_incidents.c.state, func.count().label("number")).group_by(_incidents.c.state)
        return {row["state"]: row["number"] for row in await self._rows(query)}

    async def history(self, unit: str, after: int, limit: int) -> Sequence[Entry]:
        query = HISTORY.where(_entries.c.unit == unit, _entries.c.version > after)
        found = await self._rows(query.order_by(_entries.c.version).limit(limit))
        return [rows.entry_from(row) for row in found]

    async def _rows(self, query: Any) -> Sequence[Row]:
        async with self._engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]
