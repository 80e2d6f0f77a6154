"""Halts, budgets and loops in the whole story: what must not go on does not, whatever else happens."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from stage import (
    APPROVAL,
    BAD,
    DECIDE,
    GOOD,
    HALT,
    POLICY,
    RATE,
    Moody,
    Script,
    Stage,
    begin,
    canary,
    healthy,
    performing,
    play,
    playbook,
    shop,
    signal,
    step,
)

from penelope.domain.action import Action, Effect, Snapshot
from penelope.domain.autonomy import Level
from penelope.domain.halt import FLEET, Breaker, FailureKind, Limits, Scope, ScopeKind, State
from penelope.domain.incident import IncidentState
from penelope.domain.plan import Match
from penelope.domain.service import Service, Target
from penelope.errors import UnknownPlaybook, UnknownService
from penelope.flow.halting import Brakes, breakers, seen_by_gate
from penelope.flow.switching import HaltSwitch, Order
from penelope.kit.clock import SystemClock
from penelope.rooms.gate.loop import Loop
from penelope.testing.gate import passage, planned

Databases = tuple[str, str]
SHOP = Scope(kind=ScopeKind.SERVICE, name="shop")
FIX = Scope(kind=ScopeKind.PLAYBOOK, name="fix")
ANYTHING = playbook(match=Match(), verify=healthy(0.1))


def brakes(failures: int = 3, cooldown_seconds: float = 3600, **changes: Any) -> Brakes:
    limits = Limits(failures=failures, window_seconds=900, cooldown_seconds=cooldown_seconds)
    return Brakes(limits=dict.fromkeys(ScopeKind, limits), **changes)


class Hurried(SystemClock):
    """The system's clock, put forward as a test likes."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


def switch_of(stage: Stage) -> HaltSwitch:
    return HaltSwitch(stage.engine, stage.parts.services.keys(), lambda: {"fix"})


def order(scope: Scope, reason: str = "a test") -> Order:
    return Order(scope=scope, actor="key:ada", reason=reason)


async def breaker(stage: Stage, scope: Scope) -> Breaker:
    async def body(transaction: Any) -> Any:
        return (await breakers(transaction, [scope]))[scope]

    return await stage.engine.transaction("look", body)


async def reason_of(stage: Stage, incident: str) -> str:
    (found,) = [unit for unit in await stage.reader.units(incident) if unit.kind == "outcome"]
    return found.attributes["reason"]


async def in_order(stage: Stage) -> list[str]:
    """All events there ever were, in the order in which they were written."""
    return [entry.event for entry in await stage.reader.entries(incident=None, after=0, limit=1000)]


TRUSTED = replace(POLICY, floor=Level.AUTONOMOUS)
"""So that the halt alone stops what fails."""


async def healed(stage: Stage, number: int, **changes: Any) -> str:
    stage.metrics.script("shop", BAD, GOOD)
    incident = await begin(stage, signal(number, **changes))
    assert (await stage.until(incident)).state is IncidentState.HEALED
    return incident


async def failed(stage: Stage, number: int, **changes: Any) -> str:
    stage.metrics.script("shop", BAD)
    incident = await begin(stage, signal(number, **changes))
    assert (await stage.until(incident)).state is IncidentState.ESCALATED
    return incident


# --- failures ---------------------------------------------------------------------------------------------


def test_three_failures_halt_a_playbook_and_the_fifth_alert_is_escalated_untouched(
    databases: Databases,
) -> None:
    async def scene(stage: Stage) -> None:
        for number in range(3):
            await failed(stage, number, name=f"Broken{number}")
        tried = stage.adapter.effects.total()
        assert tried == 6
        for number in (3, 4):
            incident = await failed(stage, number, name=f"Broken{number}")
            assert (await reason_of(stage, incident)).startswith(
                "halt: service:shop is halted after 3 failures"
            )
            assert "InterventionBegun" not in await stage.events(incident)
        assert stage.adapter.effects.total() == tried
        stands = await breaker(stage, SHOP)
        assert stands.state(stage.parts.clock.now()) is State.OPEN
        assert {item.kind for item in stands.failures} == {FailureKind.FAILED}
        assert await stage.flaws() == []

    play(databases, scene, playbooks=[ANYTHING], brakes=brakes(), autonomy=TRUSTED)


def test_a_fix_that_does_not_last_is_a_failure(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        first = await healed(stage, 1)
        assert (await breaker(stage, SHOP)).failures == ()
        second = await healed(stage, 2)
        for scope in (SHOP, FIX, FLEET):
            (relapse,) = (await breaker(stage, scope)).failures
            assert (relapse.incident, relapse.kind) == (first, FailureKind.RELAPSED)
        third = await failed(stage, 3)
        assert (await reason_of(stage, third)).startswith(
            "halt: service:shop is halted after 2 failures, 2 of them relapses"
        )
        assert [item.incident for item in (await breaker(stage, SHOP)).failures] == [first, second]

    play(databases, scene, brakes=brakes(2))


def test_what_comes_back_late_is_no_relapse(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        await healed(stage, 1)
        clock.ahead += timedelta(minutes=31)
        await healed(stage, 2)
        assert (await breaker(stage, SHOP)).failures == ()

    clock = Hurried()
    play(databases, scene, brakes=brakes(1, relapse_seconds=1800), clock=clock)


def test_halts_outlive_the_process(databases: Databases) -> None:
    async def run() -> None:
        script = Script(playbooks=[ANYTHING], brakes=brakes(1))
        async with performing(databases, script) as stage:
            await failed(stage, 1, name="Broken1")
        async with performing(databases, script) as stage:
            incident = await failed(stage, 2, name="Broken2")
            assert (await reason_of(stage, incident)).startswith("halt: service:shop is halted")

    asyncio.run(run())


# --- the trial --------------------------------------------------------------------------------------------


def test_after_the_cool_down_a_trial_that_succeeds_closes_the_breaker(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        await failed(stage, 1, name="Broken1")
        clock.ahead += timedelta(hours=1)
        assert (await breaker(stage, SHOP)).state(stage.parts.clock.now()) is State.HALF_OPEN
        incident = await healed(stage, 2, name="Broken2")
        assert (await breaker(stage, SHOP)).state(stage.parts.clock.now()) is State.CLOSED
        events = await in_order(stage)
        assert events.count("TrialBegun") == events.count("HaltClosed") == 3  # the cause is another one
        assert "InterventionBegun" in await stage.events(incident)

    clock = Hurried()
    play(databases, scene, playbooks=[ANYTHING], brakes=brakes(1), clock=clock)


def test_a_trial_that_fails_opens_the_breaker_again(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        await failed(stage, 1, name="Broken1")
        clock.ahead += timedelta(hours=1)
        trial = await failed(stage, 2, name="Broken2")
        assert "InterventionBegun" in await stage.events(trial)
        stands = await breaker(stage, SHOP)
        assert stands.state(stage.parts.clock.now()) is State.OPEN
        assert stands.trip is not None
        assert stands.trip.trial is None
        third = await failed(stage, 3, name="Broken3")
        assert "InterventionBegun" not in await stage.events(third)

    clock = Hurried()
    play(databases, scene, playbooks=[ANYTHING], brakes=brakes(1), clock=clock)


# --- the switch -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [SHOP, FIX, FLEET], ids=lambda scope: scope.label)
def test_a_person_halts_and_resumes(databases: Databases, scope: Scope) -> None:
    async def scene(stage: Stage) -> None:
        switch = switch_of(stage)
        opened = await switch.open(order(scope, "the database moves"))
        assert opened.state(stage.parts.clock.now()) is State.OPEN
        first = await failed(stage, 1, name="Broken1")
        assert await reason_of(stage, first) == (
            f"halt: {scope.label} was halted by key:ada (the database moves), until a person resumes it"
        )
        await switch.close(order(scope))
        await healed(stage, 2, name="Broken2")
        (entry, *_) = stage.heard.entries
        assert (entry.event, entry.actor, entry.reason) == ("HaltOpened", "key:ada", "the database moves")

    play(databases, scene, playbooks=[ANYTHING])


def test_a_halt_with_an_end_ends(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        await switch_of(stage).open(order(FLEET), 3600)
        first = await failed(stage, 1, name="Broken1")
        assert "InterventionBegun" not in await stage.events(first)
        clock.ahead += timedelta(hours=1)
        await healed(stage, 2, name="Broken2")

    clock = Hurried()
    play(databases, scene, playbooks=[ANYTHING], clock=clock)


def test_policies_and_people_are_told_of_late_failures_alone(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        await failed(stage, 1, name="Broken1")
        assert len(await stage.reader.halts(stage.parts.brakes.causes_since(clock.now()))) == 4
        clock.ahead += timedelta(minutes=16)

        async def look(transaction: Any) -> Any:
            plan = replace(planned(), playbook="fix")
            asked = passage(plan, transaction.now())
            return await seen_by_gate(transaction, stage.parts.brakes, asked.incident, plan)

        seen = await stage.engine.transaction("look", look)
        assert len((await breaker(stage, SHOP)).failures) == 1
        assert [item.failures for item in seen["breakers"].values()] == [(), (), (), ()]
        told = await stage.reader.halts(stage.parts.brakes.causes_since(clock.now()))
        assert [unit.id for unit in told] == ["halt:fleet", "halt:playbook:fix", "halt:service:shop"]

    clock = Hurried()
    play(databases, scene, playbooks=[ANYTHING], brakes=brakes(), clock=clock)


def test_a_misspelt_name_is_not_halted_silently(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        switch = switch_of(stage)
        with pytest.raises(UnknownService, match="shopp"):
            await switch.open(order(Scope(kind=ScopeKind.SERVICE, name="shopp")))
        with pytest.raises(UnknownPlaybook, match="fax"):
            await switch.open(order(Scope(kind=ScopeKind.PLAYBOOK, name="fax")))
        closed = await switch.close(order(Scope(kind=ScopeKind.SERVICE, name="gone")))
        assert closed.state(stage.parts.clock.now()) is State.CLOSED
        assert await stage.reader.halts(stage.parts.clock.now()) == []

    play(databases, scene)


class Watched(Moody):
    """Says when an action is at work, and lets the test decide how long it lasts."""

    def __init__(self) -> None:
        super().__init__({})
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        effect = await super().execute(action, snapshot)
        self.begun.set()
        await self.may_end.wait()
        return effect


def test_no_action_begins_after_the_switch_and_what_was_done_is_taken_back(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        await adapter.begun.wait()
        await switch_of(stage).open(order(FLEET))
        adapter.may_end.set()
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert adapter.history == ["do first", "undo first"]
        assert adapter.world == {}
        events = await in_order(stage)
        assert "ActionStarted" not in events[events.index("HaltOpened") :]
        assert events.count("ActionHalted") == 1
        assert "second: halt: fleet was halted by key:ada" in await reason_of(stage, incident)
        (outcome,) = [unit for unit in await stage.reader.units(incident) if unit.kind == "outcome"]
        assert (outcome.attributes["acted"], outcome.attributes["verified"]) == (True, None)
        assert (await breaker(stage, SHOP)).failures == ()

    adapter = Watched()
    steps = (step("first", timeout_seconds=9), step("second", "two"))
    play(databases, scene, adapter=adapter, playbooks=[playbook(steps=steps)])


def services(number: int) -> list[Service]:
    return [
        replace(
            shop(),
            name=f"shop-{index}",
            targets={"one": Target(name="one", service=f"shop-{index}", adapter="fake")},
        )
        for index in range(number)
    ]


def test_in_a_storm_nothing_begins_after_the_command_has_returned(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        signals = [signal(number, service=f"shop-{number}") for number in range(12)]
        opened = (await stage.commands.receive_signals(signals)).opened
        async with asyncio.timeout(10):
            while not stage.adapter.effects:  # noqa: ASYNC110 - the story tells nobody
                await asyncio.sleep(0.01)
        await switch_of(stage).open(order(FLEET))
        begun = (await in_order(stage)).count("ActionStarted")
        for incident in opened:
            await stage.until(incident)
        # Counted, for on PostgreSQL lines of history are not numbered in the order in which they are committed.
        assert (await in_order(stage)).count("ActionStarted") == begun
        assert stage.adapter.effects.total() < len(opened) * len(book.steps)
        assert stage.adapter.effects == stage.adapter.compensations

    book = playbook(steps=tuple(step(f"step {number}") for number in range(6)), verify=healthy(0.1))
    play(databases, scene, playbooks=[book], services=services(12))


def test_a_canary_under_way_loses_its_traffic(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        await stage.heard_of(incident, "CanaryLooked")
        await switch_of(stage).open(order(SHOP))
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        events = await in_order(stage)
        after = events[events.index("HaltOpened") :]
        assert "RolloutRolledBack" in after
        assert "ActionStarted" not in after
        assert (await breaker(stage, SHOP)).failures == ()

    play(databases, scene, playbooks=[playbook(rollout=canary(max_seconds=60, manual=True))])


def test_a_rollout_that_has_not_begun_never_begins(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        await adapter.begun.wait()
        await switch_of(stage).open(order(SHOP))
        adapter.may_end.set()
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert "TrafficShifted" not in await stage.events(incident)
        assert adapter.history == ["do first", "undo first"]
        assert (await breaker(stage, SHOP)).failures == ()

    adapter = Watched()
    book = playbook(steps=(step("first", timeout_seconds=9),), rollout=canary())
    play(databases, scene, adapter=adapter, playbooks=[book])


# --- budgets and loops ------------------------------------------------------------------------------------


def test_a_playbook_has_one_budget_over_all_services(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        reasons = []
        for number in range(3):
            stage.metrics.script(f"shop-{number}", BAD, GOOD)
            incident = await begin(stage, signal(number, service=f"shop-{number}"))
            ended = await stage.until(incident)
            reasons.append("" if ended.state is IncidentState.HEALED else await reason_of(stage, incident))
        assert reasons == ["", "", "rate: actions within 3600 s: playbook 4 + 2 of 5"]

    rate = replace(RATE, actions={ScopeKind.SERVICE: 9, ScopeKind.PLAYBOOK: 5, ScopeKind.FLEET: 9})
    book = playbook(steps=(step("first"), step("second")))
    play(databases, scene, playbooks=[book], services=services(3), gate=(HALT, rate, APPROVAL))


def test_no_more_interventions_at_once_than_allowed_and_the_others_wait(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        signals = [signal(number, service=f"shop-{number}") for number in range(5)]
        for number in range(5):
            stage.metrics.script(f"shop-{number}", BAD, GOOD)
        opened = (await stage.commands.receive_signals(signals)).opened
        for incident in opened:
            assert (await stage.until(incident)).state is IncidentState.HEALED
        running = most = 0
        for entry in await stage.reader.entries(incident=None, after=0, limit=1000):
            running += (entry.event == "InterventionBegun") - (entry.event == "IncidentHealed")
            most = max(most, running)
        assert most == 2

    book = playbook(steps=(step("first"),))
    limits = replace(DECIDE, recheck_seconds=0.05)
    play(
        databases,
        scene,
        playbooks=[book],
        # Whoever waits is judged again, on figures that are good by then: nothing here says so.
        services=[replace(item, objectives=()) for item in services(5)],
        decide=limits,
        brakes=brakes(running={ScopeKind.FLEET: 2}),
    )


def test_a_problem_that_is_healed_again_and_again_goes_to_people(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        for number in range(2):
            await healed(stage, number)
        third = await failed(stage, 3)
        assert (await reason_of(stage, third)).startswith("loop: healed 2 times within 600 s and back again")

    gate = (HALT, RATE, Loop(heals=2, window_seconds=600), APPROVAL)
    play(databases, scene, gate=gate, brakes=brakes(relapse_seconds=0.001))


def test_what_was_begun_before_a_crash_and_a_halt_is_taken_back(databases: Databases) -> None:
    async def run() -> None:
        script = Script(playbooks=[playbook(steps=(step("first", timeout_seconds=60),))], adapter=Watched())
        adapter = script.adapter
        assert isinstance(adapter, Watched)
        async with performing(databases, script) as stage:
            incident = await begin(stage)
            await adapter.begun.wait()
            await switch_of(stage).open(order(FLEET))
            # The process ends before the target has answered.
        async with performing(databases, script) as stage:
            assert (await stage.until(incident)).state is IncidentState.ESCALATED
            assert adapter.history == ["do first", "undo first"]
            assert adapter.world == {}
            (action,) = [unit for unit in await stage.reader.units(incident) if unit.kind == "action"]
            assert action.status == "compensated"

    asyncio.run(run())
