"""What answers lack while stores cannot be asked."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from penelope.domain.degradation import DegradationMode, Notice, Store
from penelope.kit.call_breaker import BreakerState
from penelope.kit.guard import GuardState

_WITHOUT: Mapping[Store, DegradationMode] = {
    Store.REGISTRY: DegradationMode.DENY,
    Store.SEMANTIC: DegradationMode.APPROXIMATE,
    Store.GRAPH: DegradationMode.REGISTRY_ONLY,
    Store.VECTOR: DegradationMode.KEYWORDS_ONLY,
    Store.POLICY: DegradationMode.DENY,
}

_TOLD: Mapping[tuple[Store, DegradationMode], str] = {
    (Store.REGISTRY, DegradationMode.DENY): "The registry cannot be asked: nothing is resolved.",
    (
        Store.SEMANTIC,
        DegradationMode.STALE,
    ): "The semantic layer cannot be asked: this is what was last known of it.",
    (Store.SEMANTIC, DegradationMode.APPROXIMATE): (
        "The semantic layer cannot be asked: values are approximate, or missing."
    ),
    (Store.GRAPH, DegradationMode.REGISTRY_ONLY): (
        "The graph cannot be asked: relations and lineage are those of the registry alone."
    ),
    (
        Store.VECTOR,
        DegradationMode.KEYWORDS_ONLY,
    ): "Meaning cannot be searched for: documents are found by words.",
    (Store.POLICY, DegradationMode.DENY): "The policy engine cannot be asked: everything is denied.",
}


def modes(
    guards: Mapping[Store, GuardState], failed: Collection[Store] = (), *, last_known: bool = False
) -> dict[Store, DegradationMode]:
    """How answers go on, for every store: without those whose breaker is not closed, and those that `failed` just now.

    A store without a guard is part of this process, and is there. `last_known` says that all that this answer lacks of the
    semantic layer, definitions or values, was kept from before.
    """
    return {
        store: _without(store, last_known=last_known)
        if store in failed or (store in guards and guards[store].breaker is not BreakerState.CLOSED)
        else DegradationMode.FULL
        for store in Store
    }


def _without(store: Store, *, last_known: bool) -> DegradationMode:
    if store is Store.SEMANTIC and last_known:
        return DegradationMode.STALE
    return _WITHOUT[store]


def notices(
    found: Mapping[Store, DegradationMode], guards: Mapping[Store, GuardState], now: datetime
) -> Iterator[Notice]:
    """A notice for each store that answers do without, since its breaker opened or, where it only failed once, `now`."""
    for store, mode in found.items():
        if mode is DegradationMode.FULL:
            continue
        guard = guards.get(store)
        opened = guard is not None and guard.breaker is not BreakerState.CLOSED
        yield Notice(
            store=store,
            mode=mode,
            message=_TOLD[store, mode],
            since=guard.since if guard is not None and opened else now,
        )
