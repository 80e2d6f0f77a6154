"""Finds what is broken among the services that a service depends on."""

from collections.abc import Mapping
from dataclasses import replace

from penelope.domain.evidence import Dossier
from penelope.domain.incident import Incident
from penelope.domain.service import Service
from penelope.domain.surroundings import UPSTREAM, rests_on, with_open_incidents
from penelope.flow.ports import Transaction
from penelope.rooms.gate.rules import Upstream


async def broken_upstream(
    transaction: Transaction, services: Mapping[str, Service], incident: Incident, dossier: Dossier
) -> tuple[Upstream, ...]:
    """Open incidents, older than this one, of all services that its service leans on, by the catalogue or by what the
    graph said; asks only if there are any.
    """
    names = dependencies(services, incident.service) | rests_on(dossier.evidence) - {incident.service}
    if not names:
        return ()
    found = await transaction.open_incidents(sorted(names), incident.opened_at)
    return tuple(
        Upstream(id=identifier, service=service, opened_at=opened) for identifier, service, opened in found
    )


async def with_broken(transaction: Transaction, dossier: Dossier, incident: Incident) -> Dossier:
    """The dossier with our own open incidents among what may be the cause, where the graph told what the service rests on."""
    names = rests_on(dossier.evidence) - {incident.service}
    if not names:
        return dossier
    found = await transaction.open_incidents(sorted(names), incident.opened_at)
    evidence = (
        with_open_incidents(item, found) if item.concept == UPSTREAM else item for item in dossier.evidence
    )
    return replace(dossier, evidence=tuple(evidence))


def dependencies(services: Mapping[str, Service], name: str) -> set[str]:
    """The services that this one depends on, directly or through others; never itself."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        service = services.get(waiting.pop())
        new = set(service.dependencies) - found if service is not None else set[str]()
        found |= new
        waiting += new
    return found - {name}
