"""A person's no that is worn down by asking, got round or forgotten, each tried on a whole Penelope."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from doorstep import Doorstep, event, settings
from stage import GATE, POLICY, TIMING, Stage, begin, play, playbook, signal

from penelope.domain.approval import Approval
from penelope.domain.asking import AskingPolicy
from penelope.domain.autonomy import Level
from penelope.domain.incident import IncidentState
from penelope.domain.people import Voter
from penelope.domain.signal import SignalStatus
from penelope.flow.approvals import ApprovalDesk, Word
from penelope.flow.breaking_glass import GlassDesk, GlassLimits
from penelope.kit.clock import SystemClock
from penelope.kit.codec import from_data

Databases = tuple[str, str]
ASKING: Mapping[str, Any] = {"playbooks": [playbook(approval=True)]}
ADA = Voter(identity="ada", actor="key:ada")
NO = Word(approve=False, reason="not while the books are closed")


class Hurried(SystemClock):
    """The system's clock, put forward as a test likes."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


async def requests(stage: Stage, incident: str) -> list[Approval]:
    units = await stage.reader.units(incident)
    return [from_data(Approval, unit.attributes) for unit in units if unit.kind == "approval"]


async def asked(stage: Stage, number: int, **changes: Any) -> tuple[str, str]:
    incident = await begin(stage, signal(number, **changes))
    await stage.until(incident, IncidentState.AWAITING_APPROVAL)
    return incident, (await requests(stage, incident))[-1].id


async def over(stage: Stage, number: int) -> None:
    """The source sees the problem end, so that its return is a new incident."""
    await stage.commands.receive_signals([signal(number, status=SignalStatus.RESOLVED)])


async def refused(stage: Stage, number: int = 1) -> str:
    incident, request = await asked(stage, number)
    await ApprovalDesk(stage.engine).vote(request, ADA, NO)
    assert (await stage.until(incident)).state is IncidentState.ESCALATED
    await over(stage, number + 100)
    return incident


async def outcome(stage: Stage, incident: str) -> str:
    (found,) = [unit for unit in await stage.reader.units(incident) if unit.kind == "outcome"]
    return str(found.attributes["reason"])


def test_asking_until_somebody_says_yes(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        await refused(stage)
        for number in (2, 3):
            incident = await begin(stage, signal(number))
            assert (await stage.until(incident)).state is IncidentState.ESCALATED
            why = await outcome(stage, incident)
            assert "refusal: key:ada refused fix for this problem on " in why
            assert why.endswith("stands for 86400 s: not while the books are closed")
            assert await requests(stage, incident) == []
            assert "GateRefused" in await stage.events(incident)
            await over(stage, number + 100)
        assert stage.adapter.effects == {}
        assert await stage.flaws() == []

    play(databases, scene, **ASKING)


def test_asking_for_another_reason(databases: Databases) -> None:
    """The playbook is asked about for want of trust: by another rule than that which asked before."""

    async def scene(stage: Stage) -> None:
        await refused(stage)
        incident = await begin(stage, signal(2))
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert "refusal: key:ada" in await outcome(stage, incident)

    play(databases, scene, autonomy=replace(POLICY, start=Level.SUGGEST), gate=GATE)


def test_silence_is_not_taken_for_a_no(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage, signal(1))
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        await over(stage, 101)
        second = await begin(stage, signal(2))
        await stage.heard_of(second, "ApprovalRequested")

    play(databases, scene, **ASKING, timing=replace(TIMING, approval_expires_seconds=0.2))


def test_a_no_about_one_problem_is_not_taken_for_another_s(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        await refused(stage)
        await asked(stage, 2, name="Broken-otherwise")

    every = playbook(approval=True, match=replace(playbook().match, names=()))
    play(databases, scene, playbooks=[every])


def test_a_no_does_not_stand_for_ever(databases: Databases) -> None:
    clock = Hurried()

    async def scene(stage: Stage) -> None:
        await refused(stage)
        clock.ahead = timedelta(seconds=3601)
        await asked(stage, 2)

    play(databases, scene, **ASKING, clock=clock, asking=AskingPolicy(refusal_seconds=3600))


def test_a_person_may_order_it_all_the_same_and_that_is_told(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        await refused(stage)
        incident = await begin(stage, signal(2))
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        desk = GlassDesk(stage.engine, stage.parts.asking, GlassLimits())
        bob = Voter(identity="bob", actor="key:bob")
        broken = await desk.break_glass(incident, bob, "the books are open again")
        assert any("refusal: key:ada refused fix" in item for item in broken.lifted)
        await stage.heard_of(broken.incident, "InterventionBegun")

    play(databases, scene, **ASKING)


def test_whoever_takes_the_incident_over_reads_the_no(tmp_path: Path) -> None:
    limits = {"confidence_floor": 0.1, "recheck_seconds": 0.1}
    with Doorstep(settings(tmp_path, decide=limits)) as door:
        first = door.open(id="odd-1", data={"labels": {"stuck": "yes"}})
        door.wait_for(first, "awaiting_approval")
        answer = door.ask("POST", f"/api/v1/incidents/{first}/reject", json={"comment": "not on a Friday"})
        assert answer.status_code == 200
        door.wait_for(first, "escalated")
        over = event(id="odd-2", data={"labels": {"stuck": "yes"}, "status": "resolved"})
        assert door.send(over).json()["opened"] == []
        second = door.open(id="odd-3", data={"labels": {"stuck": "yes"}})
        door.wait_for(second, "escalated")
        told = door.get(f"/api/v1/incidents/{second}")
        assert told["briefing"]["ruled_out"][0].startswith("the plan, by the gate: refusal: key:")
        assert told["briefing"]["ruled_out"][0].endswith(": not on a Friday")
