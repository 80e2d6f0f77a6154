"""A synthetic world with known truth: services, problems and incidents, and what becomes of them if one acts or waits."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from penelope.domain.action import Tier
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.evidence import Dossier, Evidence
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.plan import Match, Playbook, StepTemplate
from penelope.domain.service import Objective, Service, Target
from penelope.domain.signal import Severity, problem_fingerprint

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
HEALS_SOON_SECONDS = 300.0
"""What ends by itself within this time needed no action."""


class Truth(StrEnum):
    """What is really the matter; nobody is told."""

    RECOVERABLE = "recoverable"
    NOT_RECOVERABLE = "not recoverable"
    SELF_HEALING = "self-healing"
    WRONGLY_DIAGNOSED = "wrongly diagnosed"


@dataclass(frozen=True, slots=True)
class _Nature:
    """How incidents of one truth show themselves, and what acting does to them; all but seconds are shares 0…1."""

    confirmed: float
    contradicted: float
    heals: float
    harms: float
    alone_median_seconds: float = math.inf


NATURES = {
    Truth.RECOVERABLE: _Nature(confirmed=0.90, contradicted=0.02, heals=0.985, harms=0.001),
    Truth.NOT_RECOVERABLE: _Nature(confirmed=0.80, contradicted=0.05, heals=0.02, harms=0.03),
    Truth.SELF_HEALING: _Nature(
        confirmed=0.45, contradicted=0.40, heals=0.97, harms=0.005, alone_median_seconds=60
    ),
    Truth.WRONGLY_DIAGNOSED: _Nature(confirmed=0.25, contradicted=0.40, heals=0.05, harms=0.10),
}
"""The rest of what was confirmed or contradicted could not be seen. Times of self-healing are log-normal."""

_ARCHETYPES: Sequence[tuple[float, Sequence[float]]] = (
    (0.60, (0.94, 0.02, 0.02, 0.02)),  # what a playbook was written for
    (0.20, (0.10, 0.02, 0.86, 0.02)),  # what flaps
    (0.10, (0.15, 0.75, 0.05, 0.05)),  # what no playbook mends
    (0.10, (0.15, 0.05, 0.10, 0.70)),  # an alert that says one thing and means another
)
"""How common a kind of problem is, and the shares of the truths behind its alert, in their order."""


_BURST_SHARE, _BURST, _BURST_PAUSE = 0.003, 20, timedelta(seconds=40)
"""How often a problem that no playbook mends comes back at once, how many times, and how soon: what makes automation
run away."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One alert of one service."""

    service: Service
    playbook: Playbook
    shares: Sequence[float]
    severity: Severity
    weight: float


@dataclass(frozen=True, slots=True)
class Episode:
    """One incident with its truth and its fate."""

    incident: Incident
    problem: Problem
    truth: Truth
    met: bool | None
    burn: float
    ends_itself_seconds: float
    would_heal: bool
    would_harm: bool

    def evidence(self, now: datetime) -> Dossier:
        """What can be seen at a moment."""
        return Dossier(service=self.problem.service.name, gathered_at=now, evidence=tuple(self._seen(now)))

    def _seen(self, now: datetime) -> Iterator[Evidence]:
        service = self.problem.service
        for concept, value in (("service.owner", service.owner), ("service.tier", service.tier)):
            yield Evidence(concept=concept, value=value, source="catalogue", observed_at=now, confidence=1.0)
        if self.met is None:
            for concept in ("slo.availability", "metric.error_ratio"):
                yield Evidence(
                    concept=concept,
                    value=None,
                    source="metrics",
                    observed_at=now,
                    confidence=0.0,
                    note="silent",
                )
            return
        objective = service.objectives[0].at_most
        actual = objective * (0.3 if self.met else self.burn)
        figures = {"objective": objective, "actual": actual, "met": self.met}
        for concept, value in (("slo.availability", figures), ("metric.error_ratio", actual)):
            yield Evidence(concept=concept, value=value, source="metrics", observed_at=now, confidence=1.0)


class World:
    """Forty services, a dozen playbooks, and incidents about them in order of time."""

    def __init__(self, seed: int, services: int = 40, alerts: int = 12) -> None:
        self._chance = random.Random(seed)
        self.playbooks = tuple(_playbook(number) for number in range(alerts))
        self.services = dict(self._catalogue(services))
        self.problems = tuple(self._problems())

    def episodes(self, count: int, every: timedelta = timedelta(minutes=20)) -> Iterator[Episode]:
        """Incidents, one after the other; some problems come far more often than others, and some come back in bursts."""
        weights = [problem.weight for problem in self.problems]
        now, left, problem = EPOCH, 0, self.problems[0]
        for number in range(count):
            if left:
                left -= 1
                now += _BURST_PAUSE
                yield self._episode(number, problem, now, Truth.NOT_RECOVERABLE)
                continue
            now += every * self._chance.expovariate(1.0)
            (problem,) = self._chance.choices(self.problems, weights)
            left = _BURST if self._chance.random() < _BURST_SHARE else 0
            (truth,) = self._chance.choices(list(Truth), problem.shares)
            yield self._episode(number, problem, now, truth)

    def _episode(self, number: int, problem: Problem, now: datetime, truth: Truth) -> Episode:
        nature = NATURES[truth]
        shown = self._chance.random()
        met = None
        if shown < nature.confirmed:
            met = False
        elif shown < nature.confirmed + nature.contradicted:
            met = True
        alone = math.inf
        if math.isfinite(nature.alone_median_seconds):
            alone = self._chance.lognormvariate(math.log(nature.alone_median_seconds), 0.6)
        return Episode(
            incident=_incident(number, problem, now),
            problem=problem,
            truth=truth,
            met=met,
            burn=1.0 + self._chance.expovariate(0.2),
            ends_itself_seconds=alone,
            would_heal=self._chance.random() < nature.heals,
            would_harm=self._chance.random() < nature.harms,
        )

    def _catalogue(self, count: int) -> Iterator[tuple[str, Service]]:
        names = [f"service-{number:02}" for number in range(count)]
        for number, name in enumerate(names):
            leans_on = self._chance.sample(names[:number], min(number, self._chance.choice((0, 1, 1, 2))))
            yield (
                name,
                Service(
                    name=name,
                    owner=f"team-{number % 7}",
                    tier=self._chance.choices((1, 2, 3, 4), (1, 3, 4, 2))[0],
                    dependencies=tuple(leans_on),
                    objectives=(Objective(name="availability", metric="error_ratio", at_most=0.01),),
                    targets={"main": Target(name="main", service=name, adapter="fake")},
                ),
            )

    def _problems(self) -> Iterator[Problem]:
        for service in self.services.values():
            for playbook in self._chance.sample(self.playbooks, 4):
                _, shares = self._chance.choices(_ARCHETYPES, [common for common, _ in _ARCHETYPES])[0]
                yield Problem(
                    service=service,
                    playbook=playbook,
                    shares=shares,
                    severity=self._chance.choice((Severity.WARNING, Severity.ERROR, Severity.CRITICAL)),
                    weight=self._chance.paretovariate(1.2),
                )


def _incident(number: int, problem: Problem, now: datetime) -> Incident:
    name = problem.playbook.match.names[0]
    return Incident(
        id=f"inc_{number:06}",
        service=problem.service.name,
        fingerprint=problem_fingerprint(problem.service.name, name),
        name=name,
        severity=problem.severity,
        state=IncidentState.RECEIVED,
        opened_at=now,
        updated_at=now,
        signal_count=1,
    )


def _playbook(number: int) -> Playbook:
    step = StepTemplate(
        name="Act",
        adapter="fake",
        operation="set",
        target="main",
        params={"value": "well"},
        tier=Tier.LOCAL if number % 3 else Tier.SNAPSHOT,
        timeout_seconds=30,
    )
    clause = Clause(subject="metric.error_ratio", comparator=Comparator.AT_MOST, expected=0.01)
    return Playbook(
        name=f"fix-{number:02}",
        version="1",
        title=f"Fix {number}",
        match=Match(names=(f"Alert{number:02}",)),
        steps=(step,),
        verify=Contract(clauses=(clause,), deadline_seconds=60),
    )
