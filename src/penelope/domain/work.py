"""The unit of work: one thing with a status and attributes whose every change is history."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from penelope.kit.canonical import Json


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

    `hash` covers everything above it, including `previous_hash`, so that no line can be altered, dropped
    from the middle or reordered without the chain showing it. `seq` is the line's place in the whole log,
    which the database gives when it commits (0 until then).
    """

    unit: str
    version: int
    kind: str
    incident: str
    event: str
    actor: str
    reason: str
    status_before: str | None
    status_after: str
    state_hash: str
    details: Mapping[str, Json]
    recorded_at: datetime
    previous_hash: str
    hash: str
    seq: int = 0
