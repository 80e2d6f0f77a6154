"""What each subject may know of: judged kind by kind of definition, and one registry for all who may know the same."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from penelope.domain.access import Access, Asset
from penelope.rooms.context.assets import definition_asset
from penelope.rooms.context.ports import Discerning, Governor
from penelope.rooms.context.registry import Registry

Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept")

_MOST_SIGHTS = 32
"""Registries of those who may know different things: 10,000 definitions take some 30 MB each."""


class Shelf(Generic[Key, Kept]):
    """The things used last, at most so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._things: OrderedDict[Key, Kept] = OrderedDict()

    def get(self, key: Key) -> Kept | None:
        found = self._things.get(key)
        if found is not None:
            self._things.move_to_end(key)
        return found

    def put(self, key: Key, thing: Kept) -> None:
        self._things[key] = thing
        self._things.move_to_end(key)
        while len(self._things) > self._most:
            self._things.popitem(last=False)


_FIRST = 16
"""Where the policy engine fails for all of so many it is down: thousands more would get the same answer, later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """Definitions that the policy cannot tell apart, and one asset that stands for all of them."""

    asset: Asset
    names: tuple[str, ...]


class Sights:
    """Of one registry, under one policy. `alike` of the policy says which definitions are one kind; of one that does not say
    it each is a kind of its own.
    """

    def __init__(self, registry: Registry, governor: Governor) -> None:
        """Looks at all definitions: do it beside the event loop."""
        self._registry = registry
        self.governor = governor
        self._kinds = _kinds(registry, governor)
        self._shared: Shelf[bytes, asyncio.Task[Registry]] = Shelf(_MOST_SIGHTS)

    async def seen(
        self, judged: Callable[[Sequence[Asset]], Awaitable[Sequence[Access]]]
    ) -> tuple[Registry, bool]:
        """The registry without what is denied, and whether the policy could be asked about all of it."""
        assets = [kind.asset for kind in self._kinds]
        accesses = list(await judged(assets[:_FIRST]))
        if all(access.failed for access in accesses):
            return Registry(()), False
        accesses += await judged(assets[_FIRST:])
        sight = bytes(access.allow for access in accesses)
        if not any(sight):
            return Registry(()), not any(access.failed for access in accesses)
        making = self._shared.get(sight)
        if making is None or (making.done() and making.cancelled()):
            making = asyncio.create_task(asyncio.to_thread(self._without, sight))
            self._shared.put(sight, making)
        # Shielded: others wait for it, too.
        return await asyncio.shield(making), not any(access.failed for access in accesses)

    def _without(self, sight: bytes) -> Registry:
        return self._registry.without(
            {name for kind, shown in zip(self._kinds, sight, strict=True) if not shown for name in kind.names}
        )


def _kinds(registry: Registry, governor: Governor) -> tuple[_Kind, ...]:
    alike = governor.alike if isinstance(governor, Discerning) else None
    assets: dict[Hashable, Asset] = {}
    names: dict[Hashable, list[str]] = {}
    for definition in registry.definitions.values():
        asset = definition_asset(definition)
        key = definition.name if alike is None else alike(asset)
        assets.setdefault(key, asset)
        names.setdefault(key, []).append(definition.name)
    return tuple(_Kind(asset=assets[key], names=tuple(found)) for key, found in names.items())
