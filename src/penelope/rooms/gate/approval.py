"""Asks for a person's word where one is needed."""

from dataclasses import dataclass, field
from datetime import timedelta

from penelope.domain.action import Tier
from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.asking import AskingPolicy
from penelope.domain.circumstances import present
from penelope.domain.gate import RuleVerdict, Ruling
from penelope.domain.quorum import Standing, standing
from penelope.rooms.gate.rules import Request

NAME = "approval"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """Asks when the decision wants it, or the plan's tier is at least `tier`.

    An approval is good for the very plan that it was given for (found by its digest), in the circumstances that it
    was given in, with the votes that its quorum asked for, and for `asking.good_seconds` from when it was given.
    """

    tier: Tier
    asking: AskingPolicy = field(default_factory=AskingPolicy)

    @property
    def name(self) -> str:
        return NAME

    def check(self, request: Request) -> RuleVerdict:
        tier = request.plan.tier
        if not (request.decision.needs_approval or tier >= self.tier):
            return RuleVerdict(rule=self.name, ruling=Ruling.PASS, reason=f"tier {tier} needs no approval")
        given = [
            item
            for item in request.approvals
            if item.plan_digest == request.plan.digest and item.status is ApprovalStatus.APPROVED
        ]
        if not given:
            return RuleVerdict(rule=self.name, ruling=Ruling.ASK, reason=self._why(request))
        doubt = doubt_of(given[-1], request, self.asking)
        if doubt:
            reason = f"{self._why(request)}; the approval from before is no longer good: {doubt}"
            return RuleVerdict(rule=self.name, ruling=Ruling.ASK, reason=reason)
        reason = f"{' and '.join(given[-1].approvers)} approved this plan"
        return RuleVerdict(rule=self.name, ruling=Ruling.PASS, reason=reason)

    def _why(self, request: Request) -> str:
        if request.decision.needs_approval:
            return request.decision.rationale
        return f"tier {request.plan.tier} needs an approval"


def doubt_of(approval: Approval, request: Request, asking: AskingPolicy) -> str:
    """Why an approval of this very plan does not let it pass now; empty where it does."""
    if approval.standing is not Standing.CARRIED or approval.decided_at is None:
        return "its votes do not carry it"
    if request.now >= approval.decided_at + timedelta(seconds=asking.good_seconds):
        return f"it was given more than {asking.good_seconds:g} s ago"
    risk = request.decision.risk.value
    needed = asking.quorum(int(request.plan.tier), risk)
    if risk > approval.circumstances.risk and standing(needed, approval.ballots) is not Standing.CARRIED:
        return f"at a risk of {risk:.2f} it needs {' and '.join(map(str, needed))}"
    return approval.circumstances.outlived(present(request.dossier, request.decision))
