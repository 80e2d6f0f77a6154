"""What a person's word makes of the gate's verdicts: it answers those that asked for it, and no others."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.autonomy import Level, Standing
from penelope.domain.gate import RuleVerdict, Ruling
from penelope.flow.lifting import judged
from penelope.rooms.gate.autonomy import AutonomyRule
from penelope.rooms.gate.rules import Request
from penelope.testing.gate import approval_of, passage, planned

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
PLAN = planned({})
GOOD_SECONDS = 60.0


class Says:
    """A rule with one answer."""

    def __init__(self, name: str, ruling: Ruling) -> None:
        self.name = name
        self._ruling = ruling

    def check(self, request: Request) -> RuleVerdict:  # noqa: ARG002 - whatever is asked
        return RuleVerdict(rule=self.name, ruling=self._ruling, reason="may I?")


def ruling(rules: Sequence[Says | AutonomyRule], *approvals: Approval, at: datetime = NOW) -> Ruling:
    request = passage(PLAN, at, approvals=approvals)
    standing = Standing(playbook=PLAN.playbook, service=PLAN.service, level=Level.SUGGEST, since=NOW)
    return judged(replace(request, standing=standing), rules, None, GOOD_SECONDS).ruling


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


def test_a_word_grows_stale() -> None:
    last = NOW + timedelta(seconds=GOOD_SECONDS)
    assert ruling(ASKING, WORD, at=last - timedelta(microseconds=1)) is Ruling.PASS
    assert ruling(ASKING, WORD, at=last) is Ruling.ASK
