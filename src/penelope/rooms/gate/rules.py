"""What a gate rule is, and what it looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from penelope.domain.approval import Approval
from penelope.domain.decision import Decision
from penelope.domain.gate import RuleVerdict
from penelope.domain.outcome import PlaybookRecord
from penelope.domain.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The figures of the rules: counts, and times in seconds."""

    halt_failures: int
    halt_window_seconds: float
    halt_seconds: float
    rate_actions: int
    rate_window_seconds: float
    approval_tier: int

    @property
    def memory_seconds(self) -> float:
        """How far back the rules look."""
        return max(self.halt_window_seconds + self.halt_seconds, self.rate_window_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What asks for passage. `record` reaches back at least `Limits.memory_seconds`."""

    plan: Plan
    decision: Decision
    record: PlaybookRecord
    approvals: Sequence[Approval]
    now: datetime


class Rule(Protocol):
    """One check with a name."""

    name: str

    def check(self, request: Request, limits: Limits) -> RuleVerdict:
        """Pass, refuse or ask, with the reason."""
