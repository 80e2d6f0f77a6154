"""The gate's rule of autonomy: what a playbook has not earned on this service it may not do."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.autonomy import Level, Standing
from penelope.domain.contract import Contract
from penelope.domain.decision import Contribution, score
from penelope.domain.gate import Ruling
from penelope.domain.plan import Plan
from penelope.rooms.gate.autonomy import AutonomyRule
from penelope.rooms.gate.rules import Request
from penelope.rooms.gate.run import gate
from penelope.testing.gate import passage

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
RULE = AutonomyRule(low_risk=0.3)
PLAN = Plan(
    id="p",
    incident="inc_1",
    service="shop",
    playbook="fix",
    playbook_version="1",
    steps=(),
    verify=Contract(clauses=(), deadline_seconds=1),
)


def request(level: Level, *, risk: float = 0.0, digest: str | None = None) -> Request:
    """A request at a level; with a digest the plan of that digest was approved."""
    made = passage(PLAN, NOW, standing=Standing(playbook="fix", service="shop", level=level, since=NOW))
    decision = replace(made.decision, risk=score(Contribution(name="x", value=risk, reason="")))
    approval = Approval(
        id="a",
        incident="inc_1",
        plan_digest=digest or "",
        reasons=(),
        status=ApprovalStatus.APPROVED,
        requested_at=NOW,
        expires_at=NOW,
        decided_by="ada",
    )
    return replace(made, decision=decision, approvals=(approval,) if digest else ())


@pytest.mark.parametrize(
    ("level", "risk", "ruling", "reason"),
    [
        (Level.SHADOW, 0.0, Ruling.REFUSE, "shadow: would have run fix"),
        (Level.SUGGEST, 0.0, Ruling.ASK, "has not earned to act on shop unasked"),
        (Level.SUPERVISED, 0.3, Ruling.PASS, "risk 0.30 ≤ 0.30 is low"),
        (Level.SUPERVISED, 0.31, Ruling.ASK, "risk 0.31 is above 0.30"),
        (Level.AUTONOMOUS, 1.0, Ruling.PASS, "autonomous on shop"),
    ],
)
def test_each_level_goes_so_far(level: Level, risk: float, ruling: Ruling, reason: str) -> None:
    verdict = RULE.check(request(level, risk=risk))
    assert (verdict.rule, verdict.ruling) == ("autonomy", ruling)
    assert reason in verdict.reason


def test_what_is_in_shadow_does_not_act_even_if_it_was_approved() -> None:
    assert RULE.check(request(Level.SHADOW, digest=PLAN.digest)).ruling is Ruling.REFUSE


def test_a_cap_is_in_force_whatever_was_earned() -> None:
    standing = Standing(playbook="fix", service="shop", level=Level.AUTONOMOUS, cap=Level.SHADOW, since=NOW)
    assert RULE.check(passage(PLAN, NOW, standing=standing)).ruling is Ruling.REFUSE


@pytest.mark.parametrize(
    "standing",
    [
        None,
        Standing(playbook="other", service="shop", level=Level.AUTONOMOUS, since=NOW),
        Standing(playbook="fix", service="bank", level=Level.AUTONOMOUS, since=NOW),
        Standing(playbook="", service="", level=Level.AUTONOMOUS, since=NOW),
    ],
)
def test_without_its_own_standing_nothing_passes(standing: Standing | None) -> None:
    verdict = RULE.check(passage(PLAN, NOW, standing=standing))
    assert (verdict.ruling, verdict.reason) == (Ruling.REFUSE, "nobody says where fix stands on shop")


@pytest.mark.parametrize("garbage", ["autonomous", 3, object(), {"level": "autonomous"}])
def test_garbage_in_place_of_a_standing_refuses(garbage: object) -> None:
    verdict = gate(passage(PLAN, NOW, standing=garbage), (RULE,))
    assert verdict.ruling is Ruling.REFUSE
