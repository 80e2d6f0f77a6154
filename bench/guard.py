"""What the breaker and the guard cost a call, beside libraries that do the same (those that are not installed are left out),
and what the metrics of a resolved concept cost a request.
"""

import asyncio
import importlib.util
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from penelope.domain.access import Access, Masking, Subject
from penelope.domain.answer import Outcome, Told
from penelope.domain.concept import Confidence
from penelope.domain.degradation import Store
from penelope.kit.call_breaker import CallBreaker
from penelope.kit.guard import Guard, Patience
from penelope.telemetry import Telemetry

ROUNDS = 20_000
GOAL_BREAKER_US, GOAL_GUARD_US, GOAL_METRICS_US = 1.0, 50.0, 500.0


def microseconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Processor time of one call, the best of seven runs: the machine has other work too."""
    found = []
    for _ in range(7):
        began = time.thread_time()
        for _ in range(rounds):
            work()
        found.append((time.thread_time() - began) / rounds * 1e6)
    return min(found)


def awaited(work: Callable[[], Awaitable[object]]) -> float:
    """The same of a coroutine, less what awaiting nothing costs."""

    async def run(body: Callable[[], Awaitable[object]]) -> float:
        found = []
        for _ in range(7):
            began = time.thread_time()
            for _ in range(ROUNDS // 10):
                await body()
            found.append((time.thread_time() - began) / (ROUNDS // 10) * 1e6)
        return min(found)

    return asyncio.run(run(work)) - asyncio.run(run(nothing))


async def nothing() -> int:
    return 1


def breaker_call() -> float:
    breaker = CallBreaker(5, None, 60.0)

    def call() -> None:
        era = breaker.enter()
        breaker.succeeded(era)

    return microseconds(call) - microseconds(lambda: None)


def open_call() -> float:
    breaker = CallBreaker(5, None, 60.0)
    for _ in range(5):
        breaker.failed()
    return microseconds(breaker.enter)


def guard_call() -> float:
    guard = Guard("store", Patience())
    return awaited(lambda: guard.call(nothing))


def guard_with_deadline() -> float:
    guard = Guard("store", Patience())
    return awaited(lambda: guard.call(nothing, time.monotonic() + 5))


def counted_request() -> float:
    """All that telemetry is told of one resolved concept: five questions to stores, eight of access, three caches."""
    telemetry = Telemetry()
    seen = (Access(allow=True), Access(allow=True, masks={"a.b": Masking.HASH}), Access(allow=False))
    told = Told(
        concept="revenue",
        subject=Subject(actor="ann", role="analyst"),
        at=datetime(2026, 11, 20, tzinfo=UTC),
        outcome=Outcome.RESOLVED,
        confidence=Confidence(value=0.9, contributions=()),
    )

    def call() -> None:
        for store in (Store.SEMANTIC, Store.GRAPH, Store.VECTOR):
            telemetry.store_asked(store, 0.002)
        for _ in range(8):
            telemetry.store_asked(Store.POLICY, 0.0001)
            telemetry.cache_asked("policy", hits=3)
            telemetry.access_decided(seen)
        telemetry.cache_asked("model", hits=1)
        telemetry.cache_asked("registry", hits=1)
        telemetry.concept_told(told, 0.004)

    return microseconds(call, rounds=2_000)


def with_pybreaker() -> float:
    import pybreaker  # noqa: PLC0415 - a library that is there for this comparison alone, if at all

    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60)
    return microseconds(lambda: breaker.call(int)) - microseconds(int)


def with_purgatory() -> float:
    from purgatory import AsyncCircuitBreakerFactory  # noqa: PLC0415 - as above

    async def made() -> object:
        return await AsyncCircuitBreakerFactory(default_threshold=5, default_ttl=60).get_breaker("store")

    breaker = asyncio.run(made())

    async def call() -> None:
        async with breaker:  # type: ignore[attr-defined]  # the library's own type
            pass

    return awaited(call)


def with_stamina() -> float:
    import stamina  # noqa: PLC0415 - as above

    retried = stamina.retry(on=OSError, attempts=3)(nothing)
    return awaited(retried)


def main() -> int:
    breaker, guard = breaker_call(), guard_call()
    print(f"{'breaker, closed':32} {breaker:8.2f} us a call")
    print(f"{'breaker, open':32} {open_call():8.2f} us a call")
    print(f"{'whole guard':32} {guard:8.2f} us a call")
    print(f"{'whole guard with a deadline':32} {guard_with_deadline():8.2f} us a call")
    for name, measure, what in (
        ("pybreaker", with_pybreaker, "breaker alone"),
        ("purgatory", with_purgatory, "breaker alone"),
        ("stamina", with_stamina, "retries alone"),
    ):
        if importlib.util.find_spec(name) is None:
            print(f"{name:32} not installed")
        else:
            print(f"{name + ', ' + what:32} {measure():8.2f} us a call")
    counted = counted_request()
    print(f"{'metrics of a resolved concept':32} {counted:8.2f} us a request")
    print(f"goal metrics <= {GOAL_METRICS_US:g} us: {'kept' if counted <= GOAL_METRICS_US else 'MISSED'}")
    print(f"goal breaker <= {GOAL_BREAKER_US:g} us: {'kept' if breaker <= GOAL_BREAKER_US else 'MISSED'}")
    print(f"goal guard < {GOAL_GUARD_US:g} us: {'kept' if guard < GOAL_GUARD_US else 'MISSED'}")
    kept = breaker <= GOAL_BREAKER_US and guard < GOAL_GUARD_US and counted <= GOAL_METRICS_US
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
