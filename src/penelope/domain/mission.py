"""Several incidents and actions with one goal, and how far they are."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from penelope.domain.incident import IncidentState

MOST_MEMBERS = 200
"""Incidents and actions of one mission."""

_CARRIED_OUT = "done"
_HEALED = frozenset({IncidentState.HEALED, IncidentState.RESOLVED})


class MissionStatus(StrEnum):
    """A mission is open until somebody closes it, however far it is."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mission:
    """A group with one goal. `incidents` and `actions` are ids; `key` is what its maker knows it by, if anything."""

    id: str
    name: str
    goal: str
    created_by: str
    created_at: datetime
    status: MissionStatus = MissionStatus.OPEN
    incidents: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    key: str = ""
    closed_at: datetime | None = None

    def changed(self, add: "Members", remove: "Members") -> "Mission":
        """With other members: those to be removed go first. In order, each once."""
        return replace(
            self,
            incidents=_changed(self.incidents, add.incidents, remove.incidents),
            actions=_changed(self.actions, add.actions, remove.actions),
        )

    @property
    def size(self) -> int:
        return len(self.incidents) + len(self.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """Ids of incidents and of actions."""

    incidents: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()


def _changed(now: Iterable[str], add: Iterable[str], remove: Collection[str]) -> tuple[str, ...]:
    left = [item for item in now if item not in remove]
    return tuple(dict.fromkeys([*left, *add]))


class BlockedBy(StrEnum):
    """What keeps a member from going on: a word that is awaited, a halt, another incident that holds the service, or
    people, who have it in their hands.
    """

    APPROVAL = "approval"
    HALT = "halt"
    INCIDENT = "incident"
    PEOPLE = "people"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One obstacle: `of` is the approval, the halt's scope or the other incident."""

    by: BlockedBy
    of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionWork:
    """An action as it stands."""

    id: str
    name: str
    incident: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentWork:
    """An incident as it stands: what its plan is to do, and what stands in its way."""

    id: str
    title: str
    service: str
    state: IncidentState
    over: bool = False
    planned: tuple[ActionWork, ...] = ()
    approvals: tuple[str, ...] = ()
    halts: tuple[str, ...] = ()
    held_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberProgress:
    """How far a member is: pieces of work, of which an incident has its end and each action of its plan."""

    id: str
    kind: str
    title: str
    service: str
    state: str
    done: int
    total: int
    blocked: tuple[Block, ...] = ()

    @property
    def finished(self) -> bool:
        return self.done == self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class MissionProgress:
    """How far a mission is, member by member."""

    members: tuple[MemberProgress, ...]

    @property
    def done(self) -> int:
        return sum(member.done for member in self.members)

    @property
    def total(self) -> int:
        return sum(member.total for member in self.members)

    @property
    def percent(self) -> int:
        """Rounded down: 100 says that nothing is left. A mission without members has got nowhere."""
        return 100 * self.done // self.total if self.total else 0

    @property
    def remaining(self) -> tuple[MemberProgress, ...]:
        return tuple(member for member in self.members if not member.finished)

    @property
    def blocked(self) -> tuple[MemberProgress, ...]:
        return tuple(member for member in self.members if member.blocked)


def progress(incidents: Iterable[IncidentWork], actions: Iterable[ActionWork]) -> MissionProgress:
    """How far these are together. An action that one of the incidents has in its plan counts with that alone."""
    incidents = list(incidents)
    counted = {action.id for incident in incidents for action in incident.planned}
    return MissionProgress(
        members=(
            *(_of_incident(incident) for incident in incidents),
            *(_of_action(action) for action in actions if action.id not in counted),
        )
    )


def _of_incident(incident: IncidentWork) -> MemberProgress:
    total = len(incident.planned) + 1
    finished = incident.over or incident.state in _HEALED
    done = total if finished else sum(action.status == _CARRIED_OUT for action in incident.planned)
    return MemberProgress(
        id=incident.id,
        kind="incident",
        title=incident.title,
        service=incident.service,
        state=incident.state.value,
        done=done,
        total=total,
        blocked=() if finished else tuple(_blocks(incident)),
    )


def _blocks(incident: IncidentWork) -> Iterable[Block]:
    if incident.state.ended:
        yield Block(by=BlockedBy.PEOPLE, of=incident.id)
        return
    if incident.state is IncidentState.AWAITING_APPROVAL:
        for approval in incident.approvals:
            yield Block(by=BlockedBy.APPROVAL, of=approval)
    for halt in incident.halts:
        yield Block(by=BlockedBy.HALT, of=halt)
    if incident.held_by is not None and not incident.state.intervening:
        yield Block(by=BlockedBy.INCIDENT, of=incident.held_by)


def _of_action(action: ActionWork) -> MemberProgress:
    return MemberProgress(
        id=action.id,
        kind="action",
        title=action.name,
        service="",
        state=action.status,
        done=int(action.status == _CARRIED_OUT),
        total=1,
    )
