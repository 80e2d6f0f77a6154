"""How an incident ended, and what that teaches about the playbook."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class OutcomeKind(StrEnum):
    """Healed by us, gone by itself, or handed to people."""

    HEALED = "healed"
    RESOLVED = "resolved"
    ESCALATED = "escalated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one incident. `acted` says whether anything was changed; times in seconds from its opening.

    `relapsed_as` is the incident as which it came back too soon after it was healed.
    """

    incident: str
    service: str
    kind: OutcomeKind
    reason: str
    acted: bool
    ended_at: datetime
    total_seconds: float
    playbook: str | None = None
    verified: bool | None = None
    relapsed_as: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookRecord:
    """What a playbook has come to on one service; and when that service was last changed, and last healed, by any."""

    playbook: str
    service: str
    successes: int = 0
    failures: int = 0
    changed_at: datetime | None = None
    healed_at: datetime | None = None
