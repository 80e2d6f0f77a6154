"""The story of an incident, from its first signal to its end."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text
from stage import (
    APPROVAL,
    BAD,
    DECIDE,
    GOOD,
    HALT,
    RATE,
    Moody,
    Stage,
    begin,
    healthy,
    performing,
    play,
    playbook,
    shop,
    signal,
    state_is,
    step,
)

from penelope.domain.action import Action, Effect, Snapshot
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.halt import Limits, ScopeKind
from penelope.domain.incident import IncidentState
from penelope.domain.outcome import OutcomeKind
from penelope.domain.plan import Match
from penelope.domain.signal import SignalStatus
from penelope.domain.work import UnitOfWork
from penelope.errors import UnknownIncident
from penelope.flow.ending import Ending, finish
from penelope.flow.halting import Brakes
from penelope.store.database import parse_url
from penelope.testing.actions import FakeAction, Mood

Databases = tuple[str, str]

CAUTIOUS = replace(DECIDE, confidence_floor=0.6)
"""Sure enough of the first use of a playbook only while the service misses its objectives."""

NEVER = Contract(
    clauses=(Clause(subject="state.value", comparator=Comparator.EQUALS, expected="something else"),),
    deadline_seconds=0.1,
)


def resolved(number: int = 2, **changes: Any) -> Any:
    return signal(number, status=SignalStatus.RESOLVED, **changes)


async def unit(stage: Stage, incident: str, kind: str) -> UnitOfWork:
    """The only unit of a kind."""
    (found,) = [item for item in await stage.reader.units(incident) if item.kind == kind]
    return found


async def actions(stage: Stage, incident: str) -> dict[str, str]:
    """How the actions of an incident stand, by name."""
    return {
        item.attributes["action"]["name"]: item.status
        for item in await stage.reader.units(incident)
        if item.kind == "action"
    }


async def outcome(stage: Stage, incident: str) -> dict[str, Any]:
    return dict((await unit(stage, incident, "outcome")).attributes)


def test_a_broken_service_is_healed_and_every_step_is_history(databases: Databases) -> None:
    async def story() -> None:
        async with performing(databases) as stage:
            receipt = await stage.commands.receive_signals([signal()])
            await stage.until(receipt.opened[0], IncidentState.VERIFYING, IncidentState.HEALED)
            stage.metrics.script("shop", GOOD)
            incident = await stage.until(receipt.opened[0])
            assert incident.state is IncidentState.HEALED
            assert stage.adapter.world == {"one": {"value": "first"}, "two": {"value": "second"}}
            assert set(stage.adapter.effects.values()) == {1}
            events = await stage.events(incident.id)
            assert events[:6] == [
                "IncidentOpened",
                "PlanPreviewed",
                "DecisionMade",
                "PlanMade",
                "GatePassed",
                "InterventionBegun",
            ]
            assert events[-3:] == ["VerdictReached", "OutcomeRecorded", "IncidentHealed"]
            heard = [entry.event for entry in stage.heard.entries]
            assert [event for event in heard if event != "AutonomyCounted"] == events
            assert await stage.flaws() == []

    asyncio.run(story())


def test_while_the_figures_do_not_bear_the_signal_out_it_is_observed(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", GOOD, GOOD, BAD, GOOD)
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.HEALED
        events = await stage.events(incident)
        assert events.count("ObservationBegun") == 2
        assert events.index("ObservationBegun") < events.index("InterventionBegun")

    play(databases, scene, decide=replace(CAUTIOUS, recheck_seconds=0.05))


def test_what_still_cannot_be_planned_after_the_observation_goes_to_people(databases: Databases) -> None:
    clause = Clause(subject="metric.error_ratio", comparator=Comparator.AT_LEAST, expected=0.5)

    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert "ObservationBegun" in await stage.events(incident)
        ended = await outcome(stage, incident)
        assert "metric.error_ratio must be at least 0.5, is 0.3" in ended["reason"]
        assert ended["total_seconds"] >= 0.2
        assert stage.adapter.effects == {}

    book = playbook(preconditions=(clause,))
    play(
        databases,
        scene,
        playbooks=[book],
        decide=replace(DECIDE, observe_seconds=0.2, recheck_seconds=0.05),
    )


def test_what_is_still_doubtful_after_the_observation_is_put_to_a_person(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", GOOD)
        incident = await begin(stage)
        await stage.until(incident, IncidentState.AWAITING_APPROVAL)
        asked = (await unit(stage, incident, "approval")).attributes["reasons"]
        assert "below 0.60 after 0.2 s: a person must say" in asked[0]

    play(databases, scene, decide=replace(CAUTIOUS, observe_seconds=0.2, recheck_seconds=0.05))


def test_without_a_playbook_people_hear_of_it_at_once(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage, signal(name="Strange"))
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        ended = await outcome(stage, incident)
        assert ended["reason"] == "no playbook is for Strange of shop"
        assert (ended["acted"], ended["verified"], ended["playbook"]) == (False, None, None)
        assert await stage.events(incident) == [
            "IncidentOpened",
            "DecisionMade",
            "OutcomeRecorded",
            "IncidentEscalated",
        ]

    play(databases, scene)


def test_a_service_outside_the_catalogue_is_for_people(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage, signal(service="bakery"))
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert "service 'bakery' is not in the catalogue" in (await outcome(stage, incident))["reason"]

    play(databases, scene)


def test_what_an_adapter_objects_to_is_never_begun(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert (
            "first: the adapter 'fake' has no operation 'melt'" in (await outcome(stage, incident))["reason"]
        )
        assert "PlanMade" not in await stage.events(incident)

    play(databases, scene, playbooks=[playbook(steps=(step("first", operation="melt"),))])


def test_a_failing_action_takes_back_what_was_done_last_first(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert adapter.history == ["do first", "do second", "do third", *_undone("third", "second", "first")]
        assert adapter.world == {}
        assert await actions(stage, incident) == dict.fromkeys(("first", "second", "third"), "compensated")
        ended = await outcome(stage, incident)
        assert ended["reason"].startswith("third: third fails")
        assert ended["reason"].endswith("what was done has been taken back")
        assert (ended["acted"], ended["verified"]) == (True, False)

    adapter = Moody({"third": Mood.FAILS})
    steps = (step("first"), step("second", "two"), step("third"))
    play(databases, scene, adapter=adapter, playbooks=[playbook(steps=steps)])


def _undone(*names: str) -> list[str]:
    return [f"undo {name}" for name in names]


def test_an_action_that_cannot_even_be_prepared_is_not_taken_back(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.adapter.mood = Mood.OUT_OF_REACH
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert await actions(stage, incident) == {"first": "failed"}
        assert "out of reach" in (await outcome(stage, incident))["reason"]
        assert "ActionStarted" not in await stage.events(incident)

    play(databases, scene)


class SlowToAnswer(FakeAction):
    """Does the thing, and never says so."""

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        await super().execute(action, snapshot)
        await asyncio.Event().wait()
        raise AssertionError


def test_an_action_that_answers_too_late_is_probed_and_found_done(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, GOOD)
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.HEALED
        done = await unit(stage, incident, "action")
        assert (done.status, done.attributes["effect"]["repeated"]) == ("done", True)
        assert set(stage.adapter.effects.values()) == {1}

    steps = (step("first", timeout_seconds=0.1),)
    play(databases, scene, adapter=SlowToAnswer(), playbooks=[playbook(steps=steps)])


def test_what_may_or_may_not_have_happened_is_left_for_a_person_to_see(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        adapter.can_tell = False
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert await actions(stage, incident) == {"first": "done", "second": "unknown"}
        assert adapter.history == ["do first", "do second"]
        assert adapter.world == {"one": {"value": "first"}, "two": {"value": "second"}}
        assert "nobody knows what is there" in (await outcome(stage, incident))["reason"]
        assert "CompensationBegun" not in await stage.events(incident)

    adapter = Moody({"second": Mood.LOSES_THE_ANSWER})
    play(databases, scene, adapter=adapter)


def test_an_action_that_does_not_do_what_it_said_is_taken_back(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert adapter.history == ["do first", "undo first"]
        verdict = await unit(stage, incident, "verdict")
        assert (verdict.status, verdict.attributes["of"]) == ("drifted", "first")
        assert "did not do what it said (state.value)" in (await outcome(stage, incident))["reason"]

    adapter = Moody({})
    steps = (step("first", expect=NEVER), step("second", "two"))
    play(databases, scene, adapter=adapter, playbooks=[playbook(steps=steps)])


def test_a_compensation_that_fails_is_said_loudly(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert "TAKING IT BACK FAILED: second: second stays" in (await outcome(stage, incident))["reason"]
        assert "CompensationFailed" in await stage.events(incident)
        # What lies below a thing that stays is not pulled from under it.
        assert await actions(stage, incident) == {"first": "done", "second": "compensation_failed"}

    adapter = Moody({}, stubborn=["second"])
    steps = (step("first"), step("second", "two", expect=NEVER))
    play(databases, scene, adapter=adapter, playbooks=[playbook(steps=steps)])


def test_fixes_that_do_not_help_are_taken_back_and_in_the_end_halted(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        for number in (1, 2):
            incident = await begin(stage, signal(number, name=f"Broken{number}"))
            assert (await stage.until(incident)).state is IncidentState.ESCALATED
            assert (
                "the incident is not over (metric.error_ratio)" in (await outcome(stage, incident))["reason"]
            )
            assert set((await actions(stage, incident)).values()) == {"compensated"}
        tried = len(stage.adapter.effects)
        third = await begin(stage, signal(3, name="Broken3"))
        assert (await stage.until(third)).state is IncidentState.ESCALATED
        assert (await unit(stage, third, "gate")).status == "refuse"
        ended = await outcome(stage, third)
        assert ended["reason"].startswith("halt: service:shop is halted after 2 failures, 0 of them relapses")
        assert ended["acted"] is False
        assert len(stage.adapter.effects) == tried
        assert await stage.flaws() == []

    book = playbook(match=Match(), verify=healthy(0.1))
    two = Limits(failures=2, window_seconds=900, cooldown_seconds=3600)
    play(
        databases,
        scene,
        playbooks=[book],
        gate=(HALT, APPROVAL),
        brakes=Brakes(limits=dict.fromkeys(ScopeKind, two)),
    )


def test_a_service_is_not_touched_more_often_than_allowed(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, GOOD)
        assert (await stage.until(await begin(stage))).state is IncidentState.HEALED
        stage.metrics.script("shop", BAD)
        second = await begin(stage, signal(2))
        assert (await stage.until(second)).state is IncidentState.ESCALATED
        reason = (await outcome(stage, second))["reason"]
        assert reason.startswith("rate: actions within 3600 s: service 2 + 2 of 3")

    play(databases, scene, gate=(replace(RATE, actions={ScopeKind.SERVICE: 3}), APPROVAL))


def test_an_incident_whose_condition_ends_while_it_is_observed_is_over(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", GOOD)
        incident = await begin(stage)
        await stage.until(incident, IncidentState.OBSERVING)
        receipt = await stage.commands.receive_signals([resolved()])
        assert receipt.incidents == (incident,)
        assert (await stage.until(incident)).state is IncidentState.RESOLVED
        assert (await outcome(stage, incident))["kind"] == "resolved"
        assert stage.adapter.effects == {}

    # Only the news can wake it in time.
    play(databases, scene, decide=replace(CAUTIOUS, observe_seconds=300, recheck_seconds=300))


def test_a_fix_that_is_under_way_is_carried_to_its_end(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        await stage.until(incident, IncidentState.VERIFYING)
        await stage.commands.receive_signals([resolved()])
        stage.metrics.script("shop", GOOD)
        ended = await stage.until(incident)
        assert ended.state is IncidentState.HEALED
        assert ended.resolved_at is not None

    play(databases, scene, playbooks=[playbook(verify=healthy(10))])


def test_the_source_confirms_what_was_healed(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, GOOD)
        incident = await begin(stage)
        assert (await stage.until(incident)).resolved_at is None
        await stage.commands.receive_signals([resolved()])
        confirmed = await stage.until(incident)
        assert confirmed.state is IncidentState.HEALED
        assert confirmed.resolved_at is not None
        assert (await stage.events(incident))[-1] == "ConditionEnded"

    play(databases, scene)


def test_what_people_have_mended_is_resolved_and_may_begin_anew(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage, signal(name="Strange"))
        await stage.until(incident, IncidentState.ESCALATED)
        again = await stage.commands.receive_signals([signal(2, name="Strange")])
        assert (again.opened, again.incidents) == ((), (incident,))
        await stage.commands.receive_signals([resolved(3, name="Strange")])
        found = await stage.until(incident)
        assert (found.state, found.signal_count) == (IncidentState.RESOLVED, 2)
        assert await begin(stage, signal(4, name="Strange")) != incident

    play(databases, scene)


def test_a_playbook_that_healed_before_is_trusted_more(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        decisions = []
        for number in (1, 2):
            stage.metrics.script("shop", BAD, GOOD)
            incident = await begin(stage, signal(number))
            assert (await stage.until(incident)).state is IncidentState.HEALED
            decisions.append((await unit(stage, incident, "decision")).attributes)
        first, second = decisions
        assert first["precedents"] == []
        assert second["precedents"] == [
            {"playbook": "fix", "service": "shop", "successes": 1, "failures": 0},
        ]
        assert second["risk"]["value"] == first["risk"]["value"]
        assert second["confidence"]["value"] > first["confidence"]["value"]

    play(databases, scene)


def test_an_adapter_that_breaks_before_it_acts_has_done_nothing(databases: Databases) -> None:
    class Broken(FakeAction):
        async def snapshot(self, action: Action) -> Snapshot:
            raise RuntimeError(f"a bug at {action.name}")

    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert (await outcome(stage, incident))["reason"].startswith(
            "first: unforeseen error: RuntimeError: a bug at first"
        )
        assert await actions(stage, incident) == {"first": "failed"}
        assert await stage.flaws() == []

    play(databases, scene, adapter=Broken())


def test_a_story_that_breaks_takes_back_what_it_did_and_is_told_to_a_person(databases: Databases) -> None:
    class Broken(FakeAction):
        async def observe(self, action: Action) -> dict[str, Any]:
            raise RuntimeError(f"a bug at {action.name}")

    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        reason = (await outcome(stage, incident))["reason"]
        assert reason == (
            "first: it could not be verified: unforeseen error: RuntimeError: a bug at first; what was done has been taken back"
        )
        assert stage.adapter.world == {}
        assert await stage.flaws() == []

    play(databases, scene, adapter=Broken())


def test_an_incident_ends_once(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage, signal(name="Strange"))
        await stage.until(incident)
        before = await stage.events(incident)
        await finish(stage.engine, incident, Ending(kind=OutcomeKind.HEALED, reason="too late"))
        assert await stage.events(incident) == before
        with pytest.raises(UnknownIncident, match="no incident 'inc_none'"):
            await finish(stage.engine, "inc_none", Ending(kind=OutcomeKind.HEALED, reason=""))

    play(databases, scene)


def test_a_target_that_the_catalogue_has_lost_is_not_acted_on(databases: Databases) -> None:
    """The plan was made with the target, which is gone when its turn comes."""

    class Forgetful(FakeAction):
        async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
            services["shop"] = replace(shop(), targets={"one": shop().targets["one"]})
            return await super().execute(action, snapshot)

    services: dict[str, Any] = {}

    async def scene(stage: Stage) -> None:
        nonlocal services
        services = stage.parts.services  # type: ignore[assignment]  # the stage's own dict
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert "has no target 'two' any more" in (await outcome(stage, incident))["reason"]
        assert await actions(stage, incident) == {"first": "compensated", "second": "failed"}

    play(databases, scene, adapter=Forgetful())


def test_no_secret_of_a_target_is_kept_anywhere(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, GOOD)
        healed = await begin(stage)
        await stage.until(healed)
        adapter.moods = {"second": Mood.FAILS}
        stage.metrics.script("shop", BAD)
        failed = await begin(stage, signal(2))
        await stage.until(failed)
        assert adapter.saw_the_password
        for database in databases:
            kept = everything_in(database)
            assert healed in kept
            assert failed in kept
            assert "never-stored" not in kept
        assert all("never-stored" not in repr(entry) for entry in stage.heard.entries)

    class Nosy(Moody):
        saw_the_password = False

        async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
            self.saw_the_password = action.target.options == {"password": "never-stored"}
            return await super().execute(action, snapshot)

    adapter = Nosy({})
    play(
        databases,
        scene,
        adapter=adapter,
        playbooks=[playbook(steps=(step("first", expect=state_is("first")), step("second", "two")))],
    )


def everything_in(database: str) -> str:
    """All rows of all tables as one text."""
    url = parse_url(database)
    if url.get_backend_name() == "sqlite":
        url = url.set(drivername="sqlite")
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            tables = inspect(connection)
            schemas = [name for name in tables.get_schema_names() if name in {"main", "public", "dbos"}]
            names = [
                f'"{schema}"."{table}"' for schema in schemas for table in tables.get_table_names(schema)
            ]
            assert len(names) > 5
            return "\n".join(
                str(tuple(row)) for name in names for row in connection.execute(text(f"SELECT * FROM {name}"))
            )
    finally:
        engine.dispose()
