"""Benchmarks: what a service usually is like, what its last runs found, and a person's hand on it."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from penelope.domain import benchmark as domain
from penelope.domain.contract import Gravity
from penelope.entry.api.access import Running, requires
from penelope.entry.api.approvals import Person
from penelope.entry.api.problems import documented
from penelope.errors import (
    AppendConflict,
    ChainBroken,
    Forbidden,
    InvalidRequest,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnknownService,
)
from penelope.flow.benchmark_desk import Order
from penelope.flow.keys import Caller, Scope
from penelope.kit.described import Described

Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]

router = APIRouter(
    prefix="/api/v1/benchmarks",
    tags=["benchmarks"],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable, UnknownService),
)


class BenchmarkProbe(Described):
    """A figure that is measured; its options stay in the catalogue."""

    name: str
    kind: str
    suite: domain.SuiteName
    worse: domain.Worse
    """In which direction the figure gets worse."""
    tolerance: float
    """A difference that does not matter, in the figure's unit or as a share."""
    relative: bool
    """Whether the tolerance is a share of what is usual."""
    severity: Gravity
    """What is minor is told, and takes nothing back."""


class Baseline(Described):
    """What a figure is like in healthy times."""

    model_config = ConfigDict(from_attributes=True)

    probe: str
    middle: float | None
    """The median."""
    spread: float | None
    """The median absolute deviation."""
    figures: list[float]
    """One a run, oldest first."""
    settled: bool
    """Whether there are enough runs to compare with."""
    version: int
    updated_at: datetime | None


class Finding(Described):
    """A figure beside its baseline."""

    model_config = ConfigDict(from_attributes=True)

    probe: str
    standing: domain.Standing
    """`unknown`, for want of a figure or a baseline, is neither good nor bad."""
    figure: float | None
    score: float | None
    """The modified z-score: beyond 3.5 in the bad direction is an outlier."""
    middle: float | None
    spread: float | None
    baseline: int
    """The version of the baseline."""
    counts: bool
    """Whether it would be trouble."""
    note: str


class BenchmarkRun(Described):
    """One run of a suite."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    service: str
    suite: domain.SuiteName
    outcome: domain.RunOutcome
    trouble: str
    """What got worse, in words; empty where nothing did."""
    findings: list[Finding]
    looks: int
    started_at: datetime
    ended_at: datetime


class Benchmarks(Described):
    """A service's benchmarks."""

    service: str
    probes: list[BenchmarkProbe]
    baselines: list[Baseline]
    runs: list[BenchmarkRun]


class WantedRun(Described):
    """A suite to be run now."""

    model_config = ConfigDict(extra="forbid")

    service: Name
    suite: domain.SuiteName = domain.SuiteName.SMOKE


class WantedBaseline(Described):
    """Baselines that are to take in what is measured now, and why."""

    model_config = ConfigDict(extra="forbid")

    service: Name
    reason: Annotated[str, Field(max_length=4096, pattern=r"\S")]
    """It is kept in history."""
    anew: bool = False
    """Forget what they held: the service has changed for good."""


class UpdatedBaselines(Described):
    """What became of it."""

    model_config = ConfigDict(from_attributes=True)

    service: str
    taken: dict[str, Baseline]
    """The baselines that took a run in."""
    left: dict[str, str]
    """Why others did not."""
    refused: str
    """Why none may: the service is not verified to be healthy. Empty where some may."""


@router.get("", dependencies=[requires(Scope.READ)])
async def get_benchmarks(
    application: Running,
    service: Annotated[Name, Query()],
    limit: Annotated[int, Query(ge=1, le=200, description="How many runs at most.")] = 10,
) -> Benchmarks:
    """Shows what a service is measured by, its baselines and its newest runs. Needs the scope `read`."""
    found, baselines, runs = await application.benchmarks.shown(service, limit)
    return Benchmarks(
        service=found.name,
        probes=[
            _probe(suite, probe) for suite, probes in sorted(found.benchmarks.items()) for probe in probes
        ],
        baselines=[Baseline.model_validate(item) for item in baselines],
        runs=[BenchmarkRun.model_validate(item) for item in runs],
    )


@router.post("/runs", responses=documented(AppendConflict, TooLarge))
async def run_benchmarks(
    application: Running, caller: Annotated[Caller, requires(Scope.WRITE)], wanted: WantedRun
) -> BenchmarkRun:
    """Runs a suite of a service now; nothing follows from what it finds. Needs the scope `write`."""
    made = await application.benchmarks.run(wanted.service, wanted.suite, caller.actor)
    return BenchmarkRun.model_validate(made)


@router.post("/baselines", responses=documented(AppendConflict, ChainBroken, TooLarge))
async def update_baselines(application: Running, person: Person, wanted: WantedBaseline) -> UpdatedBaselines:
    """Measures a service and takes that into its baselines, if it is verified to be healthy.

    Needs the scope `approve`, and a person.
    """
    order = Order(actor=person.actor, reason=wanted.reason, anew=wanted.anew)
    return UpdatedBaselines.model_validate(await application.benchmarks.update(wanted.service, order))


def _probe(suite: domain.SuiteName, probe: domain.Probe) -> BenchmarkProbe:
    return BenchmarkProbe(
        name=probe.name,
        kind=probe.kind,
        suite=suite,
        worse=probe.worse,
        tolerance=probe.tolerance.size,
        relative=probe.tolerance.relative,
        severity=probe.severity,
    )
