"""Asks for a person's word where one is needed."""

from dataclasses import dataclass

from penelope.domain.action import Tier
from penelope.domain.approval import ApprovalStatus
from penelope.domain.gate import RuleVerdict, Ruling
from penelope.rooms.gate.rules import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """Asks when the decision wants it, or the plan's tier is at least `tier`.

    An approval is good for the very plan that it was given for: it is found by the plan's digest.
    """

    tier: Tier

    @property
    def name(self) -> str:
        return "approval"

    def check(self, request: Request) -> RuleVerdict:
        tier = request.plan.tier
        if not (request.decision.needs_approval or tier >= self.tier):
            return RuleVerdict(rule=self.name, ruling=Ruling.PASS, reason=f"tier {tier} needs no approval")
        digest = request.plan.digest
        for approval in request.approvals:
            if approval.plan_digest == digest and approval.status is ApprovalStatus.APPROVED:
                reason = f"{approval.decided_by} approved this plan"
                return RuleVerdict(rule=self.name, ruling=Ruling.PASS, reason=reason)
        why = (
            request.decision.rationale
            if request.decision.needs_approval
            else f"tier {tier} needs an approval"
        )
        return RuleVerdict(rule=self.name, ruling=Ruling.ASK, reason=why)
