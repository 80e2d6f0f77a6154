"""The part of the story in which a playbook earns, or loses, how far it may go."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from stage import (
    APPROVAL,
    BAD,
    GOOD,
    HALT,
    POLICY,
    RATE,
    TIMING,
    Script,
    Stage,
    begin,
    performing,
    play,
    playbook,
    signal,
    step,
)

from penelope.domain.action import Action, Effect, Snapshot
from penelope.domain.asking import AskingPolicy
from penelope.domain.autonomy import Comparison, Level, Standing
from penelope.domain.incident import IncidentState
from penelope.domain.people import Voter
from penelope.domain.quorum import quorum_rule_from
from penelope.domain.signal import SignalStatus
from penelope.errors import AlreadyDecided, InvalidRequest, UnknownIncident, UnknownPlaybook, UnknownService
from penelope.flow.approvals import ApprovalDesk
from penelope.flow.approvals import Word as Ballot
from penelope.flow.autonomy import Word, unit_name
from penelope.flow.autonomy_desk import AutonomyDesk
from penelope.flow.commands import Answer
from penelope.flow.reporting import Report
from penelope.rooms.gate.autonomy import AutonomyRule
from penelope.store.standings import SqlStandings
from penelope.testing.actions import FakeAction

Databases = tuple[str, str]


def at(level: Level, **changes: Any) -> dict[str, Any]:
    return {"autonomy": replace(POLICY, start=level, **changes)}


def desk(stage: Stage) -> AutonomyDesk:
    return AutonomyDesk(stage.engine, SqlStandings(stage.database), stage.parts)


async def standing(stage: Stage) -> Standing:
    (found,) = (await desk(stage).standings(limit=10)).values()
    return found


async def history(stage: Stage) -> list[tuple[str, str]]:
    entries = await stage.reader.history(unit_name("fix", "shop"), 0, 100)
    return [(entry.event, entry.reason) for entry in entries]


async def gate_reason(stage: Stage, incident: str) -> str:
    (found,) = [item for item in await stage.reader.units(incident) if item.kind == "gate"]
    return "; ".join(f"{item['rule']}: {item['reason']}" for item in found.attributes["verdicts"])


async def heal(stage: Stage, number: int, **changes: Any) -> str:
    """An incident of its own, from which the shop is well once something was done."""
    stage.metrics.script("shop", BAD, GOOD)
    incident = await begin(stage, signal(number, name=f"Broken-{number}", **changes))
    await stage.until(incident)
    return incident


ANY = replace(playbook(), match=replace(playbook().match, names=()))


def did(incident: str, what: str = "fix") -> Report:
    return Report(incident=incident, actor="key:ada", did=what, comment="at the console")


def test_in_shadow_it_decides_and_records_but_does_not_act(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert stage.adapter.effects == {}
        events = await stage.events(incident)
        assert events.index("PlanMade") < events.index("GateRefused") < events.index("IncidentEscalated")
        assert "shadow: would have run fix" in await gate_reason(stage, incident)
        units = {item.kind: item for item in await stage.reader.units(incident)}
        assert units["decision"].status == "intervene"
        assert units["decision"].attributes["evidence"]
        assert units["plan"].attributes["playbook"] == "fix"
        assert await desk(stage).standings(limit=10) == {}
        assert await stage.flaws() == []

    play(databases, scene, **at(Level.SHADOW))


def test_shadow_decisions_are_compared_with_what_people_did(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        for number in range(4):
            incident = await begin(stage, signal(number, name=f"Broken-{number}"))
            await stage.until(incident)
            reported = await desk(stage).report(did(incident))
            assert (reported.comparison, reported.playbook) == (Comparison.AGREED, "fix")
            with pytest.raises(AlreadyDecided, match="was reported before"):
                await desk(stage).report(did(incident, "other"))
        found = await standing(stage)
        assert (found.level, found.agreements, found.disagreements) == (Level.SUGGEST, 4, 0)
        assert [event for event, _ in await history(stage)] == ["AutonomyCounted"] * 3 + ["AutonomyRaised"]
        # What it has earned holds from the next incident on: now it asks.
        incident = await begin(stage, signal(9, name="Broken-9"))
        await stage.until(incident, IncidentState.AWAITING_APPROVAL)
        assert stage.adapter.effects == {}
        assert await stage.flaws() == []

    play(databases, scene, playbooks=[ANY], **at(Level.SHADOW))


def test_people_who_did_something_else_are_counted_too(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        for number, what in enumerate(("other", "nothing")):
            incident = await begin(stage, signal(number, name=f"Broken-{number}"))
            await stage.until(incident)
            assert (await desk(stage).report(did(incident, what))).comparison is Comparison.DIFFERED
        found = await standing(stage)
        assert (found.level, found.agreements, found.disagreements) == (Level.SHADOW, 0, 2)

    play(databases, scene, playbooks=[ANY], **at(Level.SHADOW))


def test_a_report_waits_for_the_end_and_must_make_sense(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        await stage.until(incident, IncidentState.AWAITING_APPROVAL)
        with pytest.raises(InvalidRequest, match="is still Penelope's to handle"):
            await desk(stage).report(did(incident))
        with pytest.raises(UnknownPlaybook, match="no playbook 'fixx'"):
            await desk(stage).report(did(incident, "fixx"))
        with pytest.raises(UnknownIncident):
            await desk(stage).report(did("inc_none"))
        strange = await begin(stage, signal(2, name="Strange"))
        await stage.until(strange)
        reported = await desk(stage).report(did(strange))
        assert (reported.comparison, reported.playbook) == (Comparison.NOTED, None)
        assert await desk(stage).standings(limit=10) == {}
        (entry,) = [
            item
            for item in await stage.reader.entries(incident=strange, after=0, limit=100)
            if item.event == "HumanActionReported"
        ]
        assert (entry.actor, entry.reason, entry.details["did"]) == ("key:ada", "at the console", "fix")

    play(databases, scene, **at(Level.SUGGEST))


def test_verified_successes_raise_it_until_it_acts_by_itself(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        for number in range(6):
            stage.metrics.script("shop", BAD)
            incident = await begin(stage, signal(number, name=f"Broken-{number}"))
            await stage.until(incident, IncidentState.AWAITING_APPROVAL)
            assert "autonomy: fix has not earned to act" in await gate_reason(stage, incident)
            stage.metrics.script("shop", BAD, GOOD)
            await stage.commands.answer_approval(Answer(incident=incident, actor="key:ada", approve=True))
            assert (await stage.until(incident)).state is IncidentState.HEALED
        found = await standing(stage)
        assert (found.level, found.successes) == (Level.SUPERVISED, 6)
        # Its risk is above the low one, so that it still asks; a person may raise it.
        await desk(stage).place("fix", "shop", Level.AUTONOMOUS, Word("key:ada", "it is well known"))
        await heal(stage, 7)
        assert (await standing(stage)).level is Level.AUTONOMOUS
        events = [event for event, _ in await history(stage)]
        assert events == [*["AutonomyCounted"] * 5, "AutonomyRaised", "AutonomySet", "AutonomyCounted"]
        assert ("AutonomySet", "it is well known") in await history(stage)
        assert await stage.flaws() == []

    play(databases, scene, playbooks=[ANY], **at(Level.SUGGEST))


def test_a_contract_that_is_not_kept_lowers_it_at_once(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        found = await standing(stage)
        assert (found.level, found.failures) == (Level.SUPERVISED, 1)
        ((event, reason),) = await history(stage)
        assert event == "AutonomyLowered"
        assert reason.startswith("it failed: the incident is not over")
        # That it failed is counted already, whatever people did then.
        assert (await desk(stage).report(did(incident, "other"))).comparison is Comparison.NOTED
        assert (await standing(stage)).level is Level.SUPERVISED

    play(databases, scene, playbooks=[playbook(steps=(step("first"),))])


STRICT = (HALT, RATE, AutonomyRule(low_risk=0.0), APPROVAL)
"""Whatever is not autonomous asks."""


def test_what_comes_back_lowers_what_healed_it_at_once_and_once(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        first = await heal(stage, 1)
        assert (await standing(stage)).level is Level.AUTONOMOUS
        stage.metrics.script("shop", BAD)
        for number in (2, 3):
            back = signal(number, name="Broken-1")
            again = await begin(stage, back)
            # It has fallen before the gate looks.
            await stage.until(again, IncidentState.AWAITING_APPROVAL)
            gone = replace(back, id=f"over-{number}", status=SignalStatus.RESOLVED)
            await stage.commands.receive_signals([gone])
            await stage.until(again, IncidentState.RESOLVED)
        assert (await desk(stage).report(did(first, "other"))).comparison is Comparison.NOTED
        found = await standing(stage)
        assert (found.level, found.successes, found.failures) == (Level.SUPERVISED, 0, 1)
        assert found.reason == f"what it healed in incident {first} came back"
        assert [event for event, _ in await history(stage)] == ["AutonomyCounted", "AutonomyLowered"]
        assert (await stage.events(first)).count("OutcomeRelapsed") == 1
        assert await stage.flaws() == []

    play(databases, scene, playbooks=[ANY], gate=STRICT)


def test_what_a_person_overrode_does_not_fall_again_when_it_comes_back(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        first = await heal(stage, 1)
        assert (await desk(stage).report(did(first, "other"))).comparison is Comparison.OVERRIDDEN
        stage.metrics.script("shop", BAD)
        await stage.until(await begin(stage, signal(2, name="Broken-1")), IncidentState.AWAITING_APPROVAL)
        assert (await standing(stage)).level is Level.SUPERVISED
        assert "OutcomeRelapsed" in await stage.events(first)

    play(databases, scene, playbooks=[ANY], gate=STRICT)


class Bursting(FakeAction):
    """Breaks as no adapter may."""

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:  # noqa: ARG002 - whatever it is given
        raise RuntimeError("a flaw of the adapter")


def test_a_story_that_breaks_off_while_it_acts_lowers_its_playbook(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        found = await standing(stage)
        assert (found.level, found.failures) == (Level.SUPERVISED, 1)
        assert "a flaw of the adapter" in found.reason
        assert await stage.flaws() == []

    play(databases, scene, adapter=Bursting())


def test_a_machine_that_refuses_a_plan_overrides_nobody(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        await stage.until(incident, IncidentState.AWAITING_APPROVAL)
        (unit,) = [item for item in await stage.reader.units(incident) if item.kind == "approval"]
        agent = Voter(
            identity="agent:second", actor="agent:second", roles=frozenset({"agent:second"}), machine=True
        )
        words = ApprovalDesk(stage.engine, stage.parts.autonomy)
        no = Ballot(approve=False, reason="I see harm")
        assert (await words.vote(unit.id, agent, no)).status == "rejected"
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert await desk(stage).standings(limit=10) == {}

    quorum = quorum_rule_from("tier 1: 1 approver + 1 agent:second")
    play(databases, scene, asking=AskingPolicy(quorums=(quorum,)), **at(Level.SUGGEST, floor=Level.SHADOW))


def test_a_person_who_refuses_its_plan_lowers_it(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        await stage.until(incident, IncidentState.AWAITING_APPROVAL)
        await stage.commands.answer_approval(
            Answer(incident=incident, actor="key:bob", approve=False, comment="no")
        )
        await stage.until(incident)
        assert (await standing(stage)).level is Level.SHADOW
        assert await history(stage) == [("AutonomyLowered", "a person refused its plan")]

    play(databases, scene, **at(Level.SUGGEST, floor=Level.SHADOW))


def test_a_person_who_had_to_do_something_else_lowers_it(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await heal(stage, 1)
        assert (await desk(stage).report(did(incident, "other"))).comparison is Comparison.OVERRIDDEN
        assert (await standing(stage)).level is Level.SUPERVISED
        await desk(stage).place("fix", "shop", Level.AUTONOMOUS, Word("key:ada", "again"))
        fine = await heal(stage, 2)
        assert (await desk(stage).report(did(fine, "nothing"))).comparison is Comparison.NOTED

    play(databases, scene, playbooks=[ANY])


def test_a_cap_holds_whoever_raises_it(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        word = Word("key:ada", "because")
        with pytest.raises(InvalidRequest, match="fix on shop is capped at suggest by policy"):
            await desk(stage).place("fix", "shop", Level.SUPERVISED, word)
        with pytest.raises(UnknownPlaybook):
            await desk(stage).place("fixx", "shop", Level.SHADOW, word)
        with pytest.raises(UnknownService):
            await desk(stage).place("fix", "shopp", Level.SHADOW, word)
        assert (await desk(stage).place("fix", "shop", Level.SHADOW, word)).level is Level.SHADOW

    play(databases, scene, **at(Level.AUTONOMOUS, service_caps={"shop": Level.SUGGEST}))


def test_what_fell_while_approval_was_awaited_does_not_act(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        await stage.until(incident, IncidentState.AWAITING_APPROVAL)
        await desk(stage).place("fix", "shop", Level.SHADOW, Word("key:bob", "we do not trust it"))
        await stage.commands.answer_approval(Answer(incident=incident, actor="key:ada", approve=True))
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert stage.adapter.effects == {}

    play(databases, scene, **at(Level.SUGGEST))


def test_what_was_earned_survives_a_restart_and_a_new_cap_holds_at_once(databases: Databases) -> None:
    async def run() -> None:
        async with performing(databases, Script(playbooks=[ANY])) as stage:
            await heal(stage, 1)
            before = await standing(stage)
        capped = Script(playbooks=[ANY], **at(Level.AUTONOMOUS, cap=Level.SUGGEST))
        async with performing(databases, capped) as stage:
            after = await standing(stage)
            assert after == replace(before, cap=Level.SUGGEST)
            assert after.in_force is Level.SUGGEST
            incident = await begin(stage, signal(2, name="Broken-2"))
            await stage.until(incident, IncidentState.AWAITING_APPROVAL)

    asyncio.run(run())


def test_incidents_that_end_at_once_are_all_counted(databases: Databases) -> None:
    """Two plans cannot act on a service at once, so people refuse many of them at the same moment."""

    async def scene(stage: Stage) -> None:
        incidents = [await begin(stage, signal(number, name=f"Broken-{number}")) for number in range(6)]
        for incident in incidents:
            await stage.until(incident, IncidentState.AWAITING_APPROVAL)
        answers = [
            Answer(incident=incident, actor=f"key:person-{number}", approve=False, comment="no")
            for number, incident in enumerate(incidents)
        ]
        await asyncio.gather(*map(stage.commands.answer_approval, answers))
        events = await history(stage)
        assert len(events) == len(incidents)
        found = await standing(stage)
        assert (found.level, found.failures) == (Level.SHADOW, 1)
        assert await stage.flaws() == []

    play(databases, scene, playbooks=[ANY], timing=TIMING, **at(Level.SUGGEST, floor=Level.SHADOW))
