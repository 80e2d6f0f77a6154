"""The story where more than one word counts: quorums, a world that moves on, and broken glass."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from stage import APPROVAL, BAD, GOOD, HALT, Stage, begin, play, playbook

from penelope.domain.approval import Approval
from penelope.domain.asking import AskingPolicy
from penelope.domain.break_glass import BreakGlass, ReviewStatus
from penelope.domain.gate import RuleVerdict, Ruling
from penelope.domain.halt import Scope, ScopeKind
from penelope.domain.incident import IncidentState
from penelope.domain.people import AGENT, Voter
from penelope.domain.quorum import quorum_rule_from
from penelope.errors import AlreadyDecided, Forbidden, InvalidRequest, UnknownReview
from penelope.flow.approvals import ApprovalDesk, Word
from penelope.flow.breaking_glass import GlassDesk, GlassLimits
from penelope.flow.switching import HaltSwitch, Order
from penelope.kit.codec import from_data
from penelope.rooms.gate.rules import Request

Databases = tuple[str, str]
ASKING: Mapping[str, Any] = {"playbooks": [playbook(approval=True)]}
YES = Word(approve=True)


def person(name: str, *roles: str) -> Voter:
    return Voter(identity=name, actor=f"key:{name}", roles=frozenset({"approver", *roles}))


def agent(name: str) -> Voter:
    identity = f"{AGENT}{name}"
    return Voter(identity=identity, actor=identity, roles=frozenset({identity}), machine=True)


def quorum(*lines: str) -> AskingPolicy:
    return AskingPolicy(quorums=tuple(map(quorum_rule_from, lines)))


@dataclass(frozen=True)
class Says:
    """A rule of the gate that says always the same."""

    ruling: Ruling
    name: str = "scanner"
    final: bool = False

    def check(self, request: Request) -> RuleVerdict:  # noqa: ARG002 - whatever is asked
        return RuleVerdict(rule=self.name, ruling=self.ruling, reason="so it says", final=self.final)


async def asked(stage: Stage) -> tuple[str, str]:
    """An incident that waits, and its request."""
    incident = await begin(stage)
    await stage.until(incident, IncidentState.AWAITING_APPROVAL)
    return incident, (await requests(stage, incident))[-1].id


async def requests(stage: Stage, incident: str) -> list[Approval]:
    units = await stage.reader.units(incident)
    return [from_data(Approval, unit.attributes) for unit in units if unit.kind == "approval"]


def glass(stage: Stage, **limits: float) -> GlassDesk:
    return GlassDesk(stage.engine, stage.parts.asking, GlassLimits(**limits))


class TestQuorum:
    def test_the_parliament_hears_people_rule_and_agent(self, databases: Databases) -> None:
        async def scene(stage: Stage) -> None:
            incident, request = await asked(stage)
            desk = ApprovalDesk(stage.engine)
            await desk.vote(request, person("ada"), YES)
            await desk.vote(request, agent("second"), Word(approve=True, reason="I see no harm"))
            assert stage.adapter.effects == {}
            stage.metrics.script("shop", BAD, GOOD)
            last = await desk.vote(request, person("dora", "dba"), YES)
            assert last.status == "approved"
            assert (await stage.until(incident)).state is IncidentState.HEALED
            (given,) = await requests(stage, incident)
            assert [(vote.seat, vote.channel) for vote in given.votes] == [
                ("rule:scanner", "gate"),
                ("approver", "api"),
                ("agent:second", "api"),
                ("dba", "api"),
            ]
            assert given.votes[0].reason == "scanner: so it says"
            assert given.brief is not None
            assert "NOT met" in " ".join(given.brief.evidence)
            assert await stage.flaws() == []

        line = "tier 1: 1 approver + 1 dba + 1 rule:scanner + 1 agent:second"
        gate = (Says(Ruling.PASS), APPROVAL)
        play(databases, scene, **ASKING, asking=quorum(line), gate=gate)

    def test_a_machine_cannot_outvote_the_people_who_are_needed(self, databases: Databases) -> None:
        async def scene(stage: Stage) -> None:
            _, request = await asked(stage)
            desk = ApprovalDesk(stage.engine)
            assert (await desk.vote(request, agent("second"), YES)).status == "pending"
            with pytest.raises(Forbidden, match="has no seat"):
                await desk.vote(request, agent("third"), YES)
            with pytest.raises(Forbidden, match="only a person"):
                await desk.cancel(request, agent("second"), "no need")

        play(databases, scene, **ASKING, asking=quorum("tier 1: 1 approver + 1 agent:second"))

    def test_an_agent_takes_no_persons_seat(self, databases: Databases) -> None:
        async def scene(stage: Stage) -> None:
            incident, request = await asked(stage)
            with pytest.raises(AlreadyDecided, match="an agent has no person's seat"):
                await ApprovalDesk(stage.engine).delegate(request, person("ada"), "agent:second", "busy")
            assert (await requests(stage, incident))[0].delegations == ()

        play(databases, scene, **ASKING)

    def test_a_role_that_a_seat_was_handed_to_may_answer(self, databases: Databases) -> None:
        async def scene(stage: Stage) -> None:
            incident, request = await asked(stage)
            desk = ApprovalDesk(stage.engine)
            await desk.delegate(request, person("dora", "dba"), "sre", "on leave", to_role=True)
            with pytest.raises(Forbidden, match="no seat"):
                await desk.vote(request, person("ada"), YES)
            await desk.comment(request, person("ada"), "fine with me")
            stage.metrics.script("shop", BAD, GOOD)
            given = await desk.vote(request, person("sam", "sre"), YES)
            assert (given.status, given.votes[0].instead_of) == ("approved", "dora")
            assert (await stage.until(incident)).state is IncidentState.HEALED
            events = await stage.events(incident)
            assert {"ApprovalDelegated", "ApprovalCommented", "ApprovalGiven"} <= set(events)

        play(databases, scene, **ASKING, asking=quorum("tier 1: 1 dba"))


class TestAWorldThatMovesOn:
    def test_a_service_that_is_well_again_is_asked_about_anew(self, databases: Databases) -> None:
        async def scene(stage: Stage) -> None:
            incident, request = await asked(stage)
            stage.metrics.script("shop", GOOD)
            await ApprovalDesk(stage.engine).vote(request, person("ada"), YES)
            await stage.heard_of(incident, "ApprovalRequested", times=2)
            first, second = await requests(stage, incident)
            assert (first.status, second.status, first.plan_digest) == (
                "approved",
                "pending",
                second.plan_digest,
            )
            assert "what was missed is met again: availability" in second.reasons[0]
            assert stage.adapter.effects == {}

        play(databases, scene, **ASKING)

    def test_an_old_approval_is_asked_for_anew(self, databases: Databases) -> None:
        async def scene(stage: Stage) -> None:
            incident, request = await asked(stage)
            await ApprovalDesk(stage.engine).vote(request, person("ada"), YES)
            await stage.heard_of(incident, "ApprovalRequested", times=2)
            assert "more than 0 s ago" in (await requests(stage, incident))[-1].reasons[0]

        play(databases, scene, **ASKING, gate=(replace(APPROVAL, asking=AskingPolicy(good_seconds=0.0)),))


def test_another_rule_that_asks_is_content_with_the_answer(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident, request = await asked(stage)
        stage.metrics.script("shop", BAD, GOOD)
        await ApprovalDesk(stage.engine).vote(request, person("ada"), YES)
        assert (await stage.until(incident)).state is IncidentState.HEALED
        (gate,) = [unit for unit in await stage.reader.units(incident) if unit.kind == "gate"]
        assert "key:ada approved this plan" in gate.attributes["verdicts"][0]["reason"]

    play(databases, scene, gate=(Says(Ruling.ASK, "twin"), APPROVAL))


class TestBrokenGlass:
    def test_a_waiting_plan_runs_at_once_and_two_others_review_it(self, databases: Databases) -> None:
        async def scene(stage: Stage) -> None:
            incident, request = await asked(stage)
            stage.metrics.script("shop", BAD, GOOD)
            desk = glass(stage)
            with pytest.raises(InvalidRequest, match="needs a reason"):
                await desk.break_glass(incident, person("ada"), " ")
            with pytest.raises(Forbidden, match="only a person"):
                await desk.break_glass(incident, agent("second"), "quick")
            broken = await desk.break_glass(incident, person("ada"), "the shop is down")
            assert (await stage.until(incident)).state is IncidentState.HEALED
            assert (await requests(stage, incident))[0].status == "overridden"
            with pytest.raises(AlreadyDecided):
                await ApprovalDesk(stage.engine).vote(request, person("bob"), YES)
            with pytest.raises(Forbidden, match="other than who broke"):
                await desk.review(broken.id, person("ada"), "all fine")
            once = await desk.review(broken.id, person("bob"), "it was right")
            assert await desk.review(broken.id, person("bob"), "once more") == once
            assert once.status is ReviewStatus.OPEN
            assert (await desk.review(broken.id, person("eve"), "agreed")).status is ReviewStatus.CLOSED
            with pytest.raises(AlreadyDecided):
                await desk.review(broken.id, person("carl"), "late")
            with pytest.raises(UnknownReview):
                await desk.review(request, person("carl"), "what")
            assert await stage.flaws() == []

        play(databases, scene, **ASKING)

    def test_a_refused_plan_runs_in_a_new_incident_and_tells_what_was_lifted(
        self, databases: Databases
    ) -> None:
        async def scene(stage: Stage) -> None:
            incident = await begin(stage)
            assert (await stage.until(incident)).state is IncidentState.ESCALATED
            stage.metrics.script("shop", BAD, GOOD)
            broken = await glass(stage).break_glass(incident, person("ada"), "I know better")
            assert broken.incident != incident
            assert broken.lifted == ("scanner: so it says",)
            assert (await stage.until(broken.incident)).state is IncidentState.HEALED
            units = await stage.reader.units(broken.incident)
            (gate,) = [unit for unit in units if unit.kind == "gate"]
            said = {item["rule"]: item for item in gate.attributes["verdicts"]}
            assert "overridden: key:ada broke the glass" in said["scanner"]["reason"]
            assert (await stage.reader.incident(incident)).lapsed
            (kept,) = [unit for unit in units if unit.kind == "break_glass"]
            assert from_data(BreakGlass, kept.attributes) == broken
            with pytest.raises(AlreadyDecided):
                await glass(stage).break_glass(incident, person("ada"), "again")
            assert await stage.flaws() == []

        play(databases, scene, gate=(Says(Ruling.REFUSE), HALT, APPROVAL))

    def test_it_reaches_through_a_person_s_halt_of_the_service_up_to_the_target(
        self, databases: Databases
    ) -> None:
        async def scene(stage: Stage) -> None:
            switch = HaltSwitch(stage.engine, {"shop"}, tuple)
            order = Order(scope=Scope(kind=ScopeKind.SERVICE, name="shop"), actor="key:eve", reason="a move")
            await switch.open(order)
            incident = await begin(stage)
            assert (await stage.until(incident)).state is IncidentState.ESCALATED
            stage.metrics.script("shop", BAD, GOOD)
            broken = await glass(stage).break_glass(incident, person("ada"), "the shop is down")
            assert (await stage.until(broken.incident)).state is IncidentState.HEALED
            events = [entry.event for entry in stage.heard.entries]
            assert events.count("HaltOverridden") == 1
            assert await stage.flaws() == []

        play(databases, scene, gate=(HALT, APPROVAL))

    def test_what_is_final_is_not_lifted(self, databases: Databases) -> None:
        async def scene(stage: Stage) -> None:
            incident = await begin(stage)
            await stage.until(incident)
            broken = await glass(stage).break_glass(incident, person("ada"), "all must go")
            assert (await stage.until(broken.incident)).state is IncidentState.ESCALATED
            assert stage.adapter.effects == {}

        play(databases, scene, gate=(Says(Ruling.REFUSE, "halt", final=True), APPROVAL))

    def test_it_lifts_refusals_for_a_while_only(self, databases: Databases) -> None:
        async def scene(stage: Stage) -> None:
            incident, _ = await asked(stage)
            await glass(stage, good_seconds=1e-6).break_glass(incident, person("ada"), "quick")
            await stage.heard_of(incident, "ApprovalRequested", times=2)
            assert stage.adapter.effects == {}

        play(databases, scene, **ASKING)

    def test_there_must_be_a_plan(self, databases: Databases) -> None:
        async def scene(stage: Stage) -> None:
            incident = await begin(stage)
            assert (await stage.until(incident)).state is IncidentState.ESCALATED
            with pytest.raises(AlreadyDecided, match="has no plan"):
                await glass(stage).break_glass(incident, person("ada"), "do something")

        play(databases, scene, playbooks=[])
