"""Saves of many callers at once: each whole or not at all, and nobody's trouble is another's."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import DBAPIError, OperationalError

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.signal import Severity
from penelope.domain.work import Change, Entry
from penelope.errors import AppendConflict, ChainBroken, EntryTooLarge, Unavailable
from penelope.flow.ports import Observer
from penelope.flow.records import of_incident
from penelope.kit.clock import SystemClock
from penelope.store import database, group
from penelope.store.database import open_engine
from penelope.store.group import GroupCommit
from penelope.store.tables import local_actors, units_of_work_history

OnStores = Callable[[Any], None]

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


def change(unit: str = "u", status: str = "made", **changes: Any) -> Change:
    made = Change(
        unit=unit,
        kind="approval",
        incident="inc_1",
        status=status,
        attributes={"n": 1},
        event="Saved",
        actor="penelope",
        reason="because",
    )
    return replace(made, **changes)


def opened(identifier: str) -> Change:
    incident = Incident(
        id=identifier,
        service="shop",
        fingerprint="problem",
        name="Broken",
        severity=Severity.ERROR,
        state=IncidentState.RECEIVED,
        opened_at=NOW,
        updated_at=NOW,
        signal_count=1,
    )
    return of_incident(incident, "IncidentOpened", "it burns")


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def entry_recorded(self, entry: Entry) -> None:
        self.entries.append(entry)


@asynccontextmanager
async def grouping(store: Any, observer: Observer | None = None) -> AsyncIterator[GroupCommit]:
    made = GroupCommit(store.writer, SystemClock(), observer or Heard())
    try:
        yield made
    finally:
        await made.close()


async def outcomes(*saves: Any) -> list[Any]:
    return await asyncio.gather(*saves, return_exceptions=True)


def winners(found: list[Any]) -> list[Any]:
    """What was saved, after all others were seen to have met another writer."""
    assert {type(each) for each in found if isinstance(each, BaseException)} <= {AppendConflict}
    return [each for each in found if not isinstance(each, BaseException)]


async def count(store: Any, table: Any = units_of_work_history) -> int:
    async with store.reading.connect() as connection:
        return int(await connection.scalar(select(func.count()).select_from(table)))


@contextmanager
def ticking() -> Iterator[list[float]]:
    """How long the loop left others alone, in seconds, as long as the block runs."""
    pauses: list[float] = []

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            pauses.append(time.monotonic() - last)
            last = time.monotonic()

    task = asyncio.get_running_loop().create_task(tick())
    try:
        yield pauses
    finally:
        task.cancel()


# --- many at once -----------------------------------------------------------------------------------------


def test_two_hundred_savers_of_whom_some_want_the_same_unit(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        heard = Heard()
        async with grouping(store, heard) as saving:
            for version in range(3):
                own = [saving.save(change(f"own-{n}", f"s{version}", version=version)) for n in range(180)]
                same = [
                    saving.save(change("same", f"s{version}", version=version, reason=f"by {n}"))
                    for n in range(20)
                ]
                # Mixed, so that those who lose stand between those who do not.
                mixed = [save for pair in zip(own, [*same, *[None] * 160], strict=True) for save in pair]
                found = await outcomes(*[save for save in mixed if save is not None])
                won = winners(found)
                assert len(won) == 181
                assert sum(entries[0].unit == "same" for entries in won) == 1
        assert await count(store) == len(heard.entries) == 3 * 181
        history = await store.reader.history("same", 0, 10)
        assert [entry.version for entry in history] == [1, 2, 3]
        assert await store.flaws() == []

    on_stores(scene)


def test_more_savers_than_one_commit_takes(on_stores: OnStores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "MOST_SAVES", 3)

    async def scene(store: Any) -> None:
        async with grouping(store) as saving:
            found = await asyncio.gather(*(saving.save(change(f"u{n}")) for n in range(10)))
        assert [entries[0].unit for entries in found] == [f"u{n}" for n in range(10)]
        assert await count(store) == 10

    on_stores(scene)


def test_two_processes_save_the_same_units(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        other = replace(store, writer=open_engine(store.writer.url))
        try:
            async with grouping(store) as one, grouping(other) as two:
                actors = {"actor": "key:ada"}  # whom neither knows
                found = await outcomes(
                    *(one.save(change(f"u{n}", version=0, **actors)) for n in range(30)),
                    *(two.save(change(f"u{n}", version=0, reason="other", **actors)) for n in range(30)),
                )
        finally:
            await other.writer.dispose()
        assert sorted(entries[0].unit for entries in winners(found)) == sorted(f"u{n}" for n in range(30))
        assert await count(store) == 30
        assert await count(store, local_actors) == 1
        assert await store.flaws() == []

    on_stores(scene)


def test_of_two_incidents_about_one_problem_one_is_opened(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with grouping(store) as saving:
            found = await outcomes(
                saving.save(change("before")),
                saving.save(opened("inc_1"), change("plan-1")),
                saving.save(opened("inc_2"), change("plan-2")),
                saving.save(change("after")),
            )
        assert isinstance(found[2], AppendConflict)
        assert [[entry.unit for entry in found[n]] for n in (0, 1, 3)] == [
            ["before"],
            ["inc_1", "plan-1"],
            ["after"],
        ]
        assert await count(store) == 4, "the save that lost is there in part"
        assert await store.flaws() == []

    on_stores(scene)


# --- what one caller does wrong ---------------------------------------------------------------------------


def nested(depth: int) -> Any:
    made: Any = 1
    for _ in range(depth):
        made = [made]
    return made


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (change("bad", attributes={"n": float("nan")}), ValueError),
        (change("bad", attributes={"n": object()}), TypeError),
        (change("bad", attributes={"n": nested(100_000)}), (ValueError, RecursionError)),
        (change("bad", attributes={"n": "\ud800"}), ValueError),
        (change("bad", status="s" * 70_000), EntryTooLarge),
        (change("bad", version=7), AppendConflict),
        (change("bad-\ud800"), (ValueError, TypeError)),
        (change("bad", actor="\ud800"), (ValueError, TypeError)),
    ],
    ids=["nan", "type", "deep", "surrogate", "large", "version", "unit", "actor"],
)
def test_a_bad_change_fails_alone_and_whole(
    on_stores: OnStores, bad: Change, error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    async def scene(store: Any) -> None:
        heard = Heard()
        async with grouping(store, heard) as saving:
            first, failed, last = await outcomes(
                saving.save(change("first")),
                saving.save(change("beside"), bad),
                saving.save(change("last"), change("last", "again")),
            )
        assert isinstance(failed, error)
        assert [entry.unit for entry in (*first, *last)] == ["first", "last", "last"]
        assert [entry.unit for entry in heard.entries] == ["first", "last", "last"]
        assert await count(store) == 3
        assert await store.flaws() == []

    on_stores(scene)


def test_a_zero_byte_that_postgresql_cannot_hold_fails_alone(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with grouping(store) as saving:
            first, name, actor, last = await outcomes(
                saving.save(change("first")),
                saving.save(change("zero\0")),
                saving.save(change("zero", actor="a\0b")),
                saving.save(change("last")),
            )
        assert (first[0].unit, last[0].unit) == ("first", "last")
        if store.writer.dialect.name == "postgresql":
            assert isinstance(name, ValueError)
            assert isinstance(actor, ValueError)
        assert await store.flaws() == []

    on_stores(scene)


def test_a_unit_that_something_else_has_changed_fails_alone(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with grouping(store) as saving:
            await saving.save(change("sound"), change("victim"))
            assert await store.tamper("UPDATE units_of_work SET attributes = '{}' WHERE id = 'victim'") == 1
            sound, victim, fresh = await outcomes(
                saving.save(change("sound", "next")),
                saving.save(change("victim", "next")),
                saving.save(change("fresh")),
            )
        assert isinstance(victim, ChainBroken)
        assert [entry.version for entry in (*sound, *fresh)] == [2, 1]
        assert await count(store) == 4

    on_stores(scene)


def test_a_caller_who_goes_away_takes_nobody_along(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with grouping(store) as saving:
            tasks = [asyncio.create_task(saving.save(change(f"u{n}"))) for n in range(3)]
            await asyncio.sleep(0)
            tasks[1].cancel()
            found = await outcomes(*tasks)
            assert isinstance(found[1], asyncio.CancelledError)
            assert (found[0][0].unit, found[2][0].unit) == ("u0", "u2")
            # It may be durable all the same, or not be there; the next save goes on from whatever is.
            (entry,) = await saving.save(change("u1", "next"))
        assert entry.version == len(await store.reader.history("u1", 0, 10))
        assert await store.flaws() == []

    on_stores(scene)


# --- what is answered -------------------------------------------------------------------------------------


def test_what_changes_nothing_makes_no_entry(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        heard = Heard()
        async with grouping(store, heard) as saving:
            assert len(await saving.save(change())) == 1
            assert await saving.save(change(reason="once more")) == []
            mixed = await saving.save(change(), change("v"), change(attributes={"n": 2}))
            assert [(entry.unit, entry.version) for entry in mixed] == [("v", 1), ("u", 2)]
            assert await saving.save() == []
        assert len(heard.entries) == await count(store) == 3

    on_stores(scene)


def test_entries_are_told_once_they_are_durable_and_before_the_caller_goes_on(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        url = store.writer.url
        plain = url.set(drivername="sqlite") if url.get_backend_name() == "sqlite" else url
        outside = create_engine(plain)

        class Looking(Heard):
            def entry_recorded(self, entry: Entry) -> None:
                with outside.connect() as connection:
                    wanted = units_of_work_history.c.hash == entry.hash
                    assert connection.scalar(select(units_of_work_history.c.seq).where(wanted))
                super().entry_recorded(entry)

        heard = Looking()
        try:
            async with grouping(store, heard) as saving:
                entries = await saving.save(change(), change("v"))
                assert heard.entries == list(entries)
        finally:
            outside.dispose()

    on_stores(scene)


def test_closing_waits_for_what_was_begun(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        saving = GroupCommit(store.writer, SystemClock(), Heard())
        tasks = [asyncio.create_task(saving.save(change(f"u{n}"))) for n in range(5)]
        await asyncio.sleep(0)
        await saving.close()
        assert await count(store) == 5
        assert all(task.done() for task in tasks)
        await asyncio.gather(*tasks)

    on_stores(scene)


def test_one_that_was_never_used_closes_too(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await GroupCommit(store.writer, SystemClock(), Heard()).close()
        assert await count(store) == 0

    on_stores(scene)


# --- a database that does not do as told ------------------------------------------------------------------


def test_every_caller_hears_of_a_failure_and_the_next_save_works(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with grouping(store) as saving:
            await saving.save(change("before"))
            await store.sql("ALTER TABLE history_payloads RENAME TO elsewhere")
            found = await outcomes(*(saving.save(change(f"u{n}", actor="key:new")) for n in range(20)))
            assert all(isinstance(each, DBAPIError) for each in found)
            assert len(found) == 20
            await store.sql("ALTER TABLE elsewhere RENAME TO history_payloads")
            (entry,) = await saving.save(change("u0", actor="key:new"))
        assert entry.version == 1
        assert await count(store) == 2
        async with store.reading.connect() as connection:
            query = select(local_actors.c.id).where(local_actors.c.name == "key:new")
            assert await connection.scalar(query) == entry.actor_id

    on_stores(scene)


def test_after_the_server_has_cut_all_connections_one_failure_is_enough(
    on_stores: OnStores, databases: tuple[str, str]
) -> None:
    if databases[0].startswith("sqlite"):
        pytest.skip("a file has no server")

    async def scene(store: Any) -> None:
        async def use() -> None:
            async with store.writer.connect() as connection:
                await connection.exec_driver_sql("SELECT pg_sleep(0.05)")

        await asyncio.gather(*(use() for _ in range(5)))  # so that the pool holds several
        async with grouping(store) as saving:
            await saving.save(change("before"))
            with psycopg.connect(databases[0], autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
            found = await outcomes(*(saving.save(change(f"u{n}")) for n in range(10)))
            assert all(isinstance(each, OperationalError) for each in found)
            (entry,) = await saving.save(change("after"))
        assert entry.version == 1
        assert await count(store) == 2

    on_stores(scene)


def test_while_a_transaction_has_the_unit_a_save_waits_and_the_loop_does_not(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with grouping(store) as saving:
            await saving.save(change("u"))
            with ticking() as pauses:
                async with store.transaction() as transaction:
                    await transaction.save(change("u", "theirs"))
                    late = asyncio.create_task(saving.save(change("u", "ours", version=1)))
                    takes = asyncio.create_task(saving.save(change("v", "ours")))
                    await asyncio.sleep(0.2)
                    assert not late.done()
                found, other = await outcomes(late, takes)
            assert isinstance(found, AppendConflict), (
                "it was decided on what the transaction had not committed"
            )
            assert other[0].version == 1
            assert len(pauses) > 10
            assert max(pauses) < 0.15
            (entry,) = await saving.save(change("u", "ours", version=2))
        assert entry.version == 3
        assert await store.flaws() == []

    on_stores(scene)


@contextmanager
def elsewhere(database: str, seconds: float) -> Iterator[None]:
    """Another process that writes for so long: to SQLite a connection in a thread is the same."""
    begun = threading.Event()

    def write() -> None:
        connection = sqlite3.connect(database, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        begun.set()
        time.sleep(seconds)
        connection.execute("COMMIT")
        connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        thread.join()


def only_on_sqlite(databases: tuple[str, str]) -> None:
    if not databases[0].startswith("sqlite"):
        pytest.skip("PostgreSQL locks rows, not the file")


def test_while_another_process_writes_a_save_waits_and_the_loop_does_not(
    on_stores: OnStores, databases: tuple[str, str]
) -> None:
    only_on_sqlite(databases)

    async def scene(store: Any) -> None:
        async with grouping(store) as saving:
            await saving.save(change("u"))
            with elsewhere(store.writer.url.database, 0.2), ticking() as pauses:
                began = time.monotonic()
                entries = await saving.save(change("v"))
                waited = time.monotonic() - began
            assert entries[0].unit == "v"
            assert 0.1 < waited < 0.4, "the lock was free long before"
            assert max(pauses) < 0.1

    on_stores(scene)


def test_a_transaction_of_the_story_waits_so_too(on_stores: OnStores, databases: tuple[str, str]) -> None:
    only_on_sqlite(databases)

    async def scene(store: Any) -> None:
        async with store.transaction() as transaction:
            await transaction.save(change("u"))
        with elsewhere(store.writer.url.database, 0.3), ticking() as pauses:
            async with store.transaction() as transaction:
                await transaction.save(change("v"))
        assert max(pauses) < 0.15
        assert await count(store) == 2

    on_stores(scene)


def test_what_tries_again_is_told_that_the_file_is_locked(
    on_stores: OnStores, databases: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The durable engine knows it by these words."""
    only_on_sqlite(databases)
    monkeypatch.setattr(database, "_PATIENCE_SECONDS", 0.05)

    async def scene(store: Any) -> None:
        async with store.transaction() as transaction:
            await transaction.save(change("u"))
        with (
            elsewhere(store.writer.url.database, 0.3),
            pytest.raises(OperationalError, match="database is locked"),
        ):
            async with store.transaction():
                pass
        async with store.transaction() as transaction:
            await transaction.save(change("v"))
        assert await count(store) == 2

    on_stores(scene)


def test_a_process_that_never_ends_writing_makes_it_unavailable(
    on_stores: OnStores, databases: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    only_on_sqlite(databases)
    monkeypatch.setattr(database, "_PATIENCE_SECONDS", 0.05)

    async def scene(store: Any) -> None:
        async with grouping(store) as saving:
            await saving.save(change("u"))
            with elsewhere(store.writer.url.database, 0.3):
                found = await outcomes(saving.save(change("v")), saving.save(change("w")))
            assert {type(each) for each in found} == {Unavailable}
            assert [entry.version for entry in await saving.save(change("v"))] == [1]

    on_stores(scene)


def test_an_error_that_is_not_about_the_lock_is_not_waited_for(
    on_stores: OnStores, databases: tuple[str, str]
) -> None:
    only_on_sqlite(databases)

    async def scene(store: Any) -> None:
        async with grouping(store) as saving:
            await saving.save(change("u"))
            saving._port._connection.execute("BEGIN")  # type: ignore[attr-defined]  # as if a round had left it open
            with pytest.raises(OperationalError, match="within a transaction"):
                await saving.save(change("v"))

    on_stores(scene)
