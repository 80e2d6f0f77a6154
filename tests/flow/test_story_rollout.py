"""The part of the story in which traffic moves, and in which incidents wait for each other."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from stage import (
    BAD,
    DECIDE,
    GOOD,
    PATIENCE_SECONDS,
    Moody,
    Stage,
    begin,
    canary,
    healthy,
    play,
    playbook,
    shop,
    signal,
    step,
)

from penelope.domain.deployment import Cause, Deployment, DeploymentStatus, Order
from penelope.domain.incident import IncidentState
from penelope.domain.plan import Match
from penelope.domain.service import Service
from penelope.errors import Unavailable
from penelope.flow.deployments import NewDeployment, Word
from penelope.testing.actions import FakeAction
from penelope.testing.counts import FakeCounter, Manner
from penelope.testing.routers import FakeRouter

Databases = tuple[str, str]

WORSE = {"a": Manner(), "b": Manner(error_ratio=0.5)}


async def ended(stage: Stage, incident: str) -> tuple[IncidentState, str]:
    state = (await stage.until(incident)).state
    (found,) = [item for item in await stage.reader.units(incident) if item.kind == "outcome"]
    return state, str(found.attributes["reason"])


async def rollout_of(stage: Stage, incident: str) -> Deployment:
    (found,) = [item for item in await stage.reader.units(incident) if item.kind == "deployment"]
    return (await stage.deployments.shown(found.id)).deployment


def counter(stage: Stage) -> FakeCounter:
    assert isinstance(stage.parts.counter, FakeCounter)
    return stage.parts.counter


async def until_it_has(stage: Stage, incident: str, reached: Callable[[Deployment], bool]) -> Deployment:
    await stage.heard_of(incident, "RolloutBegun")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not reached(found := await rollout_of(stage, incident)):  # noqa: ASYNC110 - another task writes it
            await asyncio.sleep(0.02)
    return found


def test_a_good_canary_gets_all_traffic_step_by_step(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, GOOD)
        incident = await begin(stage)
        state, _ = await ended(stage, incident)
        assert state is IncidentState.HEALED
        weights = [weights for _, weights in stage.router.history]
        assert weights == [{"a": 90, "b": 10}, {"a": 60, "b": 40}, {"a": 0, "b": 100}]
        assert adapter.history == ["do first", "do after"]
        events = await stage.events(incident)
        # At least two looks a step: from one alone nobody can say what happened.
        assert events.count("CanaryLooked") >= 6
        assert events.index("TrafficHandedOver") < events.index("RolloutPromoted")
        assert events.index("RolloutPromoted") < len(events) - events[::-1].index("ActionStarted")
        assert (await rollout_of(stage, incident)).status is DeploymentStatus.PROMOTED
        assert await stage.flaws() == []

    adapter = Moody({})
    book = playbook(
        steps=(step("first"),), rollout=canary(steps=(10, 40, 100)), after=(step("after", "two"),)
    )
    play(databases, scene, playbooks=[book], adapter=adapter)


def test_a_bad_canary_loses_its_traffic_and_what_was_done_is_taken_back(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        counter(stage).manners.update(WORSE)
        incident = await begin(stage)
        state, reason = await ended(stage, incident)
        assert state is IncidentState.ESCALATED
        assert "errors are more frequent" in reason
        assert reason.endswith("what was done has been taken back")
        weights = [weights for _, weights in stage.router.history]
        assert weights == [{"a": 90, "b": 10}, {"a": 100, "b": 0}]
        assert adapter.history == ["do first", "do second", "undo second", "undo first"]
        rollout = await rollout_of(stage, incident)
        assert (rollout.status, rollout.cause) == (DeploymentStatus.ROLLED_BACK, Cause.WORSE)
        assert "VerificationBegun" not in await stage.events(incident)

    adapter = Moody({})
    book = playbook(rollout=canary(), after=(step("after"),), steps=(step("first"), step("second", "two")))
    play(databases, scene, playbooks=[book], adapter=adapter)


def test_a_canary_that_nobody_can_see_is_rolled_back(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        counter(stage).out_of_reach = True
        incident = await begin(stage)
        state, reason = await ended(stage, incident)
        assert state is IncidentState.ESCALATED
        assert "no figures of the canary, for " in reason
        # Each look is history, though the one says the same as the other.
        assert (await stage.events(incident)).count("CanaryLooked") > 1
        assert stage.router.history[-1] == ("shop", {"a": 100, "b": 0})
        assert (await rollout_of(stage, incident)).cause is Cause.SILENCE

    play(databases, scene, playbooks=[playbook(rollout=canary(max_seconds=1))])


def test_what_neither_arm_can_help_holds_the_canary_only_for_a_while(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        counter(stage).manners.update(a=Manner(error_ratio=0.3), b=Manner(error_ratio=0.3))
        incident = await begin(stage)
        state, reason = await ended(stage, incident)
        assert state is IncidentState.ESCALATED
        assert reason.startswith("no verdict in its time; shared incident")
        assert (await rollout_of(stage, incident)).status is DeploymentStatus.CANCELLED
        assert stage.router.history[-1] == ("shop", {"a": 100, "b": 0})

    # A story that waits is woken at the end of its rollout, and looks after it by itself.
    play(databases, scene, playbooks=[playbook(rollout=canary(max_seconds=0.5))])


def test_people_may_speak_to_the_canary_of_a_playbook(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        rollout = await until_it_has(stage, incident, lambda found: found.awaits == "promotion")
        abort = Word(order=Order.ABORT, actor="anna", reason="I see what it cannot")
        await stage.deployments.tell(rollout.id, abort)
        state, reason = await ended(stage, incident)
        assert (state, reason.split(";")[0]) == (IncidentState.ESCALATED, "I see what it cannot")
        assert (await rollout_of(stage, incident)).cause is Cause.PERSON
        assert stage.adapter.world == {}

    play(databases, scene, playbooks=[playbook(rollout=canary(manual=True))])


def test_a_playbook_does_not_take_traffic_that_another_rollout_has(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        other = NewDeployment(service="shop", course=canary(manual=True), actor="anna")
        begun = await stage.deployments.start(other)
        incident = await begin(stage)
        state, reason = await ended(stage, incident)
        assert state is IncidentState.ESCALATED
        assert reason.startswith(f"the traffic of 'shop' is held by {begun.id}")
        assert not (await stage.deployments.shown(begun.id)).deployment.status.ended
        assert stage.adapter.world == {}

    play(databases, scene, playbooks=[playbook(rollout=canary())])


class Unreachable(FakeRouter):
    """Gives the canary its first traffic, and is away from then on until it is told to come back."""

    def __init__(self) -> None:
        super().__init__()
        self.back = False

    async def set_weights(self, service: Service, weights: Mapping[str, int]) -> None:
        if weights["b"] != 10 and not self.back:
            raise Unavailable("the router is away")
        await super().set_weights(service, weights)


def test_a_router_out_of_reach_is_said_loudly_and_asked_until_it_obeys(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        counter(stage).manners.update(WORSE)
        incident = await begin(stage)
        state, reason = await ended(stage, incident)
        assert state is IncidentState.ESCALATED
        assert "; and its traffic of 10 % could not be taken away" in reason
        assert (await stage.events(incident)).count("RolloutStuck") == 1
        # The rest is taken back all the same.
        assert stage.adapter.world == {}
        router.back = True
        rollout = await until_it_has(stage, incident, lambda found: found.status.ended)
        assert (rollout.status, rollout.weight) == (DeploymentStatus.ROLLED_BACK, 0)
        assert router.history[-1] == ("shop", {"a": 100, "b": 0})

    router = Unreachable()
    play(databases, scene, playbooks=[playbook(rollout=canary())], router=router)


class Stubborn(FakeRouter):
    """Gives the canary some traffic, but not all."""

    async def set_weights(self, service: Service, weights: Mapping[str, int]) -> None:
        if weights["b"] == 100:
            raise Unavailable("the router does not obey")
        await super().set_weights(service, weights)


def test_traffic_that_cannot_be_shifted_further_is_taken_away(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        state, reason = await ended(stage, incident)
        assert state is IncidentState.ESCALATED
        assert reason.startswith("traffic could not be shifted: the router does not obey")
        assert (await rollout_of(stage, incident)).cause is Cause.ROUTER
        assert stage.router.history[-1] == ("shop", {"a": 100, "b": 0})

    play(databases, scene, playbooks=[playbook(rollout=canary())], router=Stubborn())


class Watchful(FakeAction):
    """Holds the most actions that were ever in the air together."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0

    async def execute(self, action, snapshot):
        self.now += 1
        self.most = max(self.now, self.most)
        try:
            await asyncio.sleep(0.05)
            return await super().execute(action, snapshot)
        finally:
            self.now -= 1


def test_one_service_is_mended_by_one_incident_at_a_time(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD)
        stage.metrics.script("bakery", BAD)
        receipt = await stage.commands.receive_signals(
            [signal(number, name=f"Broken{number}") for number in range(4)]
            + [signal(9, service="bakery", name="Stale")]
        )
        for incident in receipt.opened:
            await stage.until(incident, IncidentState.VERIFYING, IncidentState.OBSERVING)
        states = [(await stage.reader.incident(incident)).state for incident in receipt.opened]
        assert states.count(IncidentState.VERIFYING) == 2  # one of each service
        stage.metrics.script("shop", GOOD)
        stage.metrics.script("bakery", GOOD)
        for incident in receipt.opened:
            assert (await stage.until(incident)).state is IncidentState.HEALED
        assert adapter.most <= 2
        assert await stage.flaws() == []

    adapter = Watchful()
    bakery = shop()
    targets = {name: replace(target, service="bakery") for name, target in bakery.targets.items()}
    bakery = replace(bakery, name="bakery", targets=targets, objectives=())
    play(
        databases,
        scene,
        # Without objectives those that wait act although the service is well by then; with them they would ask.
        services=[replace(shop(), objectives=()), bakery],
        playbooks=[playbook(match=Match(), verify=healthy(10), steps=(step("first"),))],
        adapter=adapter,
        decide=replace(DECIDE, recheck_seconds=0.1, confidence_floor=0.2),
    )
