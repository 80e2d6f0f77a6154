"""Each store that cannot be asked has its way of doing without, and its notice."""

from datetime import timedelta

import pytest

from penelope.domain.degradation import DegradationMode, Store
from penelope.kit.call_breaker import BreakerState
from penelope.kit.guard import GuardState
from penelope.rooms.context.degrade import modes, notices
from penelope.testing.clock import FakeClock

CLOCK = FakeClock()
SINCE = CLOCK.now() - timedelta(seconds=30)


def guard(state: BreakerState) -> GuardState:
    return GuardState(name="store", breaker=state, since=SINCE, failures=5, running=0, waiting=0)


@pytest.mark.parametrize(
    ("store", "last_known", "mode"),
    [
        (Store.VECTOR, False, DegradationMode.KEYWORDS_ONLY),
        (Store.POLICY, False, DegradationMode.DENY),
        (Store.POLICY, True, DegradationMode.DENY),
        (Store.SEMANTIC, True, DegradationMode.STALE),
        (Store.SEMANTIC, False, DegradationMode.APPROXIMATE),
        (Store.GRAPH, True, DegradationMode.REGISTRY_ONLY),
        (Store.REGISTRY, False, DegradationMode.DENY),
    ],
)
@pytest.mark.parametrize("state", [BreakerState.OPEN, BreakerState.HALF_OPEN])
def test_a_store_that_is_left_alone(
    store: Store, *, last_known: bool, mode: DegradationMode, state: BreakerState
) -> None:
    guards = {each: guard(BreakerState.CLOSED) for each in Store} | {store: guard(state)}
    found = modes(guards, last_known=last_known)
    assert found == dict.fromkeys(Store, DegradationMode.FULL) | {store: mode}
    [notice] = notices(found, guards, CLOCK.now())
    assert (notice.store, notice.mode, notice.since) == (store, mode, SINCE)
    assert notice.message


def test_a_store_that_failed_just_now_is_done_without_now() -> None:
    guards = {Store.GRAPH: guard(BreakerState.CLOSED)}
    found = modes(guards, [Store.GRAPH])
    [notice] = notices(found, guards, CLOCK.now())
    assert (notice.mode, notice.since) == (DegradationMode.REGISTRY_ONLY, CLOCK.now())


def test_stores_of_this_process_are_there() -> None:
    assert set(modes({}).values()) == {DegradationMode.FULL}
    assert list(notices(modes({}), {}, CLOCK.now())) == []
