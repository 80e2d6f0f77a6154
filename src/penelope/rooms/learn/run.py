"""Draws the lesson of an incident's end."""

from datetime import datetime

from penelope.domain.incident import Incident
from penelope.domain.outcome import Outcome, OutcomeKind


def conclude(
    incident: Incident, kind: OutcomeKind, reason: str, now: datetime, *, playbook: str | None, acted: bool
) -> Outcome:
    """The outcome. Only what acted says anything about a playbook: `verified` is None otherwise."""
    return Outcome(
        incident=incident.id,
        service=incident.service,
        kind=kind,
        reason=reason,
        acted=acted,
        ended_at=now,
        total_seconds=(now - incident.opened_at).total_seconds(),
        playbook=playbook,
        verified=kind is OutcomeKind.HEALED if acted else None,
    )


def counts_for_playbook(outcome: Outcome) -> bool:
    """Whether the outcome goes into the statistics of its playbook, where later decisions find it as precedent."""
    return outcome.playbook is not None and outcome.verified is not None
