"""Keeps one slow dependency from taking everybody's time: so many calls at once, so many that wait."""

import asyncio
from collections import deque

from penelope.errors import Unavailable


class Bulkhead:
    """`most` calls run at once; `waiting` more wait for their turn, in order; whoever comes then is refused.

    For one event loop at a time. Whoever `acquire`s must `release`, whatever happens in between.
    """

    __slots__ = ("_most", "_most_waiting", "_name", "_queue", "running")

    def __init__(self, name: str, most: int, waiting: int) -> None:
        self._name = name
        self._most = most
        self._most_waiting = waiting
        self._queue: deque[asyncio.Future[None]] = deque()
        self.running = 0

    @property
    def waiting(self) -> int:
        return sum(not turn.done() for turn in self._queue)

    async def acquire(self) -> None:
        """Waits for a turn. Raises Unavailable where too many wait already; a cancelled wait takes no turn."""
        if self.running < self._most and not self._queue:
            self.running += 1
            return
        if len(self._queue) >= self._most_waiting:
            raise Unavailable(f"{self._name} is busy: {self.running} calls run and {len(self._queue)} wait")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The turn came together with the cancellation: it is the next one's.
                self.release()
            else:
                self._queue.remove(turn)
            raise

    def release(self) -> None:
        """The call is over: who has waited longest runs in its place."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1
