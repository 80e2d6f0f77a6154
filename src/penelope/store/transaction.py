"""One database transaction, as `flow` sees it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, Select, Table, delete, func, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.outcome import Outcome, PlaybookRecord
from penelope.domain.signal import Signal, SignalStatus
from penelope.domain.work import Change, Entry, UnitOfWork
from penelope.errors import AppendConflict
from penelope.kit.clock import timestamp
from penelope.kit.codec import from_data, to_data
from penelope.ledger.chain import advance
from penelope.store import rows, tables

_units, _entries, _incidents = tables.units_of_work, tables.ledger_entries, tables.incidents


class SqlTransaction:
    """Reads and writes inside a transaction that someone else begins and commits.

    Fulfils flow's Transaction. Every entry bears the moment at which the transaction began.
    """

    def __init__(self, connection: AsyncSession | AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self._appended: list[Entry] = []

    @property
    def entries(self) -> Sequence[Entry]:
        return tuple(self._appended)

    def now(self) -> datetime:
        return self._now

    async def save(self, *changes: Change) -> None:
        """Saves many units with a handful of statements; a unit changed twice gets two entries, in order."""
        before = await self._load([change.unit for change in changes])
        after = dict(before)
        entries: list[Entry] = []
        for change in changes:
            after[change.unit], entry = advance(after.get(change.unit), change, self._now)
            entries.append(entry)
        new = [unit for name, unit in after.items() if name not in before]
        await self._insert(_units, [rows.unit_row(unit) for unit in new])
        for name, seen in before.items():
            await self._replace(seen, after[name])
        await self._insert(_entries, [rows.entry_row(entry) for entry in entries])
        await self._project([unit for unit in after.values() if unit.kind == "incident"], before)
        self._appended.extend(entries)

    async def _load(self, names: Sequence[str]) -> dict[str, UnitOfWork]:
        found: dict[str, UnitOfWork] = {}
        for chunk in rows.chunks(list(dict.fromkeys(names))):
            query = select(_units).where(_units.c.id.in_(chunk)).order_by(_units.c.id).with_for_update()
            found |= {row["id"]: rows.unit_from(row) for row in await self._rows(query)}
        return found

    async def _replace(self, before: UnitOfWork, after: UnitOfWork) -> None:
        statement = update(_units).where(_units.c.id == before.id, _units.c.version == before.version)
        result = await self._connection.execute(statement.values(rows.unit_row(after)))
        if cast("CursorResult[Any]", result).rowcount != 1:
            message = f"{before.id} changed while it was being saved"
            raise AppendConflict(message)

    async def _project(self, units: Sequence[UnitOfWork], before: Mapping[str, UnitOfWork]) -> None:
        """Keeps the incidents' own table, by which they are found, in step with their units."""
        # Keys are given up before they are taken, so that a problem can pass from one incident to the next.
        for unit in units:
            if unit.id in before:
                row = rows.incident_row(unit)
                await self._connection.execute(
                    update(_incidents).where(_incidents.c.id == unit.id).values(row)
                )
        await self._insert(_incidents, [rows.incident_row(unit) for unit in units if unit.id not in before])

    async def unit(self, identifier: str) -> UnitOfWork | None:
        return (await self._load([identifier])).get(identifier)

    async def units(self, incident: str, kind: str) -> Sequence[UnitOfWork]:
        query = (
            select(_units)
            .where(_units.c.incident == incident, _units.c.kind == kind)
            .order_by(_units.c.updated_at, _units.c.id)
        )
        return [rows.unit_from(row) for row in await self._rows(query)]

    async def known_signals(self, keys: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        signals = tables.signals
        known: set[tuple[str, str]] = set()
        for chunk in rows.chunks(list(keys)):
            query = select(signals.c.source, signals.c.id).where(
                tuple_(signals.c.source, signals.c.id).in_(chunk)
            )
            known |= {(row["source"], row["id"]) for row in await self._rows(query)}
        return known

    async def latest_incidents(
        self, problems: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Incident]:
        latest: dict[tuple[str, str], Incident] = {}
        for chunk in rows.chunks(list(problems)):
            query = (
                select(_units)
                .join(_incidents, _incidents.c.id == _units.c.id)
                .where(tuple_(_incidents.c.service, _incidents.c.fingerprint).in_(chunk))
                .order_by(_incidents.c.opened_at, _incidents.c.id)
                .with_for_update(of=_units)
            )
            for row in await self._rows(query):
                incident = from_data(Incident, rows.unit_from(row).attributes)
                latest[incident.service, incident.fingerprint] = incident
        return latest

    async def firing(self, incidents: Collection[str]) -> Mapping[str, set[str]]:
        burning: dict[str, set[str]] = {name: set() for name in incidents}
        for chunk in rows.chunks(list(incidents)):
            query = select(tables.firing).where(tables.firing.c.incident.in_(chunk))
            for row in await self._rows(query):
                burning[row["incident"]].add(row["subject"])
        return burning

    async def add_signals(self, signals: Sequence[tuple[Signal, str | None]]) -> None:
        values = [
            {
                "source": signal.source,
                "id": signal.id,
                "incident": incident,
                "received_at": timestamp(self._now),
                "body": rows.as_text(to_data(signal)),
            }
            for signal, incident in signals
        ]
        await self._insert(tables.signals, values)
        await self._count_firing(signals)

    async def _count_firing(self, signals: Sequence[tuple[Signal, str | None]]) -> None:
        last = {
            (incident, signal.subject): signal.status for signal, incident in signals if incident is not None
        }
        pairs = list(last)
        for chunk in rows.chunks(pairs):
            key = tuple_(tables.firing.c.incident, tables.firing.c.subject)
            await self._connection.execute(delete(tables.firing).where(key.in_(chunk)))
        burning = [pair for pair in pairs if last[pair] is SignalStatus.FIRING]
        await self._insert(
            tables.firing, [{"incident": incident, "subject": subject} for incident, subject in burning]
        )

    async def intervening(self, service: str) -> str | None:
        states = [state.value for state in IncidentState if state.intervening]
        query = select(_incidents.c.id).where(_incidents.c.service == service, _incidents.c.state.in_(states))
        found = await self._rows(query.limit(1))
        return str(found[0]["id"]) if found else None

    async def claim(self, action: str, incident: str, service: str) -> int:
        attempts = tables.attempts
        values = {"action": action, "incident": incident, "service": service, "count": 1}
        statement = self._insert_or(attempts).values(started_at=timestamp(self._now), **values)
        counted = statement.on_conflict_do_update(
            index_elements=["action"], set_={"count": attempts.c.count + 1}
        ).returning(attempts.c.count)
        return int((await self._connection.execute(counted)).scalar_one())

    async def add_outcome(self, outcome: Outcome) -> None:
        values = {
            "incident": outcome.incident,
            "service": outcome.service,
            "playbook": outcome.playbook,
            "verified": bool(outcome.verified),
            "ended_at": timestamp(outcome.ended_at),
        }
        await self._connection.execute(
            self._insert_or(tables.outcomes).values(values).on_conflict_do_nothing()
        )

    async def record(self, playbook: str, service: str, since: datetime) -> PlaybookRecord:
        outcomes, attempts, start = tables.outcomes.c, tables.attempts.c, timestamp(since)
        count = select(outcomes.verified, func.count().label("number")).group_by(outcomes.verified)
        count = count.where(outcomes.playbook == playbook, outcomes.service == service)
        numbers = {row["verified"]: row["number"] for row in await self._rows(count)}
        actions = select(attempts.started_at).where(attempts.service == service, attempts.started_at >= start)
        failures = select(outcomes.ended_at).where(
            outcomes.service == service, outcomes.ended_at >= start, outcomes.verified.is_(False)
        )
        return PlaybookRecord(
            playbook=playbook,
            service=service,
            successes=numbers.get(True, 0),
            failures=numbers.get(False, 0),
            recent_actions=await self._moments(actions.order_by(attempts.started_at)),
            recent_failures=await self._moments(failures.order_by(outcomes.ended_at)),
        )

    async def _moments(self, query: Select[Any]) -> tuple[datetime, ...]:
        found = (await self._connection.execute(query)).scalars()
        return tuple(datetime.fromisoformat(text) for text in found)

    async def _rows(self, query: Select[Any]) -> Sequence[Mapping[str, Any]]:
        return cast("Sequence[Mapping[str, Any]]", (await self._connection.execute(query)).mappings().all())

    async def _insert(self, table: Table, values: Sequence[Mapping[str, Any]]) -> None:
        if values:
            await self._connection.execute(insert(table), values)

    def _insert_or(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that can say what to do on a conflict; both dialects write it the same way."""
        bind = self._connection.get_bind() if isinstance(self._connection, AsyncSession) else self._connection
        return sqlite.insert(table) if bind.dialect.name == "sqlite" else postgresql.insert(table)
