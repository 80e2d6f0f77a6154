"""A clock that stands still until it is told otherwise."""

from datetime import UTC, datetime, timedelta

_START = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


class FakeClock:
    """Fulfils `kit.clock.Clock`."""

    def __init__(self, now: datetime = _START) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> datetime:
        """Moves on (or back, for a clock that was set) and returns the new time."""
        self._now += timedelta(seconds=seconds)
        return self._now
