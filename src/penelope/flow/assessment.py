"""What an assessment of an incident comes to."""

from dataclasses import dataclass
from enum import StrEnum

from penelope.domain.plan import Plan


class Next(StrEnum):
    """Where the story goes from here."""

    OBSERVE = "observe"
    ASK = "ask"
    ACT = "act"
    ESCALATE = "escalate"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What an assessment came to."""

    next: Next
    reason: str
    plan: Plan | None = None
    recheck_seconds: float = 0.0
    approval: str | None = None
