"""Trials as tests: one house for the whole session, and one world open at a time."""

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from penelope.errors import Unavailable
from penelope.testing.kit import Finding, Result, Subject, Trial
from penelope.testing.kit_run import Ground, House, house

Value = TypeVar("Value")

NOTED: list[Result] = []
"""What was noted rather than held, in this process."""

OPEN_SECONDS = 300.0
"""How long a world may take to open: servers start in it."""

TRIAL_SECONDS = 500.0


class Session:
    """A loop in a thread of its own, in which worlds live on between tests."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="playbook kit", daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        self._house: House | None = None
        self._world = AsyncExitStack()
        self._subject: Subject | None = None
        self._ground: Ground | Unavailable | None = None

    def run(self, trial: Trial) -> Result:
        """Carries a trial out. Raises Unavailable where its world cannot be had here."""
        return self._wait(self._run(trial), OPEN_SECONDS + TRIAL_SECONDS)

    def close(self) -> None:
        """Closes the world and ends the house; the session cannot be used any more."""
        if self._loop.is_closed():
            return
        try:
            self._wait(self._close(), OPEN_SECONDS)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=10)
            self._loop.close()

    async def _run(self, trial: Trial) -> Result:
        ground = await self._opened(trial.subject)
        async with asyncio.timeout(TRIAL_SECONDS):
            return await ground.run(trial)

    async def _opened(self, subject: Subject) -> Ground:
        if self._house is None:
            try:
                self._house = await self._stack.enter_async_context(house())
            except Unavailable as error:  # which of a world is a skip
                raise AssertionError(f"the kit itself does not come up: {error.message}") from error
        if subject != self._subject:
            await self._world.aclose()
            self._subject, self._ground = subject, None
        if self._ground is None:
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    self._ground = await self._world.enter_async_context(self._house.opened(subject))
            except Unavailable as error:
                self._ground = error  # asked once: it would not come by itself
        if isinstance(self._ground, Unavailable):
            raise Unavailable(self._ground.message, hint=self._ground.advice)
        return self._ground

    async def _close(self) -> None:
        await self._world.aclose()
        await self._stack.aclose()

    def _wait(self, coroutine: Coroutine[Any, Any, Value], seconds: float) -> Value:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=seconds)


_session: Session | None = None


def check(trial: Trial) -> Result:
    """Carries a trial out in the world of its playbook, which stays open for the next one.

    Raises AssertionError where it is broken, and Unavailable where its world cannot be had here, which under pytest is
    a skip (penelope.testing.pytest_plugin).
    """
    global _session  # noqa: PLW0603 - tests of all modules share it
    if _session is None:
        _session = Session()
        atexit.register(close)
    result = _session.run(trial)
    if result.finding is Finding.BROKEN:
        raise AssertionError(f"{trial.subject.playbook}: {trial}: {result.why}")
    if result.finding is Finding.NOTED:
        NOTED.append(result)
    return result


def close() -> None:
    """Ends what `check` has begun; it may begin anew."""
    global _session  # noqa: PLW0603 - as above
    if _session is not None:
        _session.close()
        _session = None
