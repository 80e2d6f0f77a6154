"""Time as a dependency, so that tests can hold it still."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """Tells the time; everything that needs 'now' asks one of these."""

    def now(self) -> datetime:
        """The present moment, always in UTC."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@lru_cache(maxsize=64)  # all that one transaction writes bears one moment
def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, e.g. ``2026-11-21T07:00:00.000000Z``; sorts as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
