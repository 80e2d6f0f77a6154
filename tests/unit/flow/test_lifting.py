"""What a person's word makes of the gate's verdicts: it answers those that asked for it, and no others."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.asking import AskingPolicy
from penelope.domain.autonomy import Level, Standing
from penelope.domain.circumstances import Circumstances
from penelope.domain.decision import Contribution, score
from penelope.domain.gate import RuleVerdict, Ruling
from penelope.domain.quorum import Bench, quorum_rule_from
from penelope.flow.lifting import judged
from penelope.rooms.gate.autonomy import AutonomyRule
from penelope.rooms.gate.rules import Request
from penelope.testing.gate import approval_of, passage, planned

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
PLAN = planned({})
GOOD_SECONDS = 60.0
ASKED = AskingPolicy(good_seconds=GOOD_SECONDS, quorums=(quorum_rule_from("risk 0.5: 2 approver"),))


class Says:
    """A rule with one answer."""

    def __init__(self, name: str, ruling: Ruling) -> None:
        self.name = name
        self._ruling = ruling

    def check(self, request: Request) -> RuleVerdict:  # noqa: ARG002 - whatever is asked
        return RuleVerdict(rule=self.name, ruling=self._ruling, reason="may I?")


def ruling(
    rules: Sequence[Says | AutonomyRule], *approvals: Approval, at: datetime = NOW, risk: float = 0.0
) -> Ruling:
    request = passage(PLAN, at, approvals=approvals)
    judged_anew = replace(request.decision, risk=score(Contribution(name="r", value=risk, reason="")))
    request = replace(request, decision=judged_anew)
    standing = Standing(playbook=PLAN.playbook, service=PLAN.service, level=Level.SUGGEST, since=NOW)
    return judged(replace(request, standing=standing), rules, None, ASKED).ruling


ASKING = (Says("policy", Ruling.ASK), AutonomyRule(low_risk=0.3))
WORD = approval_of(PLAN, NOW, reasons=("policy: may I?", "autonomy: fix has not earned it"))


def test_who_agreed_to_this_plan_is_not_asked_again() -> None:
    assert ruling(ASKING) is Ruling.ASK
    assert ruling(ASKING, WORD) is Ruling.PASS


def test_what_was_asked_for_one_reason_does_not_answer_another() -> None:
    assert ruling(ASKING, replace(WORD, reasons=("policy: may I?",))) is Ruling.ASK


def test_no_word_answers_a_refusal() -> None:
    assert ruling((*ASKING, Says("scanner", Ruling.REFUSE)), WORD) is Ruling.REFUSE


@pytest.mark.parametrize(
    "other",
    [
        replace(WORD, status=ApprovalStatus.REJECTED),
        replace(WORD, votes=()),  # nobody has said so
        replace(WORD, plan_digest=planned({}, {}).digest),
        replace(WORD, decided_at=None),
    ],
)
def test_nothing_less_than_the_whole_word_counts(other: Approval) -> None:
    assert ruling(ASKING, other) is Ruling.ASK


def test_one_word_does_not_pass_what_two_are_needed_for_by_now() -> None:
    one = replace(WORD, circumstances=Circumstances(risk=0.45))
    two = replace(
        one, quorum=(Bench(needed=2, seats=2),), votes=(*one.votes, replace(one.votes[0], voter="bob"))
    )
    assert ruling(ASKING, one, risk=0.49) is Ruling.PASS
    assert ruling(ASKING, one, risk=0.51) is Ruling.ASK
    assert ruling(ASKING, two, risk=0.51) is Ruling.PASS
    # Those who were asked at a higher risk were enough.
    assert ruling(ASKING, replace(one, circumstances=Circumstances(risk=0.6)), risk=0.55) is Ruling.PASS


def test_a_word_grows_stale() -> None:
    last = NOW + timedelta(seconds=GOOD_SECONDS)
    assert ruling(ASKING, WORD, at=last - timedelta(microseconds=1)) is Ruling.PASS
    assert ruling(ASKING, WORD, at=last) is Ruling.ASK
