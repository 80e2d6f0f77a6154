"""Calibrations: a comparison of two arms that are alike, what it teaches, and who goes by it afterwards."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from sqlalchemy import update
from stage import PATIENCE_SECONDS, Script, Stage, performing, play

from penelope.domain.analysis import AnalysisSpec, Noise, Otherwise, Tempering
from penelope.domain.calibration import FRESH_SECONDS
from penelope.domain.counts import Series, Totals
from penelope.domain.deployment import Cause, Course, Deployment, DeploymentStatus, Order, alike, fixed_split
from penelope.domain.rollout import RolloutLimits
from penelope.domain.service import Service
from penelope.errors import AlreadyDecided, InvalidRequest, Unavailable
from penelope.flow.deployments import NewDeployment, Word, resume
from penelope.flow.noise import KIND, unit_of
from penelope.kit.clock import SystemClock
from penelope.rooms.rollout.lesson import Lesson
from penelope.store.tables import units_of_work
from penelope.testing.routers import FakeRouter

Databases = tuple[str, str]
ANALYSIS = AnalysisSpec(silence_seconds=60, limits=RolloutLimits(min_requests=10, max_error_ratio=0.2))
CALIBRATION = Course(
    canary="b", control="a", stages=alike(900), calibrates=True, interval_seconds=0.05, analysis=ANALYSIS
)
ROLLOUT = replace(CALIBRATION, stages=fixed_split(20), calibrates=False)


class Halves:
    """Two arms that fail with bad looks of their own; its own clock goes on by `seconds` a look, so that half an hour
    is over soon.
    """

    def __init__(self, *, errors: float = 0.02, seconds: float = 30.0) -> None:
        self.errors = errors
        self.out_of_reach = False
        self.seconds = seconds
        self._looks = 0
        self._chance = Random(5)
        self._arms = {"a": (0, 0), "b": (0, 0)}

    async def totals(self, service: Service) -> Totals:
        del service
        if self.out_of_reach:
            raise Unavailable("the source of counts is out of reach, as it was told to")
        self._looks += 1
        for arm, (requests, errors) in self._arms.items():
            bad = self._chance.choice((0.2, 1.0, 1.8))
            self._arms[arm] = (requests + 1000, errors + round(1000 * self.errors * bad))
        at = datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=self.seconds * self._looks)
        arms = {
            arm: {"1": Series(requests=requests, errors=errors, buckets={"0.1": requests, "+Inf": requests})}
            for arm, (requests, errors) in self._arms.items()
        }
        return Totals(at=at, arms=arms)


class LaterClock(SystemClock):
    """Shows a time that the test may push on."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


async def start(stage: Stage, course: Course = CALIBRATION, **changes: str) -> Deployment:
    wanted = NewDeployment(service="shop", course=course, actor="anna", reason="because")
    return await stage.deployments.start(replace(wanted, **changes))  # type: ignore[arg-type] # only texts are changed


async def until(stage: Stage, identifier: str, reached: Callable[[Deployment], bool]) -> Deployment:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not reached(found := (await stage.deployments.shown(identifier)).deployment):  # noqa: ASYNC110 - the flow moves it
            await asyncio.sleep(0.02)
    return found


async def over(stage: Stage, identifier: str) -> Deployment:
    return await until(stage, identifier, lambda found: found.status.ended)


async def say(stage: Stage, identifier: str, order: Order) -> Deployment:
    return await stage.deployments.tell(identifier, Word(order=order, actor="ben", reason="because"))


async def kept_noise(stage: Stage) -> list[str]:
    """The events of what is kept of the shop's noise."""
    return [entry.event for entry in await stage.deployments.history(unit_of("shop"))]


def weights(stage: Stage) -> list[int]:
    return [weight for weight, _ in itertools.groupby(given["b"] for _, given in stage.router.history)]


def test_what_a_calibration_learned_tempers_the_rollouts_after_it(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        first = await start(stage, ROLLOUT)
        assert first.learned is None
        assert "no noise was ever learned" in first.noise
        await say(stage, first.id, Order.CANCEL)
        await over(stage, first.id)
        began = await start(stage, key="once")
        assert (await start(stage, key="once")).id == began.id
        ended = await over(stage, began.id)
        assert (ended.status, ended.weight, ended.cause) == (DeploymentStatus.CONCLUDED, 0, None)
        assert weights(stage)[-2:] == [50, 0]
        learned = ended.learned
        assert learned is not None
        assert (learned.deployment, learned.seconds, learned.requests) == (began.id, 900.0, 60_000.0)
        assert learned.tempering.errors.factor > 2.0
        assert learned.errors
        assert ended.reason == learned.words
        history = await stage.deployments.history(began.id)
        assert history[-1].event == "RolloutConcluded"
        assert await kept_noise(stage) == ["NoiseLearned"]
        later = await start(stage, ROLLOUT)
        assert later.learned == learned
        assert later.tempering == learned.tempering
        assert began.id in later.noise
        assert (await stage.deployments.history(later.id))[0].details["noise"] == later.noise
        await say(stage, later.id, Order.CANCEL)
        await over(stage, later.id)
        for course in (
            replace(ROLLOUT, learned_noise=False),
            replace(ROLLOUT, analysis=replace(ANALYSIS, tempering=Tempering(errors=Noise(factor=3.0)))),
        ):
            own = await start(stage, course)
            assert own.learned is None
            assert own.tempering == course.analysis.tempering
            assert "as the course says" in own.noise
            await say(stage, own.id, Order.CANCEL)
            await over(stage, own.id)
        assert await stage.flaws() == []

    play(databases, scene, counter=Halves())


def test_noise_that_was_learned_saves_a_good_one_from_a_false_rollback(databases: Databases) -> None:
    """Both arms are as good; each has bad looks of its own, which the plain test takes for a fault."""

    async def scene(stage: Stage) -> None:
        blind = await over(stage, (await start(stage, ROLLOUT)).id)
        assert (blind.status, blind.cause) == (DeploymentStatus.ROLLED_BACK, Cause.WORSE)
        await over(stage, (await start(stage)).id)
        knowing = await start(stage, ROLLOUT)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                kept = await stage.deployments.shown(knowing.id)
                assert kept.deployment.status is DeploymentStatus.PROGRESSING, kept.deployment.reason
                if kept.memory.analysis is not None and kept.memory.analysis.elapsed >= 1800:
                    break
                await asyncio.sleep(0.02)
        await say(stage, knowing.id, Order.CANCEL)
        await over(stage, knowing.id)

    play(databases, scene, counter=Halves())


def test_a_broken_limit_ends_it_and_teaches_nothing(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        ended = await over(stage, (await start(stage)).id)
        assert (ended.status, ended.cause, ended.weight) == (
            DeploymentStatus.ROLLED_BACK,
            Cause.WORSE,
            0,
        )
        assert "breaks a limit" in ended.reason
        assert await kept_noise(stage) == []

    play(databases, scene, counter=Halves(errors=0.5))


def test_noise_that_would_condemn_a_canary_does_not_end_a_calibration(databases: Databases) -> None:
    """The comparison has no say: here one arm is clearly worse than the other, and both keep the limits."""

    class OneWorse(Halves):
        async def totals(self, service: Service) -> Totals:
            found = await super().totals(service)
            b = found.arms["b"]["1"]
            worse = replace(b, errors=float(round(b.requests * 0.05)))
            return replace(found, arms={**found.arms, "b": {"1": worse}})

    async def scene(stage: Stage) -> None:
        ended = await over(stage, (await start(stage)).id)
        assert ended.status is DeploymentStatus.CONCLUDED
        assert ended.learned is not None
        assert ended.learned.tempering.errors.factor > 10

    play(databases, scene, counter=OneWorse())


@pytest.mark.parametrize("on_silence", [Otherwise.ROLLBACK, Otherwise.HOLD])
def test_a_source_that_is_away_is_never_learned_from(databases: Databases, on_silence: Otherwise) -> None:
    source = Halves()
    source.out_of_reach = True

    async def scene(stage: Stage) -> None:
        analysis = replace(ANALYSIS, silence_seconds=0.3, on_silence=on_silence)
        began = await start(stage, replace(CALIBRATION, analysis=analysis))
        if on_silence is Otherwise.ROLLBACK:
            ended = await over(stage, began.id)
            assert (ended.status, ended.cause) == (DeploymentStatus.ROLLED_BACK, Cause.SILENCE)
        else:
            await asyncio.sleep(0.6)
            kept = await stage.deployments.shown(began.id)
            assert (kept.deployment.weight, kept.memory.lesson) == (50, Lesson())
            await say(stage, began.id, Order.ABORT)
            assert (await over(stage, began.id)).cause is Cause.PERSON
        assert await kept_noise(stage) == []

    play(databases, scene, counter=source)


def test_too_little_is_said_and_does_not_replace_what_was_learned(databases: Databases) -> None:
    source = Halves()

    async def scene(stage: Stage) -> None:
        learned = (await over(stage, (await start(stage)).id)).learned
        source.errors = 0.0
        second = await over(
            stage,
            (await start(stage, replace(CALIBRATION, analysis=replace(ANALYSIS, latency=False)))).id,
        )
        assert second.status is DeploymentStatus.CONCLUDED
        assert "errors: too little was seen" in second.reason
        assert await kept_noise(stage) == ["NoiseLearned"]
        assert (await start(stage, ROLLOUT)).learned == learned

    play(databases, scene, counter=source)


def test_the_first_one_that_taught_nothing_is_told_to_those_after_it(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        await over(
            stage, (await start(stage, replace(CALIBRATION, analysis=replace(ANALYSIS, latency=False)))).id
        )
        assert await kept_noise(stage) == ["NoiseNotLearned"]
        later = await start(stage, ROLLOUT)
        assert later.learned is None
        assert "too little was seen" in later.noise

    play(databases, scene, counter=Halves(errors=0.0))


def test_what_is_stale_is_not_used_and_said(databases: Databases) -> None:
    clock = LaterClock()

    async def scene(stage: Stage) -> None:
        await over(stage, (await start(stage)).id)
        clock.ahead = timedelta(seconds=FRESH_SECONDS + 60)
        later = await start(stage, ROLLOUT)
        assert later.learned is None
        assert "older than 30 days" in later.noise

    play(databases, scene, counter=Halves(), clock=clock)


def test_nobody_gives_a_calibration_more_traffic_or_another_revision(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        began = await start(stage)
        for order in (Order.STEP, Order.PROMOTE):
            with pytest.raises(InvalidRequest, match="calibration"):
                await say(stage, began.id, order)
        with pytest.raises(InvalidRequest, match="run the same"):
            await stage.deployments.revise(began.id, "v3", "ben", "mended")
        with pytest.raises(InvalidRequest, match="patch"):
            await start(stage, patch="inc_1:step")
        with pytest.raises(AlreadyDecided):
            await start(stage, ROLLOUT)
        await say(stage, began.id, Order.PAUSE)
        await until(stage, began.id, lambda found: found.paused)
        await asyncio.sleep(0.3)
        assert (await stage.deployments.shown(began.id)).deployment.weight == 50
        await say(stage, began.id, Order.CANCEL)
        assert (await over(stage, began.id)).status is DeploymentStatus.CANCELLED
        assert weights(stage) == [50, 0]
        assert await kept_noise(stage) == []

    play(databases, scene, counter=Halves(seconds=1.0))


def test_one_that_is_killed_goes_on_with_what_it_had_seen(databases: Databases) -> None:
    """Another process takes up the lesson where it stands in the ledger, and ends it once."""
    source, router = Halves(), FakeRouter()
    script = Script(counter=source, router=router)

    async def scene() -> None:
        async with performing(databases, script) as stage:
            began = await start(stage)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    lesson = (await stage.deployments.shown(began.id)).memory.lesson
                    if lesson is not None and lesson.seconds >= 120:
                        break
                    await asyncio.sleep(0.02)
        async with performing(databases, script) as stage:
            kept = await stage.deployments.shown(began.id)
            assert kept.memory.lesson is not None
            assert kept.memory.lesson.seconds >= lesson.seconds
            await resume(stage.engine, stage.deployments._deployments)
            ended = await over(stage, began.id)
            assert ended.status is DeploymentStatus.CONCLUDED
            assert ended.learned is not None
            assert ended.learned.seconds == 900.0
            assert await kept_noise(stage) == ["NoiseLearned"]
            assert await stage.flaws() == []

    asyncio.run(scene())


class DiesAtTheEnd(FakeRouter):
    """Breaks off, at first, when it has taken what served the comparison away."""

    def __init__(self) -> None:
        super().__init__()
        self.finalised = asyncio.Event()
        self.dies = True

    async def finalise(self, service: Service) -> None:
        await super().finalise(service)
        self.finalised.set()
        if self.dies:
            await asyncio.Event().wait()


def test_one_that_is_killed_between_its_traffic_and_its_record_is_recorded_once(databases: Databases) -> None:
    source, router = Halves(), DiesAtTheEnd()
    script = Script(counter=source, router=router)

    async def scene() -> None:
        async with performing(databases, script) as stage:
            began = await start(stage)
            await asyncio.wait_for(router.finalised.wait(), PATIENCE_SECONDS)
            concluding = (await stage.deployments.shown(began.id)).deployment
            assert (concluding.status, concluding.weight) == (DeploymentStatus.CONCLUDING, 0)
            assert await kept_noise(stage) == []
            with pytest.raises(AlreadyDecided):
                await say(stage, began.id, Order.ABORT)
        router.dies = False
        async with performing(databases, script) as stage:
            await resume(stage.engine, stage.deployments._deployments)
            assert (await over(stage, began.id)).status is DeploymentStatus.CONCLUDED
            assert await kept_noise(stage) == ["NoiseLearned"]
            events = [entry.event for entry in await stage.deployments.history(began.id)]
            assert events.count("RolloutConcluded") == 1

    asyncio.run(scene())


def test_what_was_tampered_with_is_not_used_and_said(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        await over(stage, (await start(stage)).id)

        forged = update(units_of_work).where(units_of_work.c.kind == KIND)
        async with stage.database.begin() as connection:
            await connection.execute(forged.values(status="too_little"))
        later = await start(stage, ROLLOUT)
        assert later.learned is None
        assert "cannot be read" in later.noise
        await say(stage, later.id, Order.CANCEL)
        await over(stage, later.id)
        again = await over(stage, (await start(stage)).id)
        assert again.status is DeploymentStatus.CONCLUDED
        assert "is not kept" in again.reason

    play(databases, scene, counter=Halves())
