"""What can be known besides the answer to a concept: definitions, documents, lineage, and how a concept was understood."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from penelope.domain.access import Subject, Verb
from penelope.domain.answer import Row, Told
from penelope.domain.concept import (
    Candidate,
    Definition,
    DefinitionKind,
    GraphQuestion,
    Parsed,
    Request,
)
from penelope.domain.degradation import DegradationMode, Notice, Store
from penelope.domain.passage import Passage
from penelope.errors import UnknownConcept
from penelope.flow.resolving import Resolver
from penelope.flow.turn import Turn
from penelope.kit.guard import GuardState
from penelope.rooms.context.assets import definition_asset
from penelope.rooms.context.question_of import node_of
from penelope.rooms.context.rank import rank
from penelope.rooms.context.resolve import understood
from penelope.rooms.context.words import BadConcept

_MOST_CANDIDATES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found, the best first."""

    definitions: tuple[Candidate, ...]
    passages: tuple[Passage, ...]
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Definitions by name; others follow that of the name `next`, if it is not None."""

    definitions: tuple[Definition, ...]
    next: str | None
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which definitions are wanted: of a kind, with these letters in a name of theirs, beyond the one named `after`."""

    kind: DefinitionKind | None = None
    words: str = ""
    after: str = ""
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a definition is made of, and what is made of it; the nearest first."""

    definition: Definition
    up: tuple[Row, ...]
    down: tuple[Row, ...]
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How a concept was understood. `candidates` are all that were weighed; `parsed` is None for what cannot be read."""

    told: Told
    parsed: Parsed | None
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How answers go on without a store; `guard` is None for one that is part of this process."""

    store: Store
    mode: DegradationMode
    guard: GuardState | None


class LookUp:
    """Each look is judged for its asker as an answer is, and by the same turn."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def search(self, request: Request, kinds: Sequence[str], most: int) -> Found:
        """Definitions, and at most so many passages, for the words of a request. Raises DependencyError where no definition
        was ever read.
        """
        turn = self._turn(request)
        found = await turn.passages(request.concept, kinds, most)
        _, candidates = await self._weighed(turn, found)
        return Found(definitions=candidates, passages=found, notices=turn.notices())

    async def definitions(self, subject: Subject, wanted: Wanted) -> Page:
        """The definitions that somebody may know of. Raises DependencyError where none was ever read."""
        turn = self._turn(self._asking(subject))
        registry = await self._registry(turn)
        words = wanted.words.casefold()
        listed = sorted(
            (item for item in registry.values() if item.name > wanted.after and _fits(item, wanted, words)),
            key=lambda item: item.name,
        )
        page = listed[: wanted.limit]
        shown = await turn.shown(Verb.DISCOVER, page, [definition_asset(item) for item in page])
        following = page[-1].name if len(listed) > len(page) else None
        return Page(definitions=shown, next=following, notices=turn.notices())

    async def definition(self, subject: Subject, name: str) -> Definition:
        """One of them. Raises UnknownConcept for one that is not there or may not be known of; DependencyError."""
        return await self._known(self._turn(self._asking(subject)), name)

    async def lineage(self, subject: Subject, name: str, depth: int) -> Lineage:
        """Raises UnknownConcept as `definition` does; DependencyError. A graph that is down is told in the notices."""
        turn = self._turn(self._asking(subject))
        definition = await self._known(turn, name)
        parameters = {"id": node_of(definition), "depth": depth}
        up = await turn.rows(GraphQuestion(name="lineage_up", parameters=parameters))
        down = await turn.rows(GraphQuestion(name="lineage_down", parameters=parameters))
        return Lineage(definition=definition, up=up, down=down, notices=turn.notices())

    async def explained(self, request: Request) -> Explanation:
        """What would be answered, without its value, and all that was weighed. Raises DependencyError."""
        asked = replace(request, execute=False)
        told = await self._resolver.tell(asked)
        parsed, candidates = await self._weighed(self._turn(asked), told.passages)
        return Explanation(told=told, parsed=parsed, candidates=candidates)

    def standings(self) -> Sequence[Standing]:
        """How each store stands, and what answers do without it."""
        guards, found = self._resolver.standing()
        return [Standing(store=store, mode=mode, guard=guards.get(store)) for store, mode in found.items()]

    async def _weighed(
        self, turn: Turn, passages: Sequence[Passage]
    ) -> tuple[Parsed | None, tuple[Candidate, ...]]:
        known = await self._resolver.known(turn)
        registry = await self._resolver.registry_for(known, turn)
        try:
            reading = understood(turn.request, registry, self._resolver.rules)
        except BadConcept:
            return None, ()
        ranked = rank(reading, registry, region=turn.request.subject.region, passages=passages)
        return reading.parsed, await turn.candidates(ranked[:_MOST_CANDIDATES])

    async def _known(self, turn: Turn, name: str) -> Definition:
        definition = (await self._registry(turn)).get(name)
        if definition is not None and await turn.shown(
            Verb.DISCOVER, [definition], [definition_asset(definition)]
        ):
            return definition
        raise UnknownConcept("nothing that you may see has this name")

    async def _registry(self, turn: Turn) -> Mapping[str, Definition]:
        known = await self._resolver.known(turn)
        return (await self._resolver.registry_for(known, turn)).definitions

    def _turn(self, request: Request) -> Turn:
        return Turn(self._resolver, request)

    def _asking(self, subject: Subject) -> Request:
        return Request(concept="", subject=subject, at=self._resolver.clock.now())


def _fits(definition: Definition, wanted: Wanted, words: str) -> bool:
    if wanted.kind is not None and definition.kind is not wanted.kind:
        return False
    return any(words in text.casefold() for text in (definition.name, definition.title, *definition.synonyms))
