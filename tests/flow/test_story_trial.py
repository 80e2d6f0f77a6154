"""A plan is tried before the gate lets it through or people are asked, once, and they see what came of it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import mortal
import pytest
from stage import BAD, DECIDE, GOOD, Script, Stage, begin, performing, play, playbook, step
from test_benchmark_kills import die
from test_story_words import YES, glass, person, requests

from penelope.domain.action import Action, Preview, Snapshot
from penelope.domain.approval import Brief, BriefStep
from penelope.domain.incident import IncidentState
from penelope.domain.plan import Plan
from penelope.domain.rehearsal import Check, Rehearsal, RehearsalOutcome
from penelope.domain.service import Service
from penelope.errors import ActionFailed, InvalidPlaybook, PenelopeError, Unavailable
from penelope.flow.approvals import ApprovalDesk
from penelope.kit.clock import Clock, SystemClock
from penelope.testing.actions import FakeAction

Databases = tuple[str, str]
ASKING: Mapping[str, Any] = {"playbooks": [playbook(approval=True)]}


class Telling(FakeAction):
    """Tells of each action what it is told to tell; `asked` counts the dry runs."""

    def __init__(self, **told: Preview | Exception) -> None:
        super().__init__()
        self.told = told
        self.asked: list[str] = []

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        self.asked.append(action.name)
        said = self.told.get(action.name)
        if isinstance(said, Exception):
            raise said
        return said or await super().dry_run(action, snapshot)


class Twin:
    """Says always the same, and remembers for which plans."""

    def __init__(self, outcome: RehearsalOutcome, seen: Callable[[Plan], None] = lambda _: None) -> None:
        self.outcome = outcome
        self.plans: list[str] = []
        self._seen = seen

    async def rehearse(self, plan: Plan, service: Service) -> Rehearsal:  # noqa: ARG002 - the plan is enough
        self._seen(plan)
        self.plans.append(plan.digest)
        checks = (
            Check(name="smoke", before="passes", after="passes", held=True, seconds=0.1),
            Check(name="page", before="200", after="500\x1b[2J\x00\udc80", held=False, seconds=0.1),
        )
        return Rehearsal(outcome=self.outcome, reason="as told", checks=checks, seconds=1.25)


async def asked_with(stage: Stage) -> tuple[str, Brief]:
    incident = await begin(stage)
    await stage.until(incident, IncidentState.AWAITING_APPROVAL)
    (request,) = await requests(stage, incident)
    assert request.brief is not None
    return incident, request.brief


async def outcome(stage: Stage, incident: str) -> str:
    (found,) = [item for item in await stage.reader.units(incident) if item.kind == "outcome"]
    return str(found.attributes["reason"])


def seen(brief: Brief, name: str) -> BriefStep:
    (found,) = [item for item in brief.steps if item.name == name]
    return found


def test_people_agree_with_the_trial_before_their_eyes_and_it_is_held_once(databases: Databases) -> None:
    adapter, twin = Telling(), Twin(RehearsalOutcome.PASSED)

    async def scene(stage: Stage) -> None:
        incident, brief = await asked_with(stage)
        assert seen(brief, "first").preview == "one would be set"
        assert seen(brief, "first").preview_diff == "+value: first\n"
        assert seen(brief, "second").not_previewed == ""
        assert brief.twin == "passed in 1.2 s: as told"
        assert brief.twin_checks == (
            "page: 200 → 500\\x1b[2J\\x00\\udc80 (NOT as before)",
            "smoke: passes → passes",
        )
        assert brief.previewed_at is not None
        (request,) = await requests(stage, incident)
        stage.metrics.script("shop", BAD, GOOD)
        await ApprovalDesk(stage.engine).vote(request.id, person("ada"), YES)
        assert (await stage.until(incident)).state is IncidentState.HEALED
        assert adapter.asked == ["first", "second"]
        assert twin.plans == [request.plan_digest]
        events = await stage.events(incident)
        order = ["PlanPreviewed", "PlanRehearsed", "GateAsked", "ApprovalRequested", "ActionStarted"]
        assert sorted(order, key=events.index) == order
        assert [events.count(event) for event in order[:2]] == [1, 1]
        (gate,) = [item for item in await stage.reader.units(incident) if item.kind == "gate"]
        last = gate.attributes["verdicts"][-1]
        assert (last["rule"], last["ruling"]) == ("trial", "pass")
        assert last["reason"] == "2 of 2 actions previewed; passed on the twin: as told"
        assert await stage.flaws() == []

    play(databases, scene, adapter=adapter, twin=twin, **ASKING)


@pytest.mark.parametrize(
    "error",
    [ActionFailed("the patch does not apply"), InvalidPlaybook("no such unit"), ActionFailed("")],
    ids=["failed", "input", "speechless"],
)
def test_a_plan_that_cannot_work_is_not_asked_for(databases: Databases, error: PenelopeError) -> None:
    twin = Twin(RehearsalOutcome.PASSED)

    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        why = error.message or "no reason was given"
        assert await outcome(stage, incident) == f"trial: first cannot be done: {why}"
        events = await stage.events(incident)
        assert {"PreviewFailed", "GateRefused"} <= set(events)
        assert not {"ApprovalRequested", "PlanRehearsed", "InterventionBegun"} & set(events)
        assert twin.plans == []
        assert stage.adapter.effects == {}
        assert await stage.flaws() == []

    play(databases, scene, adapter=Telling(first=error), twin=twin, **ASKING)


@pytest.mark.parametrize("target", ["one", "two"])
def test_what_an_earlier_step_may_mend_is_no_refusal(databases: Databases, target: str) -> None:
    async def scene(stage: Stage) -> None:
        _, brief = await asked_with(stage)
        assert seen(brief, "then").not_previewed == "as things are now it would fail: there is no such file"

    steps = (step("first"), step("then", target))
    adapter = Telling(then=ActionFailed("there is no such file"))
    play(databases, scene, adapter=adapter, playbooks=[playbook(steps=steps, approval=True)])


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Unavailable("nobody answers"), "nobody answers"),
        (RuntimeError("a bug"), "its adapter broke: RuntimeError: a bug"),
    ],
)
def test_what_is_out_of_reach_is_said_and_asked_for(databases: Databases, error: Exception, why: str) -> None:
    async def scene(stage: Stage) -> None:
        incident, brief = await asked_with(stage)
        assert seen(brief, "first").not_previewed == why
        assert seen(brief, "second").preview == "two would be set"
        (gate,) = [item for item in await stage.reader.units(incident) if item.kind == "gate"]
        assert f"first is not previewed: {why}" in gate.attributes["verdicts"][-1]["reason"]
        entries = await stage.reader.entries(incident=incident, after=0, limit=100)
        (entry,) = [item for item in entries if item.event == "PlanPreviewed"]
        assert entry.status_after == "partial"

    play(databases, scene, adapter=Telling(first=error), **ASKING)


@pytest.mark.parametrize("approval", [True, False])
def test_a_rehearsal_that_fails_stops_the_plan_before_anybody_is_asked(
    databases: Databases, *, approval: bool
) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert await outcome(stage, incident) == "trial: the rehearsal failed: as told"
        events = await stage.events(incident)
        assert "RehearsalFailed" in events
        assert not {"ApprovalRequested", "InterventionBegun"} & set(events)
        assert stage.adapter.effects == {}

    twin = Twin(RehearsalOutcome.FAILED)
    play(databases, scene, twin=twin, playbooks=[playbook(approval=approval)])


def test_who_breaks_the_glass_overrides_a_failed_rehearsal_and_history_says_so(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        await stage.until(incident)
        stage.metrics.script("shop", BAD, GOOD)
        broken = await glass(stage).break_glass(incident, person("ada"), "it is only the twin")
        assert (await stage.until(broken.incident)).state is IncidentState.HEALED
        units = await stage.reader.units(broken.incident)
        (gate,) = [item for item in units if item.kind == "gate"]
        last = gate.attributes["verdicts"][-1]
        assert (last["rule"], last["ruling"]) == ("trial", "pass")
        assert "nobody has tried the plan; overridden" in last["reason"]

    play(databases, scene, twin=Twin(RehearsalOutcome.FAILED), **ASKING)


def test_hostile_previews_are_bounded_harmless_and_without_secrets(databases: Databases) -> None:
    words = Preview(
        summary="\x1b[2Jnever-stored\u202e\udcff\x00" + "x" * 9999, diff="+never-stored\r\x00\n" * 9999
    )

    async def scene(stage: Stage) -> None:
        incident, brief = await asked_with(stage)
        first = seen(brief, "first")
        assert first.preview.startswith("\\x1b[2J[secret]\\u202e\\udcff\\x00xxx")
        assert len(first.preview) == 400
        assert first.preview_diff.startswith("+[secret]\\r\\x00\n+[secret]")
        assert len(first.preview_diff) == 4000
        assert seen(brief, "second").not_previewed == "no [secret] here"
        for entry in await stage.reader.entries(incident=incident, after=0, limit=100):
            assert "never-stored" not in str(entry)
        assert await stage.flaws() == []

    adapter = Telling(first=words, second=Unavailable("no never-stored here"))
    play(databases, scene, adapter=adapter, **ASKING)


class Hurried(Clock):
    """The time, as the test moves it on."""

    def __init__(self) -> None:
        self.gone = timedelta()

    def now(self) -> Any:
        return SystemClock().now() + self.gone


def test_after_a_long_rehearsal_the_world_is_looked_at_again(databases: Databases) -> None:
    clock = Hurried()

    def long(_: Plan) -> None:
        clock.gone += timedelta(seconds=6)

    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, GOOD)
        incident = await begin(stage)
        await stage.heard_of(incident, "DecisionMade")
        (decision,) = [item for item in await stage.reader.units(incident) if item.kind == "decision"]
        found = {item["concept"]: item for item in decision.attributes["evidence"]}
        assert found["slo.availability"]["value"]["met"] is True

    play(databases, scene, twin=Twin(RehearsalOutcome.PASSED, long), clock=clock, **ASKING)


DEATHS = ["dry_run first", "dry_run second", "rehearse", "rehearsed"]


@pytest.mark.parametrize("dies_at", DEATHS)
def test_a_process_that_dies_while_it_tries_tries_again_and_asks_once(
    databases: Databases, tmp_path: Path, dies_at: str
) -> None:
    world = tmp_path / "world.json"
    die(databases, world, dies_at, "asking")
    asyncio.run(goes_on(databases, world))


async def goes_on(databases: Databases, world: Path) -> None:
    script: Script = mortal.script(world, asking=True)
    async with performing(databases, script) as stage:
        (opened,) = await stage.reader.incidents(states=(), before=None, limit=9)
        incident = str(opened["id"])
        await stage.until(incident, IncidentState.AWAITING_APPROVAL)
        (request,) = await requests(stage, incident)
        counts = script.adapter.counts  # type: ignore[attr-defined]  # that of a mortal
        assert counts["effect first"] == 0
        assert counts["rehearsed"] >= 1
        stage.metrics.script("shop", BAD, GOOD)
        held = dict(counts)
        await ApprovalDesk(stage.engine).vote(request.id, person("ada"), YES)
        assert (await stage.until(incident)).state is IncidentState.HEALED
        assert (counts["effect first"], counts["effect second"]) == (1, 1)
        # What was approved is not tried again.
        for what in DEATHS:
            assert counts[what] == held[what]
        events = await stage.events(incident)
        for event in ("PlanPreviewed", "PlanRehearsed", "ApprovalRequested"):
            assert events.count(event) == 1, event
        assert await stage.flaws() == []


def test_a_plan_that_becomes_another_one_is_tried_anew(databases: Databases) -> None:
    twin = Twin(RehearsalOutcome.PASSED)
    script = Script(twin=twin, **ASKING)
    other = replace(script, playbooks=[playbook(steps=(step("third"),), approval=True)])

    async def both() -> None:
        async with performing(databases, script) as stage:
            incident, _ = await asked_with(stage)
            (first,) = await requests(stage, incident)
        async with performing(databases, other) as stage:
            await ApprovalDesk(stage.engine).vote(first.id, person("ada"), YES)
            await stage.heard_of(incident, "ApprovalRequested", times=2)
            second = (await requests(stage, incident))[-1]
            assert second.brief is not None
            assert [item.preview for item in second.brief.steps] == ["one would be set"]
            assert twin.plans == [first.plan_digest, second.plan_digest]
            assert stage.adapter.effects == {}

    asyncio.run(both())


def test_a_plan_that_is_another_one_at_each_look_goes_to_people(databases: Databases) -> None:
    clock, plans = Hurried(), iter(range(100))

    class Restless:
        def playbooks(self) -> tuple[Any, ...]:
            return (playbook(steps=(step(f"step-{next(plans)}"),), approval=True),)

    async def scene(stage: Stage) -> None:
        object.__setattr__(stage.parts, "playbooks", Restless())
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert "became another one at each of 5 looks" in await outcome(stage, incident)
        assert (await stage.events(incident)).count("PlanPreviewed") == 5
        assert stage.adapter.effects == {}
        assert await stage.flaws() == []

    play(databases, scene, clock=clock, decide=replace(DECIDE, risk_limit=1.0), **ASKING)
