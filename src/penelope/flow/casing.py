"""Collects what a decision rests on."""

from dataclasses import replace

from penelope.domain.evidence import Dossier
from penelope.domain.incident import Incident
from penelope.domain.service import Service
from penelope.errors import InputError
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.rooms.decide.case import Case
from penelope.rooms.plan.run import NoPlan, Proposal, plan


async def case_of(transaction: Transaction, parts: Parts, incident: Incident, dossier: Dossier) -> Case:
    """The incident with its plan, if one can be made, and the past of its playbook."""
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
    record = await transaction.record(proposal.playbook.name, service.name)
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
