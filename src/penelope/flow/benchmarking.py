"""Runs the benchmarks of a service inside a story: after an action, and at the end of a plan."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from penelope.domain.benchmark import (
    Baseline,
    BenchmarkRun,
    Finding,
    Measurement,
    Probe,
    RunOutcome,
    Standing,
    SuiteName,
    findings,
)
from penelope.domain.service import Service
from penelope.domain.work import Change
from penelope.flow import records
from penelope.flow.engine import Engine
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.rooms.verify.benchmark import measure


class Driver(Protocol):
    """What carries a run: the durable engine inside a story, and something lighter outside of one."""

    async def step(self, name: str, body: Callable[[], Awaitable[Json]]) -> Json: ...

    async def transaction(self, name: str, body: Callable[[Transaction], Awaitable[Json]]) -> Json: ...

    async def pause(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A run to be made: `id` is its unit of work, which no other run has; `label` names it among the story's steps."""

    id: str
    service: Service
    suite: SuiteName
    incident: str
    label: str
    actor: str = records.PENELOPE

    @property
    def probes(self) -> Sequence[Probe]:
        return self.service.benchmarks.get(self.suite, ())


async def smoke(engine: Engine, parts: Parts, service: Service, incident: str, label: str, key: str) -> str:
    """Runs the smoke suite of a service after an action; returns what got worse, or nothing.

    Whether there is one to be run (`declares`) the story has recorded before, so that it goes on the same way after a
    restart with another catalogue. `key` is the unit of work that the run is kept as.
    """
    wanted = Wanted(id=key, service=service, suite=SuiteName.SMOKE, incident=incident, label=label)
    return await _trouble(engine, parts, wanted)


async def regression(
    engine: Engine, parts: Parts, service: Service, incident: str, label: str, key: str
) -> str:
    """Runs the regression suite at the end of a plan, or before a promotion; else like `smoke`."""
    wanted = Wanted(id=key, service=service, suite=SuiteName.REGRESSION, incident=incident, label=label)
    return await _trouble(engine, parts, wanted)


def declares(parts: Parts, service: str, suite: SuiteName) -> bool:
    """Whether a service has a suite that something is measured by."""
    found = parts.services.get(service)
    return found is not None and bool(found.benchmarks.get(suite))


async def _trouble(engine: Engine, parts: Parts, wanted: Wanted) -> str:
    made = await run(engine, parts, wanted)
    return f"its {wanted.suite} benchmarks got worse: {made.trouble}" if made.trouble else ""


async def run(driver: Driver, parts: Parts, wanted: Wanted) -> BenchmarkRun:
    """Measures a suite, holds it against the baselines as they were when it began, and records what came of it.

    What is bad, or could not be seen, is looked at again: it is bad only if it is at every look. Figures of a period
    are always of the time since the run began, so that those of baselines were taken the same way. How it goes on is
    decided within its steps alone: after a restart catalogue and settings may be others.
    """
    began = await driver.transaction(f"baselines {wanted.label}", lambda it: _begin(it, wanted))
    started_at = datetime.fromisoformat(began["at"])
    found, looks, doubtful = dict[str, Finding](), 0, list(began["baselines"])
    while doubtful:
        if looks:
            await driver.pause(parts.benching.pause_seconds)
        looks += 1
        look = partial(_look, parts, wanted, began, doubtful, looks)
        seen = await driver.step(f"measure {wanted.label}", look)
        found |= from_data(dict[str, Finding], seen["found"])
        doubtful = seen["doubtful"]

    async def record(transaction: Transaction) -> Json:
        made = _made(wanted, found, started_at, transaction.now(), looks)
        await transaction.save(_of_run(made, wanted))
        return to_data(made)

    return from_data(BenchmarkRun, await driver.transaction(f"benchmark {wanted.label}", record))


async def _begin(transaction: Transaction, wanted: Wanted) -> Json:
    found = await baselines_of(transaction, wanted.service.name, [probe.name for probe in wanted.probes])
    return {"at": transaction.now().isoformat(), "baselines": to_data(found)}


async def baselines_of(
    transaction: Transaction, service: str, probes: Sequence[str]
) -> Mapping[str, Baseline]:
    """The baselines as they are, by probe. One that was tampered with is as good as none."""
    units = await transaction.peek([baseline_unit(service, probe) for probe in probes])
    found: dict[str, Baseline] = {}
    for probe in probes:
        unit = units.get(baseline_unit(service, probe))
        fresh = Baseline(service=service, probe=probe)
        found[probe] = fresh if unit is None else from_data(Baseline, unit.attributes)
    return found


def baseline_unit(service: str, probe: str) -> str:
    """The unit of work that holds a baseline."""
    return f"baseline:{service}:{probe}"


async def _look(parts: Parts, wanted: Wanted, began: Json, names: Sequence[str], looks: int) -> Json:
    """What is found, and which of it must be looked at again."""
    since = datetime.fromisoformat(began["at"])
    baselines = {name: from_data(Baseline, began["baselines"][name]) for name in names}
    probes = [probe for probe in wanted.probes if probe.name in names]
    measured = await measure(wanted.service, probes, parts.probers, since)
    # What is no number cannot be written down, and says nothing.
    sound = {
        name: Measurement(figure=item.sound, note=item.note, failed=item.failed)
        for name, item in measured.items()
    }
    gone = "the catalogue does not declare it any more"
    found = {name: Finding(probe=name, standing=Standing.UNKNOWN, note=gone) for name in names}
    found |= findings(probes, sound, baselines)
    waited = (parts.clock.now() - since).total_seconds()
    ended = looks >= parts.benching.looks or waited >= parts.benching.patience_seconds
    doubtful = [] if ended else [name for name, finding in found.items() if _doubtful(finding)]
    return {"found": to_data(found), "doubtful": doubtful}


def _doubtful(finding: Finding) -> bool:
    return finding.bad or finding.figure is None


def _made(
    wanted: Wanted, found: Mapping[str, Finding], started_at: datetime, ended_at: datetime, looks: int
) -> BenchmarkRun:
    return BenchmarkRun(
        id=wanted.id,
        service=wanted.service.name,
        suite=wanted.suite,
        findings=tuple(found.values()),
        started_at=started_at,
        ended_at=ended_at,
        looks=looks,
    )


_REASONS = {
    RunOutcome.PASSED: "nothing is worse than it usually is",
    RunOutcome.UNKNOWN: "nothing could be compared",
}


def _of_run(made: BenchmarkRun, wanted: Wanted) -> Change:
    return Change(
        unit=made.id,
        kind="benchmark",
        incident=wanted.incident,
        status=made.outcome.value,
        attributes={**to_data(made), "of": wanted.label, "outcome": made.outcome.value},
        event="BenchmarkRun",
        actor=wanted.actor,
        reason=made.trouble or _REASONS[made.outcome],
        details={
            "service": made.service,
            "suite": made.suite.value,
            "outcome": made.outcome.value,
            "findings": {finding.probe: finding.standing.value for finding in made.findings},
            "seconds": round((made.ended_at - made.started_at).total_seconds(), 3),
        },
    )
