"""Stops calls to a dependency that fails, and tries it again after a while."""

import time
from collections import deque
from collections.abc import Callable


class CallBreaker:
    """Opens after `failures` within `window_seconds`; then, each `rest_seconds`, it lets one call through to try.

    Ask `allows` before each call and tell `succeeded` or `failed` after it. `now` gives seconds that only grow. Not for
    several threads.
    """

    def __init__(
        self,
        failures: int = 5,
        window_seconds: float = 30.0,
        rest_seconds: float = 10.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = failures
        self._window_seconds = window_seconds
        self._rest_seconds = rest_seconds
        self._now = now
        self._failed: deque[float] = deque(maxlen=failures)
        self._next_try: float | None = None

    @property
    def open(self) -> bool:
        """Whether calls are stopped."""
        return self._next_try is not None

    def allows(self) -> bool:
        """Whether a call may be made now. While it is open, the one that is let through uses up the try."""
        if self._next_try is None:
            return True
        now = self._now()
        if now < self._next_try:
            return False
        self._next_try = now + self._rest_seconds
        return True

    def succeeded(self) -> None:
        self._failed.clear()
        self._next_try = None

    def failed(self) -> None:
        now = self._now()
        self._failed.append(now)
        recent = sum(moment >= now - self._window_seconds for moment in self._failed)
        if self._next_try is not None or recent >= self._most:
            self._next_try = now + self._rest_seconds
