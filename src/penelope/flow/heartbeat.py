"""Says again and again that this process lives, and which incidents it carries."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from penelope.domain.work import Actor
from penelope.kit.clock import Clock

BEATS_MISSED = 3
"""An actor whose heart has missed so many beats is not called alive."""

_log = logging.getLogger(__name__)


class ActorStore(Protocol):
    """Actors as they are stored."""

    async def beat(self, name: str, incidents: Collection[str], now: datetime) -> None:
        """The actor lives, and so do the units of these incidents that are not at their end."""

    async def all(self) -> Sequence[Actor]:
        """Every actor, by name."""


class Heartbeat:
    """The heart of one process."""

    def __init__(
        self, actors: ActorStore, clock: Clock, name: str, carried: Callable[[], Collection[str]]
    ) -> None:
        self._actors = actors
        self._clock = clock
        self._name = name
        self._carried = carried

    async def run(self, seconds: float) -> None:
        """Beats each `seconds` until cancelled."""
        while True:
            try:
                await self._actors.beat(self._name, self._carried(), self._clock.now())
            except Exception:  # noqa: BLE001 - the database may be away for a moment; the next beat tries again
                _log.exception("a heartbeat was not recorded")
            await asyncio.sleep(seconds)


def is_alive(actor: Actor, now: datetime, seconds: float) -> bool:
    """Whether an actor whose heart beats each `seconds` was heard of lately."""
    return now - actor.last_heartbeat_at <= timedelta(seconds=seconds * BEATS_MISSED)
