"""What decision 0016 rests on: the bodies that are only read committed on PostgreSQL are right, whoever comes between."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from committing import Body, commit
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.work import Change
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.reader import SqlReader
from penelope.store.transaction import SqlTransaction
from penelope.store.verification import SqlVerification

NOW = datetime(2026, 11, 22, 7, tzinfo=UTC)
PLACE = "shop/db"
AT_ONCE, TIMES = 6, 8

Commit = Callable[[Body], Awaitable[Any]]


def change(number: int) -> Change:
    return Change(
        unit="inc_1:restart",
        kind="action",
        incident="inc_1",
        status="started",
        attributes={"n": number},
        event="ActionStarted",
        actor="penelope",
        reason="a test says so",
    )


@asynccontextmanager
async def store(url: str) -> AsyncIterator[tuple[AsyncEngine, Commit]]:
    """A store, and what commits a body in it as `Engine.guarded` does."""
    writer = open_engine(parse_url(url))

    async def committed(body: Body) -> Any:
        return await commit(writer, NOW, body, "READ COMMITTED")

    try:
        await migrate(writer)
        yield writer, committed
    finally:
        await writer.dispose()


def play(url: str, scene: Callable[[AsyncEngine, Commit], Awaitable[None]]) -> None:
    async def run() -> None:
        async with store(url) as (writer, committed), asyncio.timeout(60):
            await scene(writer, committed)

    asyncio.run(run())


def test_who_waits_for_a_unit_sees_it_with_the_end_of_its_history(postgres: str) -> None:
    """Otherwise every second writer would take what the first has done for tampering, or lose it."""

    async def scene(_: AsyncEngine, committed: Commit) -> None:
        numbers = iter(range(AT_ONCE * TIMES + 1))

        async def save(transaction: SqlTransaction) -> None:
            await transaction.save(change(next(numbers)))

        async def many() -> None:
            for _ in range(TIMES):
                await committed(save)

        await committed(save)
        await asyncio.gather(*(many() for _ in range(AT_ONCE)))
        reading = open_reader(parse_url(postgres))
        try:
            entries = await SqlReader(reading).entries(incident="inc_1", after=0, limit=999)
            assert [entry.version for entry in entries] == list(range(1, AT_ONCE * TIMES + 2))
            assert [flaw async for flaw in SqlVerification(reading).flaws()] == []
        finally:
            await reading.dispose()

    play(postgres, scene)


def test_several_units_that_others_write_are_seen_whole_too(postgres: str) -> None:
    async def scene(_: AsyncEngine, committed: Commit) -> None:
        numbers = iter(range(999))

        async def save(transaction: SqlTransaction) -> None:
            number = next(numbers)
            await transaction.save(*(replace(change(number), unit=f"inc_1:{name}") for name in "cab"))

        async def many() -> None:
            for _ in range(TIMES):
                await committed(save)

        await committed(save)
        await asyncio.gather(*(many() for _ in range(AT_ONCE)))

        async def versions(transaction: SqlTransaction) -> list[int]:
            units = await transaction.peek([f"inc_1:{name}" for name in "abc"])
            return [unit.version for unit in units.values() if unit is not None]

        assert await committed(versions) == [AT_ONCE * TIMES + 1] * 3

    play(postgres, scene)


def test_of_many_that_want_a_target_one_holds_it_and_the_fence_never_repeats(
    databases: tuple[str, str],
) -> None:
    async def scene(_: AsyncEngine, committed: Commit) -> None:
        holding: list[str] = []
        fences: list[int] = []

        async def act(name: str) -> None:
            async def take(transaction: SqlTransaction) -> int | None:
                return await transaction.leases.take(PLACE, name, "inc_1")

            async def free(transaction: SqlTransaction) -> None:
                await transaction.leases.give_back(PLACE, name)

            done = 0
            while done < TIMES:
                if (fence := await committed(take)) is None:
                    await asyncio.sleep(0.001)
                    continue
                holding.append(name)
                assert holding == [name]
                fences.append(fence)
                await asyncio.sleep(0)
                holding.remove(name)
                await committed(free)
                done += 1

        await asyncio.gather(*(act(f"action-{number}") for number in range(AT_ONCE)))
        assert fences == list(range(1, AT_ONCE * TIMES + 1))

    play(databases[0], scene)


@pytest.mark.parametrize("rolled_back", [False, True])
def test_a_beat_that_met_the_next_holder_fails(postgres: str, *, rolled_back: bool) -> None:
    """It waits for whoever holds the row, and goes by what that one has committed."""

    async def scene(writer: AsyncEngine, committed: Commit) -> None:
        async def taken(transaction: SqlTransaction) -> int | None:
            return await transaction.leases.take(PLACE, "first", "inc_1")

        async def beat(transaction: SqlTransaction) -> bool:
            return await transaction.leases.beat(PLACE, "first", 1)

        assert await committed(taken) == 1
        async with writer.connect() as plain:
            connection = await plain.execution_options(isolation_level="READ COMMITTED")
            begun = await connection.begin()
            other = SqlTransaction(connection, NOW)
            await other.leases.give_back(PLACE, "first")
            assert await other.leases.take(PLACE, "second", "inc_2") == 2
            beating = asyncio.create_task(committed(beat))  # type: ignore[arg-type]  # a coroutine it is
            assert not (await asyncio.wait({beating}, timeout=0.3))[0]
            await (begun.rollback() if rolled_back else begun.commit())
        assert await beating is rolled_back

    play(postgres, scene)


def test_attempts_counted_at_once_are_each_counted(databases: tuple[str, str]) -> None:
    async def scene(_: AsyncEngine, committed: Commit) -> None:
        async def claim(transaction: SqlTransaction) -> int:
            return await transaction.claim("action", "inc_1", "shop")

        counts = await asyncio.gather(*(committed(claim) for _ in range(AT_ONCE * TIMES)))
        assert sorted(counts) == list(range(1, AT_ONCE * TIMES + 1))

    play(databases[0], scene)
