"""What people ask of benchmarks, and the baselines that are kept by the way; API and command line share this desk."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from penelope.domain.benchmark import Baseline, BenchmarkRun, Finding, SuiteName
from penelope.domain.contract import Clause, Comparator, Contract, Gravity, Verdict, judge
from penelope.domain.service import Service
from penelope.domain.work import Change
from penelope.errors import InvalidRequest
from penelope.flow import records
from penelope.flow.benchmarking import Wanted, baseline_unit, run
from penelope.flow.engine import Engine
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.kit.ids import new_id
from penelope.rooms.verify.run import observe

_log = logging.getLogger(__name__)


class BenchmarkReader(Protocol):
    """Reads benchmarks that were committed."""

    async def baselines(self, service: str) -> Sequence[Baseline]:
        """The baselines of a service, in order of their probes."""

    async def runs(self, service: str, limit: int) -> Sequence[BenchmarkRun]:
        """The newest runs of a service, newest first, out of those of late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """What became of an update: the baselines that took a run in, why others did not, or why none may."""

    service: str
    taken: Mapping[str, Baseline] = field(default_factory=dict)
    left: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Who wants baselines to take a run in, and why. `anew` forgets what they held: the service has changed for good.

    `least_age` leaves those alone that were updated less long ago.
    """

    actor: str
    reason: str
    anew: bool = False
    least_age: timedelta = timedelta()


class BenchmarkDesk:
    """What it records is durable when it returns."""

    def __init__(self, engine: Engine, reader: BenchmarkReader, parts: Parts) -> None:
        self._engine = engine
        self._reader = reader
        self._parts = parts

    async def shown(
        self, service: str, limit: int
    ) -> tuple[Service, Sequence[Baseline], Sequence[BenchmarkRun]]:
        """A service with its baselines and newest runs. Raises UnknownService."""
        found = self._parts.service(service)
        return found, await self._reader.baselines(service), await self._reader.runs(service, limit)

    async def run(self, service: str, suite: SuiteName, actor: str) -> BenchmarkRun:
        """Runs a suite now. Raises UnknownService, and InvalidRequest where the service declares no such suite."""
        found = self._parts.service(service)
        if suite not in found.benchmarks:
            raise InvalidRequest(
                f"service {service!r} declares no {suite} benchmarks",
                hint="Add them to the catalogue: docs/verification.md shows how.",
            )
        return await self._run(found, suite, actor)

    async def update(self, service: str, order: Order) -> Updated:
        """Runs all suites of a service and takes their figures into its baselines, if it is verified to be healthy:
        it has objectives, all of them are met now, and no incident of it is open. What is worse than usual is left.

        Raises UnknownService, and InvalidRequest where the service declares no benchmarks.
        """
        found = self._parts.service(service)
        if not found.benchmarks:
            raise InvalidRequest(
                f"service {service!r} declares no benchmarks",
                hint="Add them to the catalogue: docs/verification.md shows how.",
            )
        if why := await self._engine.transaction("open incidents", lambda it: _troubled(it, service)):
            return Updated(service=service, refused=why)
        findings: dict[str, tuple[Finding, str]] = {}
        for suite in found.benchmarks:
            made = await self._run(found, suite, order.actor)
            findings |= {item.probe: (item, made.id) for item in made.findings}
        verdict = await self._verdict(found)

        async def body(transaction: Transaction) -> Json:
            return to_data(await _update(transaction, service, verdict, findings, order))

        return from_data(Updated, await self._engine.transaction("baselines", body))

    async def keep(self, seconds: float) -> None:
        """Takes a run of each service into its baselines each `seconds`, until cancelled. Of several workers one does."""
        order = Order(
            actor=records.PENELOPE, reason="the service is healthy", least_age=timedelta(seconds=seconds / 2)
        )
        while True:
            await asyncio.sleep(seconds)
            for name, service in self._parts.services.items():
                if not service.benchmarks:
                    continue
                try:
                    await self.update(name, order)
                except Exception:  # noqa: BLE001 - the database may be away for a moment; the next round tries again
                    _log.exception("the baselines of %s could not be updated", name)

    async def _run(self, service: Service, suite: SuiteName, actor: str) -> BenchmarkRun:
        wanted = Wanted(
            id=new_id("bench"), service=service, suite=suite, incident="", label=str(suite), actor=actor
        )
        return await run(_Loose(self._engine), self._parts, wanted)

    async def _verdict(self, service: Service) -> Verdict:
        """Whether the service's objectives are met now; without any, nothing is verified."""
        clauses = tuple(
            Clause(
                subject=f"metric.{objective.metric}",
                comparator=Comparator.AT_MOST,
                expected=objective.at_most,
                severity=Gravity.CRITICAL,
            )
            for objective in service.objectives
        )
        contract = Contract(clauses=clauses, deadline_seconds=0)
        metrics, window = self._parts.metrics, self._parts.timing.window_seconds
        seen = await observe(contract, service, None, metrics, None, window_seconds=window)
        return judge(contract, seen, self._parts.clock.now())


class _Loose:
    """Carries a run outside of any story: what is half done when the process dies was never done."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def step(self, name: str, body: Callable[[], Awaitable[Json]]) -> Json:  # noqa: ARG002 - nothing keeps it
        return await body()

    async def transaction(self, name: str, body: Callable[[Transaction], Awaitable[Json]]) -> Json:
        return await self._engine.transaction(name, body)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _troubled(transaction: Transaction, service: str) -> str:
    """Why the service is not known to be healthy, as far as incidents tell."""
    opened = await transaction.open_incidents([service], transaction.now() + timedelta(days=1))
    return f"incident {opened[0][0]} of it is open" if opened else ""


async def _update(
    transaction: Transaction,
    service: str,
    verdict: Verdict,
    findings: Mapping[str, tuple[Finding, str]],
    order: Order,
) -> Updated:
    if why := _unverified(verdict) or await _troubled(transaction, service):
        return Updated(service=service, refused=why)
    taken: dict[str, Baseline] = {}
    left: dict[str, str] = {}
    now = transaction.now()
    for probe, (finding, made) in sorted(findings.items()):
        unit = await transaction.unit(baseline_unit(service, probe))
        before = Baseline(service=service, probe=probe)
        if unit is not None:
            before = from_data(Baseline, unit.attributes)
        if why := _unfit(finding, before, order, now):
            left[probe] = why
            continue
        base = replace(before, figures=(), runs=()) if order.anew else before
        after = base.taken(finding.figure or 0.0, made, now)
        taken[probe] = after
        version = 0 if unit is None else unit.version
        await transaction.save(_of_baseline(after, finding, verdict, order, version))
    return Updated(service=service, taken=taken, left=left)


def _unverified(verdict: Verdict) -> str:
    if not verdict.results:
        return "it has no objective (slos) by which its health could be verified"
    missed = ", ".join(item.clause.subject.removeprefix("metric.") for item in verdict.drift)
    return "" if verdict.passed else f"its objectives are not met, or cannot be seen: {missed}"


def _unfit(finding: Finding, before: Baseline, order: Order, now: datetime) -> str:
    if finding.figure is None:
        return finding.note or "it has no figure"
    if finding.bad and not order.anew:
        return f"it {finding.note}"
    if before.updated_at is not None and now - before.updated_at < order.least_age:
        return "it was updated lately"
    return ""


def _of_baseline(after: Baseline, finding: Finding, verdict: Verdict, order: Order, version: int) -> Change:
    return Change(
        unit=baseline_unit(after.service, after.probe),
        kind="baseline",
        incident="",
        status="settled" if after.settled else "gathering",
        attributes=to_data(after),
        event="BaselineRestarted" if order.anew else "BaselineUpdated",
        actor=order.actor,
        reason=order.reason,
        details={
            "service": after.service,
            "probe": after.probe,
            "figure": finding.figure,
            "runs": len(after.figures),
            "version": after.version,
            "verified_by": [result.clause.subject for result in verdict.results],
        },
        version=version,
    )
