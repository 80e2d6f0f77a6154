"""The part of the story in which traffic moves, and in which incidents wait for each other."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from stage import (
    BAD,
    DECIDE,
    GOOD,
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

from penelope.domain.incident import IncidentState
from penelope.domain.plan import Match
from penelope.domain.service import Service
from penelope.errors import Unavailable
from penelope.testing.actions import FakeAction
from penelope.testing.metrics import Figures, figures
from penelope.testing.routers import FakeRouter

Databases = tuple[str, str]

WORSE = Figures(arms={"a": figures(100, 0), "b": figures(100, 50)})
"""Only the canary does badly."""


async def ended(stage: Stage, incident: str) -> tuple[IncidentState, str]:
    state = (await stage.until(incident)).state
    (found,) = [item for item in await stage.reader.units(incident) if item.kind == "outcome"]
    return state, str(found.attributes["reason"])


async def rollout_of(stage: Stage, incident: str) -> str:
    (found,) = [item for item in await stage.reader.units(incident) if item.kind == "rollout"]
    return found.status


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
        assert events.count("CanaryLooked") == 6
        assert events.index("RolloutPromoted") < len(events) - events[::-1].index("ActionStarted")
        assert await rollout_of(stage, incident) == "promoted"
        # Each look covers the time since its step began, so that no step is judged by the one before.
        looks = [asked for asked in stage.metrics.questions if asked.since is not None]
        assert len({asked.since for asked in looks[:6]}) == 3

    adapter = Moody({})
    book = playbook(
        steps=(step("first"),), rollout=canary(steps=(10, 40, 100)), after=(step("after", "two"),)
    )
    play(databases, scene, playbooks=[book], adapter=adapter)


def test_a_bad_canary_loses_its_traffic_and_what_was_done_is_taken_back(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, GOOD, GOOD, WORSE)
        incident = await begin(stage)
        state, reason = await ended(stage, incident)
        assert state is IncidentState.ESCALATED
        assert reason.startswith("canary success 50.0% is below 95.0%")
        weights = [weights for _, weights in stage.router.history]
        assert weights == [{"a": 90, "b": 10}, {"a": 0, "b": 100}, {"a": 100, "b": 0}]
        assert adapter.history == ["do first", "do second", "undo second", "undo first"]
        assert await rollout_of(stage, incident) == "rolled_back"
        assert "VerificationBegun" not in await stage.events(incident)

    adapter = Moody({})
    book = playbook(rollout=canary(), after=(step("after"),), steps=(step("first"), step("second", "two")))
    play(databases, scene, playbooks=[book], adapter=adapter)


def test_a_canary_that_nobody_can_see_is_rolled_back(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, Unavailable("no instance answers"))
        incident = await begin(stage)
        state, reason = await ended(stage, incident)
        assert state is IncidentState.ESCALATED
        assert reason.startswith("no verdict within 2 s; no figures of the canary")
        # Each look is history, though the one says the same as the other.
        looks = [asked for asked in stage.metrics.questions if asked.since is not None]
        assert len(looks) > 1
        assert (await stage.events(incident)).count("CanaryLooked") == len(looks)
        assert stage.router.history[-1] == ("shop", {"a": 100, "b": 0})

    book = playbook(rollout=canary(max_step_seconds=2))
    play(databases, scene, playbooks=[book])


def test_a_router_out_of_reach_is_said_loudly(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.router.out_of_reach = True
        incident = await begin(stage)
        state, reason = await ended(stage, incident)
        assert state is IncidentState.ESCALATED
        assert "traffic could not be shifted; and its traffic of 10 % could not be taken away" in reason
        assert await rollout_of(stage, incident) == "stuck"
        assert "RolloutStuck" in await stage.events(incident)
        # The rest is taken back all the same.
        assert stage.adapter.world == {}

    play(databases, scene, playbooks=[playbook(rollout=canary())])


class Stubborn(FakeRouter):
    """Gives the canary some traffic, but not all."""

    async def set_weights(self, service: Service, weights: Mapping[str, int]) -> None:
        if weights["b"] == 100:
            raise Unavailable("the router does not obey")
        await super().set_weights(service, weights)


def test_traffic_that_cannot_be_shifted_further_is_taken_away(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, GOOD)
        incident = await begin(stage)
        state, reason = await ended(stage, incident)
        assert (state, reason.split(";")[0]) == (IncidentState.ESCALATED, "traffic could not be shifted")
        assert await rollout_of(stage, incident) == "rolled_back"
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
