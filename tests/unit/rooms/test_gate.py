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
from penelope.domain.outcome import PlaybookRecord
from penelope.domain.plan import Plan
from penelope.domain.service import Target
from penelope.rooms.gate.approval import ApprovalRule
from penelope.rooms.gate.halt import Halt
from penelope.rooms.gate.rate import Rate
from penelope.rooms.gate.rules import Request
from penelope.rooms.gate.run import gate
from penelope.testing.gate import passage

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
HALT = Halt(failures=3, window_seconds=900, rest_seconds=3600)
RATE = Rate(actions=10, window_seconds=600)
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
    actions: Sequence[datetime] = (),
    failures: Sequence[datetime] = (),
    **changes,
) -> Request:
    record = PlaybookRecord(
        playbook="fix", service="shop", recent_actions=tuple(actions), recent_failures=tuple(failures)
    )
    given = {"plan": plan(), "decision": decision(), "record": record, **changes}
    return passage(given.pop("plan"), NOW, **given)


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
        votes=(Vote(id="v", voter="ada", actor="ada", approve=True, seat="approver", at=NOW),),
    )


class TestHalt:
    @pytest.mark.parametrize(
        ("failures", "ruling"),
        [
            ((), Ruling.PASS),
            (ago(20, 10), Ruling.PASS),  # one too few
            (ago(30, 20, 10), Ruling.REFUSE),
            (ago(910, 20, 10), Ruling.REFUSE),  # exactly the window
            (ago(911, 20, 10), Ruling.PASS),  # a second more
            (ago(9000, 911, 20, 10), Ruling.PASS),
            (ago(3700, 3650, 3599), Ruling.REFUSE),  # the halt lasts
            (ago(3700, 3650, 3600), Ruling.PASS),  # and ends
            (ago(9000, 8000, 30, 20, 10), Ruling.REFUSE),
            (ago(3700, 3650, 3590, 10), Ruling.REFUSE),  # a later failure does not end an earlier halt
        ],
    )
    def test_failures_close_together_halt_the_service(
        self, failures: tuple[datetime, ...], ruling: Ruling
    ) -> None:
        assert HALT.check(request(failures=failures)).ruling is ruling

    def test_it_says_until_when(self) -> None:
        verdict = HALT.check(request(failures=ago(30, 20, 10)))
        assert verdict.reason == "3 fixes of shop failed within 900 s; halted until 07:59:50 UTC"
        assert HALT.check(request(failures=ago(9))).reason == "1 recent failures on shop"

    def test_the_first_failure_may_be_enough(self) -> None:
        assert replace(HALT, failures=1).check(request(failures=ago(1))).ruling is Ruling.REFUSE


class TestRate:
    @pytest.mark.parametrize(
        ("before", "wanted", "ruling"),
        [(0, 10, Ruling.PASS), (0, 11, Ruling.REFUSE), (9, 1, Ruling.PASS), (9, 2, Ruling.REFUSE)],
    )
    def test_what_the_plan_would_do_counts_in(self, before: int, wanted: int, ruling: Ruling) -> None:
        asked = request(actions=ago(*range(before, 0, -1)), plan=plan(steps=wanted))
        assert RATE.check(asked).ruling is ruling

    def test_what_lies_outside_the_window_does_not_count(self) -> None:
        inside, outside = ago(*[600] * 10), ago(*[600.001] * 10)
        assert RATE.check(request(actions=inside)).ruling is Ruling.REFUSE
        verdict = RATE.check(request(actions=outside))
        assert verdict.ruling is Ruling.PASS
        assert verdict.reason == "0 actions in the last 600 s and 1 more, of 10"


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
    both = request(failures=ago(3, 2, 1), actions=ago(*[1] * 10))
    halted = gate(both, RULES)
    assert [item.rule for item in halted.verdicts] == ["halt"]
    rated = gate(replace(both, record=replace(both.record, recent_failures=())), RULES)
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
