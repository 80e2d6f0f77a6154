"""Benchmarks on the real engine and store: inside a story, at the desk, and what their baselines take in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from stage import BAD, GOOD, Heard, Script, Stage, begin, performing, shop

from penelope.domain.benchmark import (
    LEAST_RUNS,
    Benching,
    Measurement,
    Probe,
    RunOutcome,
    Standing,
    SuiteName,
)
from penelope.domain.contract import Gravity
from penelope.domain.service import Service
from penelope.errors import InvalidRequest, Unavailable, UnknownService
from penelope.flow.benchmark_desk import BenchmarkDesk, Order
from penelope.flow.benchmarking import declares, regression, smoke
from penelope.flow.engine import Engine, EngineSettings
from penelope.kit.clock import SystemClock
from penelope.store.benchmarks import SqlBenchmarks
from penelope.store.database import open_engine, open_reader, open_workflow_engine, parse_url
from penelope.store.transaction import SqlTransaction

Databases = tuple[str, str]
FAST = Probe(name="page", kind="scripted", timeout_seconds=0.3)
MINOR = Probe(name="memory", kind="scripted", severity=Gravity.MINOR)
ORDER = Order(actor="key:ada", reason="it is quiet")


class Scripted:
    """A probe that answers by script: what is scripted for a name, the last one for good."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.asked: list[str] = []

    def script(self, name: str, *answers: Any) -> None:
        self.answers[name] = list(answers)

    async def measure(self, service: Service, probe: Probe, since: Any) -> Measurement:  # noqa: ARG002 - by script alone
        self.asked.append(probe.name)
        answers = self.answers.get(probe.name, [10.0])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        if answer == "hang":
            await asyncio.sleep(5)
        return answer if isinstance(answer, Measurement) else Measurement(figure=answer)


def measured_shop(*probes: Probe, **changes: Any) -> Service:
    return replace(shop(), benchmarks={SuiteName.SMOKE: probes or (FAST, MINOR)}, **changes)


@dataclass
class Bench:
    stage: Stage
    desk: BenchmarkDesk
    prober: Scripted

    async def settle(self) -> None:
        """Makes baselines of 10, with a spread."""
        for number in range(LEAST_RUNS):
            self.prober.script("page", 10.0 + number % 3 / 10)
            self.prober.script("memory", 10.0 + number % 3 / 10)
            updated = await self.desk.update("shop", ORDER)
            assert set(updated.taken) == {"page", "memory"}, updated
        self.prober.script("page", 10.0)
        self.prober.script("memory", 10.0)


@asynccontextmanager
async def bench(databases: Databases, service: Service | None = None) -> AsyncIterator[Bench]:
    async with performing(databases, Script(services=(service or measured_shop(),))) as stage:
        prober = Scripted()
        benching = Benching(looks=3, pause_seconds=0.01, patience_seconds=5)
        stage.parts = replace(stage.parts, probers={"scripted": prober}, benching=benching)
        stage.metrics.script("shop", GOOD)
        reading = open_reader(parse_url(databases[0]))
        try:
            yield Bench(stage, BenchmarkDesk(stage.engine, SqlBenchmarks(reading), stage.parts), prober)
        finally:
            await reading.dispose()


def at_the_desk(databases: Databases, scene: Callable[[Bench], Awaitable[None]], **changes: Any) -> None:
    async def run() -> None:
        async with bench(databases, **changes) as made:
            await scene(made)
            assert await made.stage.flaws() == []

    asyncio.run(run())


def test_baselines_grow_by_healthy_runs_and_tell_what_got_worse(databases: Databases) -> None:
    async def scene(made: Bench) -> None:
        first = await made.desk.run("shop", SuiteName.SMOKE, "key:ada")
        assert first.outcome is RunOutcome.UNKNOWN
        assert first.trouble == ""
        await made.settle()
        assert (await made.desk.run("shop", SuiteName.SMOKE, "key:ada")).outcome is RunOutcome.PASSED
        made.prober.script("page", 30.0)
        made.prober.script("memory", 30.0)
        bad = await made.desk.run("shop", SuiteName.SMOKE, "key:ada")
        assert (bad.outcome, bad.looks, bad.trouble) == (RunOutcome.REGRESSED, 3, "page is 30, usually 10.1")
        assert [item.standing for item in bad.findings] == [Standing.WORSE, Standing.WORSE]
        # What is worse is not taken for usual, unless a person says so.
        updated = await made.desk.update("shop", ORDER)
        assert (dict(updated.taken), set(updated.left)) == ({}, {"page", "memory"})
        anew = await made.desk.update("shop", replace(ORDER, anew=True))
        assert anew.taken["page"].figures == (30.0,)
        assert anew.taken["page"].version == LEAST_RUNS + 1
        _, baselines, runs = await made.desk.shown("shop", 3)
        assert [item.probe for item in baselines] == ["memory", "page"]
        assert len(runs) == 3
        assert bad in await _runs(made)
        events = [entry.event for entry in await made.stage.reader.history("baseline:shop:page", 0, 99)]
        assert events == ["BaselineUpdated"] * LEAST_RUNS + ["BaselineRestarted"]

    at_the_desk(databases, scene)


async def _runs(made: Bench) -> Any:
    return (await made.desk.shown("shop", 99))[2]


def test_what_is_bad_once_is_looked_at_again(databases: Databases) -> None:
    async def scene(made: Bench) -> None:
        await made.settle()
        made.prober.asked.clear()
        made.prober.script("page", 30.0, Measurement(failed=True, note="fails"), 10.0)
        made.prober.script("memory", Unavailable("away"), RuntimeError("secret"), 10.0)
        run = await made.desk.run("shop", SuiteName.SMOKE, "key:ada")
        assert (run.outcome, run.looks) == (RunOutcome.PASSED, 3)
        assert made.prober.asked == ["page", "memory"] * 3
        made.prober.script("page", 10.0)
        made.prober.script("memory", RuntimeError("secret"))
        run = await made.desk.run("shop", SuiteName.SMOKE, "key:ada")
        assert [item.standing for item in run.findings] == [Standing.SOUND, Standing.UNKNOWN]
        assert run.findings[1].note == "its probe broke: RuntimeError"
        made.prober.script("page", "hang")
        run = await made.desk.run("shop", SuiteName.SMOKE, "key:ada")
        assert run.findings[0].note == "took longer than 0.3 s"
        assert run.outcome is RunOutcome.UNKNOWN
        made.prober.script("page", float("nan"))
        run = await made.desk.run("shop", SuiteName.SMOKE, "key:ada")
        assert run.findings[0].standing is Standing.UNKNOWN

    at_the_desk(databases, scene)


def test_only_verified_health_is_taken_in(databases: Databases) -> None:
    async def scene(made: Bench) -> None:
        made.stage.metrics.script("shop", BAD)
        refused = await made.desk.update("shop", ORDER)
        assert (dict(refused.taken), refused.refused) == (
            {},
            "its objectives are not met, or cannot be seen: error_ratio",
        )
        made.stage.metrics.script("shop", Unavailable("away"))
        assert "cannot be seen" in (await made.desk.update("shop", ORDER)).refused
        made.stage.metrics.script("shop", BAD)
        incident = await begin(made.stage)
        assert (await made.desk.update("shop", ORDER)).refused == f"incident {incident} of it is open"
        assert (await made.desk.shown("shop", 1))[1] == []

    at_the_desk(databases, scene)


def test_without_objectives_nothing_is_verified(databases: Databases) -> None:
    async def scene(made: Bench) -> None:
        assert "no objective" in (await made.desk.update("shop", ORDER)).refused

    at_the_desk(databases, scene, service=measured_shop(objectives=()))


def test_what_is_not_declared_is_refused(databases: Databases) -> None:
    async def scene(made: Bench) -> None:
        with pytest.raises(UnknownService):
            await made.desk.run("bank", SuiteName.SMOKE, "key:ada")
        with pytest.raises(InvalidRequest):
            await made.desk.run("shop", SuiteName.REGRESSION, "key:ada")
        lately = replace(ORDER, least_age=timedelta(hours=1))
        assert set((await made.desk.update("shop", lately)).taken) == {"page", "memory"}
        assert set((await made.desk.update("shop", lately)).left.values()) == {"it was updated lately"}

    at_the_desk(databases, scene)


def test_baselines_are_kept_by_the_way(databases: Databases) -> None:
    async def scene(made: Bench) -> None:
        keeping = asyncio.create_task(made.desk.keep(0.05))
        try:
            async with asyncio.timeout(10):
                while not (await made.desk.shown("shop", 1))[1]:  # noqa: ASYNC110 - another task writes it
                    await asyncio.sleep(0.02)
        finally:
            keeping.cancel()
        (entry, *_) = await made.stage.reader.history("baseline:shop:page", 0, 1)
        assert (entry.event, entry.actor) == ("BaselineUpdated", "penelope")

    at_the_desk(databases, scene)


# --- inside a story ---------------------------------------------------------------------------------------


@asynccontextmanager
async def telling(databases: Databases, prober: Scripted, answers: dict[str, str]) -> AsyncIterator[Any]:
    """An engine whose stories run a smoke suite, then a regression suite that is not declared."""
    async with AsyncExitStack() as stack:
        async with bench(databases) as made:
            await made.settle()
            parts = replace(
                made.stage.parts, services={"shop": measured_shop()}, probers={"scripted": prober}
            )
        stage = await stack.enter_async_context(_engine(databases))
        service = measured_shop()

        async def story(incident: str, _: str) -> str:
            told = await smoke(stage, parts, service, incident, "Restart", f"{incident}:smoke")
            if declares(parts, service.name, SuiteName.REGRESSION):
                told += await regression(stage, parts, service, incident, "all", f"{incident}:regression")
            answers[incident] = told
            return told

        await stage.launch(story)
        stack.push_async_callback(stage.stop)
        yield stage


@asynccontextmanager
async def _engine(databases: Databases) -> AsyncIterator[Engine]:
    writer = open_engine(parse_url(databases[0]))
    workflows = open_workflow_engine(parse_url(databases[1]))

    def transaction(connection: AsyncConnection) -> SqlTransaction:
        return SqlTransaction(connection, SystemClock().now())

    settings = EngineSettings(executor_id="test", poll_seconds=0.02, stop_seconds=1)
    try:
        yield Engine(writer, workflows, transaction, Heard(), settings)
    finally:
        workflows.dispose()
        await writer.dispose()


@pytest.mark.parametrize(
    ("figure", "told"),
    [
        (10.0, ""),
        (30.0, "its smoke benchmarks got worse: page is 30, usually 10.1"),
        (
            Measurement(failed=True, note="fails: it is out of reach"),
            "its smoke benchmarks got worse: page fails: it is out of reach",
        ),
        (None, ""),
    ],
)
def test_a_story_hears_what_got_worse(databases: Databases, figure: Any, told: str) -> None:
    async def run() -> None:
        prober, answers = Scripted(), dict[str, str]()
        prober.script("page", figure)
        async with telling(databases, prober, answers) as engine:
            await engine.start("inc_1", "shop")
            async with asyncio.timeout(15):
                while "inc_1" not in answers:  # noqa: ASYNC110 - the engine's task writes it
                    await asyncio.sleep(0.02)
        assert answers == {"inc_1": told}
        async with bench(databases) as made:
            units = await made.stage.reader.units("inc_1")
            assert [(unit.id, unit.kind) for unit in units] == [("inc_1:smoke", "benchmark")]
            assert await made.stage.flaws() == []

    asyncio.run(run())
