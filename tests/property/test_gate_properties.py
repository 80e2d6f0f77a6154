"""The gate's rules against the plainest way to say what they mean."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.action import Action, Tier
from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.contract import Contract
from penelope.domain.decision import Decision, Judgement, score
from penelope.domain.gate import Ruling
from penelope.domain.halt import Failure, FailureKind, Limits, ScopeKind, State
from penelope.domain.intervention import Usage
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
BUDGETS = (ScopeKind.SERVICE, ScopeKind.PLAYBOOK, ScopeKind.FLEET)
LIMITS = Limits(failures=3, window_seconds=20, cooldown_seconds=30)
counts = st.fixed_dictionaries(dict.fromkeys(BUDGETS, st.integers(0, 6)))
rates = st.builds(Rate, actions=counts, window_seconds=st.integers(1, 30))
gates = st.tuples(st.just(Halt()), rates, st.builds(ApprovalRule, tier=st.sampled_from(Tier)))


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
    failures: Sequence[int],
    actions: Mapping[ScopeKind, int],
    tier: int,
    steps: int,
    *,
    doubted: bool,
    approved: bool,
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
    asked = passage(made, NOW, decision=decision, approvals=[approval] * approved)
    breakers = dict(asked.breakers or {})
    for number, moment in enumerate(moments(failures)):
        failure = Failure(incident=f"inc_{number}", kind=FailureKind.FAILED, at=moment)
        breakers = {scope: item.noted(failure, LIMITS, moment) for scope, item in breakers.items()}
    return replace(asked, breakers=breakers, usage=Usage(actions=actions))


requests = st.builds(
    request,
    failures=ages,
    actions=counts,
    tier=st.integers(1, 4),
    steps=st.integers(1, 4),
    doubted=st.booleans(),
    approved=st.booleans(),
)


@given(asked=requests)
def test_a_halt_is_what_its_breakers_say(asked: Request) -> None:
    open_ones = [item for item in asked.breakers.values() if item.state(NOW) is State.OPEN]
    assert (Halt().check(asked).ruling is Ruling.REFUSE) is bool(open_ones)


@given(asked=requests, bounds=rates)
def test_what_passes_never_exceeds_the_rate(asked: Request, bounds: Rate) -> None:
    wanted = len(asked.plan.steps)
    fits = all(asked.usage.actions[kind] + wanted <= most for kind, most in bounds.actions.items())
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
