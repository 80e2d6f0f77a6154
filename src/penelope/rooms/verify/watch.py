"""Tells the time in which somebody looked from the time in which nobody did."""

from datetime import datetime, timedelta


class Watch:
    """Runs from `since`, but stands still where the next look is more than `patience_seconds` after the last one.

    A contract is judged by this clock: time in which nobody looked, because Penelope was down or busy, counts neither
    for what was promised nor against it. Otherwise a restart would take back what is well, or pass what was not held.
    """

    def __init__(self, since: datetime, patience_seconds: float) -> None:
        self._seen_until = since
        self._patience = timedelta(seconds=patience_seconds)
        self._unwatched = timedelta()

    @property
    def unwatched_seconds(self) -> float:
        """How long nobody looked, beyond what is usual between two looks."""
        return self._unwatched.total_seconds()

    def looked(self, began: datetime, ended: datetime) -> datetime:
        """Notes one more look, and gives the moment at which it began on this clock."""
        self._unwatched += max(timedelta(), began - self._seen_until - self._patience)
        self._seen_until = max(self._seen_until, ended)
        return began - self._unwatched
