"""Gathers evidence and judges on it; a plan that would pass or be asked for is tried first."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from penelope.domain.benchmark import SuiteName
from penelope.domain.evidence import Dossier
from penelope.domain.likeness import Hit
from penelope.domain.outcome import OutcomeKind
from penelope.flow import records
from penelope.flow.assessment import Assessment, Next
from penelope.flow.benchmarking import declares
from penelope.flow.deciding import assess
from penelope.flow.ending import Ending, end
from penelope.flow.engine import Engine
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.flow.trying import NotTried, try_out
from penelope.kit.canonical import Json
from penelope.kit.codec import to_data
from penelope.rooms.context.run import gather

_FRESH_SECONDS = 5.0
"""After a trial that took longer the world is looked at again before anything is decided."""

_MOST_TRIALS = 5
"""Plans that one assessment tries: where each look leads to another one, none will ever be the one that was tried."""


class Assessing:
    """Assesses one incident, as the body of a step."""

    def __init__(self, engine: Engine, parts: Parts, incident: str, service: str) -> None:
        self._engine = engine
        self._parts = parts
        self._incident = incident
        self._service = service

    async def assess(self, before: Assessment | None) -> Json:
        """An Assessment, as data. It commits by itself, which spares the engine's bookkeeping (decision 0005).

        After a crash in between it is made again: it finds by the incident's state what was decided before, and what
        was tried by the plan's digest.
        """
        dossier, hits = await self._look()
        for _ in range(_MOST_TRIALS):
            try:
                return await self._decide(dossier, hits, before)
            except NotTried as lacking:
                begun = self._parts.clock.now()
                await try_out(self._engine, self._parts, lacking)
                if (self._parts.clock.now() - begun).total_seconds() > _FRESH_SECONDS:
                    dossier, hits = await self._look()
        return await self._give_up()

    async def _look(self) -> tuple[Dossier, Sequence[Hit]]:
        return await self._gather(), await self._parts.wisdom.recall(self._incident)

    async def _gather(self) -> Dossier:
        now = self._parts.clock.now()
        service = self._parts.services.get(self._service)
        if service is None:
            return Dossier(service=self._service, gathered_at=now, evidence=())
        window = self._parts.timing.window_seconds
        metrics, changes = self._parts.metrics, self._parts.changes
        dossier, around = await asyncio.gather(
            gather(service, metrics, changes, window_seconds=window, now=now),
            self._parts.surroundings.about(self._incident, service),
        )
        return replace(dossier, evidence=(*dossier.evidence, *around))

    async def _decide(self, dossier: Dossier, hits: Sequence[Hit], before: Assessment | None) -> Json:
        async def body(transaction: Transaction) -> Json:
            assessed = await assess(transaction, self._parts, self._incident, dossier, hits, before)
            regresses = declares(self._parts, self._service, SuiteName.REGRESSION)
            return to_data(replace(assessed, regresses=regresses))

        return await self._engine.transaction("decide", body)

    async def _give_up(self) -> Json:
        reason = f"its plan became another one at each of {_MOST_TRIALS} looks, so that none could be tried"

        async def body(transaction: Transaction) -> Json:
            incident = await records.incident_of(transaction, self._incident)
            if not incident.state.ended:
                ending = Ending(kind=OutcomeKind.ESCALATED, reason=reason)
                brakes, autonomy = self._parts.brakes, self._parts.autonomy
                await transaction.save(*await end(transaction, incident, ending, brakes, autonomy))
            return to_data(Assessment(next=Next.ESCALATE, reason=reason))

        return await self._engine.transaction("give up", body)
