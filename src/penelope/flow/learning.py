"""Keeps how an incident ended, for later decisions to look back on."""

from dataclasses import dataclass
from datetime import datetime

from penelope.domain.incident import Incident
from penelope.domain.outcome import Outcome, OutcomeKind
from penelope.domain.precedent import PastCase, Stratum
from penelope.flow import records
from penelope.flow.ports import Transaction
from penelope.kit.codec import from_data


@dataclass(frozen=True, slots=True, kw_only=True)
class _Acted:
    """What is looked up of the decision that let a playbook act."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Confidence:
        value: float

    confidence: Confidence
    stratum: Stratum = Stratum.UNSEEN
    traits: str = ""


async def remember(transaction: Transaction, incident: Incident, outcome: Outcome) -> None:
    """Keeps the case, and counts it for its playbook; the same incident twice counts once.

    A decision that was tampered with tells nothing, and keeps no incident from its end.
    """
    acted = None
    if outcome.playbook is not None and outcome.verified is not None:
        name = records.decision_unit(incident.id)
        unit = (await transaction.peek([name])).get(name)
        acted = None if unit is None else from_data(_Acted, unit.attributes)
    case = past_case(
        incident,
        outcome,
        stratum=Stratum.UNSEEN if acted is None else acted.stratum,
        confidence=None if acted is None else acted.confidence.value,
    )
    await transaction.add_past_case(case, "" if acted is None else acted.traits)


def past_case(
    incident: Incident, outcome: Outcome, *, stratum: Stratum, confidence: float | None
) -> PastCase:
    """The case that an incident leaves behind. A clock that went back leaves a time of 0, none below."""
    healed_itself = outcome.kind is OutcomeKind.RESOLVED and not outcome.acted
    until = _left_alone_until(incident, outcome, healed_itself=healed_itself)
    return PastCase(
        incident=incident.id,
        service=incident.service,
        fingerprint=incident.fingerprint,
        name=incident.name,
        severity=incident.severity,
        labels=incident.labels,
        summary=incident.summary,
        playbook=outcome.playbook,
        kind=outcome.kind,
        verified=None if outcome.playbook is None else outcome.verified,
        alone_seconds=max(0.0, (until - incident.opened_at).total_seconds()),
        healed_itself=healed_itself,
        stratum=stratum,
        confidence=confidence,
        imported=False,
        opened_at=incident.opened_at,
        ended_at=outcome.ended_at,
    )


def _left_alone_until(incident: Incident, outcome: Outcome, *, healed_itself: bool) -> datetime:
    """A source's word on when the condition ended counts, unless it lies ahead of what we know by our own clock."""
    if healed_itself and incident.resolved_at is not None:
        return min(incident.resolved_at, outcome.ended_at)
    return incident.intervened_at or outcome.ended_at
