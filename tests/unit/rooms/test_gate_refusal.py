"""`refusal`: a person's no stands for a while; silence and machines say no such thing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penelope.domain.approval import Approval, ApprovalStatus, Ballot, Refusal, close, vote
from penelope.domain.gate import GateVerdict, RuleVerdict, Ruling
from penelope.domain.outcome import PlaybookRecord
from penelope.domain.people import Voter
from penelope.domain.quorum import Bench
from penelope.rooms.gate.refusal import before_asking
from penelope.testing.gate import passage, planned

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
DAY = 86_400.0
PLAN = planned({})
ASKING = GateVerdict(
    verdicts=(RuleVerdict(rule="approval", ruling=Ruling.ASK, reason="tier 3 needs an approval"),)
)
ADA = Voter(identity="ada", actor="key:ada")
SCANNER = Voter(identity="rule:scanner", actor="penelope", roles=frozenset({"rule:scanner"}), machine=True)


def asked(*benches: Bench) -> Approval:
    return Approval(
        id="approval-1",
        incident="inc_0",
        plan_digest=PLAN.digest,
        reasons=(),
        status=ApprovalStatus.PENDING,
        requested_at=NOW,
        expires_at=NOW + timedelta(days=1),
        quorum=benches or (Bench(),),
    )


def said(approval: Approval, voter: Voter, *, approve: bool = False, reason: str = "not now") -> Approval:
    ballot = Ballot(approve=approve, reason=reason)
    after = vote(approval, voter, ballot, NOW)
    assert isinstance(after, Approval)
    return after


def last(*refusals: Any, after: float = 60.0, **changes: Any) -> RuleVerdict:
    """What is said last, so many seconds after the words."""
    request = passage(PLAN, NOW + timedelta(seconds=after), refusals=refusals)
    verdict = before_asking(ASKING, replace(request, **changes), DAY)
    assert verdict.verdicts[:-1] == ASKING.verdicts
    return verdict.verdicts[-1]


def test_a_person_s_no_stands_and_is_told() -> None:
    verdict = last(said(asked(), ADA))
    assert (verdict.rule, verdict.ruling, verdict.final) == ("refusal", Ruling.REFUSE, False)
    assert verdict.reason == (
        "key:ada refused fix for this problem on 2026-11-21 07:00:00 UTC, which stands for 86400 s: not now"
    )


def test_a_no_without_words_stands_too() -> None:
    assert last(said(asked(), ADA, reason="")).reason.endswith("stands for 86400 s")


def test_where_nobody_refused_people_are_asked() -> None:
    verdict = last()
    assert (verdict.ruling, verdict.reason) == (Ruling.PASS, "nobody refused it within 86400 s")


@pytest.mark.parametrize(("after", "ruling"), [(DAY - 0.001, Ruling.REFUSE), (DAY, Ruling.PASS)])
def test_it_stands_for_its_time(after: float, ruling: Ruling) -> None:
    assert last(said(asked(), ADA), after=after).ruling is ruling


@pytest.mark.parametrize(
    "status", [ApprovalStatus.EXPIRED, ApprovalStatus.CANCELLED, ApprovalStatus.OVERRIDDEN]
)
def test_what_ended_otherwise_is_no_refusal(status: ApprovalStatus) -> None:
    ended = close(said(asked(Bench(needed=1, seats=2)), ADA), status, NOW)
    assert not isinstance(ended, Refusal)
    assert len(ended.votes) == 1
    assert last(ended).ruling is Ruling.PASS


def test_the_no_of_a_machine_is_no_person_s() -> None:
    bench = Bench(role="rule:scanner")
    rejected = said(asked(Bench(), bench), SCANNER)
    assert rejected.status is ApprovalStatus.REJECTED
    assert last(rejected).ruling is Ruling.PASS


def test_a_person_s_no_counts_though_a_machine_s_decided() -> None:
    both = said(asked(Bench(needed=1, seats=2), Bench(role="rule:scanner")), ADA)
    assert both.status is ApprovalStatus.PENDING
    assert "key:ada refused" in last(said(both, SCANNER)).reason


def test_where_nobody_looked_or_found_garbage_nobody_is_asked() -> None:
    assert last(refusals=None).ruling is Ruling.REFUSE
    assert last(object()).ruling is Ruling.REFUSE


@pytest.mark.parametrize(
    ("successes", "failures", "ruling"),
    [(0, 0, Ruling.REFUSE), (3, 0, Ruling.REFUSE), (4, 0, Ruling.PASS), (9, 5, Ruling.REFUSE)],
)
def test_one_no_does_not_silence_what_has_proven_itself(
    successes: int, failures: int, ruling: Ruling
) -> None:
    record = PlaybookRecord(playbook="fix", service="shop", successes=successes, failures=failures)
    assert last(said(asked(), ADA), record=record).ruling is ruling


def test_what_the_decision_doubts_is_not_saved_by_its_record() -> None:
    record = PlaybookRecord(playbook="fix", service="shop", successes=99)
    decision = replace(passage(PLAN, NOW).decision, needs_approval=True)
    assert last(said(asked(), ADA), record=record, decision=decision).ruling is Ruling.REFUSE
