"""One typed step of a plan, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from penelope.domain.contract import Contract
from penelope.domain.service import Target
from penelope.kit.canonical import Json


class Tier(IntEnum):
    """How hard a change is to take back."""

    LOCAL = 1
    SNAPSHOT = 2
    HARD_TO_REVERSE = 3
    IRREVERSIBLE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Something that an adapter can do. `params` is the JSON Schema of its parameters, `permissions` what its
    credentials must be allowed, in the words of the target; no step of it may claim a tier below `tier`. `snapshots` names
    what is kept before it: files, a git reference, rows by primary key, traffic weights, ….
    """

    summary: str
    params: Mapping[str, Json]
    permissions: tuple[str, ...] = ()
    tier: Tier = Tier.LOCAL
    snapshots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often an action that certainly did not take effect is tried, and the pause between two attempts."""

    attempts: int = 1
    pause_seconds: float = 1.0


ONCE = Retry()


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One change of one target. `key` is the idempotency key: unique to incident, plan and step, and stable
    over restarts, so that a repeat can be recognised at the target.

    `idempotent` says that doing it twice is harmless, so that an attempt nobody knows about may be repeated. `rollback`
    is what takes the action back in place of its adapter's compensation; `keep` says that it stays when the rest of its
    plan is taken back. `fence` is the fencing token of the lease on its target: a target that saw a higher one may
    refuse it; 0 means that no lease is held.
    """

    key: str
    name: str
    adapter: str
    operation: str
    target: Target
    params: Mapping[str, Json]
    tier: Tier
    timeout_seconds: float
    contract: Contract | None = None
    retry: Retry = ONCE
    idempotent: bool = False
    rollback: "Action | None" = None
    keep: bool = False
    fence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something of a target that is not as a snapshot holds it. Values are shown without secrets."""

    subject: str
    before: Json
    now: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What was there before: enough for the adapter to put it back, and to recognise its own effect."""

    state: Mapping[str, Json] = field(default_factory=dict)


class Progress(StrEnum):
    """What a probe found at the target about one action."""

    NOT_APPLIED = "not_applied"
    PARTIAL = "partial"
    APPLIED = "applied"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an action would change: in a sentence, and as lines of what goes (-) and what comes (+)."""

    summary: str
    diff: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What an execution did. `repeated` says that a probe found it done already."""

    summary: str
    details: Mapping[str, Json] = field(default_factory=dict)
    repeated: bool = False
