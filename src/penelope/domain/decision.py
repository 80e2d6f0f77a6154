"""Should we act? The answer, with every figure that led to it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from penelope.domain.likeness import Likeness


class Judgement(StrEnum):
    """The three answers; there is no fourth."""

    OBSERVE = "observe"
    INTERVENE = "intervene"
    ESCALATE = "escalate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One named part of a score; the parts of a score add up to it."""

    name: str
    value: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A figure from 0 to 1 and what it is made of."""

    value: float
    contributions: tuple[Contribution, ...]


def score(*contributions: Contribution) -> Score:
    """Adds contributions up; where the sum leaves 0…1 a contribution named ``limit`` brings it back."""
    total = sum(item.value for item in contributions)
    limited = min(1.0, max(0.0, total))
    if limited != total:
        edge = Contribution(name="limit", value=limited - total, reason="a score lies between 0 and 1")
        contributions = (*contributions, edge)
    return Score(value=limited, contributions=contributions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Precedent:
    """What earlier uses of a playbook on a service came to."""

    playbook: str
    service: str
    successes: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The judgement over one incident. `playbook` is the one that would act, if any fits.

    `needs_approval` says that a person must agree before anything is done; `recheck_seconds` is set for
    an observation only; `leaned_on` are the past cases most like the incident.
    """

    incident: str
    judgement: Judgement
    risk: Score
    confidence: Score
    rationale: str
    decided_at: datetime
    playbook: str | None = None
    needs_approval: bool = False
    recheck_seconds: float | None = None
    precedents: tuple[Precedent, ...] = ()
    leaned_on: tuple[Likeness, ...] = ()
