"""Chooses the playbook that fits an incident best and binds it: every parameter filled in, every target found."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penelope.domain.contract import Clause, Contract, judge
from penelope.domain.evidence import Dossier
from penelope.domain.incident import Incident
from penelope.domain.plan import Match, Plan, Playbook
from penelope.domain.service import Service
from penelope.kit.canonical import Json, canonical
from penelope.kit.ids import digest_id
from penelope.rooms.plan.course import MOST_ACTIONS, Binder, bind_clauses, bind_contract
from penelope.rooms.plan.parameters import LABEL, Unbindable, value_of

_LONGEST_SHOWN = 200
"""Characters that a reason shows of what was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The playbook that fits and the plan made from it."""

    playbook: Playbook
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPlan:
    """Why there is no plan: one reason for each playbook that is meant for the incident, or that none is.

    `fits` says that there is such a playbook: later evidence may let it be bound.
    """

    reasons: tuple[str, ...]
    fits: bool = False


def plan(
    incident: Incident, service: Service, dossier: Dossier, playbooks: Sequence[Playbook]
) -> Proposal | NoPlan:
    """The most specific playbook that can be bound: one for just this problem before named services before many labels
    before order.

    Pure: the same input gives the same plan, with the same identifiers.
    """
    fitting, unclear = _fitting(incident, service, playbooks)
    reasons: list[str] = []
    for playbook in fitting:
        try:
            return Proposal(playbook=playbook, plan=_bound(incident, service, dossier, playbook))
        except Unbindable as obstacle:
            reasons.append(f"{playbook.name}: {obstacle}")
    if not reasons:
        return NoPlan(reasons=(f"no playbook is for {incident.name} of {service.name}", *unclear))
    return NoPlan(reasons=(*reasons, *unclear), fits=True)


def _fitting(
    incident: Incident, service: Service, playbooks: Iterable[Playbook]
) -> tuple[list[Playbook], list[str]]:
    """The playbooks that are for the incident, the most specific first; and why some could not be asked."""
    fitting: list[Playbook] = []
    unclear: list[str] = []
    for playbook in playbooks:
        if not _matches(playbook.match, incident, service):
            continue
        try:
            if _expressed(playbook.match, incident):
                fitting.append(playbook)
        except ValueError as error:
            unclear.append(f"{playbook.name}: its expression cannot be judged: {error}")
    # The sort is stable: among equals the order of the library decides.
    fitting.sort(
        key=lambda item: (not item.match.fingerprints, not item.match.services, -len(item.match.labels))
    )
    return fitting, unclear


def _matches(match: Match, incident: Incident, service: Service) -> bool:
    return (
        (not match.names or incident.name in match.names)
        and (not match.services or service.name in match.services)
        and (not match.severities or incident.severity.value in match.severities)
        and (not match.fingerprints or incident.fingerprint in match.fingerprints)
        and all(incident.labels.get(label) == value for label, value in match.labels.items())
    )


def _expressed(match: Match, incident: Incident) -> bool:
    """What the expression says, if there is one. Raises ValueError that says why it cannot be judged."""
    if match.expression is None:
        return True
    if match.holds is None:
        raise ValueError("nobody compiled it")
    return match.holds(incident)


def _bound(incident: Incident, service: Service, dossier: Dossier, playbook: Playbook) -> Plan:
    values = {parameter.name: value_of(parameter, incident, dossier) for parameter in playbook.parameters}
    _require(bind_clauses(playbook.preconditions, values), incident, dossier)
    _require_arms(playbook, service)
    plan_id = digest_id("plan", incident.id, playbook.name, playbook.version)
    binder = Binder(plan_id, service)
    steps, course = binder.section("steps", playbook.steps, values)
    after, after_course = binder.section("after", playbook.after, values)
    if playbook.every_step and not steps and not after:
        raise Unbindable("there is nothing to do: every list that it goes through is empty")
    if len(steps) + len(after) > MOST_ACTIONS:
        raise Unbindable(f"it would take {len(steps) + len(after)} actions, more than {MOST_ACTIONS}")
    return Plan(
        id=plan_id,
        incident=incident.id,
        service=service.name,
        playbook=playbook.name,
        playbook_version=playbook.version,
        steps=steps,
        verify=bind_contract(playbook.verify, values),
        rollout=playbook.rollout,
        after=after,
        course=course,
        after_course=after_course,
    )


def _require(preconditions: tuple[Clause, ...], incident: Incident, dossier: Dossier) -> None:
    observed = {clause.subject: _observed(clause.subject, incident, dossier) for clause in preconditions}
    verdict = judge(Contract(clauses=preconditions, deadline_seconds=0), observed, dossier.gathered_at)
    unmet = [
        f"{result.clause.subject} must be {result.clause.comparator.value.replace('_', ' ')} "
        f"{canonical(result.clause.expected).decode()}, "
        + ("is unknown" if result.actual is None else f"is {_shown(result.actual)}")
        for result in verdict.drift
    ]
    if unmet:
        raise Unbindable("; ".join(unmet))


def _observed(subject: str, incident: Incident, dossier: Dossier) -> Json:
    if subject.startswith(LABEL):
        return incident.labels.get(subject.removeprefix(LABEL))
    return dossier.value(subject)


def _shown(value: Json) -> str:
    """As the expectation beside it is written, and short: it goes into history, and to people."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _require_arms(playbook: Playbook, service: Service) -> None:
    if playbook.rollout is None:
        return
    if service.router is None:
        raise Unbindable(f"it rolls out, but {service.name} has no router")
    for arm in (playbook.rollout.canary, playbook.rollout.control):
        if arm not in service.router.arms:
            raise Unbindable(f"it rolls out over arm {arm}, which the router of {service.name} does not have")
