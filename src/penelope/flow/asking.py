"""Asks a person about a plan."""

from dataclasses import replace
from datetime import datetime, timedelta

from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.gate import GateVerdict
from penelope.domain.work import Change
from penelope.flow import records
from penelope.flow.assessment import Assessment, Next
from penelope.kit.ids import digest_id
from penelope.rooms.gate.rules import Request


def ask(request: Request, verdict: GateVerdict, expires_seconds: float) -> tuple[list[Change], Assessment]:
    """A request for this very plan, unless there is one already; those for other plans are withdrawn."""
    made, approvals, now = request.plan, request.approvals, request.now
    reason = "; ".join(verdict.reasons)
    asked = digest_id("approval", made.incident, made.digest)
    before = next((item for item in approvals if item.id == asked), None)
    if before is not None and not _is_open(before):
        return [], Assessment(next=Next.ESCALATE, reason=f"the plan was {before.status} before", plan=made)
    changes = [_withdrawn(item, now) for item in approvals if item.id != asked and _is_open(item)]
    if before is None:
        approval = Approval(
            id=asked,
            incident=made.incident,
            plan_digest=made.digest,
            reasons=verdict.reasons,
            status=ApprovalStatus.PENDING,
            requested_at=now,
            expires_at=now + timedelta(seconds=expires_seconds),
        )
        changes.append(records.of_approval(approval, "ApprovalRequested", reason))
    return changes, Assessment(next=Next.ASK, reason=reason, plan=made, approval=asked)


def _is_open(approval: Approval) -> bool:
    return approval.status is ApprovalStatus.PENDING


def _withdrawn(approval: Approval, now: datetime) -> Change:
    """A request for a plan that fresh evidence has changed: nobody shall agree to it any more."""
    cancelled = replace(approval, status=ApprovalStatus.CANCELLED, decided_at=now)
    return records.of_approval(cancelled, "ApprovalCancelled", "fresh evidence led to another plan")
