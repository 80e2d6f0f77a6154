"""What people ask and say about autonomy; API and command line share this desk."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from penelope.domain.autonomy import Level, Standing
from penelope.domain.service import Service
from penelope.errors import UnknownPlaybook, UnknownService
from penelope.flow import autonomy, reporting
from penelope.flow.autonomy import Word, under
from penelope.flow.engine import Engine
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.flow.reporting import Report, Reported
from penelope.kit.canonical import Json
from penelope.rooms.learn.autonomy import Policy


class StandingReader(Protocol):
    """Reads standings that were committed."""

    async def standings(
        self, *, service: str | None, playbook: str | None, after: str | None, limit: int
    ) -> Sequence[tuple[str, Standing]]:
        """Units' ids and standings, in order of id, beyond the one `after`."""


class AutonomyDesk:
    """Every command is durable when it returns."""

    def __init__(self, engine: Engine, reader: StandingReader, parts: Parts) -> None:
        self._engine = engine
        self._reader = reader
        self._parts = parts

    @property
    def policy(self) -> Policy:
        return self._parts.autonomy

    async def standings(
        self, *, service: str | None = None, playbook: str | None = None, after: str | None = None, limit: int
    ) -> Mapping[str, Standing]:
        """Standings that have a past, by unit, under the caps in force; all others stand where policy begins."""
        found = await self._reader.standings(service=service, playbook=playbook, after=after, limit=limit)
        return {name: under(self.policy, standing) for name, standing in found}

    async def place(self, playbook: str, service: str, level: Level, word: Word) -> Standing:
        """A person lowers or raises a pair.

        Raises UnknownPlaybook, UnknownService, and InvalidRequest above the pair's cap.
        """
        if playbook not in self._names():
            raise UnknownPlaybook(f"there is no playbook {playbook!r}")
        services: Mapping[str, Service] = self._parts.services
        if service not in services:
            raise UnknownService(f"service {service!r} is not in the catalogue")
        return await autonomy.place(self._engine, self.policy, (playbook, service), level, word)

    async def report(self, told: Report) -> Reported:
        """Takes in what people did about an incident. Raises as `reporting.report` does."""

        async def body(transaction: Transaction) -> Json:
            return await reporting.report(transaction, self.policy, self._names(), told)

        reported: Reported = await self._engine.transaction("report", body)
        return reported

    def _names(self) -> set[str]:
        return {playbook.name for playbook in self._parts.playbooks.playbooks()}
