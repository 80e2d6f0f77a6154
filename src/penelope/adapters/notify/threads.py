"""Threads for calls that may hang, so that such a call holds up nothing else."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import BoundedSemaphore, Thread

from penelope.errors import Unavailable

MOST = 16
"""Calls of one channel at once: what hangs for good is never more than this."""


class OwnThreads:
    """The threads of one channel. A call that hangs takes neither a thread that others wait for (the loop's own are
    those of the durable engine) nor the end of the process, which waits for none of these.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._free = BoundedSemaphore(MOST)

    async def run(self, call: Callable[[], bool]) -> bool:
        """What the call returns. Raises Unavailable while too many calls before it have not come back."""
        if not self._free.acquire(blocking=False):
            raise Unavailable(f"{self._name} has not come back from {MOST} messages before")
        result: Future[bool] = Future()
        result.set_running_or_notify_cancel()
        Thread(target=self._carry_out, args=(call, result), daemon=True, name=self._name).start()
        return await asyncio.wrap_future(result)

    def _carry_out(self, call: Callable[[], bool], result: Future[bool]) -> None:
        try:
            result.set_result(call())
        except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it was
            result.set_exception(error)
        finally:
            self._free.release()
