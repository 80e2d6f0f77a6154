"""Asks people about a plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from penelope.domain.approval import (
    Approval,
    ApprovalStatus,
    Ballot,
    Brief,
    Refusal,
    close,
    vote,
)
from penelope.domain.asking import AskingPolicy, silence_in_words
from penelope.domain.circumstances import Present, present
from penelope.domain.evidence import Evidence
from penelope.domain.gate import GateVerdict, Ruling
from penelope.domain.notice import Notice
from penelope.domain.people import Voter
from penelope.domain.quorum import RULE
from penelope.domain.surroundings import in_words, is_context
from penelope.domain.work import Change
from penelope.flow import records
from penelope.flow.assessment import Assessment, Next
from penelope.flow.briefing import on_the_twin, steps_of
from penelope.kit.ids import digest_id
from penelope.rooms.gate.rules import Request

_MOST_EVIDENCE = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What asking comes to: what is to be saved, what is to be said, and where the story goes."""

    assessment: Assessment
    changes: tuple[Change, ...] = ()
    notices: tuple[Notice, ...] = ()


def ask(request: Request, verdict: GateVerdict, policy: AskingPolicy, seconds: float) -> Asking:
    """A request for this very plan in these circumstances, unless there is one already; all others are withdrawn.

    `seconds` is how long people have. Where they said no to the same before, nobody is asked again.
    """
    plan, now = request.plan, request.now
    reason = "; ".join(verdict.reasons)
    seen = present(request.dossier, request.decision)
    before = _same(request, seen)
    if before is not None and before.status is not ApprovalStatus.PENDING:
        why = f"the plan was {before.status} before"
        return Asking(assessment=Assessment(next=Next.ESCALATE, reason=why, plan=plan))
    withdrawn = [
        _withdrawn(item, request, seen)
        for item in request.approvals
        if item is not before and item.status is ApprovalStatus.PENDING
    ]
    if before is not None:
        waiting = Assessment(next=Next.ASK, reason=reason, plan=plan, approval=before.id)
        return Asking(assessment=waiting, changes=tuple(withdrawn))
    asked = _with_machines(_request_of(request, verdict, seen, policy, seconds), verdict, now)
    changes = (*withdrawn, records.of_approval(asked, "ApprovalRequested", reason))
    if asked.status is not ApprovalStatus.PENDING:
        why = f"the plan was {asked.status} by {asked.decided_by}: {asked.comment}"
        return Asking(assessment=Assessment(next=Next.ESCALATE, reason=why, plan=plan), changes=changes)
    return Asking(
        assessment=Assessment(next=Next.ASK, reason=reason, plan=plan, approval=asked.id),
        changes=changes,
        notices=tuple(policy.notices(asked.id, plan.incident, plan.service, now, seconds)),
    )


def _same(request: Request, seen: Present) -> Approval | None:
    """The latest request for this plan whose circumstances still hold, however it ended, unless it was withdrawn or
    its approval has grown stale.
    """
    gone = {ApprovalStatus.CANCELLED, ApprovalStatus.APPROVED, ApprovalStatus.OVERRIDDEN}
    return next(
        (
            item
            for item in reversed(request.approvals)
            if item.plan_digest == request.plan.digest
            and item.status not in gone
            and (item.status is not ApprovalStatus.PENDING or request.now < item.expires_at)
            and not item.circumstances.outlived(seen)
        ),
        None,
    )


def _request_of(
    request: Request, verdict: GateVerdict, seen: Present, policy: AskingPolicy, seconds: float
) -> Approval:
    plan, now = request.plan, request.now
    quorum = policy.quorum(int(plan.tier), request.decision.risk.value)
    return Approval(
        id=digest_id("approval", plan.incident, plan.digest, seen.circumstances.digest, now.isoformat()),
        incident=plan.incident,
        plan_digest=plan.digest,
        reasons=verdict.reasons,
        status=ApprovalStatus.PENDING,
        requested_at=now,
        expires_at=policy.expiry(plan.service, now, seconds),
        circumstances=seen.circumstances,
        quorum=quorum,
        brief=brief_of(request, silence_in_words(policy, plan.service, seconds, quorum)),
    )


def _with_machines(approval: Approval, verdict: GateVerdict, now: datetime) -> Approval:
    """The request with the words of the gate's rules that hold a seat, each with its reason."""
    for bench in approval.quorum:
        name = bench.role.removeprefix(RULE)
        said = next((item for item in verdict.verdicts if item.rule == name), None)
        if said is None or not bench.role.startswith(RULE):
            continue
        voter = Voter(
            identity=bench.role, actor=records.PENELOPE, roles=frozenset({bench.role}), machine=True
        )
        ballot = Ballot(
            approve=said.ruling is Ruling.PASS,
            reason=f"{said.rule}: {said.reason}",
            channel="gate",
        )
        voted = vote(approval, voter, ballot, now)
        approval = approval if isinstance(voted, Refusal) else voted
    return approval


def brief_of(request: Request, silence: str) -> Brief:
    """What people are shown: enough to judge by without another screen."""
    plan, decision = request.plan, request.decision
    twin, checks = on_the_twin(request.trial)
    return Brief(
        service=plan.service,
        playbook=plan.playbook,
        rationale=decision.rationale,
        tier=int(plan.tier),
        risk=decision.risk.value,
        confidence=decision.confidence.value,
        steps=steps_of(plan, request.trial),
        risks=decision.risk.contributions,
        evidence=tuple(map(_in_words, _shown(request.dossier.evidence))),
        silence=silence,
        twin=twin,
        twin_checks=checks,
        previewed_at=None if request.trial is None else request.trial.preview.taken_at,
    )


def _shown(evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Figures of many instances crowd out no word of what is around the service."""
    around = [item for item in evidence if is_context(item)][: _MOST_EVIDENCE // 2]
    own = [item for item in evidence if not is_context(item)]
    return (*own[: _MOST_EVIDENCE - len(around)], *around)


def _in_words(item: Evidence) -> str:
    if is_context(item):
        return f"{item.concept}: {in_words(item)}"
    if not item.known:
        return f"{item.concept}: unknown ({item.note or item.source})"
    if isinstance(item.value, dict) and "met" in item.value:
        met = "met" if item.value["met"] else "NOT met"
        return f"{item.concept}: {met}, {item.value.get('actual')} of at most {item.value.get('objective')}"
    return f"{item.concept}: {item.value} ({item.source})"


def _withdrawn(approval: Approval, request: Request, seen: Present) -> Change:
    """A request that fresh evidence has outlived: nobody shall agree to it any more."""
    why = "fresh evidence led to another plan"
    if approval.plan_digest == request.plan.digest:
        why = approval.circumstances.outlived(seen) or "nobody answered in time"
    closed = close(approval, ApprovalStatus.CANCELLED, request.now, reason=why)
    cancelled = approval if isinstance(closed, Refusal) else closed
    return records.of_approval(cancelled, "ApprovalCancelled", why)
