"""What each subject may know of: judged kind by kind of definition, and one registry for all who may know the same."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass

from penelope.domain.access import Access, Asset, Verb
from penelope.kit.recent import Recent
from penelope.rooms.context.assets import definition_asset
from penelope.rooms.context.ports import Discerning, Governor
from penelope.rooms.context.registry import Registry

_MOST_SIGHTS = 32
"""Registries of those who may know different things: 10,000 definitions take some 30 MB each."""


_HIDDEN, _NAME_ALONE = 0, 1
"""How much of a kind may be seen; more is all of it."""

Judged = Callable[[Verb, Sequence[Asset]], Awaitable[Sequence[Access]]]


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
        self._shared: Recent[bytes, asyncio.Task[Registry]] = Recent(_MOST_SIGHTS)

    async def seen(self, judged: Judged) -> tuple[Registry, bool]:
        """The registry without what may not be known of, of what may not be read the name alone, and whether the policy
        could be asked about all of it.
        """
        assets = [kind.asset for kind in self._kinds]
        known = list(await judged(Verb.DISCOVER, assets[:_FIRST]))
        if all(access.failed for access in known):
            return Registry(()), False
        known += await judged(Verb.DISCOVER, assets[_FIRST:])
        telling = [kind for kind, access in zip(self._kinds, known, strict=True) if access.allow]
        read = await judged(Verb.READ, [kind.asset for kind in telling])
        whole = {kind.names for kind, access in zip(telling, read, strict=True) if access.allow}
        sight = bytes(
            access.allow + (kind.names in whole) for kind, access in zip(self._kinds, known, strict=True)
        )
        sound = not any(access.failed for access in (*known, *read))
        if not any(sight):
            return Registry(()), sound
        making = self._shared.get(sight)
        if making is None or (making.done() and making.cancelled()):
            making = asyncio.create_task(asyncio.to_thread(self._without, sight))
            self._shared.put(sight, making)
        # Shielded: others wait for it, too.
        return await asyncio.shield(making), sound

    def _without(self, sight: bytes) -> Registry:
        of_sight: dict[int, set[str]] = {_HIDDEN: set(), _NAME_ALONE: set()}
        for kind, seen in zip(self._kinds, sight, strict=True):
            of_sight.setdefault(seen, set()).update(kind.names)
        return self._registry.without(of_sight[_HIDDEN], of_sight[_NAME_ALONE])


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
