"""Collects what a decision rests on."""

from collections.abc import Sequence
from dataclasses import replace

from penelope.domain.evidence import Dossier
from penelope.domain.incident import Incident
from penelope.domain.likeness import Hit, Likeness
from penelope.domain.precedent import traits
from penelope.domain.service import Service
from penelope.domain.surroundings import dependents_of
from penelope.errors import InputError
from penelope.flow.halting import failed_at
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.flow.upstream import with_broken
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.objectives import stratum
from penelope.rooms.decide.precedents import rank
from penelope.rooms.plan.run import NoPlan, Proposal, plan


async def case_of(transaction: Transaction, parts: Parts, incident: Incident, dossier: Dossier) -> Case:
    """The incident with its plan, if one can be made, and the past of its playbook."""
    service = parts.services.get(incident.service)
    if service is None:
        stranger = Service(name=incident.service, owner="", tier=4)
        obstacle = f"service {incident.service!r} is not in the catalogue"
        return Case(incident=incident, service=stranger, dependents=0, dossier=dossier, obstacles=(obstacle,))
    dossier = await with_broken(transaction, dossier, incident)
    case = Case(
        incident=incident,
        service=service,
        dependents=len((parts.leaning_on(service.name) | dependents_of(dossier.evidence)) - {service.name}),
        dossier=dossier,
        durations=await transaction.durations(service.name, incident.fingerprint, incident.name),
    )
    proposal = plan(incident, service, dossier, parts.playbooks.playbooks())
    if isinstance(proposal, NoPlan):
        return replace(case, obstacles=proposal.reasons, fits=proposal.fits)
    if objections := _objections(parts, proposal):
        return replace(case, obstacles=objections)
    playbook = proposal.playbook
    return replace(
        case,
        playbook=playbook,
        plan=proposal.plan,
        record=await transaction.record(playbook.name, service.name),
        tallies=await transaction.tallies(
            playbook.name, service.name, traits(service), stratum(dossier.evidence)
        ),
        fits=True,
        failed_at=await failed_at(transaction, service.name),
    )


async def similar_to(
    transaction: Transaction, parts: Parts, case: Case, hits: Sequence[Hit]
) -> tuple[Likeness, ...]:
    """The past cases most like the incident, and whether they speak for the plan at hand."""
    incident = case.incident
    cases = await transaction.precedents(incident, [hit.incident for hit in hits])
    playbook = None if case.plan is None or case.playbook is None else case.playbook.name
    return rank(incident, cases, hits, playbook=playbook, limit=parts.leaned_on)


def _objections(parts: Parts, proposal: Proposal) -> tuple[str, ...]:
    """What the adapters have against the plan's steps, before anything runs."""
    found: list[str] = []
    for action in proposal.plan.every_action:
        try:
            parts.adapter(action).validate(action.operation, action.params)
        except InputError as error:
            found.append(f"{action.name}: {error.message}")
    return tuple(found)
