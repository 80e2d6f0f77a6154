"""Work that goes on beside everything else."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

_log = logging.getLogger(__name__)


async def background(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine beside everything else until the stack is unwound."""
    task = asyncio.create_task(work)
    task.add_done_callback(_cry_out)

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    stack.push_async_callback(end)


def _cry_out(task: asyncio.Task[None]) -> None:
    """Work in the background has nobody who waits for it, and so nobody who would hear that it broke."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("background work broke off", exc_info=error)
