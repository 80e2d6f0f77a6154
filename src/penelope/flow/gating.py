"""Takes a plan through the gate: it goes on, waits for its turn, is refused, or a person is asked."""

from dataclasses import replace
from datetime import datetime, timedelta

from penelope.domain.approval import Approval
from penelope.domain.break_glass import BreakGlass
from penelope.domain.decision import Decision
from penelope.domain.gate import GateVerdict, Ruling
from penelope.domain.outcome import PlaybookRecord
from penelope.domain.plan import Plan
from penelope.domain.trial import Trial
from penelope.domain.work import Change
from penelope.flow import halting, records
from penelope.flow.asking import ask
from penelope.flow.assessment import Assessment, Next
from penelope.flow.autonomy import standing_of
from penelope.flow.lifting import judged
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.flow.trying import NotTried, trial_of
from penelope.flow.upstream import broken_upstream
from penelope.kit.codec import from_data, to_data
from penelope.rooms.decide.case import Case
from penelope.rooms.gate.refusal import before_asking
from penelope.rooms.gate.rules import Request
from penelope.rooms.gate.trial import TrialRule


async def request_of(
    transaction: Transaction, parts: Parts, case: Case, decision: Decision
) -> Request | None:
    """What is laid before the gate; None without a plan."""
    if case.plan is None or case.playbook is None:
        return None
    approvals = [
        from_data(Approval, unit.attributes) for unit in await transaction.units(case.incident.id, "approval")
    ]
    return Request(
        incident=case.incident,
        service=case.service,
        dossier=case.dossier,
        playbook=case.playbook,
        plan=case.plan,
        decision=decision,
        record=case.record or PlaybookRecord(playbook=case.playbook.name, service=case.service.name),
        approvals=approvals,
        now=transaction.now(),
        dependents=case.dependents,
        standing=await standing_of(transaction, parts.autonomy, case.plan.playbook, case.plan.service),
        upstream=await broken_upstream(transaction, parts.services, case.incident, case.dossier),
        **await halting.seen_by_gate(transaction, parts.brakes, case.incident, case.plan),
    )


async def pass_gate(
    transaction: Transaction, parts: Parts, request: Request, glass: BreakGlass | None = None
) -> tuple[list[Change], Assessment]:
    """What is to be recorded of the gate, and where the story goes from there; `glass` was broken for this plan.

    Raises NotTried for a plan that would pass or be asked for, and that nobody has tried.
    """
    verdict = judged(request, parts.gate, glass, parts.asking)
    if verdict.ruling is Ruling.ASK:
        verdict = await _unless_refused(transaction, request, verdict, parts.asking.refusal_seconds)
    reason = "; ".join(verdict.reasons)
    if verdict.ruling in {Ruling.PASS, Ruling.ASK}:
        request = replace(request, trial=await _tried(transaction, parts, request, glass))
        last = judged(request, (TrialRule(),), glass, parts.asking)
        verdict = replace(verdict, verdicts=(*verdict.verdicts, *last.verdicts))
        # Where it cannot work, what people would have been asked for is beside the point.
        reason = "; ".join(last.reasons) or reason
    changes = [_of_verdict(request.plan, verdict, request.now)]
    match verdict.ruling:
        case Ruling.PASS:
            result = await _go_or_queue(transaction, parts, request)
            if result.next is Next.ACT:
                changes += await halting.let_through(transaction, request)
            return changes, result
        case Ruling.REFUSE:
            return changes, Assessment(next=Next.ESCALATE, reason=reason, plan=request.plan)
        case Ruling.WAIT:
            return changes, _wait(verdict, request, parts.decide.recheck_seconds)
        case Ruling.ASK:
            asking = ask(request, verdict, parts.asking, parts.timing.approval_expires_seconds)
            if asking.notices:
                await transaction.outbox.add(asking.notices)
            return [*changes, *asking.changes], asking.assessment


async def _tried(
    transaction: Transaction, parts: Parts, request: Request, glass: BreakGlass | None
) -> Trial | None:
    """What came of trying the plan. Who broke the glass wants it at once, and does not wait for what is not known."""
    try:
        return await trial_of(transaction, parts, request.plan)
    except NotTried:
        if glass is None:
            raise
        return None


async def _unless_refused(
    transaction: Transaction, request: Request, verdict: GateVerdict, stands_seconds: float
) -> GateVerdict:
    incident = request.incident
    since = request.now - timedelta(seconds=stands_seconds)
    refusals = await transaction.refusals(
        incident.service, incident.fingerprint, request.plan.playbook, since
    )
    return before_asking(verdict, replace(request, refusals=refusals), stands_seconds)


def _wait(verdict: GateVerdict, request: Request, shortest_seconds: float) -> Assessment:
    """Looks again when the rules may say otherwise, and all is judged anew."""
    seconds = 0.0 if verdict.until is None else (verdict.until - request.now).total_seconds()
    reason = "; ".join(verdict.reasons)
    recheck = max(seconds, shortest_seconds)
    return Assessment(next=Next.OBSERVE, reason=reason, plan=request.plan, recheck_seconds=recheck)


async def _go_or_queue(transaction: Transaction, parts: Parts, request: Request) -> Assessment:
    """Acts, unless another incident changes the service now, for two fixes at once would judge each other's effects,
    or as many interventions are under way as there may be.
    """
    made = request.plan
    other = await transaction.intervening(made.service)
    reason = "" if other in {None, made.incident} else f"incident {other} is being mended first"
    reason = reason or parts.brakes.crowd(request.usage)
    if not reason:
        return Assessment(next=Next.ACT, reason=request.decision.rationale, plan=made)
    return Assessment(
        next=Next.OBSERVE, reason=reason, plan=made, recheck_seconds=parts.decide.recheck_seconds
    )


_GATE_EVENTS = {
    Ruling.PASS: "GatePassed",
    Ruling.REFUSE: "GateRefused",
    Ruling.WAIT: "GateWaited",
    Ruling.ASK: "GateAsked",
}


def _of_verdict(made: Plan, verdict: GateVerdict, now: datetime) -> Change:
    return Change(
        unit=f"{made.incident}:gate",
        kind="gate",
        incident=made.incident,
        status=verdict.ruling.value,
        attributes={**to_data(verdict), "plan": made.id, "judged_at": to_data(now)},
        event=_GATE_EVENTS[verdict.ruling],
        actor=records.PENELOPE,
        reason="; ".join([*(verdict.reasons or ["all rules pass"]), *verdict.notes]),
        details={"verdicts": to_data(verdict)["verdicts"]},
    )
