"""Chooses the playbook that fits an incident best and binds it: every parameter filled in, every target found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from penelope.domain.action import Action
from penelope.domain.contract import Clause, Contract, judge
from penelope.domain.evidence import Dossier
from penelope.domain.incident import Incident
from penelope.domain.plan import BlockTemplate, Match, Parameter, Plan, Playbook, StepTemplate
from penelope.domain.service import Service
from penelope.kit.canonical import Json, canonical
from penelope.kit.ids import digest_id
from penelope.rooms.plan.binding import bind


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


class _Unbindable(Exception):
    """Why one playbook cannot be bound; the next one may."""


def plan(
    incident: Incident, service: Service, dossier: Dossier, playbooks: Sequence[Playbook]
) -> Proposal | NoPlan:
    """The most specific playbook that can be bound: named services before many labels before order.

    Pure: the same input gives the same plan, with the same identifiers.
    """
    reasons: list[str] = []
    for playbook in _fitting(incident, service, playbooks):
        try:
            return Proposal(playbook=playbook, plan=_bound(incident, service, dossier, playbook))
        except _Unbindable as obstacle:
            reasons.append(f"{playbook.name}: {obstacle}")
    if not reasons:
        return NoPlan(reasons=(f"no playbook is for {incident.name} of {service.name}",))
    return NoPlan(reasons=tuple(reasons), fits=True)


def _fitting(incident: Incident, service: Service, playbooks: Iterable[Playbook]) -> list[Playbook]:
    fitting = [playbook for playbook in playbooks if _matches(playbook.match, incident, service)]
    # The sort is stable: among equals the order of the library decides.
    return sorted(fitting, key=lambda item: (not item.match.services, -len(item.match.labels)))


def _matches(match: Match, incident: Incident, service: Service) -> bool:
    return (
        (not match.names or incident.name in match.names)
        and (not match.services or service.name in match.services)
        and all(incident.labels.get(label) == value for label, value in match.labels.items())
    )


def _bound(incident: Incident, service: Service, dossier: Dossier, playbook: Playbook) -> Plan:
    values = {parameter.name: _value(parameter, dossier) for parameter in playbook.parameters}
    _require(_bind_clauses(playbook.preconditions, values), dossier)
    _require_arms(playbook, service)
    plan_id = digest_id("plan", incident.id, playbook.name, playbook.version)
    return Plan(
        id=plan_id,
        incident=incident.id,
        service=service.name,
        playbook=playbook.name,
        playbook_version=playbook.version,
        steps=_actions(plan_id, "steps", playbook.steps, service, values),
        verify=_bind_contract(playbook.verify, values),
        rollout=playbook.rollout,
        after=_actions(plan_id, "after", playbook.after, service, values),
    )


def _value(parameter: Parameter, dossier: Dossier) -> Json:
    """The parameter's value: what the evidence says, or the default where it says nothing."""
    found = dossier.get(parameter.source) if parameter.source else None
    value = found.value if found else None
    if value is None:
        value = parameter.default
    if value is None:
        why = f" ({found.note})" if found and found.note else ""
        raise _Unbindable(f"parameter {parameter.name} needs {parameter.source}, which is unknown{why}")
    typed = _typed(parameter.kind, value)
    if typed is None:
        origin = parameter.source or "its default"
        raise _Unbindable(f"parameter {parameter.name} must be of type {parameter.kind}, but {origin} is not")
    return typed


def _typed(kind: str, value: Json) -> Json:
    """The value if it is of the kind, otherwise None. Figures are floats: a whole one is an integer too."""
    try:
        canonical(value)
    except (TypeError, ValueError):
        return None  # NaN and the like: a plan could not be written down with it
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "string" if isinstance(value, str):
            return value
        case "boolean" if isinstance(value, bool):
            return value
        case "number" if is_number:
            return value
        case "integer" if is_number and value == int(value):
            return int(value)
        case _:
            return None


def _require(preconditions: tuple[Clause, ...], dossier: Dossier) -> None:
    observed = {clause.subject: dossier.value(clause.subject) for clause in preconditions}
    verdict = judge(Contract(clauses=preconditions, deadline_seconds=0), observed, dossier.gathered_at)
    unmet = [
        f"{result.clause.subject} must be {result.clause.comparator.value.replace('_', ' ')} "
        f"{canonical(result.clause.expected).decode()}, "
        + ("is unknown" if result.actual is None else f"is {_shown(result.actual)}")
        for result in verdict.drift
    ]
    if unmet:
        raise _Unbindable("; ".join(unmet))


def _shown(value: Json) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _require_arms(playbook: Playbook, service: Service) -> None:
    if playbook.rollout is None:
        return
    if service.router is None:
        raise _Unbindable(f"it rolls out, but {service.name} has no router")
    for arm in (playbook.rollout.canary, playbook.rollout.control):
        if arm not in service.router.arms:
            raise _Unbindable(
                f"it rolls out over arm {arm}, which the router of {service.name} does not have"
            )


def _actions(
    plan_id: str,
    section: str,
    steps: tuple[StepTemplate | BlockTemplate, ...],
    service: Service,
    values: Mapping[str, Json],
) -> tuple[Action, ...]:
    return tuple(
        _action(digest_id(plan_id, section, str(index)), step, service, values)
        for index, step in enumerate(steps)
        if isinstance(step, StepTemplate)
    )


def _action(key: str, step: StepTemplate, service: Service, values: Mapping[str, Json]) -> Action:
    target = service.targets.get(step.target)
    if target is None:
        raise _Unbindable(
            f"step '{step.name}' needs the target {step.target}, which {service.name} does not have"
        )
    if target.adapter != step.adapter:
        raise _Unbindable(
            f"step '{step.name}' needs {step.target} to be a {step.adapter} target, it is a {target.adapter} target"
        )
    return Action(
        key=key,
        name=str(bind(step.name, values)),
        adapter=step.adapter,
        operation=step.operation,
        target=replace(target, options={}),  # addresses and secrets stay in the catalogue, out of history
        params=bind(step.params, values),
        tier=step.tier,
        timeout_seconds=step.timeout_seconds,
        contract=_bind_contract(step.expect, values) if step.expect else None,
    )


def _bind_contract(contract: Contract, values: Mapping[str, Json]) -> Contract:
    return replace(contract, clauses=_bind_clauses(contract.clauses, values))


def _bind_clauses(clauses: tuple[Clause, ...], values: Mapping[str, Json]) -> tuple[Clause, ...]:
    return tuple(replace(clause, expected=bind(clause.expected, values)) for clause in clauses)
