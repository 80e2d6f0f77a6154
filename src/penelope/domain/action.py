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
    credentials must be allowed, in the words of the target; no step of it may claim a tier below `tier`.
    """

    summary: str
    params: Mapping[str, Json]
    permissions: tuple[str, ...] = ()
    tier: Tier = Tier.LOCAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One change of one target. `key` is the idempotency key: unique to incident, plan and step, and stable
    over restarts, so that a repeat can be recognised at the target.
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
