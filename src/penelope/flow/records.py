"""Turns domain values into changes of units of work, so that every transition is worded in one way."""

from collections.abc import Mapping
from dataclasses import replace

from penelope.domain.action import Action
from penelope.domain.approval import Approval
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.outcome import Outcome
from penelope.domain.plan import Plan
from penelope.domain.work import Change
from penelope.errors import UnknownIncident
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.ledger.losses import Loss

PENELOPE = "penelope"
"""The actor of what no person did."""


def decision_unit(incident: str) -> str:
    """The unit of work that holds the latest decision about an incident."""
    return f"{incident}:decision"


def outcome_unit(incident: str) -> str:
    """The unit of work that tells how an incident ended."""
    return f"{incident}:outcome"


def report_unit(incident: str) -> str:
    """The unit of work that tells what people did about an incident."""
    return f"{incident}:report"


def of_incident(
    incident: Incident, event: str, reason: str, *, actor: str = PENELOPE, **details: Json
) -> Change:
    return Change(
        unit=incident.id,
        kind="incident",
        incident=incident.id,
        status=incident.state.value,
        attributes=to_data(incident),
        event=event,
        actor=actor,
        reason=reason,
        details={"service": incident.service, **details},
    )


def of_plan(plan: Plan, status: str, event: str, reason: str) -> Change:
    return Change(
        unit=plan.id,
        kind="plan",
        incident=plan.incident,
        status=status,
        attributes={**to_data(plan), "digest": plan.digest},
        event=event,
        actor=PENELOPE,
        reason=reason,
        details={
            "playbook": plan.playbook,
            "steps": [action.name for action in plan.actions],
            "tier": int(plan.tier),
        },
    )


def of_approval(approval: Approval, event: str, reason: str, *, actor: str = PENELOPE) -> Change:
    return Change(
        unit=approval.id,
        kind="approval",
        incident=approval.incident,
        status=approval.status.value,
        attributes=to_data(approval),
        event=event,
        actor=actor,
        reason=reason,
        details=_of_word(approval),
    )


def _of_word(approval: Approval) -> dict[str, Json]:
    """What is counted: how long it was waited for an end, and how the last word came."""
    details: dict[str, Json] = {}
    if approval.decided_at is not None:
        waited = approval.decided_at - approval.requested_at
        details["waited_seconds"] = round(waited.total_seconds(), 3)
    if approval.votes:
        details["channel"] = approval.votes[-1].channel
    return details


def of_action(
    action: Action, incident: str, status: str, event: str, reason: str, *, record: Mapping[str, Json]
) -> Change:
    """`record` is what is known of the action by now: snapshot, attempt, effect, error."""
    return Change(
        unit=action.key,
        kind="action",
        incident=incident,
        status=status,
        attributes={"action": to_data(action), **record},
        event=event,
        actor=PENELOPE,
        reason=reason,
        details={
            "action": action.name,
            "adapter": action.adapter,
            "operation": action.operation,
            "target": action.target.name,
            "tier": int(action.tier),
            **{key: value for key, value in record.items() if key in {"attempt", "effect", "error"}},
        },
    )


def of_outcome(outcome: Outcome, event: str) -> Change:
    return Change(
        unit=outcome_unit(outcome.incident),
        kind="outcome",
        incident=outcome.incident,
        status=outcome.kind.value,
        attributes=to_data(outcome),
        event=event,
        actor=PENELOPE,
        reason=outcome.reason,
        details={
            "service": outcome.service,
            "seconds": round(outcome.total_seconds, 3),
            "acted": outcome.acted,
        },
    )


def of_loss(loss: Loss) -> Change:
    """Log records that were accepted and will never be written: that much of the record is missing."""
    return Change(
        unit=f"telemetry:{loss.id}",
        kind="telemetry",
        incident="",
        status="lost",
        attributes={"records": loss.records, "reason": loss.reason},
        event="TelemetryLost",
        actor=PENELOPE,
        reason=f"{loss.records} log records were lost: {loss.reason}",
        details={"records": loss.records},
    )


async def incident_of(transaction: Transaction, identifier: str) -> Incident:
    """The incident, locked. Raises UnknownIncident."""
    unit = await transaction.unit(identifier)
    if unit is None or unit.kind != "incident":
        message = f"there is no incident {identifier!r}"
        raise UnknownIncident(message)
    return from_data(Incident, unit.attributes)


def moved(incident: Incident, state: IncidentState, transaction: Transaction) -> Incident:
    """The incident in a new state as of the transaction's moment."""
    now = transaction.now()
    intervened = incident.intervened_at or (now if state is IncidentState.ACTING else None)
    ended = now if state.ended else None
    return replace(incident, state=state, updated_at=now, intervened_at=intervened, ended_at=ended)
