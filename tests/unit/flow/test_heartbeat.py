"""The heart of a process beats until it is stopped, whatever the database does."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.work import Actor, ActorKind
from penelope.flow.heartbeat import BEATS_MISSED, Heartbeat, is_alive

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.asked = 0

    def now(self) -> datetime:
        self.asked += 1
        return NOW + timedelta(seconds=self.asked)


class Beats:
    """Remembers beats, and fails at the second."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, set[str], datetime]] = []

    async def beat(self, name: str, incidents: Collection[str], now: datetime) -> None:
        self.heard.append((name, set(incidents), now))
        if len(self.heard) == 2:
            raise OSError("the database is away")

    async def all(self) -> Sequence[Actor]:
        return ()


def test_it_beats_on_though_the_database_fails(caplog: pytest.LogCaptureFixture) -> None:
    beats, carried = Beats(), {"inc_1"}

    async def live() -> None:
        task = asyncio.create_task(Heartbeat(beats, Clock(), "worker:w", lambda: carried).run(0.001))
        async with asyncio.timeout(10):
            while len(beats.heard) < 3:
                await asyncio.sleep(0.001)
                carried.add("inc_2")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with caplog.at_level(logging.ERROR):
        asyncio.run(live())
    assert beats.heard[:3] == [
        ("worker:w", {"inc_1"}, NOW + timedelta(seconds=1)),
        ("worker:w", {"inc_1", "inc_2"}, NOW + timedelta(seconds=2)),
        ("worker:w", {"inc_1", "inc_2"}, NOW + timedelta(seconds=3)),
    ]
    assert [record.getMessage() for record in caplog.records] == ["a heartbeat was not recorded"]


def test_what_is_carried_may_fail_too() -> None:
    beats = Beats()

    def carried() -> Collection[str]:
        raise RuntimeError("no engine")

    async def live() -> None:
        async with asyncio.timeout(0.02):
            await Heartbeat(beats, Clock(), "worker:w", carried).run(0.001)

    with pytest.raises(TimeoutError):
        asyncio.run(live())
    assert beats.heard == []


@pytest.mark.parametrize(
    ("silent", "alive"), [(0, True), (5 * BEATS_MISSED, True), (15.001, False), (-3, True)]
)
def test_who_missed_too_many_beats_is_not_called_alive(silent: float, alive: bool) -> None:  # noqa: FBT001 - a parameter
    heard = NOW - timedelta(seconds=silent)
    actor = Actor(id="act_1", kind=ActorKind.WORKER, name="worker:w", last_heartbeat_at=heard)
    assert is_alive(actor, NOW, 5) is alive
