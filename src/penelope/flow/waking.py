"""Spares stories the waits between the engine's looks, where what they wait for happens in their own process.

Nothing depends on it: what happens elsewhere, or is not heard of here, is found by the next look.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

_log = logging.getLogger(__name__)


class Bell(threading.Event):
    """What a thread sleeps on that looks at intervals. Once it is set the thread is to end; rung, it looks at once.

    Where the thread begins tasks in a `loop` it looks again only when those have begun: the engine counts who holds a
    place as tasks begin, and two looks in a row would give one place twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._awake = threading.Event()

    def ring(self) -> None:
        """Wakes the sleeper; one that is awake looks once more."""
        self._awake.set()

    def set(self) -> None:
        super().set()
        self._awake.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Sleeps until it is rung or set, at most so long (seconds); whether it is set."""
        self._awake.wait(timeout)
        # Before the sleeper looks: what is rung for from now on may be missed by that look, and is heard by the next wait.
        self._awake.clear()
        if self.loop is not None and not self.is_set():
            _turned(self.loop, self.is_set)
        return self.is_set()


def _turned(loop: asyncio.AbstractEventLoop, is_over: Callable[[], bool]) -> None:
    """Waits until a loop has begun what it was given before, or all is over."""
    turn = threading.Event()
    try:
        loop.call_soon_threadsafe(turn.set)
    except RuntimeError:  # it is closed, and begins nothing any more
        return
    while not turn.wait(0.1) and not is_over():
        pass


Look = Callable[[Sequence[str]], Awaitable[Mapping[str, bool]]]
"""Whether each of these has ended; of one that is not known nothing is said."""


class Ends:
    """Who waits for the end of what: told at once of what `ended` here, and of all else by a look every `poll_seconds`.

    One look serves all who wait.
    """

    def __init__(self, look: Look, poll_seconds: float) -> None:
        self._look = look
        self._poll_seconds = poll_seconds
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    @contextmanager
    def awaited(self, key: str) -> Iterator[asyncio.Future[None]]:
        """Done once this has ended. Asked for before it begins, so that no end is missed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(future)
        try:
            yield future
        finally:
            waiting = self._waiting[key]
            waiting.discard(future)
            if not waiting:
                del self._waiting[key]

    def ended(self, key: str) -> None:
        """Tells who waits for it, if anybody does."""
        for future in self._waiting.get(key, ()):
            if not future.done():
                future.set_result(None)

    async def look(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await asyncio.sleep(self._poll_seconds)
            if not self._waiting:
                continue
            try:
                found = await self._look(list(self._waiting))
            except Exception:  # noqa: BLE001 - the next look may do better, and without one many would wait for ever
                _log.exception("whether what is waited for has ended could not be read")
                continue
            for key, has_ended in found.items():
                if has_ended:
                    self.ended(key)
