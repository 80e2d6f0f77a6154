"""Deployments: traffic goes over stage by stage, and back whatever happens."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from stage import PATIENCE_SECONDS, Stage, play, shop

from penelope.domain.analysis import AnalysisSpec, Mode, Otherwise, Thresholds
from penelope.domain.deployment import (
    Cause,
    Course,
    Deployment,
    DeploymentStatus,
    Order,
    fixed_split,
)
from penelope.domain.deployment import Stage as Step
from penelope.domain.halt import FLEET
from penelope.domain.rollout import RolloutLimits
from penelope.domain.service import Service
from penelope.domain.traffic import Affinity, Feature, Mirror, Pin
from penelope.errors import AlreadyDecided, InvalidRequest, UnknownDeployment, UnknownService
from penelope.flow.deploying import DEPLOY
from penelope.flow.deployments import NewDeployment, Word, resume
from penelope.flow.switching import HaltSwitch
from penelope.flow.switching import Order as Switch
from penelope.testing.counts import FakeCounter, Manner
from penelope.testing.routers import FakeRouter

ANALYSIS = AnalysisSpec(silence_seconds=60, limits=RolloutLimits(min_requests=10))
STAGES = (Step(weight=20, max_seconds=30), Step(weight=100, max_seconds=30))
Databases = tuple[str, str]


def course(**changes: Any) -> Course:
    plain = Course(canary="b", control="a", stages=STAGES, interval_seconds=0.05, analysis=ANALYSIS)
    return replace(plain, **changes)


async def start(stage: Stage, course_: Course | None = None, **changes: Any) -> Deployment:
    wanted = NewDeployment(service="shop", course=course_ or course(), actor="anna", reason="version 2")
    return await stage.deployments.start(replace(wanted, **changes))


async def until(stage: Stage, identifier: str, reached: Callable[[Deployment], bool]) -> Deployment:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            deployment = (await stage.deployments.shown(identifier)).deployment
            if reached(deployment):
                return deployment
            await asyncio.sleep(0.02)


def ended(deployment: Deployment) -> bool:
    return deployment.status.ended


def weights(stage: Stage) -> list[int]:
    """Those that the router was given for the canary, without repetitions."""
    given = [weights["b"] for _, weights in stage.router.history]
    return [weight for number, weight in enumerate(given) if number == 0 or given[number - 1] != weight]


async def events(stage: Stage, identifier: str) -> list[str]:
    return [entry.event for entry in await stage.deployments.history(identifier)]


def counter(stage: Stage) -> FakeCounter:
    assert isinstance(stage.parts.counter, FakeCounter)
    return stage.parts.counter


async def tell(stage: Stage, identifier: str, order: Order, at: int | None = None) -> Deployment:
    word = Word(order=order, actor="ben", reason="because", stage=at)
    return await stage.deployments.tell(identifier, word)


async def looked(stage: Stage, identifier: str, times: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await events(stage, identifier)).count("CanaryLooked") < times:  # noqa: ASYNC110 - the flow writes it
            await asyncio.sleep(0.02)


def play_on(databases: Databases, scene: Callable[[Stage], Awaitable[None]]) -> None:
    """One scene, after which history must be sound and the traffic free for the next."""

    async def sound(stage: Stage) -> None:
        await scene(stage)
        assert await stage.flaws() == []

    play(databases, sound)


def test_a_good_one_takes_all_traffic_and_tells_each_look(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        deployment = await until(stage, (await start(stage)).id, ended)
        assert (deployment.status, deployment.weight) == (DeploymentStatus.PROMOTED, 100)
        assert weights(stage) == [20, 100]
        told = await events(stage, deployment.id)
        assert told[:2] == ["RolloutBegun", "TrafficShifted"]
        assert told[-1] == "RolloutPromoted"
        history = await stage.deployments.history(deployment.id)
        looks: list[Any] = [entry.details["look"] for entry in history if entry.details.get("look")]
        assert looks[-1]["assessment"]["step"] == "promote"
        assert (await start(stage)).id != deployment.id  # the traffic is free again

    play_on(databases, scene)


def test_a_bad_one_loses_its_traffic(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        counter(stage).manners["b"] = Manner(error_ratio=0.5)
        deployment = await until(stage, (await start(stage)).id, ended)
        assert (deployment.status, deployment.cause) == (DeploymentStatus.ROLLED_BACK, Cause.WORSE)
        assert weights(stage) == [20, 0]
        assert "errors" in deployment.reason
        assert (await events(stage, deployment.id))[-1] == "RolloutRolledBack"

    play_on(databases, scene)


KAYENTAS_OWN = Thresholds()
KAYENTA = (Step(weight=20, min_seconds=1.0, max_seconds=30), Step(weight=100, max_seconds=30))


def by_kayenta(scores: Thresholds = KAYENTAS_OWN) -> Course:
    return course(stages=KAYENTA, analysis=replace(ANALYSIS, mode=Mode.KAYENTA, kayenta=scores))


def test_kayentas_judge_speaks_when_an_interval_is_over(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        deployment = await until(stage, (await start(stage, by_kayenta())).id, ended)
        assert (deployment.status, weights(stage)) == (DeploymentStatus.PROMOTED, [20, 100])
        history = await stage.deployments.history(deployment.id)
        looks: list[Any] = [entry.details["look"] for entry in history if entry.details.get("look")]
        first = [look["assessment"] for look in looks if look["weight"] == 20]
        assert [each["step"] for each in first[:-1]] == ["hold"] * (len(first) - 1)
        assert "Kayenta's judge: Pass" in first[-1]["reasons"][0]

    play_on(databases, scene)


def test_kayentas_judge_sends_a_worse_one_back(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        counter(stage).manners.update(a=Manner(seconds=0.02), b=Manner(seconds=0.2))
        begun = await start(stage, by_kayenta(Thresholds(passing=95.0, marginal=60.0)))
        deployment = await until(stage, begun.id, ended)
        assert (deployment.status, deployment.cause) == (DeploymentStatus.ROLLED_BACK, Cause.WORSE)
        assert "Kayenta's judge: Fail, 50 of 100" in deployment.reason
        assert "latency_p99 was classified as High" in deployment.reason

    play_on(databases, scene)


def test_a_shared_incident_is_not_blamed_on_the_canary(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        counter(stage).manners.update(a=Manner(error_ratio=0.3), b=Manner(error_ratio=0.3))
        begun = await start(stage)
        await looked(stage, begun.id, 20)
        assert (await stage.deployments.shown(begun.id)).deployment.weight == 20
        await tell(stage, begun.id, Order.CANCEL)
        assert (await until(stage, begun.id, ended)).status is DeploymentStatus.CANCELLED

    play_on(databases, scene)


@pytest.mark.parametrize("on_silence", [Otherwise.ROLLBACK, Otherwise.HOLD])
def test_a_source_that_is_away_never_promotes(databases: Databases, on_silence: Otherwise) -> None:
    async def scene(stage: Stage) -> None:
        counter(stage).out_of_reach = True
        begun = await start(
            stage, course(analysis=replace(ANALYSIS, silence_seconds=0.3, on_silence=on_silence))
        )
        if on_silence is Otherwise.ROLLBACK:
            deployment = await until(stage, begun.id, ended)
            assert (deployment.status, deployment.cause) == (DeploymentStatus.ROLLED_BACK, Cause.SILENCE)
            assert weights(stage) == [20, 0]
            return
        await looked(stage, begun.id, 15)
        assert (await stage.deployments.shown(begun.id)).deployment.weight == 20
        counter(stage).out_of_reach = False
        assert (await until(stage, begun.id, ended)).status is DeploymentStatus.PROMOTED

    play_on(databases, scene)


def test_a_pause_holds_a_good_one_and_not_a_rollback(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        begun = await start(stage)
        await tell(stage, begun.id, Order.PAUSE)
        await looked(stage, begun.id, 8)
        assert (await stage.deployments.shown(begun.id)).deployment.weight == 20
        counter(stage).manners["b"] = Manner(error_ratio=0.5)
        assert (await until(stage, begun.id, ended)).status is DeploymentStatus.ROLLED_BACK
        with pytest.raises(AlreadyDecided):
            await tell(stage, begun.id, Order.RESUME)

    play_on(databases, scene)


def test_a_person_leads_a_fixed_split_by_hand(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        begun = await start(stage, course(stages=fixed_split(50)))
        waiting = await until(stage, begun.id, lambda found: found.awaits == "promotion")
        assert waiting.weight == 50
        await tell(stage, begun.id, Order.STEP, at=0)
        await until(stage, begun.id, ended)
        with pytest.raises(AlreadyDecided):
            await tell(stage, begun.id, Order.STEP, at=0)
        assert weights(stage) == [50, 100]

    play_on(databases, scene)


def test_a_step_that_is_sent_twice_is_one(databases: Databases) -> None:
    stages = tuple(Step(weight=weight, manual=True) for weight in (10, 20, 30))

    async def scene(stage: Stage) -> None:
        begun = await start(stage, course(stages=stages))
        for _ in range(3):
            stepped = await tell(stage, begun.id, Order.STEP, at=0)
            assert stepped.stage == 1
        await tell(stage, begun.id, Order.ABORT)
        assert (await until(stage, begun.id, ended)).cause is Cause.PERSON
        await tell(stage, begun.id, Order.ABORT)
        assert (await events(stage, begun.id)).count("RolloutAborted") == 1

    play_on(databases, scene)


def test_a_new_revision_begins_anew(databases: Databases) -> None:
    stages = tuple(Step(weight=weight, manual=weight == 50) for weight in (10, 50, 100))

    async def scene(stage: Stage) -> None:
        begun = await start(stage, course(stages=stages), revision="1")
        await until(stage, begun.id, lambda found: found.awaits == "promotion")
        revised = await stage.deployments.revise(begun.id, "2", "ben", "mended")
        assert (revised.stage, revised.wanted, revised.epoch) == (0, 10, 1)
        await until(stage, begun.id, lambda found: found.awaits == "promotion" and found.epoch == 1)
        assert weights(stage) == [10, 50, 10, 50]
        await tell(stage, begun.id, Order.PROMOTE)
        assert (await until(stage, begun.id, ended)).status is DeploymentStatus.PROMOTED

    play_on(databases, scene)


def test_one_rollout_has_the_traffic_of_a_service_and_keys_make_it_once(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        first = await start(stage, course(stages=fixed_split(5)), key="v2")
        assert (await start(stage, course(stages=fixed_split(5)), key="v2")).id == first.id
        with pytest.raises(InvalidRequest):
            await start(stage, key="v2")
        with pytest.raises(AlreadyDecided, match=first.id):
            await start(stage)
        assert [item.id for item in await stage.deployments.page(active=True)] == [first.id]
        await tell(stage, first.id, Order.CANCEL)
        await until(stage, first.id, ended)
        assert await stage.deployments.page(active=True) == []
        assert await stage.deployments.page(service="shop", active=False) != []
        assert await stage.deployments.page(service="other") == []

    play_on(databases, scene)


def test_what_cannot_be_is_refused(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        with pytest.raises(InvalidRequest, match="no arm 'c'"):
            await start(stage, course(canary="c"))
        with pytest.raises(UnknownService):
            await start(stage, service="nobody")
        with pytest.raises(InvalidRequest, match="in force"):
            await start(stage, patch="inc_1:step")
        with pytest.raises(UnknownDeployment):
            await tell(stage, "deployment_1", Order.PAUSE)
        assert await stage.deployments.page() == []

    play_on(databases, scene)


@pytest.mark.parametrize("text", ["a\0b", "a\x1b[2Jb", "a\x9b2Jb", "a\x7fb", "a\rb", "a\ud800b"])
def test_a_text_with_control_characters_is_refused_and_changes_nothing(
    databases: Databases, text: str
) -> None:
    async def scene(stage: Stage) -> None:
        given = ("reason", "actor", "revision", "patch", "key")
        for name in given:
            with pytest.raises(InvalidRequest, match=f"the {name} of a deployment") as caught:
                await start(stage, **{name: text})
            assert text not in caught.value.message
            assert "NUL" in caught.value.advice
        assert await stage.deployments.page() == []
        begun = await start(
            stage, course(stages=fixed_split(30)), reason="two\n\tlines, \u00e4 \u202f\U0001f9f5"
        )
        await until(stage, begun.id, lambda found: found.weight == 30)
        before = await events(stage, begun.id)
        with pytest.raises(InvalidRequest, match="reason"):
            await stage.deployments.tell(begun.id, Word(order=Order.CANCEL, actor="ben", reason=text))
        with pytest.raises(InvalidRequest, match="reason"):
            await stage.deployments.revise(begun.id, "v3", "ben", text)
        with pytest.raises(InvalidRequest, match="revision"):
            await stage.deployments.revise(begun.id, text, "ben", "because")
        assert set(await events(stage, begun.id)) <= {*before, "CanaryLooked"}
        await tell(stage, begun.id, Order.CANCEL)
        await until(stage, begun.id, ended)

    play_on(databases, scene)


def test_the_newest_entries_of_a_history_are_told_in_order(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        begun = await start(stage)
        await until(stage, begun.id, ended)
        history = await stage.deployments.history(begun.id)
        assert len(history) > 5
        assert await stage.deployments.history(begun.id, limit=3, newest=True) == history[-3:]
        assert await stage.deployments.history(begun.id, history[-2].version, newest=True) == history[-1:]
        assert await stage.deployments.history(begun.id, newest=True) == history

    play_on(databases, scene)


def test_a_halt_takes_the_traffic_away(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        begun = await start(stage, course(stages=fixed_split(30)))
        await until(stage, begun.id, lambda found: found.weight == 30)
        switch = HaltSwitch(stage.engine, stage.parts.services, list)
        await switch.open(Switch(scope=FLEET, actor="ben", reason="stop"))
        deployment = await until(stage, begun.id, ended)
        assert (deployment.status, deployment.cause) == (DeploymentStatus.ROLLED_BACK, Cause.HALT)

    play_on(databases, scene)


def test_a_router_that_is_away_is_asked_until_the_traffic_is_back(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        begun = await start(stage, course(stages=fixed_split(30)))
        await until(stage, begun.id, lambda found: found.weight == 30)
        stage.router.out_of_reach = True
        await tell(stage, begun.id, Order.ABORT)
        stuck = await until(stage, begun.id, lambda found: found.tries >= 2)
        assert (stuck.status, stuck.wanted, stuck.moving) == (DeploymentStatus.ROLLING_BACK, 0, True)
        stage.router.out_of_reach = False
        assert (await until(stage, begun.id, ended)).weight == 0
        assert weights(stage)[-1] == 0

    play_on(databases, scene)


def test_mirror_pin_and_affinity_are_there_for_the_time_of_the_rollout(databases: Databases) -> None:
    beside = {
        "mirror": Mirror(arm="b", percent=5),
        "pin": Pin(arm="b", value="yes", header="X-Canary"),
        "affinity": Affinity(cookie="arm"),
    }

    async def scene(stage: Stage) -> None:
        begun = await start(stage, course(stages=fixed_split(30), **beside))
        await until(stage, begun.id, lambda found: found.awaits == "promotion")
        given = [extra for _, order in stage.router.orders for extra in order.extras.values()]
        assert set(beside.values()) <= set(given)
        await tell(stage, begun.id, Order.CANCEL)
        await until(stage, begun.id, ended)
        taken = {feature for feature, extra in stage.router.orders[-1][1].extras.items() if extra is None}
        assert taken == set(Feature)
        assert (await events(stage, begun.id))[-1] == "RolloutCancelled"

    play_on(databases, scene)


def test_one_whose_chapter_was_never_begun_or_broke_off_is_gone_on_with(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        begun = await start(stage, course(stages=fixed_split(30)))
        await until(stage, begun.id, lambda found: found.weight == 30)
        reader = stage.deployments._deployments
        await resume(stage.engine, reader)
        await resume(stage.engine, reader)
        await stage.engine.begin(DEPLOY, begun.id, begun.id, None)
        await tell(stage, begun.id, Order.PROMOTE)
        assert (await until(stage, begun.id, ended)).status is DeploymentStatus.PROMOTED
        assert (await events(stage, begun.id)).count("RolloutPromoted") == 1

    play_on(databases, scene)


class SlowToSettle(FakeRouter):
    """Waits with the last of a deployment until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.settling = asyncio.Event()
        self.go_on = asyncio.Event()

    async def finalise(self, service: Service) -> None:
        self.settling.set()
        await self.go_on.wait()
        await super().finalise(service)


def test_an_abort_overtakes_the_last_of_a_promotion(databases: Databases) -> None:
    router = SlowToSettle()

    async def scene(stage: Stage) -> None:
        begun = await start(stage, course(stages=fixed_split(30)))
        await until(stage, begun.id, lambda found: found.weight == 30)
        await tell(stage, begun.id, Order.PROMOTE)
        await asyncio.wait_for(router.settling.wait(), PATIENCE_SECONDS)
        assert (await tell(stage, begun.id, Order.ABORT)).status is DeploymentStatus.ROLLING_BACK
        router.go_on.set()
        assert (await until(stage, begun.id, ended)).status is DeploymentStatus.ROLLED_BACK
        assert weights(stage) == [30, 100, 0]
        told = await events(stage, begun.id)
        assert "RolloutPromoted" not in told
        assert told[-1] == "RolloutRolledBack"
        assert (await start(stage)).id != begun.id

    play(databases, scene, router=router)


def test_many_go_on_side_by_side(databases: Databases) -> None:
    names = [f"shop-{number}" for number in range(8)]

    async def scene(stage: Stage) -> None:
        # It is how many go on at once that counts, not how sure each verdict is.
        quick = course(analysis=replace(ANALYSIS, negligible_error_ratio=0.05))
        for name in names:
            await start(stage, quick, service=name)
        counter(stage).manners["b"] = Manner(error_ratio=0.0)
        for deployment in await stage.deployments.page(limit=50):
            assert (await until(stage, deployment.id, ended)).status is DeploymentStatus.PROMOTED

    async def sound(stage: Stage) -> None:
        await scene(stage)
        assert await stage.flaws() == []

    play(databases, sound, services=[replace(shop(), name=name) for name in names])
