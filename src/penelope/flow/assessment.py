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
    """What an assessment came to. A plan that is observed waits for its turn, or for what a rule of the gate said.

    A plan that is asked for or carried out has been tried before (flow/trying); that is not done again, whatever a
    restart brings. `regresses` says whether a regression suite was there for it: its story goes by that to its end.
    """

    next: Next
    reason: str
    plan: Plan | None = None
    recheck_seconds: float = 0.0
    approval: str | None = None
    regresses: bool = False

    @property
    def waits(self) -> bool:
        """Whether its plan waits at the gate."""
        return self.next is Next.OBSERVE and self.plan is not None

    def waits_as(self, before: "Assessment | None") -> bool:
        """Whether the same plan waited for the same thing before."""
        if not self.waits or before is None or not before.waits:
            return False
        return self.reason == before.reason and _digest(self) == _digest(before)


def _digest(assessment: Assessment) -> str:
    return "" if assessment.plan is None else assessment.plan.digest
