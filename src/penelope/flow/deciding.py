"""Decide, plan and gate in one transaction: what is recorded as decided is what goes on."""

from collections.abc import Sequence
from dataclasses import replace

from penelope.domain.decision import Decision, Judgement
from penelope.domain.evidence import Dossier
from penelope.domain.incident import IncidentState
from penelope.domain.likeness import Hit
from penelope.domain.outcome import OutcomeKind
from penelope.flow import records
from penelope.flow.assessment import Assessment, Next
from penelope.flow.autonomy import relapsed
from penelope.flow.casing import case_of, similar_to
from penelope.flow.ending import Ending, end
from penelope.flow.gating import pass_gate, request_of
from penelope.flow.halting import give_back, note_relapse
from penelope.flow.lifting import glass_for
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.flow.recording import of_decision
from penelope.rooms.decide.run import decide


async def assess(
    transaction: Transaction,
    parts: Parts,
    identifier: str,
    dossier: Dossier,
    hits: Sequence[Hit] = (),
    before: Assessment | None = None,
) -> Assessment:
    """Judges an incident on fresh evidence and records decision, plan, gate verdict and, if needed, a request.

    Where the story must end, it is ended here. Doing it again, before anything else was done, changes nothing but
    the history: the same request is found, and the incident does not wait for itself. `hits` are past cases that
    a search by words and meaning found like it; `before` is what the last assessment came to. Where the same plan
    waits at the gate for the same thing as then, nothing is recorded: a long wait would fill the ledger with itself.
    """
    incident = await records.incident_of(transaction, identifier)
    if incident.state.ended:
        return Assessment(next=Next.ESCALATE, reason="it was ended before")
    await give_back(transaction, incident)
    # Before the source's word: what came back and went again was no less a relapse.
    heal = await note_relapse(transaction, parts.brakes, incident)
    if heal is not None:
        await transaction.save(*await relapsed(transaction, parts.autonomy, heal, incident))
    if incident.resolved_at is not None:
        reason = "its source saw it end before anything was done"
        ending = Ending(kind=OutcomeKind.RESOLVED, reason=reason)
        await transaction.save(*await end(transaction, incident, ending, parts.brakes, parts.autonomy))
        return Assessment(next=Next.RESOLVED, reason=reason)
    if before is not None and before.waits:
        incident = replace(incident, observed_since=transaction.now())
    case = await case_of(transaction, parts, incident, dossier)
    case = replace(case, similar=await similar_to(transaction, parts, case, hits))
    decision = decide(case, parts.decide, transaction.now())
    changes = [of_decision(decision, case, parts.decide)]
    request = None
    glass = await glass_for(transaction, incident, case.plan)
    if decision.judgement is not Judgement.OBSERVE or glass is not None:
        request = await request_of(transaction, parts, case, decision)
    if request is None:
        result = _without_acting(decision)
    else:
        gated, result = await pass_gate(transaction, parts, request, glass)
        changes += [records.of_plan(request.plan, result.next.value, "PlanMade", decision.rationale), *gated]
    if result.waits_as(before):
        return result
    if result.next is Next.ESCALATE:
        ending = Ending(kind=OutcomeKind.ESCALATED, reason=result.reason)
        await transaction.save(
            *changes, *await end(transaction, incident, ending, parts.brakes, parts.autonomy)
        )
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


def _without_acting(decision: Decision) -> Assessment:
    if decision.judgement is Judgement.OBSERVE:
        seconds = decision.recheck_seconds or 0.0
        return Assessment(next=Next.OBSERVE, reason=decision.rationale, recheck_seconds=seconds)
    return Assessment(next=Next.ESCALATE, reason=decision.rationale)
