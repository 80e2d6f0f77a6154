"""The unit of work: one thing with a status and attributes whose every change is history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from penelope.domain.incident import IncidentState
from penelope.kit.canonical import Json


class ActorKind(StrEnum):
    """Who can do things: Penelope itself, a person, an AI agent, or a worker process."""

    ENGINE = "engine"
    PERSON = "person"
    AGENT = "agent"
    WORKER = "worker"

    @classmethod
    def of(cls, name: str) -> "ActorKind":
        """The kind that an actor's name tells: ``key:ada`` and ``oidc:corp:ada`` are persons, ``worker:w-1`` a worker process."""
        return _KINDS.get(name.partition(":")[0], cls.ENGINE)


_KINDS = {
    "key": ActorKind.PERSON,
    "person": ActorKind.PERSON,
    "oidc": ActorKind.PERSON,
    "agent": ActorKind.AGENT,
    "worker": ActorKind.WORKER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Somebody who does things here; the ledger knows it by its id alone."""

    id: str
    kind: ActorKind
    name: str
    last_heartbeat_at: datetime


INTERACTIONS: Mapping[str, str] = {
    "intake": "taken in, and waiting for its story to begin",
    "decide": "being judged",
    "observe": "watched, to be judged again",
    "plan": "being planned",
    "gate": "before the gate's rules",
    "approve": "waiting for the word of a person",
    "act": "being carried out",
    "verify": "being held against what was promised",
    "rollout": "taking traffic step by step",
    "undo": "being taken back",
    "done": "at its end",
}
"""The places where a unit of work can rest between two transitions, and what each means."""

_INCIDENT_RESTS: Mapping[str, str] = {
    IncidentState.RECEIVED: "intake",
    IncidentState.OBSERVING: "observe",
    IncidentState.AWAITING_APPROVAL: "approve",
    IncidentState.ACTING: "act",
    IncidentState.VERIFYING: "verify",
    IncidentState.ROLLING_OUT: "rollout",
    IncidentState.COMPENSATING: "undo",
}
_RESTS: Mapping[str, Mapping[str, str]] = {
    "incident": _INCIDENT_RESTS,
    "decision": {"observe": "observe"},
    "plan": dict.fromkeys(("observe", "ask", "act"), "plan"),
    "approval": {"pending": "approve"},
    "break_glass": {"open": "approve"},
    "action": dict.fromkeys(("waiting", "prepared", "started", "unknown"), "act"),
    "deployment": {
        "progressing": "rollout",
        "promoting": "rollout",
        "concluding": "rollout",
        "rolling_back": "undo",
        "cancelling": "undo",
    },
}


def interaction(kind: str, status: str) -> str:
    """Where a unit of this kind rests while it has this status: a key of INTERACTIONS."""
    return _RESTS.get(kind, {}).get(status, "done")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOfWork:
    """The present state of an incident, decision, plan, action, approval, rollout or outcome.

    `content_hash` is SHA-256 over the canonical bytes of the attributes; `version` counts saves from 1;
    `head` is the hash of the unit's latest entry.
    """

    id: str
    kind: str
    incident: str
    status: str
    attributes: Mapping[str, Json]
    content_hash: str
    version: int
    updated_at: datetime
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A transition that `flow` wants recorded: the new state, the event's name, who did it and why.

    `version` is the version that the writer saw (0 for a new unit); None takes whatever is there, for
    units that only one workflow writes.
    """

    unit: str
    kind: str
    incident: str
    status: str
    attributes: Mapping[str, Json]
    event: str
    actor: str
    reason: str
    details: Mapping[str, Json] = field(default_factory=dict)
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of history, chained to the one before it of the same unit.

    `body` are the canonical bytes of its header: everything here but `seq` and what the payload holds. `hash` is
    the leaf hash over them, so that no line can be altered, dropped from the middle or reordered without the chain
    and the log showing it.

    The payload (`actor`, `reason`, `details`, `patch`) may be personal. The header holds only a commitment to it
    under `salt`, so that it can be erased and every proof still holds; `salt` is empty once it was. `actor_id` is the
    actor's pseudonym. `patch` leads from the attributes before to those after (RFC 6902).

    `seq` is a place in the store, which the database gives when it commits (0 until then).
    """

    unit: str
    version: int
    kind: str
    incident: str
    event: str
    actor_id: str
    status_before: str | None
    status_after: str
    state_before: str | None
    state_hash: str
    interaction_before: str | None
    interaction_after: str
    recorded_at: datetime
    previous_hash: str
    payload_hash: str
    body: bytes
    hash: str
    actor: str = ""
    reason: str = ""
    details: Mapping[str, Json] = field(default_factory=dict)
    patch: Sequence[Mapping[str, Json]] = ()
    salt: str = ""
    seq: int = 0

    @property
    def erased(self) -> bool:
        """Whether retention has taken the payload away."""
        return not self.salt
