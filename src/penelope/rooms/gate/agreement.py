"""Whether a person has agreed to this very plan already, so that a rule that asked need not ask again."""

from penelope.domain.approval import Approval, ApprovalStatus
from penelope.rooms.gate.rules import Request


def agreed(request: Request) -> Approval | None:
    """The approval that was given for the request's plan as it now is; None without one."""
    digest = request.plan.digest
    return next(
        (
            item
            for item in request.approvals
            if item.plan_digest == digest and item.status is ApprovalStatus.APPROVED
        ),
        None,
    )
