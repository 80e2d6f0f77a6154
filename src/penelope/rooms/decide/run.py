"""Weighs an incident: what it risks to act, how sure we are, and what follows from both."""

from dataclasses import dataclass
from datetime import datetime

from penelope.domain.decision import Decision, Judgement, Precedent, Score
from penelope.domain.outcome import PlaybookRecord
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.confidence import confidence
from penelope.rooms.decide.risk import risk


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From which risk on a person must agree, below which confidence nothing is done, and for how long to look.

    Risk and confidence 0…1; an incident is observed at most `observe_seconds`, with a look each
    `recheck_seconds`.
    """

    risk_limit: float
    confidence_floor: float
    observe_seconds: float
    recheck_seconds: float


def decide(case: Case, limits: Limits, now: datetime) -> Decision:
    """The decision; the same case at the same moment always gets the same one."""
    dangers, trust = risk(case), confidence(case)
    judgement, needs_approval, why = _judge(case, dangers, trust, limits, now)
    return Decision(
        incident=case.incident.id,
        judgement=judgement,
        risk=dangers,
        confidence=trust,
        rationale=why,
        decided_at=now,
        playbook=None if case.playbook is None else case.playbook.name,
        needs_approval=needs_approval,
        recheck_seconds=limits.recheck_seconds if judgement is Judgement.OBSERVE else None,
        precedents=_precedents(case.record),
        leaned_on=case.similar,
    )


def _judge(
    case: Case, dangers: Score, trust: Score, limits: Limits, now: datetime
) -> tuple[Judgement, bool, str]:
    """The judgement, whether a person must agree, and why."""
    since = case.incident.observed_since or case.incident.opened_at
    may_wait = (now - since).total_seconds() < limits.observe_seconds
    if case.plan is None or case.playbook is None:
        return _without_plan(case, may_wait=may_wait)
    sure = f"confidence {trust.value:.2f}"
    if trust.value < limits.confidence_floor:
        below = f"{sure} is below {limits.confidence_floor:.2f}"
        if may_wait:
            return Judgement.OBSERVE, False, f"{below}: look again"
        return Judgement.ESCALATE, True, f"{below} after {limits.observe_seconds:g} s: a person must say"
    if case.playbook.approval:
        return Judgement.ESCALATE, True, f"playbook {case.playbook.name} is for a person to approve; {sure}"
    if dangers.value > limits.risk_limit:
        why = f"risk {dangers.value:.2f} is above {limits.risk_limit:.2f}: a person must say; {sure}"
        return Judgement.ESCALATE, True, why
    fits = f"playbook {case.playbook.name} fits"
    why = (
        f"{fits}, risk {dangers.value:.2f} ≤ {limits.risk_limit:.2f}, {sure} ≥ {limits.confidence_floor:.2f}"
    )
    return Judgement.INTERVENE, False, why


def _without_plan(case: Case, *, may_wait: bool) -> tuple[Judgement, bool, str]:
    """Figures may need a moment to show what the signal says; a playbook that does not exist never comes."""
    obstacles = "; ".join(case.obstacles)
    if case.fits and may_wait:
        return Judgement.OBSERVE, False, f"not yet: {obstacles}"
    return Judgement.ESCALATE, False, obstacles


def _precedents(record: PlaybookRecord | None) -> tuple[Precedent, ...]:
    if record is None or not record.successes + record.failures:
        return ()
    return (
        Precedent(
            playbook=record.playbook,
            service=record.service,
            successes=record.successes,
            failures=record.failures,
        ),
    )
