"""A guard waits, tries again, stops and lets through as it promises, and a cancelled call leaves nothing behind."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta

import pytest

from penelope.errors import DependencyError, InvalidQuery, Timeout, Unavailable
from penelope.kit.call_breaker import BreakerState
from penelope.kit.guard import Guard, Patience, Surroundings
from penelope.testing.clock import FakeClock


class Scene:
    """A guard over time that a test moves; `slept` are the waits between attempts."""

    def __init__(self, **patience: float) -> None:
        self.clock, self.slept, self.calls = FakeClock(), list[float](), 0
        around = Surroundings(now=self.now, clock=self.clock, sleep=self.sleep, chance=lambda: 0.5)
        self.guard = Guard("store", Patience(**patience), around)  # type: ignore[arg-type]  # counts are whole here

    def now(self) -> float:
        return self.clock.now().timestamp()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    def raising(self, *errors: Exception | None) -> Callable[[], Awaitable[int]]:
        left = list(errors)

        async def work() -> int:
            self.calls += 1
            await asyncio.sleep(0)
            error = left.pop(0) if len(left) > 1 else left[0]
            if error is not None:
                raise error
            return 7

        return work

    async def fail(self, times: int) -> None:
        for _ in range(times):
            with pytest.raises(DependencyError):
                await self.guard.call(self.raising(DependencyError("broken")))

    @property
    def state(self) -> BreakerState:
        return self.guard.state().breaker


def played(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    """The test on an event loop of its own."""

    @functools.wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


async def endless() -> None:
    await asyncio.Event().wait()


async def settled(turns: int = 10) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


@played
async def test_it_tries_again_with_doubled_waits_and_jitter() -> None:
    scene = Scene()
    assert await scene.guard.call(scene.raising(Unavailable("a"), Timeout("b"), None)) == 7
    assert scene.slept == [0.5, 1.0]
    with pytest.raises(Unavailable):
        await scene.guard.call(scene.raising(Unavailable("a")))
    assert scene.calls == 6


@played
async def test_the_wait_has_an_upper_bound() -> None:
    scene = Scene(attempts=7, failures=99)
    with pytest.raises(Unavailable):
        await scene.guard.call(scene.raising(Unavailable("a")))
    assert scene.slept == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


@played
async def test_what_the_caller_can_mend_is_neither_tried_again_nor_held_against_it() -> None:
    scene = Scene()
    for _ in range(20):
        with pytest.raises(InvalidQuery):
            await scene.guard.call(scene.raising(InvalidQuery("no such member")))
    assert (scene.calls, scene.slept, scene.state) == (20, [], BreakerState.CLOSED)


@played
async def test_what_cannot_be_retried_is_held_against_it() -> None:
    scene = Scene()
    await scene.fail(5)
    assert (scene.calls, scene.slept, scene.state) == (5, [], BreakerState.OPEN)


@played
async def test_garbage_that_breaks_the_adapter_opens_the_breaker_too() -> None:
    scene = Scene()
    for _ in range(5):
        with pytest.raises(KeyError):
            await scene.guard.call(scene.raising(KeyError("rows")))
    assert scene.state is BreakerState.OPEN


@played
async def test_an_open_breaker_refuses_at_once_and_says_since_when() -> None:
    scene = Scene()
    await scene.fail(4)
    scene.clock.advance(3)
    await scene.fail(1)
    opened = scene.clock.now()
    scene.clock.advance(59)
    with pytest.raises(Unavailable, match="store failed again and again"):
        await scene.guard.call(scene.raising(None))
    assert scene.calls == 5
    state = scene.guard.state()
    assert (state.breaker, state.failures) == (BreakerState.OPEN, 5)
    assert abs(state.since - opened) < timedelta(milliseconds=1)


@played
async def test_one_trial_at_a_time_closes_it_or_opens_it_again() -> None:
    scene = Scene()
    await scene.fail(5)
    scene.clock.advance(60)
    assert scene.state is BreakerState.HALF_OPEN
    gate = asyncio.Event()

    async def trial() -> str:
        await gate.wait()
        return "back"

    trying = asyncio.create_task(scene.guard.call(trial))
    await settled()
    for _ in range(3):
        with pytest.raises(Unavailable):
            await scene.guard.call(scene.raising(None))
    assert (scene.calls, scene.state) == (5, BreakerState.HALF_OPEN)
    gate.set()
    assert await trying == "back"
    assert scene.state is BreakerState.CLOSED
    await scene.fail(5)
    scene.clock.advance(60)
    await scene.fail(1)
    assert scene.state is BreakerState.OPEN


@played
async def test_retries_end_once_the_breaker_opens() -> None:
    scene = Scene(failures=2)
    await scene.fail(1)
    with pytest.raises(Unavailable, match="first"):
        await scene.guard.call(scene.raising(Unavailable("first"), None))
    assert (scene.calls, scene.slept, scene.state) == (2, [], BreakerState.OPEN)


@played
async def test_a_cancelled_trial_lets_the_next_one_try() -> None:
    scene = Scene()
    await scene.fail(5)
    scene.clock.advance(60)
    trying = asyncio.create_task(scene.guard.call(endless))
    await settled()
    trying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trying
    assert scene.state is BreakerState.HALF_OPEN
    assert await scene.guard.call(scene.raising(None)) == 7
    assert scene.state is BreakerState.CLOSED


@played
async def test_a_cancelled_call_is_not_held_against_it_and_frees_its_place() -> None:
    scene = Scene(at_once=1, waiting=1)
    for _ in range(10):
        task = asyncio.create_task(scene.guard.call(endless))
        await settled()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert scene.state is BreakerState.CLOSED
    assert (scene.guard.state().running, scene.guard.state().failures) == (0, 0)
    assert await scene.guard.call(scene.raising(None)) == 7


@played
async def test_a_call_that_began_before_the_breaker_opened_does_not_close_it() -> None:
    scene = Scene()
    gate = asyncio.Event()
    slow = asyncio.create_task(scene.guard.call(gate.wait))
    await settled()
    await scene.fail(5)
    gate.set()
    await slow
    assert scene.state is BreakerState.OPEN


@played
async def test_the_queue_is_bounded_and_served_in_order() -> None:
    scene = Scene(at_once=1, waiting=2)
    gates = [asyncio.Event() for _ in range(3)]
    order: list[int] = []

    def numbered(number: int) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            order.append(number)
            await gates[number].wait()

        return work

    tasks = [asyncio.create_task(scene.guard.call(numbered(number))) for number in range(3)]
    await settled()
    assert (scene.guard.state().running, scene.guard.state().waiting) == (1, 2)
    with pytest.raises(Unavailable, match="store is busy"):
        await scene.guard.call(scene.raising(None))
    assert scene.calls == 0
    for gate in gates:
        gate.set()
    await asyncio.gather(*tasks)
    assert (order, scene.guard.state().running, scene.guard.state().failures) == ([0, 1, 2], 0, 0)


@played
async def test_a_turn_that_comes_with_a_cancellation_is_passed_on() -> None:
    scene = Scene(at_once=1, waiting=2)
    gate = asyncio.Event()
    first = asyncio.create_task(scene.guard.call(gate.wait))
    await settled()
    second = asyncio.create_task(scene.guard.call(endless))
    third = asyncio.create_task(scene.guard.call(scene.raising(None)))
    await settled()
    gate.set()
    await asyncio.sleep(0)
    second.cancel()
    assert await asyncio.wait_for(third, 1) == 7
    await first
    assert scene.guard.state().running == 0


@played
async def test_a_slow_call_is_a_timeout_and_is_held_against_it() -> None:
    guard = Guard("store", Patience(timeout_seconds=0.02, attempts=1))
    for _ in range(5):
        with pytest.raises(Timeout, match=r"store has not answered within 0\.02 s"):
            await guard.call(endless)
    assert guard.state().breaker is BreakerState.OPEN


@played
async def test_nothing_is_waited_for_beyond_the_deadline() -> None:
    guard = Guard("store", Patience(timeout_seconds=5))
    began = time.monotonic()
    with pytest.raises(Timeout):
        await guard.call(endless, began + 0.05)
    assert time.monotonic() - began < 1
    assert guard.state().failures == 0  # 0.05 s of 5 s were no fair chance


@played
async def test_no_retry_is_begun_that_would_end_beyond_the_deadline() -> None:
    scene = Scene()
    with pytest.raises(Unavailable):
        await scene.guard.call(scene.raising(Unavailable("a")), scene.now() + 0.9)
    assert (scene.calls, scene.slept) == (2, [0.5])
    with pytest.raises(Timeout, match="no time is left"):
        await scene.guard.call(scene.raising(None), scene.now())
    assert scene.calls == 2


@played
async def test_waiting_for_a_turn_is_bounded_and_not_held_against_it() -> None:
    guard = Guard("store", Patience(timeout_seconds=0.05, at_once=1, attempts=1, failures=2))
    gate = asyncio.Event()
    busy = asyncio.create_task(guard.call(gate.wait, time.monotonic() + 0.05))
    await settled()
    with pytest.raises(Timeout, match=r"store was busy"):
        await guard.call(endless, time.monotonic() + 0.01)
    assert (guard.state().waiting, guard.state().failures) == (0, 0)
    gate.set()
    await busy
