"""`gate`: rules in order, up to the first refusal; limits that are just met are met."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.action import Action, Tier
from penelope.domain.approval import Approval, ApprovalStatus, Vote
from penelope.domain.contract import Contract
from penelope.domain.decision import Decision, Judgement, score
from penelope.domain.gate import RuleVerdict, Ruling
from penelope.domain.halt import Breakers, Failure, FailureKind, Limits, Scope, ScopeKind
from penelope.domain.intervention import Heal, Usage
from penelope.domain.plan import Plan
from penelope.domain.service import Target
from penelope.rooms.gate.approval import ApprovalRule
from penelope.rooms.gate.halt import Halt
from penelope.rooms.gate.loop import Loop
from penelope.rooms.gate.rate import Rate
from penelope.rooms.gate.rules import Request
from penelope.rooms.gate.run import gate
from penelope.testing.gate import passage

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
HALT = Halt()
BUDGETS = (ScopeKind.SERVICE, ScopeKind.PLAYBOOK, ScopeKind.FLEET)
RATE = Rate(actions=dict.fromkeys(BUDGETS, 10), window_seconds=600)
LOOP = Loop(heals=3, window_seconds=600)
LIMITS = Limits(failures=3, window_seconds=900, cooldown_seconds=3600)
APPROVAL = ApprovalRule(tier=Tier.HARD_TO_REVERSE)
RULES = (HALT, RATE, APPROVAL)


def ago(*seconds: float) -> tuple[datetime, ...]:
    return tuple(NOW - timedelta(seconds=number) for number in seconds)


def plan(tier: Tier = Tier.SNAPSHOT, steps: int = 1) -> Plan:
    action = Action(
        key="k",
        name="restart",
        adapter="fake",
        operation="set",
        target=Target(name="one", service="shop", adapter="fake"),
        params={},
        tier=tier,
        timeout_seconds=1,
    )
    return Plan(
        id="p",
        incident="inc_1",
        service="shop",
        playbook="fix",
        playbook_version="1",
        steps=(action,) * steps,
        verify=Contract(clauses=(), deadline_seconds=1),
    )


def decision(*, needs_approval: bool = False) -> Decision:
    return Decision(
        incident="inc_1",
        judgement=Judgement.INTERVENE,
        risk=score(),
        confidence=score(),
        rationale="the decision says why",
        decided_at=NOW,
        needs_approval=needs_approval,
    )


def request(
    *,
    actions: int = 0,
    failures: Sequence[datetime] = (),
    failing: ScopeKind = ScopeKind.SERVICE,
    **changes,
) -> Request:
    """Of a service with so many actions lately, and of which the breaker of one kind has seen these failures."""
    given = {"plan": plan(), "decision": decision(), **changes}
    made = passage(given.pop("plan"), NOW)
    breakers = dict(made.breakers or {})
    for number, moment in enumerate(failures):
        failure = Failure(incident=f"inc_{number}", kind=FailureKind.FAILED, at=moment)
        breakers |= {
            scope: breaker.noted(failure, LIMITS, moment)
            for scope, breaker in breakers.items()
            if scope.kind is failing
        }
    usage = Usage(actions=dict.fromkeys(BUDGETS, actions))
    return replace(made, **{"breakers": breakers, "usage": usage, **given})


def approval(of: Plan, status: ApprovalStatus = ApprovalStatus.APPROVED) -> Approval:
    return Approval(
        id="a",
        incident="inc_1",
        plan_digest=of.digest,
        reasons=(),
        status=status,
        requested_at=NOW,
        expires_at=NOW,
        decided_at=NOW,
        decided_by="ada",
        votes=(Vote(voter="ada", actor="ada", approve=True, seat="approver", at=NOW),),
    )


class TestHalt:
    def test_closed_breakers_let_a_plan_through(self) -> None:
        verdict = HALT.check(request())
        assert (verdict.ruling, verdict.reason) == (
            Ruling.PASS,
            "no breaker is open; at most 0 recent failures count",
        )

    @pytest.mark.parametrize("kind", ScopeKind)
    def test_any_of_the_four_stops_it(self, kind: ScopeKind) -> None:
        asked = request(failures=ago(30, 20, 10), failing=kind)
        verdict = HALT.check(asked)
        assert verdict.ruling is Ruling.REFUSE
        (scope,) = [scope for scope in asked.breakers if scope.kind is kind]
        assert verdict.reason == (
            f"{scope.label} is halted after 3 failures, 0 of them relapses, until 2026-11-21 07:59:50 UTC"
        )

    def test_what_cannot_be_read_stops_it(self) -> None:
        for scope in request().breakers:
            for breakers in ({**request().breakers, scope: None}, _without(request().breakers, scope)):
                verdict = HALT.check(request(breakers=breakers))
                assert verdict.ruling is Ruling.REFUSE
                assert verdict.reason == f"the breaker of {scope.label} cannot be read"

    def test_where_nobody_has_looked_nothing_passes(self) -> None:
        assert HALT.check(request(breakers=None)).ruling is Ruling.REFUSE
        assert RATE.check(request(usage=None)).ruling is Ruling.REFUSE
        assert LOOP.check(request(heals=None)).ruling is Ruling.REFUSE


def _without(breakers: Breakers, scope: Scope) -> Breakers:
    return {item: breaker for item, breaker in breakers.items() if item != scope}


class TestRate:
    @pytest.mark.parametrize(
        ("before", "wanted", "ruling"),
        [(0, 10, Ruling.PASS), (0, 11, Ruling.REFUSE), (9, 1, Ruling.PASS), (9, 2, Ruling.REFUSE)],
    )
    @pytest.mark.parametrize("kind", BUDGETS)
    def test_what_the_plan_would_do_counts_in(
        self, kind: ScopeKind, before: int, wanted: int, ruling: Ruling
    ) -> None:
        usage = Usage(actions={**dict.fromkeys(BUDGETS, 0), kind: before})
        rate = replace(RATE, actions={**dict.fromkeys(BUDGETS, 100), kind: 10})
        verdict = rate.check(request(usage=usage, plan=plan(steps=wanted)))
        assert verdict.ruling is ruling
        assert f"{kind} {before} + {wanted} of 10" in verdict.reason

    def test_a_count_that_is_missing_refuses(self) -> None:
        verdict = gate(request(usage=Usage()), (RATE,))
        assert verdict.ruling is Ruling.REFUSE


class TestLoop:
    @pytest.mark.parametrize(
        ("ages", "ruling"),
        [
            ((), Ruling.PASS),
            ((20, 10), Ruling.PASS),
            ((30, 20, 10), Ruling.REFUSE),
            ((600, 20, 10), Ruling.REFUSE),  # exactly the window
            ((601, 20, 10), Ruling.PASS),
        ],
    )
    def test_what_was_healed_too_often_goes_to_people(self, ages: tuple[float, ...], ruling: Ruling) -> None:
        heals = [Heal(incident="inc_0", playbook="any", at=moment) for moment in ago(*ages)]
        assert LOOP.check(request(heals=heals)).ruling is ruling


class TestApproval:
    def test_soft_steps_that_nobody_doubts_need_none(self) -> None:
        verdict = APPROVAL.check(request())
        assert (verdict.ruling, verdict.reason) == (Ruling.PASS, "tier 2 needs no approval")

    def test_from_its_tier_on_a_plan_needs_one(self) -> None:
        verdict = APPROVAL.check(request(plan=plan(Tier.HARD_TO_REVERSE)))
        assert (verdict.ruling, verdict.reason) == (Ruling.ASK, "tier 3 needs an approval")

    def test_so_does_what_the_decision_doubts(self) -> None:
        verdict = APPROVAL.check(request(decision=decision(needs_approval=True)))
        assert (verdict.ruling, verdict.reason) == (Ruling.ASK, "the decision says why")

    def test_an_approval_is_good_for_the_very_plan(self) -> None:
        hard = plan(Tier.IRREVERSIBLE)
        given = APPROVAL.check(request(plan=hard, approvals=[approval(hard)]))
        assert (given.ruling, given.reason) == (Ruling.PASS, "ada approved this plan")
        other = approval(plan(Tier.IRREVERSIBLE, steps=2))
        assert APPROVAL.check(request(plan=hard, approvals=[other])).ruling is Ruling.ASK
        both = request(plan=hard, approvals=[other, approval(hard)])
        assert APPROVAL.check(both).ruling is Ruling.PASS

    @pytest.mark.parametrize("status", [item for item in ApprovalStatus if item != "approved"])
    def test_no_other_answer_is_a_yes(self, status: ApprovalStatus) -> None:
        hard = plan(Tier.IRREVERSIBLE)
        asked = request(plan=hard, approvals=[approval(hard, status)])
        assert APPROVAL.check(asked).ruling is Ruling.ASK


def test_all_rules_speak_when_none_refuses() -> None:
    verdict = gate(request(), RULES)
    assert [item.rule for item in verdict.verdicts] == ["halt", "rate", "approval"]
    assert (verdict.ruling, verdict.reasons) == (Ruling.PASS, ())
    asking = gate(request(plan=plan(Tier.IRREVERSIBLE)), RULES)
    assert (asking.ruling, asking.reasons) == (Ruling.ASK, ("approval: tier 4 needs an approval",))


def test_the_first_refusal_ends_it() -> None:
    both = request(failures=ago(3, 2, 1), actions=10)
    halted = gate(both, RULES)
    assert [item.rule for item in halted.verdicts] == ["halt"]
    rated = gate(replace(both, breakers=request().breakers), RULES)
    assert [item.rule for item in rated.verdicts] == ["halt", "rate"]
    assert (rated.ruling, len(rated.reasons)) == (Ruling.REFUSE, 1)


def test_an_approval_does_not_lift_a_halt() -> None:
    hard = plan(Tier.IRREVERSIBLE)
    asked = request(plan=hard, approvals=[approval(hard)], failures=ago(3, 2, 1))
    assert gate(asked, RULES).ruling is Ruling.REFUSE


# --- a rule that breaks -----------------------------------------------------------------------------------


class Broken:
    """A rule that cannot do its work."""

    name = "broken"

    def check(self, request: Request) -> RuleVerdict:
        raise KeyError(f"secret of {request.plan.service}")


def test_a_rule_that_breaks_refuses_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    verdict = gate(request(), (HALT, Broken(), RATE))
    assert [(each.rule, each.ruling) for each in verdict.verdicts] == [
        ("halt", Ruling.PASS),
        ("broken", Ruling.REFUSE),
    ]
    assert verdict.verdicts[-1].reason == "the rule broke (KeyError), so it refuses"
    (record,) = caplog.records
    assert record.getMessage() == "the rule broken broke"
    assert record.exc_info is not None
