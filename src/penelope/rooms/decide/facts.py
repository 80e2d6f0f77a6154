"""All that a decision reads, small enough to be recorded with it and made again from there."""

from dataclasses import dataclass
from datetime import datetime

from penelope.domain.decision import Precedent
from penelope.domain.evidence import Evidence
from penelope.domain.incident import IncidentState
from penelope.domain.likeness import Likeness
from penelope.domain.plan import Plan
from penelope.domain.precedent import PastDurations, Tallies, traits
from penelope.domain.service import Service
from penelope.domain.signal import Severity
from penelope.rooms.decide.case import Case

SCHEMA = 2
"""The version of this room's judgement. Raise it whenever the same facts may lead to another decision, or to other
words: a decision of another version cannot be made again, and says so. tests/corpus/decisions shows when it is time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The plan that would act, as far as it is judged. `tiers` and `steps` are of its actions in order; `touched` of
    the service's `targets` are changed, and so many `strangers` among other services. `shares` are the canary's steps
    in percent, none without a rollout; `patch_lines` are added or removed.
    """

    playbook: str
    approval: bool
    tiers: tuple[int, ...]
    steps: tuple[str, ...]
    touched: int
    targets: int
    strangers: int
    shares: tuple[int, ...]
    patch_lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """An incident, its service, what was seen, what is planned and the past, without anything that could be secret.

    `asked` says that a person was asked before, and so does not want to wait any more. The service was last changed
    at `changed_at`, and fixes of it failed at `failed_at`.
    """

    incident: str
    name: str
    severity: Severity
    opened_at: datetime
    observed_since: datetime | None
    asked: bool
    service: str
    owner: str
    tier: int
    traits: str
    dependents: int
    evidence: tuple[Evidence, ...]
    durations: PastDurations
    tallies: Tallies
    similar: tuple[Likeness, ...]
    precedents: tuple[Precedent, ...]
    candidate: Candidate | None
    obstacles: tuple[str, ...]
    fits: bool
    changed_at: datetime | None
    failed_at: tuple[datetime, ...]


def facts_of(case: Case) -> Facts:
    incident, service = case.incident, case.service
    return Facts(
        incident=incident.id,
        name=incident.name,
        severity=incident.severity,
        opened_at=incident.opened_at,
        observed_since=incident.observed_since,
        asked=incident.state is IncidentState.AWAITING_APPROVAL,
        service=service.name,
        owner=service.owner,
        tier=service.tier,
        traits=traits(service),
        dependents=case.dependents,
        evidence=case.dossier.evidence,
        durations=case.durations,
        tallies=case.tallies,
        similar=case.similar,
        precedents=_precedents(case),
        candidate=None if case.plan is None else _candidate(case.plan, service, case),
        obstacles=case.obstacles,
        fits=case.fits,
        changed_at=None if case.record is None else case.record.changed_at,
        failed_at=case.failed_at,
    )


def _candidate(plan: Plan, service: Service, case: Case) -> Candidate:
    touched = {(action.target.service, action.target.name) for action in plan.actions}
    return Candidate(
        playbook=plan.playbook,
        approval=case.playbook is not None and case.playbook.approval,
        tiers=tuple(int(action.tier) for action in plan.actions),
        steps=tuple(action.name for action in plan.actions),
        touched=sum(1 for name, _ in touched if name == service.name),
        targets=max(1, len(service.targets)),
        strangers=len({name for name, _ in touched if name != service.name}),
        shares=() if plan.rollout is None else plan.rollout.weights,
        patch_lines=sum(_lines(action.params.get("diff")) for action in plan.actions),
    )


def _precedents(case: Case) -> tuple[Precedent, ...]:
    record = case.record
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


def _lines(diff: object) -> int:
    """Lines that a unified diff adds or removes."""
    if not isinstance(diff, str):
        return 0
    return sum(
        line.startswith(("+", "-")) and not line.startswith(("+++", "---")) for line in diff.splitlines()
    )
