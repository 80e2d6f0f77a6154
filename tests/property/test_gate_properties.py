"""The gate's rules against the plainest way to say what they mean."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.action import Action, Tier
from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.contract import Contract
from penelope.domain.decision import Decision, Judgement, score
from penelope.domain.gate import Ruling
from penelope.domain.outcome import PlaybookRecord
from penelope.domain.plan import Plan
from penelope.domain.service import Target
from penelope.rooms.gate.approval import ApprovalRule
from penelope.rooms.gate.halt import Halt
from penelope.rooms.gate.rate import Rate
from penelope.rooms.gate.rules import Request, Rule
from penelope.rooms.gate.run import gate
from penelope.testing.gate import passage

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)

ages = st.lists(st.integers(0, 60), max_size=7)
halts = st.builds(
    Halt, failures=st.integers(1, 4), window_seconds=st.integers(1, 30), rest_seconds=st.integers(1, 30)
)
rates = st.builds(Rate, actions=st.integers(1, 6), window_seconds=st.integers(1, 30))
gates = st.tuples(halts, rates, st.builds(ApprovalRule, tier=st.sampled_from(Tier)))


def moments(seconds: Sequence[int]) -> tuple[datetime, ...]:
    return tuple(sorted(NOW - timedelta(seconds=number) for number in seconds))


def plan(tier: int, steps: int) -> Plan:
    action = Action(
        key="k",
        name="restart",
        adapter="fake",
        operation="set",
        target=Target(name="one", service="shop", adapter="fake"),
        params={},
        tier=Tier(tier),
        timeout_seconds=1,
    )
    verify = Contract(clauses=(), deadline_seconds=1)
    return Plan(
        id="p",
        incident="i",
        service="shop",
        playbook="fix",
        playbook_version="1",
        steps=(action,) * steps,
        verify=verify,
    )


def request(
    failures: Sequence[int], actions: Sequence[int], tier: int, steps: int, *, doubted: bool, approved: bool
) -> Request:
    made = plan(tier, steps)
    approval = Approval(
        id="a",
        incident="i",
        plan_digest=made.digest,
        reasons=(),
        status=ApprovalStatus.APPROVED,
        requested_at=NOW,
        expires_at=NOW,
    )
    decision = Decision(
        incident="i",
        judgement=Judgement.INTERVENE,
        risk=score(),
        confidence=score(),
        rationale="doubtful",
        decided_at=NOW,
        needs_approval=doubted,
    )
    record = PlaybookRecord(
        playbook="fix", service="shop", recent_failures=moments(failures), recent_actions=moments(actions)
    )
    return passage(made, NOW, decision=decision, record=record, approvals=[approval] * approved)


requests = st.builds(
    request,
    failures=ages,
    actions=ages,
    tier=st.integers(1, 4),
    steps=st.integers(1, 4),
    doubted=st.booleans(),
    approved=st.booleans(),
)


def halted(failures: Sequence[datetime], bounds: Halt) -> bool:
    """Any so many failures close together, the last of them not long ago."""
    window, rest = timedelta(seconds=bounds.window_seconds), timedelta(seconds=bounds.rest_seconds)
    return any(
        max(some) - min(some) <= window and max(some) + rest > NOW
        for some in combinations(failures, bounds.failures)
    )


@given(asked=requests, bounds=halts)
def test_a_halt_is_what_it_says(asked: Request, bounds: Halt) -> None:
    refused = bounds.check(asked).ruling is Ruling.REFUSE
    assert refused is halted(asked.record.recent_failures, bounds)


@given(asked=requests, bounds=halts, more=ages)
def test_more_failures_never_lift_a_halt(asked: Request, bounds: Halt, more: list[int]) -> None:
    if bounds.check(asked).ruling is Ruling.REFUSE:
        failures = tuple(sorted((*asked.record.recent_failures, *moments(more))))
        worse = replace(asked, record=replace(asked.record, recent_failures=failures))
        assert bounds.check(worse).ruling is Ruling.REFUSE


@given(asked=requests, bounds=halts)
def test_a_halt_ends_by_itself(asked: Request, bounds: Halt) -> None:
    later = replace(asked, now=NOW + timedelta(seconds=bounds.rest_seconds))
    assert bounds.check(later).ruling is Ruling.PASS


@given(asked=requests, bounds=rates)
def test_what_passes_never_exceeds_the_rate(asked: Request, bounds: Rate) -> None:
    window = timedelta(seconds=bounds.window_seconds)
    within = [moment for moment in asked.record.recent_actions if NOW - moment <= window]
    fits = len(within) + len(asked.plan.steps) <= bounds.actions
    assert (bounds.check(asked).ruling is Ruling.PASS) is fits


@given(asked=requests, rules=gates)
def test_the_gate_is_its_rules_in_order_up_to_the_first_refusal(
    asked: Request, rules: tuple[Rule, ...]
) -> None:
    verdict = gate(asked, rules)
    each = [rule.check(asked) for rule in rules]
    assert list(verdict.verdicts) == each[: len(verdict.verdicts)]
    rulings = [item.ruling for item in each]
    if Ruling.REFUSE in rulings:
        assert verdict.ruling is Ruling.REFUSE
        assert len(verdict.verdicts) == rulings.index(Ruling.REFUSE) + 1
    else:
        assert len(verdict.verdicts) == len(rules)
        assert verdict.ruling is (Ruling.ASK if Ruling.ASK in rulings else Ruling.PASS)
    assert all(item.reason for item in verdict.verdicts)
