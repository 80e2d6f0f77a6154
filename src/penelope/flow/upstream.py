"""Finds what is broken among the services that a service depends on."""

from collections.abc import Mapping

from penelope.domain.incident import Incident
from penelope.domain.service import Service
from penelope.flow.ports import Transaction
from penelope.rooms.gate.rules import Upstream


async def broken_upstream(
    transaction: Transaction, services: Mapping[str, Service], incident: Incident
) -> tuple[Upstream, ...]:
    """Open incidents, older than this one, of all services that its service leans on; asks only if there are any."""
    names = dependencies(services, incident.service)
    if not names:
        return ()
    found = await transaction.open_incidents(sorted(names), incident.opened_at)
    return tuple(
        Upstream(id=identifier, service=service, opened_at=opened) for identifier, service, opened in found
    )


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
