"""Answers what a concept is and comes to: over all stores, under policy, within one deadline.

Whatever is shown was judged for its asker in this very request. What was judged before only says what to leave out from
the start, so that no answer depends on what its asker may not know of.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

from penelope.domain.access import Access, AccessQuestion, Asset, Classification, Masking, Verb
from penelope.domain.answer import Figures, Outcome, Row, Told
from penelope.domain.concept import (
    Ambiguous,
    Candidate,
    Definition,
    DefinitionKind,
    DocumentSearch,
    GraphQuestion,
    Request,
    Resolution,
    Unresolved,
)
from penelope.domain.degradation import Store
from penelope.domain.passage import Passage
from penelope.domain.semantics import Model, SemanticQuery, Table
from penelope.errors import DependencyError, InvalidQuery, Unavailable
from penelope.flow.naming import Names, RegistryOf, read_names
from penelope.kit.canonical import canonical
from penelope.kit.clock import Clock
from penelope.kit.codec import to_data
from penelope.kit.guard import Guard
from penelope.rooms.context.assets import cube_asset, definition_asset, document_asset, row_assets
from penelope.rooms.context.degrade import modes, notices
from penelope.rooms.context.govern import (
    Governed,
    Refusal,
    checked,
    govern,
    members,
    visible,
    visible_rows,
    why_not,
)
from penelope.rooms.context.ports import Embedder, Governor, Graph, Passages, SemanticLayer
from penelope.rooms.context.question_of import node_of
from penelope.rooms.context.registry import Registry, name_alone
from penelope.rooms.context.resolve import Rules, resolve

Found = TypeVar("Found")
Kept = TypeVar("Kept")

_LINEAGE_DEPTH = 4
_WAYS = frozenset({"shortest_path", "dependency_path"})
"""Queries that have one row at most, and take no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What concepts are resolved over. Without an embedder documents are found by words alone."""

    semantic: SemanticLayer
    graph: Graph
    passages: Passages
    governor: Governor
    embedder: Embedder | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`deadline_seconds` are for a whole answer. The model, and what a subject may know of, are looked at anew after
    `fresh_seconds`. So many `passages` and `rows` are in an answer, and so many values and registries are kept.
    """

    deadline_seconds: float = 2.0
    fresh_seconds: float = 60.0
    passages: int = 3
    rows: int = 100
    kept: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The model, the names of the graph and all definitions of a moment (monotonic seconds)."""

    model: Model
    names: Names
    registry: Registry
    at: float


class _Shelf(Generic[Kept]):
    """The things used last, at most so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._things: OrderedDict[bytes, Kept] = OrderedDict()

    def get(self, key: bytes) -> Kept | None:
        found = self._things.get(key)
        if found is not None:
            self._things.move_to_end(key)
        return found

    def put(self, key: bytes, thing: Kept) -> None:
        self._things[key] = thing
        self._things.move_to_end(key)
        while len(self._things) > self._most:
            self._things.popitem(last=False)


class Resolver:
    """One for all who ask."""

    def __init__(
        self,
        stores: Stores,
        guards: Mapping[Store, Guard],
        registry_of: RegistryOf,
        rules: Rules,
        clock: Clock,
        *,
        limits: Limits | None = None,
    ) -> None:
        self.stores = stores
        self.guards = guards
        self.rules = rules
        self.clock = clock
        self.limits = limits or Limits()
        self.values: _Shelf[Figures] = _Shelf(self.limits.kept)
        self._registry_of = registry_of
        self._known: _Known | None = None
        self._for_subjects: _Shelf[tuple[_Known, float, Registry]] = _Shelf(self.limits.kept)

    async def tell(self, request: Request) -> Told:
        """What can be told; never raises for what a store does. Raises AccessBroken where one gave more than it may."""
        return await _Turn(self, request).told()

    async def known(self, ask: "_Turn") -> _Known:
        """Raises a DependencyError where the model was never read."""
        known = self._known
        if known is not None and time.monotonic() - known.at < self.limits.fresh_seconds:
            return known
        try:
            model = await ask.guarded(Store.SEMANTIC, self.stores.semantic.model)
        except DependencyError:
            if known is None:
                raise
            return known
        ask_graph = partial(ask.guarded, Store.GRAPH)
        names = await read_names(ask_graph, self.stores.graph, Names() if known is None else known.names)
        at = time.monotonic()
        if known is None or known.model is not model or known.names is not names:
            registry = await asyncio.to_thread(self._registry_of, model, more=names.definitions)
            self._known = _Known(model=model, names=names, registry=registry, at=at)
        else:
            self._known = replace(known, at=at)
        return self._known

    async def registry_for(self, known: _Known, ask: "_Turn") -> Registry:
        """What the asker may know of. Nothing, and not kept, where the policy engine fails."""
        key = canonical(to_data(ask.request.subject))
        kept = self._for_subjects.get(key)
        now = time.monotonic()
        if (
            kept is not None
            and kept[0].registry is known.registry
            and now - kept[1] < self.limits.fresh_seconds
        ):
            return kept[2]
        definitions = list(known.registry.definitions.values())
        accesses = await ask.judged(Verb.DISCOVER, [definition_asset(each) for each in definitions])
        hidden = {each.name for each, access in zip(definitions, accesses, strict=True) if not access.allow}
        telling = [each for each in definitions if each.name not in hidden and name_alone(each) != each]
        reads = await ask.judged(Verb.READ, [definition_asset(each) for each in telling])
        unread = {each.name for each, access in zip(telling, reads, strict=True) if not access.allow}
        registry = await asyncio.to_thread(known.registry.without, hidden, unread)
        if not any(access.failed for access in (*accesses, *reads)):
            self._for_subjects.put(key, (known, now, registry))
        return registry


class _Turn:
    """One request: what is left of its time, and which stores failed it."""

    def __init__(self, resolver: Resolver, request: Request) -> None:
        self.request = request
        self._resolver = resolver
        self._deadline = time.monotonic() + resolver.limits.deadline_seconds
        self._failed: set[Store] = set()
        self._stale = False

    # --- asking ---------------------------------------------------------------------------------------------

    async def guarded(self, store: Store, work: Callable[[], Awaitable[Found]]) -> Found:
        """Asks a store behind its guard. Raises DependencyError, and remembers that it failed."""
        try:
            return await self._resolver.guards[store].call(work, self._deadline)
        except DependencyError:
            self._failed.add(store)
            raise

    async def judged(self, verb: Verb, assets: Sequence[Asset]) -> Sequence[Access]:
        """Judged now. Whatever goes wrong is a no."""
        subject = self.request.subject
        questions = [AccessQuestion(subject=subject, verb=verb, asset=asset) for asset in assets]
        accesses = await self._resolver.stores.governor.judge(questions)
        if any(access.failed for access in accesses):
            self._failed.add(Store.POLICY)
        return accesses

    async def _shown(self, verb: Verb, found: Sequence[Found], assets: Sequence[Asset]) -> tuple[Found, ...]:
        return tuple(visible(found, await self.judged(verb, assets))) if found else ()

    # --- telling --------------------------------------------------------------------------------------------

    async def told(self) -> Told:
        told = await self._answered()
        if Store.POLICY in self._failed and told.outcome is not Outcome.RESOLVED:
            told = self._plain(Outcome.DENIED, "the policy cannot be asked, so nothing may be told just now")
        guards = {store: guard.state() for store, guard in self._resolver.guards.items()}
        found = modes(guards, self._failed, last_known=self._stale)
        return replace(told, notices=tuple(notices(found, guards, self._resolver.clock.now())))

    async def _answered(self) -> Told:
        request, resolver = self.request, self._resolver
        try:
            known = await resolver.known(self)
        except DependencyError:
            return self._plain(Outcome.UNRESOLVED, "the definitions cannot be read just now")
        registry, passages = await asyncio.gather(
            resolver.registry_for(known, self), self._passages(request.concept, ())
        )
        answer = resolve(request, registry, resolver.rules, passages=passages)
        match answer:
            case Resolution():
                return await self._resolved(answer, known, passages)
            case Ambiguous():
                choices = await self._candidates(answer.choices)
                outcome = Outcome.AMBIGUOUS if len(choices) > 1 else Outcome.UNRESOLVED
                why = answer.why if len(choices) == len(answer.choices) else "several things may be meant"
                return replace(self._plain(outcome, why), choices=choices, passages=passages)
            case Unresolved():
                nearest = await self._candidates(answer.nearest)
                return replace(
                    self._plain(Outcome.UNRESOLVED, answer.why), choices=nearest, passages=passages
                )

    def _plain(self, outcome: Outcome, why: str = "") -> Told:
        request = self.request
        return Told(concept=request.concept, subject=request.subject, at=request.at, outcome=outcome, why=why)

    async def _candidates(self, found: Sequence[Candidate]) -> tuple[Candidate, ...]:
        shown = await self._shown(Verb.DISCOVER, found, [definition_asset(each.definition) for each in found])
        reads = await self.judged(Verb.READ, [definition_asset(each.definition) for each in shown])
        return tuple(
            each if access.allow else replace(each, definition=name_alone(each.definition))
            for each, access in zip(shown, reads, strict=True)
        )

    async def _resolved(self, answer: Resolution, known: _Known, passages: tuple[Passage, ...]) -> Told:
        definition = answer.definition
        if not await self._shown(Verb.DISCOVER, [definition], [definition_asset(definition)]):
            return self._plain(Outcome.UNRESOLVED, "nothing that you may see is defined by these words")
        (access,) = await self.judged(Verb.READ, [definition_asset(definition)])
        if not access.allow:
            return self._plain(Outcome.DENIED, why_not(definition, access))
        told = replace(
            self._plain(Outcome.RESOLVED),
            definition=definition,
            confidence=answer.confidence,
            passages=passages,
            unmet=answer.unmet,
        )
        lineage, told, choices = await asyncio.gather(
            self._lineage(definition),
            self._asked(told, answer, known),
            self._candidates(answer.alternatives),
        )
        if told.outcome is Outcome.DENIED:
            return told
        return replace(told, lineage=lineage, choices=choices)

    async def _asked(self, told: Told, answer: Resolution, known: _Known) -> Told:
        match answer.question:
            case SemanticQuery():
                return await self._figures(told, answer, answer.question, known)
            case GraphQuestion():
                rows = await self._rows(answer.question)
                return replace(told, asked=answer.question, rows=rows)
            case DocumentSearch():
                found = await self._passages(answer.question.words, answer.question.kinds)
                return replace(told, passages=found)
            case None:
                return told

    # --- figures --------------------------------------------------------------------------------------------

    async def _figures(self, told: Told, answer: Resolution, query: SemanticQuery, known: _Known) -> Told:
        governed = await self._governed(query, known)
        other = None if answer.compared is None else await self._governed(answer.compared, known)
        for found in (governed, other):
            if isinstance(found, Refusal):
                return replace(
                    self._plain(Outcome.DENIED, "; ".join(found.reasons)), definition=told.definition
                )
        assert isinstance(governed, Governed)  # noqa: S101 - a refusal was returned above
        told = replace(told, query=governed.query, row_filters=governed.row_filters, masks=_masks(governed))
        if not self.request.execute or answer.unmet:
            return told
        unit = answer.definition.unit
        value = await self._value(governed, unit)
        compared = await self._value(other, unit) if isinstance(other, Governed) else None
        return replace(told, value=value, compared=compared)

    async def _governed(self, query: SemanticQuery, known: _Known) -> Governed | Refusal:
        cubes = sorted({member.partition(".")[0] for member in members(query)})
        accesses = await self.judged(Verb.READ, [cube_asset(known.model, cube) for cube in cubes])
        return govern(query, dict(zip(cubes, accesses, strict=True)), known.model.reads)

    async def _value(self, governed: Governed, unit: str) -> Figures | None:
        """The value as it is now; the last one that was told for just this question where it cannot be had."""
        key = canonical([to_data(governed.query), to_data(dict(governed.masks)), sorted(governed.nulls)])
        try:
            found: Table = await self.guarded(
                Store.SEMANTIC, lambda: self._resolver.stores.semantic.run(governed.query, governed.masks)
            )
        except (DependencyError, InvalidQuery):
            kept = self._resolver.values.get(key)
            self._stale = self._stale or kept is not None
            return kept
        table = checked(found, governed)
        now = self._resolver.clock.now()
        self._resolver.values.put(key, Figures(table=table, unit=unit, kept_at=now))
        return Figures(table=table, unit=unit)

    # --- graph and documents --------------------------------------------------------------------------------

    async def _rows(self, question: GraphQuestion) -> tuple[Row, ...]:
        """Rows of nodes that the asker may read, whole; of a graph that cannot be asked there are none."""
        allowed = await self._classes("node")
        limit = {} if question.name in _WAYS else {"limit": self._resolver.limits.rows}
        parameters = {**question.parameters, **limit, "allowed": allowed}
        try:
            found = await self.guarded(
                Store.GRAPH, lambda: self._resolver.stores.graph.ask(question.name, parameters)
            )
        except (DependencyError, InvalidQuery):
            return ()
        assets = [row_assets(row) for row in found]
        accesses = await self.judged(Verb.READ, [each for several in assets for each in several])
        return tuple(visible_rows(found, [len(several) for several in assets], accesses))

    async def _lineage(self, definition: Definition) -> tuple[Row, ...]:
        if definition.kind is not DefinitionKind.METRIC:
            return ()
        parameters = {"id": node_of(definition), "depth": _LINEAGE_DEPTH}
        return await self._rows(GraphQuestion(name="lineage_up", parameters=parameters))

    async def _passages(self, words: str, kinds: Sequence[str]) -> tuple[Passage, ...]:
        allowed = await self._classes("document")
        if not allowed:
            return ()
        vector = None
        embedder = self._resolver.stores.embedder
        if embedder is not None:
            try:
                (vector,) = await embedder.embed([words])
            except Unavailable:
                self._failed.add(Store.VECTOR)
        try:
            found = await self.guarded(
                Store.VECTOR,
                lambda: self._resolver.stores.passages.search(
                    words,
                    vector,
                    allowed,
                    self._resolver.limits.rows if kinds else self._resolver.limits.passages,
                ),
            )
        except DependencyError:
            return ()
        wanted = [each for each in found if not kinds or each.document.kind in kinds]
        shown = await self._shown(Verb.READ, wanted, [document_asset(each.document) for each in wanted])
        return shown[: self._resolver.limits.passages]

    async def _classes(self, kind: str) -> list[str]:
        """The classifications of which the asker may see what nobody owns; the owner of more sees them by name only."""
        assets = [Asset(name="", kind=kind, classification=each) for each in Classification]
        shown = await self._shown(Verb.READ, list(Classification), assets)
        return [each.value for each in shown]


def _masks(governed: Governed) -> dict[str, Masking]:
    return {**governed.masks, **dict.fromkeys(governed.nulls, Masking.NULL)}
