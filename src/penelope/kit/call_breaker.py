"""Stops calls to a dependency that fails, and tries it again after a while."""

import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum


class BreakerState(StrEnum):
    """Calls pass; calls are stopped; calls are stopped but for one that tries."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CallBreaker:
    """Opens after `failures` within `window_seconds`, or in a row where that is None; then, once `rest_seconds` are over,
    it lets one call through to try, and another each `rest_seconds` while nothing is heard of that.

    Either ask `allows` before each call and tell `succeeded` or `failed` after it; or, where calls overlap, `enter` and
    give back what it gave: calls that began before the breaker last changed say nothing about now. `now` gives seconds
    that only grow. Not for several threads.
    """

    __slots__ = (
        "_era",
        "_failed",
        "_most",
        "_next_try",
        "_now",
        "_rest_seconds",
        "_row",
        "_since",
        "_trying",
        "_window_seconds",
    )

    def __init__(
        self,
        failures: int = 5,
        window_seconds: float | None = 30.0,
        rest_seconds: float = 10.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = failures
        self._window_seconds = window_seconds
        self._rest_seconds = rest_seconds
        self._now = now
        self._failed: deque[float] = deque(maxlen=failures)
        self._row = 0
        self._next_try: float | None = None
        self._trying = False
        self._since = now()
        self._era = 0

    @property
    def open(self) -> bool:
        """Whether calls are stopped."""
        return self._next_try is not None

    @property
    def failures(self) -> int:
        """Failures since the last success."""
        return self._row

    def state(self) -> tuple[BreakerState, float]:
        """How it stands, and since when, in the seconds of `now`."""
        if self._next_try is None:
            return BreakerState.CLOSED, self._since
        if self._trying or self._now() >= self._next_try:
            return BreakerState.HALF_OPEN, self._since if self._trying else self._next_try
        return BreakerState.OPEN, self._since

    def allows(self) -> bool:
        """Whether a call may be made now. While it is open, the one that is let through uses up the try."""
        return self.enter() is not None

    def enter(self) -> int | None:
        """What to give back with the call's end, or None where no call may be made now."""
        if self._next_try is None:
            return self._era
        now = self._now()
        if now < self._next_try:
            return None
        self._next_try = now + self._rest_seconds
        self._trying = True
        self._since = now
        self._era += 1
        return self._era

    def succeeded(self, era: int | None = None) -> None:
        """The call did; where it was the one that tried, the breaker closes."""
        if era is not None and era != self._era:
            return
        self._row = 0
        if self._failed:
            self._failed.clear()
        if self._next_try is not None:
            self._next_try, self._trying = None, False
            self._since = self._now()
            self._era += 1

    def failed(self, era: int | None = None) -> None:
        """The call did not; where it was the one that tried, the breaker rests again."""
        if era is not None and era != self._era:
            return
        now = self._now()
        self._row += 1
        self._failed.append(now)
        if self._next_try is not None or self._too_many(now):
            self._next_try, self._trying = now + self._rest_seconds, False
            self._since = now
            self._era += 1

    def abandoned(self, era: int) -> None:
        """The call was given up before it said anything: where it was the one that tried, the next one may."""
        if era == self._era and self._trying:
            self._next_try, self._trying = self._now(), False
            self._era += 1

    def _too_many(self, now: float) -> bool:
        if self._window_seconds is None:
            return self._row >= self._most
        return sum(moment >= now - self._window_seconds for moment in self._failed) >= self._most
