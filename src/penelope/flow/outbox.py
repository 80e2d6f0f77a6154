"""What waits to be said, and the proofs of words that were taken once: kept beside the units of work."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from penelope.domain.notice import Notice


class Outbox(Protocol):
    """Reads and writes inside a transaction."""

    async def add(self, notices: Sequence[Notice]) -> None:
        """Keeps notices until they are sent; one that is there already is left as it is."""

    async def claim(self, until: datetime, limit: int) -> Sequence[Notice]:
        """Notices that are due, at most so many, oldest first. Until that moment nobody else gets them."""

    async def settle(self, notice: Notice) -> None:
        """Keeps what became of a notice."""

    async def spend(self, token: str, expires_at: datetime) -> bool:
        """False where the token was spent before. It is remembered at least until it expires."""


class DueReader(Protocol):
    """Looks without taking anything."""

    async def any_due(self, now: datetime) -> bool:
        """Whether a notice waits that is due."""
