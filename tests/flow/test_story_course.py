"""Plans whose steps follow each other in other ways than one after the other."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from stage import BAD, GOOD, Moody, Script, Stage, begin, healthy, performing, play, playbook, state_is, step

from penelope.domain.action import Action, Effect, Retry, Snapshot, Tier
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.halt import Scope, ScopeKind
from penelope.domain.incident import IncidentState
from penelope.domain.intervention import Intervention
from penelope.domain.outcome import OutcomeKind
from penelope.domain.plan import BlockKind, BlockTemplate, Node, NodeKind, RollbackTemplate
from penelope.domain.service import Target
from penelope.errors import ActionFailed
from penelope.flow.acting import Acting
from penelope.flow.carrying_out import Journey, Stretch
from penelope.flow.ending import Ending, finish
from penelope.flow.engine import Engine, Story
from penelope.flow.parts import Parts
from penelope.flow.switching import HaltSwitch, Order
from penelope.testing.actions import FakeAction, Mood

Databases = tuple[str, str]


def at_least(subject: str, bound: float, seconds: float = 0.0) -> Contract:
    clause = Clause(subject=subject, comparator=Comparator.AT_LEAST, expected=bound)
    return Contract(clauses=(clause,), deadline_seconds=seconds)


def block(kind: BlockKind, *steps: Any, **more: Any) -> BlockTemplate:
    return BlockTemplate(kind=kind, name=kind.value, steps=steps, **more)


async def reason_of(stage: Stage, incident: str) -> str:
    (found,) = [item for item in await stage.reader.units(incident) if item.kind == "outcome"]
    return str(found.attributes["reason"])


async def statuses(stage: Stage, incident: str) -> dict[str, str]:
    return {
        item.attributes["action"]["name"]: item.status
        for item in await stage.reader.units(incident)
        if item.kind == "action"
    }


class Overlapping(FakeAction):
    """Notes how many executions were under way at once. Each waits a moment for others, or for so many `together`."""

    def __init__(self, together: int = 0) -> None:
        super().__init__()
        self.under_way: list[str] = []
        self.most = 0
        self._together = together
        self._all_there = asyncio.Event()

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        self.under_way.append(action.target.name)
        self.most = max(self.most, len(self.under_way))
        if self.most == self._together:
            self._all_there.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._all_there.wait(), 20 if self._together else 0.2)
        self.under_way.remove(action.target.name)
        return await super().execute(action, snapshot)


def test_branches_run_side_by_side(databases: Databases) -> None:
    adapter = Overlapping(together=2)

    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        stage.metrics.script("shop", BAD, GOOD)
        assert (await stage.until(incident)).state is IncidentState.HEALED
        assert sorted(adapter.effects.values()) == [1, 1]
        assert adapter.most == 2
        assert await stage.flaws() == []

    steps = [step(name, name, timeout_seconds=60) for name in ("one", "two")]
    parallel = block(BlockKind.PARALLEL, *steps)
    play(databases, scene, adapter=adapter, playbooks=[playbook(steps=(parallel,))])


def crowded(engine: Engine, parts: Parts) -> Story:
    """Three branches act on one target, which no plan may ask for, and are then taken back."""

    def action(name: str) -> Action:
        target = Target(name="one", service="shop", adapter="fake")
        return Action(
            key=f"key-{name}",
            name=name,
            adapter="fake",
            operation="set",
            target=target,
            params={"value": name},
            tier=Tier.SNAPSHOT,
            timeout_seconds=5,
        )

    async def told(incident: str, service: str) -> str:
        async def reserve(transaction: Any) -> None:
            await transaction.reserve(
                Intervention(
                    incident=incident,
                    service=service,
                    playbook="fix",
                    fingerprint="f",
                    actions=3,
                    counted_from=transaction.now(),
                )
            )

        await engine.transaction("reserve", reserve)
        actions = {f"key-{name}": action(name) for name in ("x", "y", "z")}
        nodes = tuple(Node(kind=NodeKind.ACTION, key=key, name=key) for key in actions)
        parallel = Node(kind=NodeKind.PARALLEL, key="p", name="p", children=nodes)
        stretch = Stretch(service=service, nodes=(parallel,), actions=actions)
        travelled = await Journey(engine, parts, incident, stretch).go()
        acting = Acting(engine, parts, incident)
        failures = [await acting.take_back(done) for done in reversed(travelled.done)]
        await finish(
            engine, incident, Ending(kind=OutcomeKind.ESCALATED, reason="; ".join(filter(None, failures)))
        )
        return ""

    return told


def test_a_target_is_changed_by_one_at_a_time_and_taken_back_in_the_reverse_order(
    databases: Databases,
) -> None:
    """Each branch waits for the one before; only the reverse order of their leases restores what was there at first."""
    adapter = Overlapping()

    async def scene(stage: Stage) -> None:
        adapter.world["one"] = {"value": "at first"}
        incident = await begin(stage)
        await stage.until(incident)
        assert adapter.most == 1
        assert adapter.world == {"one": {"value": "at first"}}
        assert await reason_of(stage, incident) == ""
        assert set((await statuses(stage, incident)).values()) == {"compensated"}
        units = [item for item in await stage.reader.units(incident) if item.kind == "action"]
        assert {item.attributes["action"]["fence"] for item in units} == {1, 2, 3}
        assert "ActionWaits" in await stage.events(incident)
        assert await stage.flaws() == []

    play(databases, scene, adapter=adapter, tell=crowded)


def test_trouble_in_one_branch_lets_the_others_come_to_a_known_end(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert "fails, as it was told to" in await reason_of(stage, incident)
        found = await statuses(stage, incident)
        assert found == {"one": "compensated", "after one": "compensated", "two": "compensated"}
        assert stage.adapter.world == {}

    slow = block(BlockKind.SEQUENCE, step("one"), step("after one"))
    parallel = block(BlockKind.PARALLEL, slow, step("two", "two"))
    play(databases, scene, adapter=Moody({"two": Mood.FAILS}), playbooks=[playbook(steps=(parallel,))])


@pytest.mark.parametrize(("bound", "done"), [(0.1, "one"), (0.9, "two")])
def test_a_condition_chooses(databases: Databases, bound: float, done: str) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, BAD, GOOD)
        incident = await begin(stage)
        await stage.until(incident)
        assert list(await statuses(stage, incident)) == [done]
        assert "ConditionJudged" in await stage.events(incident)

    choice = block(
        BlockKind.CONDITION,
        step("one"),
        otherwise=(step("two", "two"),),
        condition=at_least("metric.error_ratio", bound),
    )
    play(databases, scene, playbooks=[playbook(steps=(choice,))])


def test_a_condition_that_cannot_be_seen_decides_nothing(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert "cannot be seen (metric.queue_length)" in await reason_of(stage, incident)
        assert stage.adapter.effects == {}

    choice = block(BlockKind.CONDITION, step("one"), condition=at_least("metric.queue_length", 1))
    play(databases, scene, playbooks=[playbook(steps=(choice,))])


def test_a_wait_ends_when_its_condition_holds(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, BAD, BAD, GOOD)
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.HEALED
        events = await stage.events(incident)
        assert events.index("VerdictReached") < events.index("ActionDone")

    wait = block(BlockKind.WAIT, condition=healthy(5.0))
    play(databases, scene, playbooks=[playbook(steps=(wait, step("one")))])


def test_a_wait_in_vain_is_trouble(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert "did not come true in time (metric.error_ratio)" in await reason_of(stage, incident)
        assert stage.adapter.world == {}
        assert await statuses(stage, incident) == {"one": "compensated"}

    wait = block(BlockKind.WAIT, condition=healthy(0.2))
    play(databases, scene, playbooks=[playbook(steps=(step("one"), wait, step("two", "two")))])


class Hesitant(FakeAction):
    """Certainly fails so often before it does what it is told."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.tries = 0

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        self.tries += 1
        if self.tries <= self.failures:
            raise ActionFailed("not yet")
        return await super().execute(action, snapshot)


@pytest.mark.parametrize(("failures", "healed"), [(2, True), (3, False)])
def test_what_certainly_did_not_happen_is_tried_again(
    databases: Databases, failures: int, healed: object
) -> None:
    adapter = Hesitant(failures)

    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, GOOD)
        incident = await begin(stage)
        ended = (await stage.until(incident)).state
        assert ended is (IncidentState.HEALED if healed else IncidentState.ESCALATED)
        assert adapter.tries == 3
        assert (await stage.events(incident)).count("ActionStarted") == 3

    again = step("one", retry=Retry(attempts=3, pause_seconds=0.01))
    play(databases, scene, adapter=adapter, playbooks=[playbook(steps=(again,))])


def test_what_may_have_happened_is_never_tried_again(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.adapter.can_tell = False
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert sum(stage.adapter.effects.values()) == 1
        assert await statuses(stage, incident) == {"one": "unknown"}

    again = step("one", retry=Retry(attempts=3, pause_seconds=0.01))
    adapter = Moody({"one": Mood.LOSES_THE_ANSWER})
    play(databases, scene, adapter=adapter, playbooks=[playbook(steps=(again,))])


def test_a_step_is_taken_back_by_the_operation_that_it_names(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert stage.adapter.world == {"one": {"value": "back"}}
        assert stage.adapter.compensations == {}
        assert (await statuses(stage, incident))["one"] == "compensated"
        assert (await stage.reader.units(incident)) != []
        assert "taken back" in await reason_of(stage, incident)

    back = RollbackTemplate(
        adapter="fake", operation="set", target="one", params={"value": "back"}, timeout_seconds=1
    )
    never = Contract(clauses=healthy().clauses, deadline_seconds=0.1)
    play(databases, scene, playbooks=[playbook(steps=(step("one", rollback=back),), verify=never)])


def test_a_step_that_is_kept_stays_when_the_rest_is_taken_back(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert stage.adapter.world == {"two": {"value": "two"}}
        assert "but for what stays: two" in await reason_of(stage, incident)

    never = Contract(clauses=healthy().clauses, deadline_seconds=0.1)
    steps = (step("one"), step("two", "two", keep=True))
    play(databases, scene, playbooks=[playbook(steps=steps, verify=never)])


class Unwritable(FakeAction):
    """Does what it is told, and answers what cannot be written down."""

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        effect = await super().execute(action, snapshot)
        return replace(effect, details={"at": object()}) if action.name == "two" else effect  # type: ignore[dict-item]  # an adapter may err


@pytest.mark.parametrize("kind", [BlockKind.SEQUENCE, BlockKind.PARALLEL])
def test_an_action_of_which_nothing_is_known_any_more_is_never_left_out(
    databases: Databases, kind: BlockKind
) -> None:
    """Its execution breaks off after its effect: neither may that be called taken back, nor its target stay held."""

    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        reason = await reason_of(stage, incident)
        assert "two: nobody knows what became of it" in reason
        assert "nothing was taken back" in reason
        assert stage.adapter.compensations == {}
        assert await stage.reader.leases() == []
        assert await stage.flaws() == []

    steps = (block(kind, step("one"), step("two", "two")),)
    play(databases, scene, adapter=Unwritable(), playbooks=[playbook(steps=steps)])


def test_what_was_not_taken_back_is_named_when_taking_back_fails(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert "TAKING IT BACK FAILED: two" in await reason_of(stage, incident)
        assert "not taken back: one" in await reason_of(stage, incident)

    never = Contract(clauses=healthy().clauses, deadline_seconds=0.1)
    book = playbook(steps=(step("one"), step("two", "two")), verify=never)
    play(databases, scene, adapter=Moody({}, stubborn={"two"}), playbooks=[book])


class Fenced(FakeAction):
    """Refuses what holds an older token than it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.fences: list[int] = []

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        self.fences.append(action.fence)
        return await super().compensate(action, snapshot)


def test_what_is_taken_back_bears_the_token_of_its_own_lease(databases: Databases) -> None:
    adapter = Fenced()

    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        # The first lease was for doing it, the second for taking it back.
        assert adapter.fences == [2]

    never = Contract(clauses=healthy().clauses, deadline_seconds=0.1)
    play(databases, scene, adapter=adapter, playbooks=[playbook(steps=(step("one"),), verify=never)])


class Forgetting(FakeAction):
    """Says that it has put everything back, and has not."""

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:  # noqa: ARG002 - it does nothing
        return Effect(summary="all is as before")


@pytest.mark.parametrize("make", [Forgetting, lambda: Moody({}, stubborn={"one"})], ids=["lies", "fails"])
def test_a_compensation_that_failed_halts_the_service_at_once(
    databases: Databases, make: Callable[[], FakeAction]
) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert "TAKING IT BACK FAILED" in await reason_of(stage, incident)
        assert (await statuses(stage, incident))["one"] == "compensation_failed"
        halts = {item.id: item for item in await stage.reader.halts(stage.parts.clock.now())}
        hold = halts["halt:service:shop"].attributes["hold"]
        assert hold["actor"] == "penelope"
        assert hold["until"] is None
        assert incident in hold["reason"]

    never = Contract(clauses=healthy().clauses, deadline_seconds=0.1)
    play(databases, scene, adapter=make(), playbooks=[playbook(steps=(step("one"),), verify=never)])


def test_a_halt_cuts_an_action_short_that_is_under_way(databases: Databases) -> None:
    adapter = Moody({"one": Mood.HANGS})

    async def story() -> None:
        book = playbook(steps=(step("one", timeout_seconds=30.0),))
        timing = replace(Script().timing, heartbeat_seconds=0.05)
        async with performing(databases, Script(adapter=adapter, playbooks=[book], timing=timing)) as stage:
            incident = await begin(stage)
            await stage.heard_of(incident, "ActionStarted")
            switch = HaltSwitch(stage.engine, {"shop"}, list)
            scope = Scope(kind=ScopeKind.SERVICE, name="shop")
            await switch.open(Order(scope=scope, actor="key:ada", reason="stop it"))
            assert (await stage.until(incident)).state is IncidentState.ESCALATED
            assert "halt" in await reason_of(stage, incident)
            assert "undo one" in adapter.history
            assert adapter.world == {}

    asyncio.run(story())


def lingering(engine: Engine, parts: Parts) -> Story:
    """A branch that goes on although its incident was ended without it."""

    async def told(incident: str, service: str) -> str:
        async def reserve(transaction: Any) -> None:
            intervention = Intervention(
                incident=incident,
                service=service,
                playbook="fix",
                fingerprint="f",
                actions=1,
                counted_from=transaction.now(),
            )
            await transaction.reserve(intervention)

        await engine.transaction("reserve", reserve)
        await finish(engine, incident, Ending(kind=OutcomeKind.ESCALATED, reason="it broke off", broke=True))
        action = Action(
            key="key-late",
            name="late",
            adapter="fake",
            operation="set",
            target=Target(name="one", service="shop", adapter="fake"),
            params={"value": "late"},
            tier=Tier.SNAPSHOT,
            timeout_seconds=5,
        )
        await Acting(engine, parts, incident).act(action)
        return ""

    return told


def test_no_branch_acts_once_its_incident_has_ended(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        await stage.heard_of(incident, "ActionHalted")
        assert stage.adapter.effects == {}
        assert await stage.reader.leases() == []

    play(databases, scene, tell=lingering)


def test_the_lease_of_a_story_that_broke_off_is_given_back(databases: Databases) -> None:
    """Whoever finds an incident without its story frees what it held."""

    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        await stage.heard_of(incident, "ActionStarted")

        ((lease, unit),) = await stage.reader.leases()
        assert (lease.target, lease.incident, lease.fence) == ("shop/one", incident, 1)
        assert unit is not None
        assert unit.attributes["action"]["name"] == "one"
        broken = Ending(kind=OutcomeKind.ESCALATED, reason="it broke off", acted=True, broke=True)
        await finish(stage.engine, incident, broken)
        assert await stage.reader.leases() == []

    book = playbook(steps=(step("one", timeout_seconds=30.0, expect=state_is("one")),))
    play(databases, scene, adapter=Moody({"one": Mood.HANGS}), playbooks=[book])
