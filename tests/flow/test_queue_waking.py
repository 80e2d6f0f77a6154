"""A chapter in the queue waits for nothing but its turn where all is in one process, and is found where it is not."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from penelope.domain.work import Entry
from penelope.flow.engine import Engine, EngineSettings, Pool, Turn
from penelope.kit.canonical import Json
from penelope.kit.clock import SystemClock
from penelope.store.database import migrate, open_engine, open_workflow_engine, parse_url
from penelope.store.transaction import SqlTransaction

Databases = tuple[str, str]

SLOW, QUICK = 300.0, 0.05
"""Seconds between two looks: so long that a story which waits for one fails its test, and so short that it does not."""

_PATIENCE_SECONDS = 120
_PLACES = 2


class Heard:
    """Takes notice of nothing."""

    def entry_recorded(self, entry: Entry) -> None:
        """Of nothing."""


class Deaf(Engine):
    """Hears of nothing that happens in its own process, as if it all happened in another one."""

    def _has_told(self, key: str) -> None:
        """Tells nobody."""


class Told:
    """A story of three chapters, one after the other, and what they did."""

    def __init__(self, *, fails: bool = False) -> None:
        self.engine: Engine
        self.told: list[str] = []
        self.answers: dict[str, list[Json]] = {}
        self._fails = fails

    async def story(self, incident: str, service: str) -> str:
        answers = []
        for number in range(3):
            key, turn = f"{incident}:{number}", Turn(shard=service)
            try:
                answers.append(await self.engine.queued("count", key, incident, number, turn))
            except Exception as error:  # noqa: BLE001 - what came of it is what is tested
                answers.append(str(error))
        self.answers[incident] = answers
        return "told"

    async def count(self, incident: str, number: Json) -> Json:
        self.told.append(f"{incident} {number}")
        if self._fails:
            message = f"{number} broke off"
            raise ValueError(message)
        return number * 10


@asynccontextmanager
async def telling(
    databases: Databases, told: Told, poll_seconds: float, kind: type[Engine] = Engine
) -> AsyncIterator[Engine]:
    writer, workflows = open_engine(parse_url(databases[0])), open_workflow_engine(parse_url(databases[1]))
    await migrate(writer)

    def transaction(connection: AsyncConnection) -> SqlTransaction:
        return SqlTransaction(connection, SystemClock().now())

    pool = Pool(size=_PLACES, shard_size=1, poll_seconds=poll_seconds)
    settings = EngineSettings(executor_id="test", poll_seconds=0.05, stop_seconds=1, pool=pool)
    told.engine = kind(writer, workflows, transaction, Heard(), settings)
    await told.engine.launch(told.story, {"count": told.count})
    try:
        yield told.engine
    finally:
        await told.engine.stop()
        workflows.dispose()
        await writer.dispose()


async def ended(engine: Engine, *incidents: str) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not all((await engine.has_ended(incidents)).values()):  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("fails", [False, True])
def test_in_one_process_nobody_waits_for_a_look(databases: Databases, *, fails: bool) -> None:
    async def run() -> None:
        told = Told(fails=fails)
        began = time.monotonic()
        async with telling(databases, told, SLOW) as engine:
            # Two of one shard, which has one place: what frees it wakes who comes next.
            await engine.start("inc_1", "shop")
            await engine.start("inc_2", "shop")
            await ended(engine, "inc_1", "inc_2")
        assert time.monotonic() - began < SLOW
        given = ["0 broke off", "1 broke off", "2 broke off"] if fails else [0, 10, 20]
        assert told.answers == {"inc_1": given, "inc_2": given}
        assert sorted(told.told) == [f"inc_{story} {number}" for story in (1, 2) for number in range(3)]

    asyncio.run(run())


def test_what_nobody_hears_of_is_found_by_looking(databases: Databases) -> None:
    async def run() -> None:
        told = Told()
        async with telling(databases, told, QUICK, Deaf) as engine:
            await engine.start("inc_1", "shop")
            await ended(engine, "inc_1")
        assert told.answers == {"inc_1": [0, 10, 20]}
        assert told.told == ["inc_1 0", "inc_1 1", "inc_1 2"]

    asyncio.run(run())


class Crowd(Told):
    """Many stories of several shards, and how many of their chapters were told at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._two = asyncio.Event()

    async def story(self, incident: str, service: str) -> str:
        await self.engine.queued("count", f"{incident}:0", incident, 0, Turn(shard=service))
        return "told"

    async def count(self, incident: str, number: Json) -> Json:
        self.now += 1
        self.most = max(self.most, self.now)
        # The loop is held up, as by a commit: whoever took this one out of the queue may look again before others begin.
        time.sleep(0.02)  # noqa: ASYNC251 - that is what is tested
        if self.most >= _PLACES:
            self._two.set()
        await asyncio.wait_for(self._two.wait(), _PATIENCE_SECONDS)
        await asyncio.sleep(0.02)
        self.now -= 1
        return await super().count(incident, number)


def test_however_often_it_is_rung_no_place_is_given_twice(databases: Databases) -> None:
    async def run() -> None:
        told = Crowd()
        names = [f"inc_{number}" for number in range(16)]
        async with telling(databases, told, SLOW) as engine:
            for number, name in enumerate(names):
                await engine.start(name, f"shard-{number % 8}")
            await ended(engine, *names)
        assert sorted(told.told) == sorted(f"{name} 0" for name in names)
        assert told.most == _PLACES

    asyncio.run(run())


class Gone(Told):
    """Its second chapter ends only in a second life; until then the engine stops around it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()
        self.second_life = False

    async def count(self, incident: str, number: Json) -> Json:
        if number == 1 and not self.second_life:
            self.reached.set()
            await asyncio.Event().wait()
        return await super().count(incident, number)


def test_who_waited_when_the_engine_stopped_hears_of_the_end_in_the_next_life(databases: Databases) -> None:
    async def run() -> None:
        told = Gone()
        async with telling(databases, told, SLOW) as engine:
            await engine.start("inc_1", "shop")
            await asyncio.wait_for(told.reached.wait(), _PATIENCE_SECONDS)
        told.second_life = True
        # The chapter may end before its story has come back to where it waits: then only a look finds its end.
        async with telling(databases, told, QUICK) as engine:
            await ended(engine, "inc_1")
        assert told.answers == {"inc_1": [0, 10, 20]}
        assert told.told == ["inc_1 0", "inc_1 1", "inc_1 2"]

    asyncio.run(run())
