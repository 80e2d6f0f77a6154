"""What every request to the resolver stands on: the stores, and all that is defined at this moment, read by one for all."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeVar

from penelope.domain.access import Access, Asset, Subject, Verb
from penelope.domain.answer import Figures
from penelope.domain.concept import Correction, Definition, Request
from penelope.domain.degradation import Store
from penelope.domain.likeness import Embedder
from penelope.domain.semantics import Model
from penelope.errors import DependencyError, Unavailable
from penelope.flow.naming import Names, read_names
from penelope.flow.resolve_observer import ResolveObserver, Unobserved
from penelope.flow.sight import Sights
from penelope.kit.clock import Clock
from penelope.kit.guard import Guard
from penelope.kit.recent import Recent
from penelope.rooms.context.assets import cube_asset, cube_assets
from penelope.rooms.context.ports import Governor, Graph, Passages, SemanticLayer
from penelope.rooms.context.registry import BadRegistry, Registry
from penelope.rooms.context.resolve import Rules

Found = TypeVar("Found")


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


class RegistryOf(Protocol):
    """Makes the definitions of a model, and of whatever else defines something; `more` are those that others found, and
    `corrections` what people have said. Raises BadRegistry.
    """

    def __call__(
        self, model: Model, /, *, more: Iterable[Definition], corrections: Iterable[Correction]
    ) -> Registry: ...


async def _none() -> Sequence[Correction]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """Where definitions come from; `corrections` raises DependencyError where it cannot read them."""

    registry_of: RegistryOf
    corrections: Callable[[], Awaitable[Sequence[Correction]]] = _none


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that is defined at a moment (monotonic seconds), from whatever defines something, and what each asker may know of
    it.
    """

    model: Model
    names: Names
    corrections: tuple[Correction, ...]
    registry: Registry
    sights: Sights
    at: float
    cubes: dict[str, Asset] = field(default_factory=dict)

    def cube(self, name: str) -> Asset:
        """What the policy is told of a cube; to gather members means to look at all."""
        if not self.cubes:
            self.cubes.update(cube_assets(self.model))
        return self.cubes.get(name) or cube_asset(self.model, name)


class Asking(Protocol):
    """Whoever asks, with what is left of the time."""

    request: Request

    async def guarded(self, store: Store, work: Callable[[], Awaitable[Found]]) -> Found:
        """Asks a store. Raises DependencyError."""

    async def judged(self, verb: Verb, assets: Sequence[Asset]) -> Sequence[Access]:
        """Asks the policy."""

    def missed(self, store: Store, *, last_known: bool = False) -> None:
        """Notes that a store could not be asked, and whether what was known of it before is told instead."""


class Grounds:
    """One for all who ask. `observer` is told what is done; nobody is, until it is set."""

    def __init__(
        self,
        stores: Stores,
        guards: Mapping[Store, Guard],
        definitions: Definitions,
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
        self.values: Recent[bytes, Figures] = Recent(self.limits.kept)
        self.observer: ResolveObserver = Unobserved()
        self._definitions = definitions
        self._known: Known | None = None
        self._reading: asyncio.Task[Known] | None = None
        self._for_subjects: Recent[Subject, tuple[Sights, float, Registry]] = Recent(self.limits.kept)

    def forget(self) -> None:
        """Looks at everything anew when somebody asks next."""
        self._reading = None
        if self._known is not None:
            self._known = replace(self._known, at=-math.inf)

    async def known(self, asking: Asking) -> Known:
        """One reads it for all; who comes meanwhile takes what was known before. Raises a DependencyError where the model
        was never read.
        """
        known = self._known
        fresh = known is not None and self._is_fresh(known)
        self.observer.cache_asked("model", hits=int(fresh), misses=int(not fresh))
        if known is not None and fresh:
            return known
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(known, asking))
        elif known is not None and known.at > -math.inf:
            return known
        try:
            # Shielded: who asked first may go, and others still wait.
            return await asyncio.shield(self._reading)
        except DependencyError:
            asking.missed(Store.SEMANTIC, last_known=self._known is not None)
            if self._known is None:
                raise
            return self._known

    def _is_fresh(self, known: Known) -> bool:
        return (
            time.monotonic() - known.at < self.limits.fresh_seconds
            and known.sights.governor is self.stores.governor
        )

    async def _read(self, last: Known | None, asking: Asking) -> Known:
        at, governor = time.monotonic(), self.stores.governor
        try:
            model = await asking.guarded(Store.SEMANTIC, self.stores.semantic.model)
        except DependencyError:
            await self._retaught(last)
            raise
        names = await read_names(
            partial(asking.guarded, Store.GRAPH), self.stores.graph, Names() if last is None else last.names
        )
        corrections = tuple(await self._definitions.corrections())
        same = last is not None and last.model is model
        if last is None or not same or last.names is not names or last.corrections != corrections:
            registry = await self._made_of(model, names.definitions, corrections)
        else:
            registry = last.registry
        if last is None or last.registry is not registry or last.sights.governor is not governor:
            sights = await asyncio.to_thread(Sights, registry, governor)
        else:
            sights = last.sights
        found = Known(
            model=model, names=names, corrections=corrections, registry=registry, sights=sights, at=at
        )
        # What was forgotten meanwhile is read again: this may be of before.
        if self._reading is asyncio.current_task():
            self._known = found
        return found

    async def _retaught(self, last: Known | None) -> None:
        """What people have taught and taken back holds though the model cannot be read again."""
        if last is None:
            return
        corrections = tuple(await self._definitions.corrections())
        if corrections == last.corrections:
            return
        registry = await self._made_of(last.model, last.names.definitions, corrections)
        sights = await asyncio.to_thread(Sights, registry, self.stores.governor)
        if self._reading is asyncio.current_task():
            self._known = replace(last, corrections=corrections, registry=registry, sights=sights)

    async def _made_of(
        self, model: Model, names: Sequence[Definition], corrections: Sequence[Correction]
    ) -> Registry:
        make = self._definitions.registry_of
        try:
            return await asyncio.to_thread(make, model, more=names, corrections=corrections)
        except BadRegistry as error:
            raise Unavailable(f"the definitions do not fit: {error}") from error

    async def registry_for(self, known: Known, asking: Asking) -> Registry:
        """What the asker may know of. Nothing, and not kept, where the policy engine fails."""
        subject, now = asking.request.subject, time.monotonic()
        kept = self._for_subjects.get(subject)
        if kept is not None and kept[0] is known.sights and now - kept[1] < self.limits.fresh_seconds:
            self.observer.cache_asked("registry", hits=1)
            return kept[2]
        self.observer.cache_asked("registry", misses=1)
        registry, sound = await known.sights.seen(asking.judged)
        if sound:
            self._for_subjects.put(subject, (known.sights, now, registry))
        return registry
