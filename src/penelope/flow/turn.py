"""One request to the resolver: what is left of its time, which stores failed it, and what may be told of what they gave."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from penelope.domain.access import Access, AccessQuestion, Asset, Classification, Masking, Verb
from penelope.domain.answer import Figures, Outcome, Row, Told
from penelope.domain.concept import (
    Ambiguous,
    Asking,
    Candidate,
    Confidence,
    Definition,
    DefinitionKind,
    DocumentSearch,
    GraphQuestion,
    Parsed,
    Question,
    Request,
    Resolution,
    Unresolved,
)
from penelope.domain.degradation import Notice, Store
from penelope.domain.passage import Passage
from penelope.domain.semantics import SemanticQuery, Table
from penelope.errors import DependencyError, InvalidQuery, Unavailable
from penelope.flow.knowing import Grounds, Known
from penelope.flow.resolve_observer import timed
from penelope.kit.call_breaker import BreakerState
from penelope.kit.canonical import canonical
from penelope.kit.codec import to_data
from penelope.rooms.context.assets import definition_asset, document_asset, row_assets
from penelope.rooms.context.degrade import modes, notices
from penelope.rooms.context.govern import (
    Governed,
    Refusal,
    checked,
    cubes_of,
    govern,
    visible,
    visible_rows,
    why_not,
)
from penelope.rooms.context.question_of import node_of
from penelope.rooms.context.registry import name_alone
from penelope.rooms.context.resolve import Begun, begin, finish

Found = TypeVar("Found")

_LINEAGE_DEPTH = 4
_WAYS = frozenset({"shortest_path", "dependency_path"})
"""Queries that have one row at most, and take no limit."""


class Turn:
    """One request: what is left of its time, and which stores failed it."""

    def __init__(self, grounds: Grounds, request: Request, seconds: float | None = None) -> None:
        self.request = request
        self._grounds = grounds
        most = grounds.limits.deadline_seconds
        self._deadline = time.monotonic() + (most if seconds is None else min(most, seconds))
        self._failed: set[Store] = set()
        self._last_known = self._missing = False
        """Whether something of the semantic layer is told as it was known last, and whether something of it is not told."""

    # --- asking ---------------------------------------------------------------------------------------------

    async def guarded(self, store: Store, work: Callable[[], Awaitable[Found]]) -> Found:
        """Asks a store behind its guard. Raises DependencyError, and remembers that it failed."""
        try:
            asked = timed(self._grounds.observer, store, work)
            return await self._grounds.guards[store].call(asked, self._deadline)
        except DependencyError:
            self.missed(store)
            raise

    def missed(self, store: Store, *, last_known: bool = False) -> None:
        self._failed.add(store)
        self._last_known |= last_known

    async def judged(self, verb: Verb, assets: Sequence[Asset]) -> Sequence[Access]:
        """Judged now. Whatever goes wrong is a no."""
        subject = self.request.subject
        questions = [AccessQuestion(subject=subject, verb=verb, asset=asset) for asset in assets]
        observer, governor = self._grounds.observer, self._grounds.stores.governor
        accesses = await timed(observer, Store.POLICY, lambda: governor.judge(questions))()
        observer.access_decided(accesses)
        if any(access.failed for access in accesses):
            self._failed.add(Store.POLICY)
        return accesses

    async def shown(self, verb: Verb, found: Sequence[Found], assets: Sequence[Asset]) -> tuple[Found, ...]:
        return tuple(visible(found, await self.judged(verb, assets))) if found else ()

    # --- telling --------------------------------------------------------------------------------------------

    async def told(self, answer: Awaitable[Told] | None = None) -> Told:
        told = await (self._answered() if answer is None else answer)
        if Store.POLICY in self._failed and told.outcome is not Outcome.RESOLVED:
            told = self._plain(Outcome.DENIED, "the policy cannot be asked, so nothing may be told just now")
        return replace(told, notices=self.notices())

    def notices(self) -> tuple[Notice, ...]:
        """What is told of the stores that this turn has had to do without."""
        guards = {store: guard.state() for store, guard in self._grounds.guards.items()}
        found = modes(guards, self._failed, last_known=self._last_known and not self._missing)
        return tuple(notices(found, guards, self._grounds.clock.now()))

    async def _answered(self) -> Told:
        request, grounds = self.request, self._grounds
        try:
            known = await grounds.known(self)
        except DependencyError:
            return self._plain(Outcome.UNAVAILABLE, "the definitions cannot be read just now")
        # The search first, which goes to threads of its own: what was asked is read meanwhile.
        passages, begun = await asyncio.gather(self.passages(request.concept, ()), self._begun(known))
        answer = begun if isinstance(begun, Unresolved) else finish(begun, passages)
        match answer:
            case Resolution():
                return await self._resolved(answer, known, passages)
            case Ambiguous():
                choices = await self.candidates(answer.choices)
                outcome = Outcome.AMBIGUOUS if len(choices) > 1 else Outcome.UNRESOLVED
                why = answer.why if len(choices) == len(answer.choices) else "several things may be meant"
                return replace(self._plain(outcome, why), choices=choices, passages=passages)
            case Unresolved():
                nearest = await self.candidates(answer.nearest)
                return replace(
                    self._plain(Outcome.UNRESOLVED, answer.why), choices=nearest, passages=passages
                )

    async def _begun(self, known: Known) -> Begun | Unresolved:
        return begin(self.request, await self._grounds.registry_for(known, self), self._grounds.rules)

    async def directly(self, question: Question, other: SemanticQuery | None) -> Told:
        if not isinstance(question, SemanticQuery):
            told = self._plain(Outcome.RESOLVED)
            if isinstance(question, GraphQuestion):
                return replace(told, asked=question, rows=await self.rows(question))
            return replace(told, passages=await self.passages(question.words, question.kinds))
        try:
            known = await self._grounds.known(self)
        except DependencyError:
            return self._plain(Outcome.UNAVAILABLE, "the definitions cannot be read just now")
        definition = known.registry.get(question.measures[0])
        if definition is None:
            return self._plain(Outcome.UNRESOLVED, "nothing is defined by that name any more")
        meant = Resolution(
            definition=definition,
            parsed=Parsed(text=self.request.concept, asking=Asking.FIGURE, subject_words=()),
            question=question,
            confidence=Confidence(value=1.0, contributions=()),
            compared=other,
        )
        return await self._resolved(meant, known, ())

    def _plain(self, outcome: Outcome, why: str = "") -> Told:
        request = self.request
        return Told(concept=request.concept, subject=request.subject, at=request.at, outcome=outcome, why=why)

    async def candidates(self, found: Sequence[Candidate]) -> tuple[Candidate, ...]:
        shown = await self.shown(Verb.DISCOVER, found, [definition_asset(each.definition) for each in found])
        reads = await self.judged(Verb.READ, [definition_asset(each.definition) for each in shown])
        return tuple(
            each if access.allow else replace(each, definition=name_alone(each.definition))
            for each, access in zip(shown, reads, strict=True)
        )

    async def _resolved(self, answer: Resolution, known: Known, passages: tuple[Passage, ...]) -> Told:
        definition = answer.definition
        if not await self.shown(Verb.DISCOVER, [definition], [definition_asset(definition)]):
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
            self.candidates(answer.alternatives),
        )
        if told.outcome is Outcome.DENIED:
            return told
        return replace(told, lineage=lineage, choices=choices)

    async def _asked(self, told: Told, answer: Resolution, known: Known) -> Told:
        match answer.question:
            case SemanticQuery():
                return await self._figures(told, answer, answer.question, known)
            case GraphQuestion():
                rows = await self.rows(answer.question)
                return replace(told, asked=answer.question, rows=rows)
            case DocumentSearch():
                found = await self.passages(answer.question.words, answer.question.kinds)
                return replace(told, passages=found)
            case None:
                return told

    # --- figures --------------------------------------------------------------------------------------------

    async def _figures(self, told: Told, answer: Resolution, query: SemanticQuery, known: Known) -> Told:
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

    async def _governed(self, query: SemanticQuery, known: Known) -> Governed | Refusal:
        cubes = cubes_of(query, known.model)
        accesses = await self.judged(Verb.READ, [known.cube(cube) for cube in cubes])
        return govern(query, dict(zip(cubes, accesses, strict=True)), known.model)

    async def _value(self, governed: Governed, unit: str) -> Figures | None:
        """The value as it is now; the last one that was told for just this question where it cannot be had."""
        key = canonical([to_data(governed.query), to_data(dict(governed.masks)), sorted(governed.nulls)])
        try:
            found: Table = await self.guarded(
                Store.SEMANTIC, lambda: self._grounds.stores.semantic.run(governed.query, governed.masks)
            )
        except (DependencyError, InvalidQuery):
            kept = self._grounds.values.get(key)
            self._grounds.observer.cache_asked(
                "last_value", hits=int(kept is not None), misses=int(kept is None)
            )
            self._last_known |= kept is not None
            self._missing |= kept is None
            return kept
        table = checked(found, governed)
        now = self._grounds.clock.now()
        self._grounds.values.put(key, Figures(table=table, unit=unit, kept_at=now))
        return Figures(table=table, unit=unit)

    # --- graph and documents --------------------------------------------------------------------------------

    async def rows(self, question: GraphQuestion) -> tuple[Row, ...]:
        """Rows of nodes that the asker may read, whole; of a graph that cannot be asked there are none."""
        allowed = await self._classes("node")
        limit = {} if question.name in _WAYS else {"limit": self._grounds.limits.rows}
        parameters = {**question.parameters, **limit, "allowed": allowed}
        try:
            found = await self.guarded(
                Store.GRAPH, lambda: self._grounds.stores.graph.ask(question.name, parameters)
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
        return await self.rows(GraphQuestion(name="lineage_up", parameters=parameters))

    async def passages(self, words: str, kinds: Sequence[str], most: int = 0) -> tuple[Passage, ...]:
        """The passages that fit best and may be read: `most`, or as many as are in an answer."""
        most = most or self._grounds.limits.passages
        allowed = await self._classes("document")
        if not allowed:
            return ()
        vector = None
        embedder = self._grounds.stores.embedder
        left_alone = self._grounds.guards[Store.VECTOR].state().breaker is BreakerState.OPEN
        if embedder is not None and not left_alone:
            try:
                # Half of what is left: words alone still find something in the other half.
                async with asyncio.timeout((self._deadline - time.monotonic()) / 2):
                    (vector,) = await embedder.embed([words])
            except (Unavailable, TimeoutError):
                self._failed.add(Store.VECTOR)
        try:
            found = await self.guarded(
                Store.VECTOR,
                lambda: self._grounds.stores.passages.search(
                    words,
                    vector,
                    allowed,
                    self._grounds.limits.rows if kinds else most,
                ),
            )
        except DependencyError:
            return ()
        wanted = [each for each in found if not kinds or each.document.kind in kinds]
        shown = await self.shown(Verb.READ, wanted, [document_asset(each.document) for each in wanted])
        return shown[:most]

    async def _classes(self, kind: str) -> list[str]:
        """The classifications of which the asker may see what nobody owns; the owner of more sees them by name only."""
        assets = [Asset(name="", kind=kind, classification=each) for each in Classification]
        shown = await self.shown(Verb.READ, list(Classification), assets)
        return [each.value for each in shown]


def _masks(governed: Governed) -> dict[str, Masking]:
    return {**governed.masks, **dict.fromkeys(governed.nulls, Masking.NULL)}
