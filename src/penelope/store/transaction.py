"""One database transaction, as `flow` sees it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from operator import attrgetter

from sqlalchemy.ext.asyncio import AsyncConnection

from penelope.domain.approval import Approval
from penelope.domain.halt import ScopeKind
from penelope.domain.incident import Incident
from penelope.domain.intervention import Heal, Intervention, Usage
from penelope.domain.outcome import Outcome, PlaybookRecord
from penelope.domain.precedent import PastCase, PastDurations, Stratum, Tallies
from penelope.domain.signal import Signal, SignalStatus
from penelope.domain.work import Change, Entry, UnitOfWork
from penelope.errors import ChainBroken
from penelope.kit.clock import timestamp
from penelope.kit.codec import from_data, to_data
from penelope.store.braking import braking
from penelope.store.bulk import statements
from penelope.store.cases import cases_from, of_cases
from penelope.store.draft import Draft, Write
from penelope.store.leases import SqlLeases
from penelope.store.outbox import SqlOutbox
from penelope.store.past import durations_of, imported_tallies, past_row, tallies_of, tally_rows
from penelope.store.rows import as_text
from penelope.store.session import as_json, pseudonyms, session_on, sound_units_from, units_from
from penelope.store.statements import asked


class SqlTransaction:
    """Reads and writes inside a transaction that someone else begins and commits.

    Fulfils flow's Transaction. Every entry bears the moment at which the transaction began.
    """

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._session = session_on(connection)
        self._now = now
        self._appended: list[Entry] = []
        self._seen: dict[str, UnitOfWork] = {}
        self._known: dict[str, str] = connection.sync_connection.info.setdefault("actors", {})  # type: ignore[union-attr]  # it is open
        self._actors: dict[str, str] = {}
        self._bulk = statements(connection.dialect.name)
        self._sql = asked(connection.dialect.name)
        self._dialect = connection.dialect.name
        self._braking = braking(connection.dialect.name)
        self._outbox = SqlOutbox(self._session, connection.dialect.name, now)
        self._leases = SqlLeases(self._session, connection.dialect.name, now)

    @property
    def entries(self) -> Sequence[Entry]:
        return tuple(self._appended)

    def now(self) -> datetime:
        return self._now

    @property
    def outbox(self) -> SqlOutbox:
        return self._outbox

    @property
    def leases(self) -> SqlLeases:
        return self._leases

    async def save(self, *changes: Change) -> None:
        """Saves many units with a handful of statements; a unit changed twice gets two entries, in order."""
        before = await self._load([change.unit for change in changes if change.version != 0])
        draft = Draft(before)
        draft.add(changes, await self._pseudonyms({change.actor for change in changes}), self._now)
        if not draft.entries:
            return
        await self._session.run(draft.writes(self._bulk))
        self._seen |= draft.after
        self._appended.extend(draft.entries)

    async def _load(self, names: Sequence[str]) -> dict[str, UnitOfWork]:
        """The units as they are. Those that this transaction has read are locked, and so still the same."""
        wanted = dict.fromkeys(names)
        unread = [name for name in wanted if name not in self._seen]
        if unread:
            self._seen |= await self._session.load(unread)
        return {name: self._seen[name] for name in wanted if name in self._seen}

    async def _pseudonyms(self, names: set[str]) -> Mapping[str, str]:
        """The ids of actors by name; who is new gets one."""
        unread = names - self._actors.keys()
        self._actors |= await pseudonyms(self._session, unread, self._known, self._now)
        return self._actors

    async def unit(self, identifier: str) -> UnitOfWork | None:
        return (await self._load([identifier])).get(identifier)

    async def units(self, incident: str, kind: str) -> Sequence[UnitOfWork]:
        return units_from(await self._session.rows(self._sql.units_of_incident, incident, kind))

    async def known_signals(self, keys: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        found = await self._session.rows(self._sql.known_signals, as_json(list(keys)))
        return {(source, identifier) for source, identifier in found}

    async def latest_incidents(
        self, problems: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Incident]:
        latest: dict[tuple[str, str], Incident] = {}
        for unit in sound_units_from(
            await self._session.rows(self._sql.incidents_about, as_json(list(problems)))
        ):
            incident = from_data(Incident, unit.attributes)
            self._seen[unit.id] = unit
            latest[incident.service, incident.fingerprint] = incident
        return latest

    async def firing(self, incidents: Collection[str]) -> Mapping[str, set[str]]:
        burning: dict[str, set[str]] = {name: set() for name in incidents}
        if not burning:
            return burning
        names = as_json([[name] for name in incidents])
        for incident, subject in await self._session.rows(self._sql.firing, names):
            burning[incident].add(subject)
        return burning

    async def add_signals(
        self, signals: Sequence[tuple[Signal, str | None]], opened: Collection[str] = ()
    ) -> None:
        received = timestamp(self._now)
        added = [
            (signal.source, signal.id, incident, received, as_text(to_data(signal)))
            for signal, incident in signals
        ]
        last = {
            (incident, signal.subject): signal.status for signal, incident in signals if incident is not None
        }
        writes = [
            Write(self._sql.add_signals, added),
            Write(self._sql.forget_firing, [pair for pair in last if pair[0] not in opened]),
            Write(
                self._sql.add_firing,
                [pair for pair, status in last.items() if status is SignalStatus.FIRING],
            ),
        ]
        await self._session.run([write for write in writes if write.rows])

    async def intervening(self, service: str) -> str | None:
        found = await self._session.rows(self._sql.intervening, service)
        return str(found[0][0]) if found else None

    async def open_incidents(
        self, services: Collection[str], before: datetime
    ) -> Sequence[tuple[str, str, datetime]]:
        names = as_json([[name] for name in services])
        found = await self._session.rows(self._sql.open_incidents, names, timestamp(before))
        return [(name, service, datetime.fromisoformat(opened)) for name, service, opened in found]

    async def claim(self, action: str, incident: str, service: str) -> int:
        began = timestamp(self._now)
        found = await self._session.rows(self._sql.claim, action, incident, service, began)
        return int(found[0][0])

    async def add_outcome(self, outcome: Outcome) -> None:
        verified, ended = bool(outcome.verified), timestamp(outcome.ended_at)
        values = (outcome.incident, outcome.service, outcome.playbook, verified, ended)
        await self._session.rows(self._sql.add_outcome, *values)

    async def add_past_case(self, case: PastCase, traits: str) -> None:
        added = await self._session.rows(self._sql.add_past_case, *past_row(case))
        if added and case.playbook is not None and case.verified is not None:
            for counted in tally_rows(case, traits):
                await self._session.rows(self._sql.count_case, *counted)

    async def durations(self, service: str, fingerprint: str, name: str) -> PastDurations:
        now = timestamp(self._now)
        here, elsewhere = (service, fingerprint, now), (name, service, now)
        return durations_of(await self._session.rows(self._sql.durations, *here, *here, *elsewhere))

    async def tallies(self, playbook: str, service: str, traits: str, stratum: Stratum) -> Tallies:
        found = await self._session.rows(self._sql.tallies, playbook, service, traits)
        return tallies_of(found, playbook, service, traits, stratum)

    async def precedents(self, incident: Incident, cases: Collection[str]) -> Sequence[PastCase]:
        names = as_json(list(cases))
        problem = (incident.service, incident.fingerprint, incident.name)
        return cases_from(await self._session.rows(of_cases(self._dialect).precedents, *problem, names))

    async def import_cases(self, cases: Sequence[PastCase]) -> int:
        sql = of_cases(self._dialect)
        names = as_json([case.incident for case in cases])
        known = {name for (name,) in await self._session.rows(sql.known, names)}
        fresh = {case.incident: case for case in cases if case.incident not in known}
        if fresh:
            await self._session.run([Write(sql.insert, [past_row(case) for case in fresh.values()])])
        if uses := imported_tallies(fresh.values()):
            await self._session.run([Write(sql.count, uses)])
        return len(fresh)

    async def record(self, playbook: str, service: str) -> PlaybookRecord:
        counted = dict(await self._session.rows(self._sql.outcome_counts, playbook, service))
        ((changed, healed),) = await self._session.rows(self._sql.last_moments, service, service)
        return PlaybookRecord(
            playbook=playbook,
            service=service,
            successes=counted.get(True, 0),
            failures=counted.get(False, 0),
            changed_at=None if changed is None else datetime.fromisoformat(changed),
            healed_at=None if healed is None else datetime.fromisoformat(healed),
        )

    async def peek(self, identifiers: Collection[str]) -> Mapping[str, UnitOfWork | None]:
        found: dict[str, UnitOfWork | None] = {}
        for name, has_history, *row in await self._session.rows(
            self._braking.peek, as_json(list(identifiers))
        ):
            if row[0] is None:
                if has_history:
                    found[name] = None
                continue
            try:
                (unit,) = sound_units_from([row])
            except ChainBroken:
                found[name] = None
            else:
                self._seen[name] = found[name] = unit
        return found

    async def heals(self, service: str, fingerprint: str, since: datetime) -> Sequence[Heal]:
        found = await self._session.rows(self._braking.heals, service, fingerprint, timestamp(since))
        return [
            Heal(incident=incident, playbook=playbook, at=datetime.fromisoformat(ended))
            for incident, playbook, ended in found
        ]

    async def refusals(
        self, service: str, fingerprint: str, playbook: str, since: datetime
    ) -> Sequence[Approval]:
        given = (timestamp(since), service, fingerprint, playbook)
        found = sound_units_from(await self._session.rows(self._sql.refusals, *given))
        return [from_data(Approval, unit.attributes) for unit in found]

    async def usage(self, service: str, playbook: str, besides: str, since: datetime) -> Usage:
        given = (timestamp(since), service, playbook, playbook, besides, besides, besides)
        (row,) = await self._session.rows(self._braking.usage, *given)
        by_service, by_playbook, in_all, running, running_in_all = map(int, row)
        return Usage(
            actions={
                ScopeKind.SERVICE: by_service,
                ScopeKind.PLAYBOOK: by_playbook,
                ScopeKind.FLEET: in_all,
            },
            running={ScopeKind.PLAYBOOK: running, ScopeKind.FLEET: running_in_all},
        )

    async def reserve(self, intervention: Intervention) -> None:
        row = (*_NAMED(intervention), intervention.actions, timestamp(intervention.counted_from))
        await self._session.rows(self._braking.reserve, *row)

    async def intervention(self, incident: str) -> Intervention | None:
        found = await self._session.rows(self._braking.intervention, incident)
        if not found:
            return None
        name, service, playbook, fingerprint, actions, since = found[0]
        return Intervention(
            incident=name,
            service=service,
            playbook=playbook,
            fingerprint=fingerprint,
            actions=actions,
            counted_from=datetime.fromisoformat(since),
        )

    async def bar_claims(self) -> None:
        await self._session.rows(self._braking.bar_claims)

    async def attempts(self, action: str) -> int:
        found = await self._session.rows(self._braking.attempts, action)
        return int(found[0][0]) if found else 0


_NAMED = attrgetter("incident", "service", "playbook", "fingerprint")
