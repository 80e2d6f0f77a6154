"""Processes of a world: they outlive whoever is killed in it, and end with the world."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from penelope.errors import Unavailable

_END_SECONDS = 5.0
_POLL_SECONDS = 0.02


class Detached:
    """One process in a session of its own."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - the argv of a world, which ships with us
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def running(self) -> bool:
        return self._process.poll() is None

    def tell(self, signum: signal.Signals) -> None:
        """Sends a signal to the process."""
        self._process.send_signal(signum)

    async def end(self) -> None:
        """Ends it with all that it started. Nothing happens where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.to_thread(self._process.wait, _END_SECONDS)


async def until(holds: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Waits until something of a world has come true. Raises Unavailable where it does not."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(holds):
        if time.monotonic() > deadline:
            raise Unavailable(f"the world does not get ready: {what}")
        await asyncio.sleep(_POLL_SECONDS)


def read_number(path: Path) -> int:
    """The number that a process has written into a file, 0 while it has not."""
    try:
        return int(path.read_text(encoding="ascii").strip() or 0)
    except (OSError, ValueError):
        return 0
