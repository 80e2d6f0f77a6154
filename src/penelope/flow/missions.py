"""Missions: what is said of them, and how far they are; API and command line share this desk."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import stamina

from penelope.domain.halt import scopes_of
from penelope.domain.incident import Incident
from penelope.domain.mission import (
    MOST_MEMBERS,
    ActionWork,
    IncidentWork,
    Members,
    Mission,
    MissionProgress,
    MissionStatus,
    progress,
)
from penelope.domain.work import Change, UnitOfWork
from penelope.errors import (
    AlreadyDecided,
    AppendConflict,
    InvalidRequest,
    TooLarge,
    UnknownIncident,
    UnknownMission,
)
from penelope.flow.engine import Engine
from penelope.flow.halting import Brakes, states_of
from penelope.flow.ports import Reader, Transaction
from penelope.kit.canonical import Json
from penelope.kit.clock import Clock
from penelope.kit.codec import from_data, to_data
from penelope.kit.ids import digest_id, new_id

KIND = "mission"
_CLOSED_BREAKER = frozenset({"closed", "half_open"})


class MissionReader(Protocol):
    """Reads missions that were committed."""

    async def missions(
        self, *, status: MissionStatus | None, before: str | None, limit: int
    ) -> Sequence[Mission]:
        """Missions, the one that changed last first; `before` is the id of the last one of the page before."""

    async def mission(self, identifier: str) -> Mission | None:
        """One of them."""

    async def work(self, incidents: Collection[str]) -> Sequence[UnitOfWork]:
        """The incidents, plans, actions and approvals of incidents, the one that changed last at the end."""

    async def units(self, identifiers: Collection[str]) -> Sequence[UnitOfWork]:
        """These units, those that there are."""

    async def intervening(self, services: Collection[str]) -> Mapping[str, str]:
        """The incident that changes a service now, by service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMission:
    """What a mission is to be. One with a `key` is made once, however often it is asked for by the same actor."""

    name: str
    goal: str
    actor: str
    key: str = ""
    members: Members = field(default_factory=Members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Who changes a mission, and why."""

    actor: str
    reason: str


class MissionDesk:
    """Every command is durable when it returns, and an entry of the ledger; what changes nothing is none."""

    def __init__(
        self, engine: Engine, missions: MissionReader, reader: Reader, clock: Clock, brakes: Brakes
    ) -> None:
        self._engine = engine
        self._missions = missions
        self._reader = reader
        self._clock = clock
        self._brakes = brakes

    async def page(
        self, *, status: MissionStatus | None = None, before: str | None = None, limit: int
    ) -> Sequence[Mission]:
        return await self._missions.missions(status=status, before=before, limit=limit)

    async def shown(self, identifier: str) -> tuple[Mission, MissionProgress]:
        """A mission and how far it is. Raises UnknownMission."""
        mission = await self._missions.mission(identifier)
        if mission is None:
            raise _unknown(identifier)
        return mission, await self._progress(mission)

    async def create(self, wanted: NewMission) -> Mission:
        """Raises UnknownIncident, TooLarge, and InvalidRequest for a key that stands for another mission."""
        name = digest_id(wanted.actor, wanted.key) if wanted.key else ""
        identifier = f"mission_{name}" if name else new_id(KIND)

        async def body(transaction: Transaction) -> Json:
            mission = Mission(
                id=identifier,
                name=wanted.name,
                goal=wanted.goal,
                key=wanted.key,
                created_by=wanted.actor,
                created_at=transaction.now(),
            )
            mission = mission.changed(wanted.members, Members())
            unit = await transaction.unit(identifier) if wanted.key else None
            if unit is not None:
                return to_data(_same(from_data(Mission, unit.attributes), wanted))
            await _expect_members(transaction, mission, wanted.members)
            await transaction.save(_of_mission(mission, "MissionCreated", wanted.actor, wanted.goal, 0))
            return to_data(mission)

        return await self._changed(body)

    async def change(self, identifier: str, said: Said, *, add: Members, remove: Members) -> Mission:
        """Adds and removes members; those there already, or not there, change nothing.

        Raises UnknownMission, UnknownIncident, TooLarge, and AlreadyDecided for a mission that was closed.
        """

        async def body(transaction: Transaction) -> Json:
            before, version = await _read(transaction, identifier)
            after = before.changed(add, remove)
            if after == before:
                return to_data(before)
            _expect_open(before)
            await _expect_members(transaction, after, add)
            await transaction.save(_of_mission(after, "MissionChanged", said.actor, said.reason, version))
            return to_data(after)

        return await self._changed(body)

    async def close(self, identifier: str, said: Said) -> Mission:
        """Ends a mission, however far it is; how far is kept. Closing twice changes nothing. Raises UnknownMission."""
        _, standing = await self.shown(identifier)

        async def body(transaction: Transaction) -> Json:
            before, version = await _read(transaction, identifier)
            if before.status is MissionStatus.CLOSED:
                return to_data(before)
            after = replace(before, status=MissionStatus.CLOSED, closed_at=transaction.now())
            change = _of_mission(after, "MissionClosed", said.actor, said.reason, version)
            details = {**change.details, "percent": standing.percent, "remaining": len(standing.remaining)}
            await transaction.save(replace(change, details=details))
            return to_data(after)

        return await self._changed(body)

    async def _changed(self, body: "Body") -> Mission:
        # Of two that make or change one at once the second sees what the first has done.
        changed: Json = None
        async for attempt in stamina.retry_context(on=AppendConflict, wait_initial=0.01, wait_jitter=0.05):
            with attempt:
                changed = await self._engine.transaction(KIND, body)
        return from_data(Mission, changed)

    async def _progress(self, mission: Mission) -> MissionProgress:
        units = await self._missions.work(mission.incidents)
        actions = await self._missions.units(mission.actions)
        now = self._clock.now()
        halts = states_of(await self._reader.halts(self._brakes.causes_since(now)), now)
        stopped = {label for label, state in halts.items() if state not in _CLOSED_BREAKER}
        found = {unit.id: from_data(Incident, unit.attributes) for unit in units if unit.kind == "incident"}
        holders = await self._missions.intervening({incident.service for incident in found.values()})
        work = [
            _incident_work(found[name], [unit for unit in units if unit.incident == name], stopped, holders)
            for name in mission.incidents
            if name in found
        ]
        return progress(work, [_action_work(unit) for unit in actions if unit.kind == "action"])


class Body(Protocol):
    """What happens in one transaction."""

    async def __call__(self, transaction: Transaction, /) -> Json: ...


def _incident_work(
    incident: Incident, units: Sequence[UnitOfWork], stopped: Collection[str], holders: Mapping[str, str]
) -> IncidentWork:
    plans = [unit.attributes for unit in units if unit.kind == "plan"]
    plan: Mapping[str, Json] = plans[-1] if plans else {}
    holder = holders.get(incident.service)
    return IncidentWork(
        id=incident.id,
        title=incident.summary or incident.name,
        service=incident.service,
        state=incident.state,
        over=incident.resolved_at is not None and incident.state.ended,
        planned=tuple(_planned(plan, units)),
        approvals=tuple(unit.id for unit in units if unit.kind == "approval" and unit.status == "pending"),
        halts=tuple(label for label in _labels(incident, plan) if label in stopped),
        held_by=holder if holder != incident.id else None,
    )


def _planned(plan: Mapping[str, Json], units: Iterable[UnitOfWork]) -> Iterable[ActionWork]:
    """The actions of the plan, those that were begun as they stand."""
    begun = {unit.id: unit for unit in units if unit.kind == "action"}
    for action in (*plan.get("steps", ()), *plan.get("after", ())):
        unit = begun.get(action["key"])
        if unit is not None:
            yield _action_work(unit)
        else:
            yield ActionWork(
                id=action["key"], name=action["name"], incident=plan["incident"], status="planned"
            )


def _labels(incident: Incident, plan: Mapping[str, Json]) -> Sequence[str]:
    """The halts that it is under."""
    playbook = plan.get("playbook", "")
    try:
        scopes = scopes_of(incident.service, playbook or "-", incident.fingerprint)
    except ValueError:
        return ()
    return [scope.label for scope in scopes if playbook or scope.name != "-"]


def _action_work(unit: UnitOfWork) -> ActionWork:
    name = unit.attributes["action"]["name"]
    return ActionWork(id=unit.id, name=name, incident=unit.incident, status=unit.status)


async def _read(transaction: Transaction, identifier: str) -> tuple[Mission, int]:
    """A mission and its version, locked. Raises UnknownMission."""
    unit = await transaction.unit(identifier)
    if unit is None or unit.kind != KIND:
        raise _unknown(identifier)
    return from_data(Mission, unit.attributes), unit.version


def _unknown(identifier: str) -> UnknownMission:
    return UnknownMission(f"there is no mission '{identifier}'")


def _same(found: Mission, wanted: NewMission) -> Mission:
    """The mission that was made under a key. What has become of its members since is no difference."""
    if (found.name, found.goal) != (wanted.name, wanted.goal):
        raise InvalidRequest(
            f"the key stands for another mission, {found.id}",
            hint="Use a new key for a new mission; the same one only to send the same request again.",
        )
    return found


def _expect_open(mission: Mission) -> None:
    if mission.status is MissionStatus.CLOSED:
        raise AlreadyDecided(f"mission {mission.id} was closed", hint="Create another one.")


async def _expect_members(transaction: Transaction, mission: Mission, added: Members) -> None:
    """Raises TooLarge where there are too many, UnknownIncident for members that there are not."""
    if mission.size > MOST_MEMBERS:
        raise TooLarge(
            f"a mission has at most {MOST_MEMBERS} incidents and actions", hint="Make several of it."
        )
    known = await transaction.peek([*added.incidents, *added.actions])
    for kind, names in (("incident", added.incidents), ("action", added.actions)):
        for name in names:
            unit = known.get(name)
            if unit is None or unit.kind != kind:
                raise UnknownIncident(f"there is no {kind} '{name}'")


def _of_mission(mission: Mission, event: str, actor: str, reason: str, version: int) -> Change:
    return Change(
        unit=mission.id,
        kind=KIND,
        incident="",
        status=mission.status.value,
        attributes=to_data(mission),
        event=event,
        actor=actor,
        reason=reason,
        details={
            "name": mission.name,
            "incidents": len(mission.incidents),
            "actions": len(mission.actions),
        },
        version=version,
    )
