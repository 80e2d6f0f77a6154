"""Starts programs that inherit nothing but what they are given."""

import asyncio
import os
from contextlib import suppress
from typing import Any


async def spawn(*argv: str, **options: Any) -> asyncio.subprocess.Process:
    """As `asyncio.create_subprocess_exec`, and on every event loop with its promise that no other descriptor is passed on.

    uvloop closes none for a child: whatever a library opened without close-on-exec, or this process inherited itself, would
    be open in each program.
    """
    for descriptor in _open():
        with suppress(OSError):  # closed by another thread meanwhile, as that of the listing is
            os.set_inheritable(descriptor, False)
    return await asyncio.create_subprocess_exec(*argv, **options)  # noqa: TID251 - the one place


def _open() -> list[int]:
    """What is open beside the standard streams."""
    return [number for number in map(int, os.listdir("/dev/fd")) if number > 2]  # noqa: PTH208 - no paths are wanted
