"""One database transaction, as `flow` sees it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.base import Executable

from penelope.domain.incident import Incident
from penelope.domain.outcome import Outcome, PlaybookRecord
from penelope.domain.signal import Signal, SignalStatus
from penelope.domain.work import Change, Entry, UnitOfWork
from penelope.errors import AppendConflict
from penelope.kit.clock import timestamp
from penelope.kit.codec import from_data, to_data
from penelope.store import rows
from penelope.store import statements as sql
from penelope.store.bulk import statements
from penelope.store.draft import Draft, Write, actor_row


class SqlTransaction:
    """Reads and writes inside a transaction that someone else begins and commits.

    Fulfils flow's Transaction. Every entry bears the moment at which the transaction began.
    """

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self._appended: list[Entry] = []
        self._seen: dict[str, UnitOfWork] = {}
        self._actors: dict[str, str] = {}
        self._sql = statements(connection.dialect.name)

    @property
    def entries(self) -> Sequence[Entry]:
        return tuple(self._appended)

    def now(self) -> datetime:
        return self._now

    async def save(self, *changes: Change) -> None:
        """Saves many units with a handful of statements; a unit changed twice gets two entries, in order."""
        before = await self._load([change.unit for change in changes if change.version != 0])
        draft = Draft(before)
        draft.add(changes, await self._pseudonyms({change.actor for change in changes}), self._now)
        if not draft.entries:
            return
        for write in draft.writes(self._sql):
            await self._write(write)
        self._seen |= draft.after
        self._appended.extend(draft.entries)

    async def _load(self, names: Sequence[str]) -> dict[str, UnitOfWork]:
        """The units as they are. Those that this transaction has read are locked, and so still the same."""
        wanted = dict.fromkeys(names)
        unread = [name for name in wanted if name not in self._seen]
        for chunk in rows.chunks(unread):
            # The lone one is the most frequent, and a list costs a compilation each time.
            query = (
                (sql.UNIT_BY_ID, {"id": chunk[0]}) if len(chunk) == 1 else (sql.UNITS_BY_ID, {"ids": chunk})
            )
            for row in await self._rows(*query):
                self._seen[row["id"]] = rows.sound_unit_from(row)
        return {name: self._seen[name] for name in wanted if name in self._seen}

    async def _pseudonyms(self, names: set[str]) -> Mapping[str, str]:
        """The ids of actors by name; who is new gets one."""
        # The connection remembers those that it has read as committed, this transaction those that it adds itself:
        # they are gone if it is taken back.
        known: dict[str, str] = self._connection.sync_connection.info.setdefault("actors", {})  # type: ignore[union-attr]  # it is open
        unknown = sorted(names - known.keys() - self._actors.keys())
        if unknown:
            known |= await self._actors_named(unknown)
            new = [name for name in unknown if name not in known]
            if new:
                fresh = [actor_row(name, self._now) for name in new]
                await self._connection.exec_driver_sql(self._sql.insert_actors, self._sql.parameters(fresh))
                self._actors |= await self._actors_named(new)
        return {**known, **self._actors}

    async def _actors_named(self, names: Sequence[str]) -> dict[str, str]:
        return {row["name"]: row["id"] for row in await self._rows(sql.ACTORS, {"names": names})}

    async def _write(self, write: Write) -> None:
        try:
            result = await self._connection.exec_driver_sql(write.sql, self._sql.parameters(write.rows))
        except IntegrityError as error:
            message = "another writer was first"
            raise AppendConflict(message) from error
        if write.exact and result.rowcount != len(write.rows):
            message = "a unit of work changed while it was being saved"
            raise AppendConflict(message)

    async def unit(self, identifier: str) -> UnitOfWork | None:
        return (await self._load([identifier])).get(identifier)

    async def units(self, incident: str, kind: str) -> Sequence[UnitOfWork]:
        found = await self._rows(sql.UNITS_OF_INCIDENT, {"incident": incident, "kind": kind})
        return [rows.unit_from(row) for row in found]

    async def known_signals(self, keys: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        known: set[tuple[str, str]] = set()
        for chunk in rows.chunks(list(keys)):
            found = await self._rows(sql.KNOWN_SIGNALS, {"keys": chunk})
            known |= {(row["source"], row["id"]) for row in found}
        return known

    async def latest_incidents(
        self, problems: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Incident]:
        latest: dict[tuple[str, str], Incident] = {}
        for chunk in rows.chunks(list(problems)):
            for row in await self._rows(sql.INCIDENTS_ABOUT, {"problems": chunk}):
                unit = rows.sound_unit_from(row)
                incident = from_data(Incident, unit.attributes)
                self._seen[unit.id] = unit
                latest[incident.service, incident.fingerprint] = incident
        return latest

    async def firing(self, incidents: Collection[str]) -> Mapping[str, set[str]]:
        burning: dict[str, set[str]] = {name: set() for name in incidents}
        for chunk in rows.chunks(list(incidents)):
            for row in await self._rows(sql.FIRING, {"incidents": chunk}):
                burning[row["incident"]].add(row["subject"])
        return burning

    async def add_signals(
        self, signals: Sequence[tuple[Signal, str | None]], opened: Collection[str] = ()
    ) -> None:
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
        await self._insert(sql.INSERT_SIGNALS, values)
        await self._count_firing(signals, set(opened))

    async def _count_firing(
        self, signals: Sequence[tuple[Signal, str | None]], opened: Collection[str]
    ) -> None:
        last = {
            (incident, signal.subject): signal.status for signal, incident in signals if incident is not None
        }
        for chunk in rows.chunks([pair for pair in last if pair[0] not in opened]):
            await self._connection.execute(sql.FORGET_FIRING, {"pairs": chunk})
        burning = [pair for pair, status in last.items() if status is SignalStatus.FIRING]
        await self._insert(
            sql.INSERT_FIRING, [{"incident": incident, "subject": subject} for incident, subject in burning]
        )

    async def intervening(self, service: str) -> str | None:
        found = await self._rows(sql.INTERVENING, {"service": service})
        return str(found[0]["id"]) if found else None

    async def claim(self, action: str, incident: str, service: str) -> int:
        values = {"action": action, "incident": incident, "service": service, "count": 1}
        statement = sql.claim(self._dialect.insert)
        result = await self._connection.execute(statement, {**values, "started_at": timestamp(self._now)})
        return int(result.scalar_one())

    async def add_outcome(self, outcome: Outcome) -> None:
        values = {
            "incident": outcome.incident,
            "service": outcome.service,
            "playbook": outcome.playbook,
            "verified": bool(outcome.verified),
            "ended_at": timestamp(outcome.ended_at),
        }
        await self._connection.execute(sql.add_outcome(self._dialect.insert), values)

    async def record(self, playbook: str, service: str, since: datetime) -> PlaybookRecord:
        lately = {"service": service, "since": timestamp(since)}
        counted = await self._rows(sql.OUTCOME_COUNTS, {"playbook": playbook, "service": service})
        numbers = {row["verified"]: row["number"] for row in counted}
        return PlaybookRecord(
            playbook=playbook,
            service=service,
            successes=numbers.get(True, 0),
            failures=numbers.get(False, 0),
            recent_actions=await self._moments(sql.RECENT_ACTIONS, lately),
            recent_failures=await self._moments(sql.RECENT_FAILURES, lately),
        )

    async def _moments(self, query: Executable, values: Mapping[str, Any]) -> tuple[datetime, ...]:
        found = (await self._connection.execute(query, values)).scalars()
        return tuple(datetime.fromisoformat(text) for text in found)

    async def _rows(self, query: Executable, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        found = (await self._connection.execute(query, values)).mappings().all()
        return cast("Sequence[Mapping[str, Any]]", found)

    async def _insert(self, statement: Executable, values: Sequence[Mapping[str, Any]]) -> None:
        if not values:
            return
        try:
            await self._connection.execute(statement, values)
        except IntegrityError as error:
            message = "another writer was first"
            raise AppendConflict(message) from error

    @property
    def _dialect(self) -> Any:
        """Both dialects write an upsert the same way, but each has its own class for it."""
        return sqlite if self._connection.dialect.name == "sqlite" else postgresql
