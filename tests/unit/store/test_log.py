"""The log in its tables: entries come in once, none is lost, and the tiles are those of the leaves."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import bindparam, insert, select, text

from penelope.domain.work import Change, Entry
from penelope.errors import ChainBroken
from penelope.flow.log import Integrated, Lag, SignedCheckpoint
from penelope.kit.clock import SystemClock
from penelope.ledger.merkle import Tree
from penelope.ledger.tiles import Tile, grow, root, tiles_of_root
from penelope.store.bulk import HISTORY_COLUMNS
from penelope.store.database import open_engine
from penelope.store.group import GroupCommit
from penelope.store.log import SqlLog
from penelope.store.tables import log_leaves, log_tiles, units_of_work_history
from penelope.store.transaction import SqlTransaction

OnStores = Callable[[Any], None]

ORIGIN = "log.example/Penelope"
NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


class Heard:
    def entry_recorded(self, entry: Entry) -> None:
        """Nobody asks."""


def changes(*numbers: int, name: str = "u") -> list[Change]:
    return [
        Change(
            unit=f"{name}-{number}",
            kind="approval",
            incident="inc_1",
            status="made",
            attributes={"n": number},
            event="Saved",
            actor="penelope",
            reason="because",
        )
        for number in numbers
    ]


async def save(store: Any, *made: Change) -> None:
    async with store.transaction() as transaction:
        await transaction.save(*made)


def log_of(store: Any, origin: str = ORIGIN) -> SqlLog:
    return SqlLog(store.writer, store.reading, origin)


async def leaves(store: Any) -> list[Any]:
    """Hash, unit and body of what is in the log, in its order."""
    history = units_of_work_history.c
    query = select(history.hash, history.unit, history.body, log_leaves.c.index)
    query = query.join(log_leaves, log_leaves.c.seq == history.seq).order_by(log_leaves.c.index)
    async with store.reading.connect() as connection:
        found = (await connection.execute(query)).all()
    assert [row.index for row in found] == list(range(len(found)))
    return list(found)


async def check(store: Any) -> int:
    """Holds the log against a tree over its leaves; returns how many there are."""
    found = await leaves(store)
    hashes = [bytes.fromhex(row.hash) for row in found]
    async with store.reading.connect() as connection:
        tiles = {(row.level, row.index): row.data for row in await connection.execute(select(log_tiles))}
    assert tiles == grow(0, {}, hashes)
    assert root(tiles, len(hashes)) == Tree(hashes).root()
    assert await log_of(store).size() == len(hashes)
    return len(hashes)


async def take_in(log: SqlLog) -> None:
    while await log.integrate(100) != Integrated(added=0, size=await log.size()):
        pass


@asynccontextmanager
async def another(store: Any) -> AsyncIterator[Any]:
    """The same store, as another process has it."""
    other = replace(store, writer=open_engine(store.writer.url))
    try:
        yield other
    finally:
        await other.writer.dispose()


def only_on_postgresql(databases: tuple[str, str]) -> None:
    if databases[0].startswith("sqlite"):
        pytest.skip("on SQLite one transaction writes at a time")


# --- taking in --------------------------------------------------------------------------------------------


def test_an_empty_log_has_nothing(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        log = log_of(store)
        assert await log.integrate(10) == Integrated(added=0, size=0)
        assert await log.size() == 0
        assert (await log.lag()).entries == 0
        assert await log.tiles([Tile(0, 0, 1)]) == {}
        assert await log.bundle(0, 256) == []
        assert await log.latest() is None

    on_stores(scene)


def test_batches_of_any_size_give_the_tiles_of_the_leaves(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        log = log_of(store)
        await save(store, *changes(*range(600)))
        size = 0
        for limit in (1, 7, 247, 1, 256, 500):
            done = await log.integrate(limit)
            assert done == Integrated(added=min(limit, 600 - size), size=min(size + limit, 600))
            size = done.size
            assert (await log.lag()).entries == 600 - size
            assert await check(store) == size
        await save(store, *changes(600))
        assert await log.integrate(500) == Integrated(added=1, size=601)
        assert await check(store) == 601

    on_stores(scene)


def test_tiles_and_entries_are_found_by_their_places(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        log = log_of(store)
        await save(store, *changes(*range(300)))
        await log.integrate(1000)
        found = await leaves(store)
        bodies = [row.body.encode() for row in found]
        assert list(await log.bundle(0, 256)) == bodies[:256]
        assert list(await log.bundle(0, 3)) == bodies[:3]
        assert list(await log.bundle(1, 44)) == bodies[256:]
        wanted = tiles_of_root(300)
        assert root(await log.tiles(wanted), 300) == Tree([bytes.fromhex(row.hash) for row in found]).root()
        assert await log.tiles([Tile(5, 7, 256)]) == {}

    on_stores(scene)


def test_what_was_taken_back_leaves_a_gap_and_no_leaf(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        log = log_of(store)
        await save(store, *changes(1, 2))
        async with store.writer.connect() as connection:
            begun = await connection.begin()
            await SqlTransaction(connection, NOW).save(*changes(3, 4))
            await begun.rollback()
        await save(store, *changes(5))
        await take_in(log)
        assert [row.unit for row in await leaves(store)] == ["u-1", "u-2", "u-5"]
        assert await check(store) == 3

    on_stores(scene)


def test_a_round_that_fails_takes_nothing_in(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        log = log_of(store)
        await save(store, *changes(1, 2))
        await log.integrate(1)
        await store.sql("ALTER TABLE log_tiles RENAME TO elsewhere")
        with pytest.raises(Exception, match="log_tiles"):
            await log.integrate(10)
        await store.sql("ALTER TABLE elsewhere RENAME TO log_tiles")
        assert await log.size() == 1
        assert await log.integrate(10) == Integrated(added=1, size=2)
        assert await check(store) == 2

    on_stores(scene)


@pytest.mark.parametrize("text", ["", "zz", "ab", "\u00e4" * 64])
def test_a_line_whose_hash_is_none_any_more_is_not_taken_in(on_stores: OnStores, text: str) -> None:
    async def scene(store: Any) -> None:
        log = log_of(store)
        await save(store, *changes(1, 2))
        await log.integrate(1)
        await store.tamper(f"UPDATE units_of_work_history SET hash = '{text}' WHERE unit = 'u-2'")
        with pytest.raises(ChainBroken, match="has no hash"):
            await log.integrate(10)
        assert await check(store) == 1

    on_stores(scene)


def test_two_sequencers_beside_writers_make_no_leaf_twice_and_lose_none(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        ended = False

        async def write(name: str) -> None:
            saving = GroupCommit(store.writer, SystemClock(), Heard())
            for number in range(15):
                await saving.save(*changes(2 * number, 2 * number + 1, name=name))
            await saving.close()

        async def sequence(log: SqlLog) -> int:
            added = 0
            while not ended:
                done = await log.integrate(7)
                added += 0 if done is None else done.added
                await asyncio.sleep(0)
            return added

        async with another(store) as other:
            both = [asyncio.create_task(sequence(log_of(each))) for each in (store, other)]
            await asyncio.gather(*(write(f"w{n}") for n in range(4)))
            ended = True
            added = await asyncio.gather(*both)
        await take_in(log_of(store))
        assert await check(store) == 120
        assert sum(added) <= 120
        assert len({row.unit for row in await leaves(store)}) == 120

    on_stores(scene)


def test_who_comes_second_leaves_it_to_the_first(on_stores: OnStores, databases: tuple[str, str]) -> None:
    only_on_postgresql(databases)

    async def scene(store: Any) -> None:
        await save(store, *changes(1))
        async with another(store) as other:
            async with other.writer.begin() as connection:
                await connection.execute(text("SELECT * FROM log_state FOR UPDATE"))
                assert await log_of(store).integrate(10) is None
            assert await log_of(store).integrate(10) == Integrated(added=1, size=1)

    on_stores(scene)


# --- transactions that commit in another order than they were numbered ------------------------------------


def test_an_entry_numbered_early_and_committed_late_is_waited_for(
    on_stores: OnStores, databases: tuple[str, str]
) -> None:
    only_on_postgresql(databases)

    async def scene(store: Any) -> None:
        log = log_of(store)
        await save(store, *changes(0))
        await log.integrate(10)
        async with store.transaction() as early:
            await early.save(*changes(1))
            await save(store, *changes(2))
            # Here a cursor that only knows `seq > last` sees the later number, and passes by the earlier one.
            assert await _plain_cursor(store, after=1) == [3]
            assert await log.integrate(10) == Integrated(added=0, size=1)
            lag = await log.lag()
            assert lag.entries == 1
            assert lag.xmin_age >= 2
        assert await _plain_cursor(store, after=3) == [], "the plain cursor would have lost it for good"
        assert await log.integrate(10) == Integrated(added=2, size=3)
        assert await log.lag() == Lag(entries=0, xmin_age=0)
        assert [row.unit for row in await leaves(store)] == ["u-0", "u-1", "u-2"]
        assert await check(store) == 3

    on_stores(scene)


async def _plain_cursor(store: Any, after: int) -> Sequence[int]:
    seq = units_of_work_history.c.seq
    async with store.reading.connect() as connection:
        return list((await connection.execute(select(seq).where(seq > after).order_by(seq))).scalars())


def test_the_order_is_that_of_transactions_not_of_numbers(
    on_stores: OnStores, databases: tuple[str, str]
) -> None:
    only_on_postgresql(databases)

    async def scene(store: Any) -> None:
        log = log_of(store)
        await save(store, *changes(0))
        async with store.writer.begin() as connection:
            first = SqlTransaction(connection, NOW)
            await first.save(*changes(1))
            await save(store, *changes(2))
            await first.save(*changes(3))
        await take_in(log)
        assert [row.unit for row in await leaves(store)] == ["u-0", "u-1", "u-3", "u-2"]
        await save(store, *changes(4))
        await take_in(log)
        assert await check(store) == 5

    on_stores(scene)


def test_writers_who_dawdle_lose_nothing(on_stores: OnStores, databases: tuple[str, str]) -> None:
    only_on_postgresql(databases)

    async def scene(store: Any) -> None:
        log, writing = log_of(store), 6

        async def write(name: str) -> None:
            nonlocal writing
            for number in range(8):
                async with store.writer.begin() as connection:
                    await connection.execute(_LINE, {"unit": f"{name}-{number}"})
                    await asyncio.sleep(0.002 * (number % 3))
            writing -= 1

        async def sequence() -> None:
            while writing:
                await log.integrate(3)
                await asyncio.sleep(0)

        await asyncio.gather(sequence(), *(write(f"w{n}") for n in range(6)))
        await take_in(log)
        assert len({row.unit for row in await leaves(store)}) == await check(store) == 48

    on_stores(scene)


_LINE = insert(units_of_work_history).values(
    {**dict.fromkeys(HISTORY_COLUMNS, ""), "unit": bindparam("unit"), "version": 1, "hash": "ab" * 32}
)


def test_a_database_on_a_server_that_numbers_anew_is_noticed(
    on_stores: OnStores, databases: tuple[str, str]
) -> None:
    only_on_postgresql(databases)

    async def scene(store: Any) -> None:
        await save(store, *changes(1, 2))
        await log_of(store).integrate(1)
        await store.sql("UPDATE log_state SET tx = tx + 1000000000")
        with pytest.raises(ChainBroken, match="was moved to another one"):
            await log_of(store).integrate(1)
        assert (await leaves(store))[0].unit == "u-1"

    on_stores(scene)


# --- checkpoints and cosignatures -------------------------------------------------------------------------


def checkpoint(size: int, note: str = "note", origin: str = ORIGIN) -> SignedCheckpoint:
    text = f"{origin}\n{note} \u2014\n"
    return SignedCheckpoint(size=size, root=bytes([size]) * 32, note=text.encode(), signed_at=NOW)


def test_a_checkpoint_is_kept_as_it_was_first_signed(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        log = log_of(store)
        for size in (2, 10, 9):
            await log.add_checkpoint(checkpoint(size))
        await log.add_checkpoint(checkpoint(10, "another"))
        assert await log.latest() == checkpoint(10)

    on_stores(scene)


@pytest.mark.parametrize(
    "former", ["log.example/penelope", f"{ORIGIN}/2", ORIGIN[:-1], "log.example/_enelope", "%"]
)
def test_what_a_log_of_another_name_has_signed_is_passed_by(on_stores: OnStores, former: str) -> None:
    async def scene(store: Any) -> None:
        log, other = log_of(store), log_of(store, former)
        for size in (2, 10):
            await other.add_checkpoint(checkpoint(size, origin=former))
            await other.add_cosignature(size, "w", f"line {size}", NOW)
        assert (await log.latest(), await log.cosigned("w")) == (None, 0)
        assert [await log.taken(size) for size in (2, 3, 10)] == [True, False, True]
        await log.add_checkpoint(checkpoint(3))
        await log.add_cosignature(3, "w", "line 3", NOW)
        assert (await log.latest(), await log.cosigned("w")) == (checkpoint(3), 3)
        assert (await other.latest(), await other.cosigned("w")) == (checkpoint(10, origin=former), 10)

    on_stores(scene)


def test_of_two_processes_that_keep_the_same_checkpoint_both_are_content(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with another(store) as other:
            both = [log_of(each) for each in (store, other)]
            for size in range(1, 20):
                await asyncio.gather(*(log.add_checkpoint(checkpoint(size)) for log in both))
                await asyncio.gather(*(log.add_cosignature(size, "w", f"line {size}", NOW) for log in both))
        assert await log_of(store).latest() == checkpoint(19)
        assert await log_of(store).cosignatures(19) == ["line 19"]

    on_stores(scene)


def test_cosignatures_are_kept_by_size_and_witness(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        log = log_of(store)
        assert await log.cosigned("w.example/1") == 0
        for size, witness in (
            (2, "w.example/2"),
            (2, "w.example/1"),
            (10, "w.example/1"),
            (9, "w.example/1"),
        ):
            await log.add_cosignature(size, witness, f"{witness} {size}", NOW)
        await log.add_cosignature(2, "w.example/1", "another", NOW)
        assert await log.cosignatures(2) == ["w.example/1 2", "w.example/2 2"]
        assert await log.cosignatures(3) == []
        assert (await log.cosigned("w.example/1"), await log.cosigned("w.example/2")) == (10, 2)

    on_stores(scene)
