"""Decide, plan and gate in one transaction: what is recorded as decided is what goes on."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.decision import Decision, Judgement
from penelope.domain.evidence import Dossier
from penelope.domain.gate import GateVerdict, Ruling
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.outcome import OutcomeKind, PlaybookRecord
from penelope.domain.plan import Plan
from penelope.domain.service import Service
from penelope.domain.work import Change
from penelope.errors import InputError
from penelope.flow import records
from penelope.flow.ending import Ending, end
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.kit.codec import from_data, to_data
from penelope.kit.ids import digest_id
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.run import decide
from penelope.rooms.gate.rules import Request
from penelope.rooms.gate.run import gate
from penelope.rooms.plan.run import NoPlan, Proposal, plan


class Next(StrEnum):
    """Where the story goes from here."""

    OBSERVE = "observe"
    ASK = "ask"
    ACT = "act"
    ESCALATE = "escalate"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What an assessment came to."""

    next: Next
    reason: str
    plan: Plan | None = None
    recheck_seconds: float = 0.0
    approval: str | None = None


async def assess(transaction: Transaction, parts: Parts, identifier: str, dossier: Dossier) -> Assessment:
    """Judges an incident on fresh evidence and records decision, plan, gate verdict and, if needed, a request.

    Where the story must end, it is ended here. Doing it again, before anything else was done, changes nothing but
    the history: the same request is found, and the incident does not wait for itself.
    """
    incident = await records.incident_of(transaction, identifier)
    if incident.state.ended:
        return Assessment(next=Next.ESCALATE, reason="it was ended before")
    if incident.resolved_at is not None:
        reason = "its source saw it end before anything was done"
        await transaction.save(
            *await end(transaction, incident, Ending(kind=OutcomeKind.RESOLVED, reason=reason))
        )
        return Assessment(next=Next.RESOLVED, reason=reason)
    case = await _case(transaction, parts, incident, dossier)
    decision = decide(case, parts.decide, transaction.now())
    changes = [_of_decision(decision, incident.service, dossier)]
    if case.plan is None or decision.judgement is Judgement.OBSERVE:
        result = _without_acting(decision)
    else:
        gated, result = await _gate(transaction, parts, case.plan, case.record, decision)
        changes += [records.of_plan(case.plan, result.next.value, "PlanMade", decision.rationale), *gated]
    if result.next is Next.ESCALATE:
        ending = Ending(kind=OutcomeKind.ESCALATED, reason=result.reason)
        await transaction.save(*changes, *await end(transaction, incident, ending))
        return result
    incident = records.moved(incident, _STATES[result.next], transaction)
    if result.next is Next.OBSERVE and decision.judgement is not Judgement.OBSERVE:
        incident = replace(incident, observed_since=transaction.now())
    changes.append(records.of_incident(incident, _EVENTS[result.next], result.reason))
    await transaction.save(*changes)
    return result


_STATES = {
    Next.OBSERVE: IncidentState.OBSERVING,
    Next.ASK: IncidentState.AWAITING_APPROVAL,
    Next.ACT: IncidentState.ACTING,
}

_EVENTS = {
    Next.OBSERVE: "ObservationBegun",
    Next.ASK: "ApprovalAwaited",
    Next.ACT: "InterventionBegun",
}


async def _case(transaction: Transaction, parts: Parts, incident: Incident, dossier: Dossier) -> Case:
    service = parts.services.get(incident.service)
    if service is None:
        stranger = Service(name=incident.service, owner="", tier=4)
        obstacle = f"service {incident.service!r} is not in the catalogue"
        return Case(incident=incident, service=stranger, dependents=0, dossier=dossier, obstacles=(obstacle,))
    case = Case(
        incident=incident, service=service, dependents=parts.dependents(service.name), dossier=dossier
    )
    proposal = plan(incident, service, dossier, parts.playbooks.playbooks())
    if isinstance(proposal, NoPlan):
        return replace(case, obstacles=proposal.reasons, fits=proposal.fits)
    if objections := _objections(parts, proposal):
        return replace(case, obstacles=objections)
    since = transaction.now() - timedelta(seconds=parts.gate.memory_seconds)
    record = await transaction.record(proposal.playbook.name, service.name, since)
    return replace(case, playbook=proposal.playbook, plan=proposal.plan, record=record, fits=True)


def _objections(parts: Parts, proposal: Proposal) -> tuple[str, ...]:
    """What the adapters have against the plan's steps, before anything runs."""
    found: list[str] = []
    for action in proposal.plan.actions:
        try:
            parts.adapter(action).validate(action.operation, action.params)
        except InputError as error:
            found.append(f"{action.name}: {error.message}")
    return tuple(found)


def _without_acting(decision: Decision) -> Assessment:
    if decision.judgement is Judgement.OBSERVE:
        seconds = decision.recheck_seconds or 0.0
        return Assessment(next=Next.OBSERVE, reason=decision.rationale, recheck_seconds=seconds)
    return Assessment(next=Next.ESCALATE, reason=decision.rationale)


async def _gate(
    transaction: Transaction, parts: Parts, made: Plan, record: PlaybookRecord | None, decision: Decision
) -> tuple[list[Change], Assessment]:
    approvals = [
        from_data(Approval, unit.attributes) for unit in await transaction.units(made.incident, "approval")
    ]
    past = record or PlaybookRecord(playbook=made.playbook, service=made.service)
    request = Request(plan=made, decision=decision, record=past, approvals=approvals, now=transaction.now())
    verdict = gate(request, parts.gate)
    changes = [_of_verdict(made, verdict, transaction.now())]
    if verdict.ruling is Ruling.PASS:
        return changes, await _go_or_queue(transaction, parts, made, decision)
    reason = "; ".join(verdict.reasons)
    if verdict.ruling is Ruling.REFUSE:
        return changes, Assessment(next=Next.ESCALATE, reason=reason, plan=made)
    asked = digest_id("approval", made.incident, made.digest)
    before = next((item for item in approvals if item.id == asked), None)
    if before is not None and before.status is not ApprovalStatus.PENDING:
        return changes, Assessment(
            next=Next.ESCALATE, reason=f"the plan was {before.status} before", plan=made
        )
    changes += [
        _withdrawn(item, transaction.now()) for item in approvals if item.id != asked and _is_open(item)
    ]
    if before is None:
        expires = transaction.now() + timedelta(seconds=parts.timing.approval_expires_seconds)
        approval = Approval(
            id=asked,
            incident=made.incident,
            plan_digest=made.digest,
            reasons=verdict.reasons,
            status=ApprovalStatus.PENDING,
            requested_at=transaction.now(),
            expires_at=expires,
        )
        changes.append(records.of_approval(approval, "ApprovalRequested", reason))
    return changes, Assessment(next=Next.ASK, reason=reason, plan=made, approval=asked)


async def _go_or_queue(transaction: Transaction, parts: Parts, made: Plan, decision: Decision) -> Assessment:
    """Acts, unless another incident changes the service now: two fixes at once would judge each other's effects."""
    other = await transaction.intervening(made.service)
    if other is None or other == made.incident:
        return Assessment(next=Next.ACT, reason=decision.rationale, plan=made)
    seconds = parts.decide.recheck_seconds
    return Assessment(
        next=Next.OBSERVE, reason=f"incident {other} is being mended first", recheck_seconds=seconds
    )


def _is_open(approval: Approval) -> bool:
    return approval.status is ApprovalStatus.PENDING


def _withdrawn(approval: Approval, now: datetime) -> Change:
    """A request for a plan that fresh evidence has changed: nobody shall agree to it any more."""
    cancelled = replace(approval, status=ApprovalStatus.CANCELLED, decided_at=now)
    return records.of_approval(cancelled, "ApprovalCancelled", "fresh evidence led to another plan")


def _of_decision(decision: Decision, service: str, dossier: Dossier) -> Change:
    return Change(
        unit=f"{decision.incident}:decision",
        kind="decision",
        incident=decision.incident,
        status=decision.judgement.value,
        attributes={**to_data(decision), "evidence": to_data(dossier.evidence)},
        event="DecisionMade",
        actor=records.PENELOPE,
        reason=decision.rationale,
        # What the decision audit keeps.
        details={
            "service": service,
            "judgement": decision.judgement.value,
            "risk": to_data(decision.risk),
            "confidence": to_data(decision.confidence),
            "playbook": decision.playbook,
            "precedents": to_data(decision.precedents),
        },
    )


_GATE_EVENTS = {Ruling.PASS: "GatePassed", Ruling.REFUSE: "GateRefused", Ruling.ASK: "GateAsked"}


def _of_verdict(made: Plan, verdict: GateVerdict, now: datetime) -> Change:
    return Change(
        unit=f"{made.incident}:gate",
        kind="gate",
        incident=made.incident,
        status=verdict.ruling.value,
        attributes={**to_data(verdict), "plan": made.id, "judged_at": to_data(now)},
        event=_GATE_EVENTS[verdict.ruling],
        actor=records.PENELOPE,
        reason="; ".join(verdict.reasons) or "all rules pass",
        details={"verdicts": to_data(verdict)["verdicts"]},
    )
