"""Answers what a concept is and comes to: over all stores, under policy, within one deadline.

Whatever is shown was judged for its asker in this very request. What was judged before only says what to leave out from
the start, so that no answer depends on what its asker may not know of.
"""

import time
from collections.abc import Mapping
from contextlib import suppress

from penelope.domain.access import Classification
from penelope.domain.answer import Told
from penelope.domain.concept import Question, Request
from penelope.domain.degradation import DegradationMode, Store
from penelope.domain.semantics import Model, SemanticQuery
from penelope.errors import DependencyError
from penelope.flow.knowing import Definitions, Grounds, Limits, Stores
from penelope.flow.turn import Turn
from penelope.kit.guard import GuardState
from penelope.rooms.context.degrade import modes
from penelope.rooms.context.registry import Registry

__all__ = ["Definitions", "Limits", "Resolver", "Stores"]


class Resolver(Grounds):
    """One for all who ask."""

    async def tell(self, request: Request) -> Told:
        """What can be told; never raises for what a store does. Raises AccessBroken where one gave more than it may."""
        began, told = time.perf_counter(), None
        try:
            told = await Turn(self, request).told()
        finally:
            self.observer.concept_told(told, time.perf_counter() - began)
        return told

    async def warm(self) -> None:
        """Makes documents be at hand, which takes seconds for a first search: who waits for one would see it fail, and
        enough of them would open the breaker. So it goes past the guard; what fails now fails again for whoever asks.
        """
        vector = None
        with suppress(DependencyError):
            if self.stores.embedder is not None:
                (vector,) = await self.stores.embedder.embed(["warm"])
        with suppress(DependencyError):
            await self.stores.passages.search("warm", vector, [kind.value for kind in Classification], 1)

    def standing(self) -> tuple[Mapping[Store, GuardState], Mapping[Store, DegradationMode]]:
        """How the stores stand at this moment, and how answers go on without them."""
        guards = {store: guard.state() for store, guard in self.guards.items()}
        return guards, modes(guards)

    async def ask(
        self, question: Question, request: Request, *, seconds: float, other: SemanticQuery | None = None
    ) -> Told:
        """The same for a question that is in words no longer, within so many seconds; `other` is what figures are held against."""
        turn = Turn(self, request, seconds)
        return await turn.told(turn.directly(question, other))

    async def definitions(self, request: Request, *, seconds: float) -> tuple[Model, Registry]:
        """All that is defined, before any policy: nothing of it is for the asker to see. Raises a DependencyError."""
        known = await self.known(Turn(self, request, seconds))
        return known.model, known.registry
