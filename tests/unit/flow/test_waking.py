"""Waking those that wait for what happens in their own process; and that nothing is lost where nobody wakes them."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest

from penelope.flow.waking import Bell, Ends

LONG = 3600.0
"""Seconds for which no test waits."""


class Slept:
    """A thread that sleeps on a bell, and what its wait returned."""

    def __init__(self, bell: Bell, seconds: float) -> None:
        self.heard: list[bool] = []
        self._thread = threading.Thread(target=lambda: self.heard.append(bell.wait(seconds)), daemon=True)
        self._thread.start()

    def woken(self) -> bool:
        """Whether it has woken; it is given ten seconds."""
        self._thread.join(10)
        return not self._thread.is_alive()


def test_a_rung_bell_wakes_and_does_not_end_the_sleeper() -> None:
    bell = Bell()
    slept = Slept(bell, LONG)
    bell.ring()
    assert slept.woken()
    assert slept.heard == [False]


def test_what_was_rung_before_the_sleep_is_heard_once() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    assert Slept(bell, LONG).woken()
    began = time.monotonic()
    assert bell.wait(0.05) is False
    assert time.monotonic() - began >= 0.04


def test_a_bell_that_is_set_ends_the_sleeper_and_all_later_ones() -> None:
    bell = Bell()
    slept = Slept(bell, LONG)
    bell.set()
    assert slept.woken()
    assert slept.heard == [True]
    assert bell.wait(0) is True


class Looks:
    """Answers what has ended, in the order given; an exception is raised. The last answer stands."""

    def __init__(self, *answers: Mapping[str, bool] | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[list[str]] = []

    async def __call__(self, keys: Sequence[str]) -> Mapping[str, bool]:
        self.asked.append(sorted(keys))
        answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def looking(ends: Ends, body: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        task = asyncio.create_task(ends.look())
        try:
            async with asyncio.timeout(10):
                await body()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_an_end_here_is_told_at_once_to_all_who_wait_and_to_nobody_else() -> None:
    looks = Looks({})
    ends = Ends(looks, LONG)

    async def body() -> None:
        with ends.awaited("a") as first, ends.awaited("a") as second, ends.awaited("b") as other:
            ends.ended("a")
            ends.ended("a")
            ends.ended("nobody waits for this one")
            await first
            await second
            assert not other.done()

    looking(ends, body)
    assert looks.asked == []


def test_an_end_elsewhere_is_found_by_one_look_for_all() -> None:
    looks = Looks({"a": False, "b": True}, {"a": True, "b": True})
    ends = Ends(looks, 0.01)

    async def body() -> None:
        with ends.awaited("a") as first, ends.awaited("b") as second:
            await second
            assert not first.done()
            await first
        assert looks.asked == [["a", "b"], ["a", "b"]]
        await asyncio.sleep(0.05)
        assert len(looks.asked) == 2  # nobody waits any more

    looking(ends, body)


def test_a_look_that_fails_is_followed_by_the_next(caplog: pytest.LogCaptureFixture) -> None:
    looks = Looks(OSError("the database is away"), {}, {"a": True})
    ends = Ends(looks, 0.01)

    async def body() -> None:
        with ends.awaited("a") as ended:
            await ended

    looking(ends, body)
    assert len(looks.asked) == 3
    assert "could not be read" in caplog.text


def test_who_was_cancelled_is_not_told_and_does_not_disturb_the_others() -> None:
    ends = Ends(Looks({}), LONG)

    async def body() -> None:
        async def wait() -> None:
            with ends.awaited("a") as ended:
                await ended

        one, two = asyncio.create_task(wait()), asyncio.create_task(wait())
        await asyncio.sleep(0)
        one.cancel()
        ends.ended("a")
        await two
        with pytest.raises(asyncio.CancelledError):
            await one

    looking(ends, body)
