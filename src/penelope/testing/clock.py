"""Clocks that a test moves."""

from datetime import UTC, datetime, timedelta

from penelope.kit.clock import SystemClock

_START = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


class HurriedClock(SystemClock):
    """The system's clock, put forward by `ahead`: for what goes on by itself meanwhile."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


class FakeClock:
    """A clock that stands still until it is told otherwise; fulfils `kit.clock.Clock`."""

    def __init__(self, now: datetime = _START) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> datetime:
        """Moves on (or back, for a clock that was set) and returns the new time."""
        self._now += timedelta(seconds=seconds)
        return self._now
