"""Should we act? The answer, with every figure that led to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from penelope.domain.briefing import Briefing
from penelope.domain.constitution import Weighed
from penelope.domain.likeness import Likeness
from penelope.domain.precedent import Stratum


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
    """A figure from 0 to 1 and what it is made of: contributions that, added from first to last, give it bit for bit.

    `interval` is where the figure lies in 95 of 100 cases, where that can be told.
    """

    value: float
    contributions: tuple[Contribution, ...]
    interval: tuple[float, float] | None = None


def score(*contributions: Contribution) -> Score:
    """Adds contributions up; where the sum leaves 0…1 a contribution named ``limit`` brings it back."""
    total = added(contributions)
    limited = min(1.0, max(0.0, total))
    if limited != total:
        edge = Contribution(name="limit", value=limited - total, reason="a score lies between 0 and 1")
        contributions = (*contributions, edge)
    return Score(value=limited, contributions=contributions)


def added(contributions: Iterable[Contribution]) -> float:
    """The sum, added from first to last. Not `sum`, which newer versions of Python round in another way."""
    total = 0.0
    for item in contributions:
        total += item.value
    return total


class Steps:
    """Makes a score of figures that follow each other, each the effect of one more thing that was looked at.

    What is listed is by how much each changed the figure before it.
    """

    def __init__(self) -> None:
        self.contributions: list[Contribution] = []
        self._reached = 0.0

    def to(self, value: float, name: str, reason: str) -> None:
        """The figure is `value` now, because of this."""
        change = value - self._reached
        self.contributions.append(Contribution(name=name, value=change, reason=reason))
        self._reached += change

    def score(self) -> Score:
        return score(*self.contributions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Precedent:
    """What earlier uses of a playbook on a service came to."""

    playbook: str
    service: str
    successes: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Healing:
    """How likely an incident that lasts already is to end by itself within so many seconds more.

    `probability` and its 95 % interval are 0…1; `cases` lasted as long as it does now, `source` says which they
    are, and `recheck_seconds` is when most of those that end by themselves have done so.
    """

    probability: float
    interval: tuple[float, float]
    within_seconds: float
    cases: int
    source: str
    recheck_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The judgement over one incident. `playbook` is the one that would act, if any fits.

    `risk` is what acting would harm if it went wrong, `cost` what the incident harms while it lasts, `confidence`
    the probability that the plan will be verified, `healing` that the incident ends without us (None where the
    past tells nothing). `needs_approval` says that a person must agree before anything is done; `recheck_seconds`
    is set for an observation only, and `briefing` for all else. `stratum` and `traits` say which of the past was
    looked at, and `leaned_on` are the past cases most like the incident.
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
    cost: Score = Score(value=0.0, contributions=())
    healing: Healing | None = None
    stratum: Stratum = Stratum.UNSEEN
    traits: str = ""
    briefing: Briefing | None = None
    articles: tuple[Weighed, ...] = ()
    leaned_on: tuple[Likeness, ...] = ()
