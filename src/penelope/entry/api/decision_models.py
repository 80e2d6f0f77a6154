"""What is answered about how a decision was made, and about how well confidence fits."""

from datetime import datetime
from typing import Any

from penelope.domain.decision import Judgement
from penelope.domain.precedent import Stratum
from penelope.kit.described import Described


class Contribution(Described):
    """One named part of a figure."""

    name: str
    value: float
    reason: str


class Figure(Described):
    """A figure of 0 to 1 and its parts, which add up to it from first to last."""

    value: float
    interval: tuple[float, float] | None = None
    """Where it lies in 95 of 100 cases, where that can be told."""
    contributions: list[Contribution]


class Healing(Described):
    """How likely the incident was to heal by itself."""

    probability: float
    interval: tuple[float, float]
    within_seconds: float
    cases: int
    """Past incidents that lasted as long as this one had."""
    source: str
    """Which past incidents these are."""
    recheck_seconds: float


class Precedent(Described):
    """What earlier uses of the playbook on the service came to."""

    playbook: str
    service: str
    successes: int
    failures: int


class Likeness(Described):
    """A past case that the decision leaned on; `/api/v1/wisdom/{id}` shows the case."""

    incident: str
    similarity: float
    """How much it is like the incident, 0 to 1."""
    by: list[str]
    """What it is like it in."""
    verified: bool | None
    """Whether the playbook of the plan helped there; null where it was not used."""
    agrees: bool | None
    """Whether what came of it speaks for the plan; null where it says nothing about it."""


class Briefing(Described):
    """What a person is told who has to take the incident over."""

    known: list[str]
    ruled_out: list[str]
    candidate: str
    """The playbook that would act; empty where none could."""
    steps: list[str]
    dangers: list[str]
    precedents: list[str]
    next_steps: list[str]


class Explanation(Described):
    """Why a decision was made: the three questions with their figures."""

    id: int
    """The decision's number."""
    incident: str
    version: int
    """Which decision about the incident it is, from 1."""
    service: str
    decided_at: datetime
    judgement: Judgement
    rationale: str
    playbook: str | None
    needs_approval: bool
    recheck_seconds: float | None
    healing: Healing | None
    """Would it heal by itself? null where the past tells nothing."""
    risk: Figure
    """Could acting do more harm than the incident? What acting would harm if it went wrong."""
    cost: Figure
    """What the incident harms while it lasts."""
    confidence: Figure
    """Is there precedent? The probability that the plan is verified."""
    stratum: Stratum
    """What the service's objectives said of the signal."""
    traits: str
    """By what the service is like others."""
    precedents: list[Precedent]
    leaned_on: list[Likeness]
    """The past cases that are most like the incident, the most alike first."""
    articles: list[dict[str, Any]]
    """What the constitution said, if it was asked."""
    briefing: Briefing | None
    schema_version: int | None
    """The version of the judgement that made it; null before inputs were recorded."""


class Difference(Described):
    """A place at which a decision that was made again differs from the recorded one."""

    path: str
    """A JSON pointer into the decision; below `/listed` into the table of decisions, below `/present` into the
    unit's present state."""
    recorded: Any
    again: Any


class Replay(Described):
    """Whether a decision, made again from its recorded inputs, is the recorded one in every field."""

    id: int
    incident: str
    version: int
    identical: bool
    differences: list[Difference]


class Bin(Described):
    """Predictions of about the same confidence."""

    low: float
    high: float
    count: int
    predicted: float
    """Their mean."""
    observed: float
    """The share of them that was verified."""
    interval: tuple[float, float]
    """The 95 % interval of that share."""


class Calibration(Described):
    """How well confidence fits what came of the plans that acted."""

    since: datetime
    service: str | None
    playbook: str | None
    count: int
    brier: float | None
    """0 is perfect, 0.25 what always saying one half gives; null where nothing acted."""
    expected_error: float | None
    """How far confidence and success lie apart on average."""
    base_rate: float | None
    """The share of plans that was verified."""
    curve: list[Bin]
