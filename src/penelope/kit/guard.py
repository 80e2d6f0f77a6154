"""Stands between us and one dependency: a time limit, retries, a call breaker and a bulkhead behind one verb."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from penelope.errors import InputError, PenelopeError, Timeout, Unavailable
from penelope.kit.bulkhead import Bulkhead
from penelope.kit.call_breaker import BreakerState, CallBreaker
from penelope.kit.clock import Clock, SystemClock

Result = TypeVar("Result")

_FAIR_SHARE = 0.25
"""An attempt that the caller's deadline cut short speaks against the dependency if it had this share of its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited for a dependency, and how often it is tried; all times in seconds.

    Retries wait between nothing and `first_wait_seconds`, doubled each time up to `most_wait_seconds` (full jitter).
    """

    timeout_seconds: float = 2.0
    attempts: int = 3
    first_wait_seconds: float = 1.0
    most_wait_seconds: float = 10.0
    failures: int = 5
    recovery_seconds: float = 60.0
    at_once: int = 16
    waiting: int = 64


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a guard takes from outside: seconds that only grow, the day's time, sleep and chance (0 to 1)."""

    now: Callable[[], float] = time.monotonic
    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardState:
    """How a guard stands; `failures` are those in a row."""

    name: str
    breaker: BreakerState
    since: datetime
    failures: int
    running: int
    waiting: int


class Guard:
    """One a dependency, shared by all who call it, on one event loop.

    What the caller can mend (InputError) is neither tried again nor held against the dependency; everything else that
    is raised is held against it, and what is `retryable` is tried again. A cancelled call leaves nothing behind.
    """

    def __init__(
        self, name: str, patience: Patience | None = None, around: Surroundings | None = None
    ) -> None:
        self.name = name
        self._patience = patience or Patience()
        self._around = around or Surroundings()
        self._breaker = CallBreaker(
            self._patience.failures, None, self._patience.recovery_seconds, self._around.now
        )
        self._bulkhead = Bulkhead(name, self._patience.at_once, self._patience.waiting)

    def state(self) -> GuardState:
        state, since = self._breaker.state()
        ago = timedelta(seconds=max(0.0, self._around.now() - since))
        return GuardState(
            name=self.name,
            breaker=state,
            since=self._around.clock.now() - ago,
            failures=self._breaker.failures,
            running=self._bulkhead.running,
            waiting=self._bulkhead.waiting,
        )

    async def call(self, work: Callable[[], Awaitable[Result]], deadline: float | None = None) -> Result:
        """What `work` gives; it is called anew for each attempt, and so must be safe to repeat.

        `deadline` is a moment of `Surroundings.now` (by default the monotonic clock) beyond which nothing is waited for.
        Raises what `work` raised last; Timeout; Unavailable at once while the breaker is open or the queue is full.
        """
        attempt = 1
        while True:
            try:
                return await self._once(work, deadline)
            except _NotAskedError as refused:
                raise refused.error from None
            except PenelopeError as error:
                if not error.retryable or attempt >= self._patience.attempts or self._breaker.open:
                    raise
                wait = self._wait_seconds(attempt)
                if deadline is not None and self._around.now() + wait >= deadline:
                    raise
            attempt += 1
            await self._around.sleep(wait)

    def _wait_seconds(self, attempt: int) -> float:
        doubled = self._patience.first_wait_seconds * 2.0 ** (attempt - 1)
        return min(self._patience.most_wait_seconds, doubled) * self._around.chance()

    async def _once(self, work: Callable[[], Awaitable[Result]], deadline: float | None) -> Result:
        """One attempt: a turn of the bulkhead, then the call itself, both within the time."""
        limit = self._limit_seconds(deadline)
        if self._breaker.state()[0] is BreakerState.OPEN:
            raise self._left_alone()
        attempt = _Attempt(self._breaker)
        try:
            async with asyncio.timeout(limit):
                await self._turn()
                try:
                    return await self._asked(attempt, work)
                finally:
                    self._bulkhead.release()
        except TimeoutError:
            if not attempt.begun:
                raise _NotAskedError(Timeout(f"{self.name} was busy for {limit:.3g} s")) from None
            if limit >= _FAIR_SHARE * self._patience.timeout_seconds:
                attempt.end(good=False)
            raise Timeout(f"{self.name} has not answered within {limit:.3g} s") from None
        except InputError:
            # It answered, if only that the question is wrong.
            attempt.end(good=True)
            raise
        except _NotAskedError:
            raise
        except Exception:
            attempt.end(good=False)
            raise
        finally:
            attempt.give_up()

    async def _asked(self, attempt: "_Attempt", work: Callable[[], Awaitable[Result]]) -> Result:
        if not attempt.begin():
            raise self._left_alone()
        result = await work()
        attempt.end(good=True)
        return result

    def _limit_seconds(self, deadline: float | None) -> float:
        limit = self._patience.timeout_seconds
        if deadline is None:
            return limit
        left = deadline - self._around.now()
        if left <= 0:
            raise _NotAskedError(Timeout(f"no time is left to ask {self.name}"))
        return min(limit, left)

    async def _turn(self) -> None:
        try:
            await self._bulkhead.acquire()
        except Unavailable as error:
            raise _NotAskedError(error) from None

    def _left_alone(self) -> "_NotAskedError":
        return _NotAskedError(
            Unavailable(f"{self.name} failed again and again and is left alone for a while")
        )


class _Attempt:
    """What the breaker is told of one call, once."""

    __slots__ = ("_breaker", "_era", "begun")

    def __init__(self, breaker: CallBreaker) -> None:
        self._breaker = breaker
        self._era: int | None = None
        self.begun = False

    def begin(self) -> bool:
        self._era = self._breaker.enter()
        self.begun = self._era is not None
        return self.begun

    def end(self, *, good: bool) -> None:
        era, self._era = self._era, None
        if era is not None:
            (self._breaker.succeeded if good else self._breaker.failed)(era)

    def give_up(self) -> None:
        """A call that ended without a word, as a cancelled one does, says nothing of the dependency."""
        era, self._era = self._era, None
        if era is not None:
            self._breaker.abandoned(era)


class _NotAskedError(Exception):
    """Nothing was asked, and asking again at once would change nothing."""

    def __init__(self, error: PenelopeError) -> None:
        super().__init__()
        self.error = error
