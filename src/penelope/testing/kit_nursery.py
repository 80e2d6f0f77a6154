"""The process from which the lives of a Penelope that is tried are forked."""

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from penelope.errors import Unavailable
from penelope.kit.spawn import spawn


class Nursery:
    """The process from which lives are forked. `start` it, `live` one life after the other, `stop` it."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._begun = False
        self.child = 0

    async def start(self) -> None:
        path = os.pathsep.join(item for item in sys.path if item)
        with self._log.open("ab") as log:
            self._process = await spawn(
                sys.executable,
                "-m",
                "penelope.testing.kit_worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": path},
            )

    async def begin(self, argument: Path) -> None:
        """Begins a life, by the path of its brief. One that was begun and not heard to its end is given up."""
        process = self._running()
        if process.stdin is None:
            raise Unavailable("the kit's worker cannot be spoken to")
        if self._begun:
            await self._give_up()
        self._begun = True
        # That it has ended is heard. Of a pipe that is closed already uvloop says RuntimeError.
        with suppress(ConnectionError, RuntimeError):
            process.stdin.write(f"{argument}\n".encode())
            await process.stdin.drain()
        self.child = (await self._hear())["born"]

    async def ended(self) -> int:
        """The exit code of the life under way, once it is over; negative is a signal."""
        code = (await self._hear())["ended"]
        self.child, self._begun = 0, False
        return code

    async def _give_up(self) -> None:
        """Ends a life that nobody waits for any more: whoever began it was cancelled, before it was born or after."""
        self.kill()
        while "ended" not in (told := await self._hear()):
            self.child = told["born"]
            self.kill()
        self.child, self._begun = 0, False

    def kill(self) -> None:
        """Kills the life under way, as a power cut would."""
        if self.child:
            with suppress(ProcessLookupError):
                os.kill(self.child, signal.SIGKILL)

    async def stop(self) -> None:
        self.kill()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            try:
                async with asyncio.timeout(10):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._process = None

    def last_words(self) -> str:
        """The end of what the lives said before they broke."""
        lines = self._log.read_text(errors="replace").splitlines()
        return " | ".join(lines[-4:])

    async def _hear(self) -> dict[str, int]:
        process = self._running()
        if process.stdout is None:
            raise Unavailable("the kit's worker cannot be heard")
        line = await process.stdout.readline()
        if not line:
            raise Unavailable(f"the kit's worker has ended: {self.last_words()}")
        told: dict[str, int] = json.loads(line)
        return told

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise Unavailable("the kit's worker does not run")
        return self._process
