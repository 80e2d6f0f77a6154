"""Puts questions to the resolver for one look at an incident's surroundings."""

import time
from collections.abc import Mapping

from penelope.domain.access import Subject
from penelope.domain.answer import Row, Told
from penelope.domain.concept import GraphQuestion, Question, Request
from penelope.domain.degradation import Store
from penelope.domain.semantics import SemanticQuery
from penelope.errors import Unavailable
from penelope.flow.resolving import Resolver
from penelope.kit.canonical import Json


class Enquiry:
    """One look: what is left of its time."""

    def __init__(self, resolver: Resolver, subject: Subject, seconds: float) -> None:
        self.resolver = resolver
        self.now = resolver.clock.now()
        self._subject = subject
        self._end = time.monotonic() + seconds

    @property
    def left_seconds(self) -> float:
        return max(0.001, self._end - time.monotonic())

    def request(self, concept: str) -> Request:
        return Request(concept=concept, subject=self._subject, at=self.now, execute=True)

    async def ask(self, question: Question, concept: str, other: SemanticQuery | None = None) -> Told:
        return await self.resolver.ask(
            question, self.request(concept), seconds=self.left_seconds, other=other
        )

    async def graph(self, name: str, parameters: Mapping[str, Json]) -> tuple[Row, ...]:
        """Raises Unavailable where the graph could not be asked: that it has no such row cannot be said then."""
        told = await self.ask(GraphQuestion(name=name, parameters=parameters), name)
        if trouble := lacking(told, Store.GRAPH):
            raise Unavailable(trouble)
        return told.rows


def lacking(told: Told, store: Store) -> str:
    """What the answer of a store lacks, in words; empty where it is whole."""
    return " ".join(notice.message for notice in told.notices if notice.store in {store, Store.POLICY})
