"""Interaction logs: batches that are there once, moments to the microsecond, and the buffer's accounts against the table."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from penelope.domain.log import LogLine, LogRecord, LogType
from penelope.domain.work import Entry
from penelope.flow import records
from penelope.kit.clock import Clock, SystemClock
from penelope.ledger.buffer import Limits, TelemetryBuffer
from penelope.ledger.losses import Loss
from penelope.store import logs
from penelope.store.database import open_engine
from penelope.store.group import GroupCommit
from penelope.store.logs import SqlLogs
from penelope.store.tables import interaction_logs, log_batches
from penelope.testing.telemetry import FakeObserver

OnStores = Callable[[Any], None]

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 10**9


class At:
    """A clock that stands where it is put."""

    def __init__(self, now: datetime = NOW) -> None:
        self.moment = now

    def now(self) -> datetime:
        return self.moment


class Heard:
    def entry_recorded(self, entry: Entry) -> None:
        """Nobody asks."""


def lines(*numbers: int, **changes: Any) -> list[LogLine]:
    return [
        LogLine(NOW_NS + number * 1000, "TELEMETRY", "inc_1", "u", f"event-{number}", "{}", None)._replace(
            **changes
        )
        for number in numbers
    ]


def sink(store: Any, clock: Clock | None = None) -> SqlLogs:
    return SqlLogs(store.writer, clock or At())


async def written(store: Any) -> list[Any]:
    async with store.reading.connect() as connection:
        query = select(interaction_logs).order_by(interaction_logs.c.seq)
        return list((await connection.execute(query)).all())


async def events(store: Any) -> list[str]:
    return [row.event for row in await written(store)]


# --- batches ----------------------------------------------------------------------------------------------


def test_lines_are_stored_as_they_are_with_moments_in_utc(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        hard = 'a\tb\\N\n"\u2028\U0001f9f6'
        given = LogLine(
            NOW_NS + 1_234_567_899, "ERROR", "inc_1", "u", hard, '{"a":"\\u0000"}', '{"type":"E"}'
        )
        await sink(store).write("b1", [given, *lines(1)])
        first, second = await written(store)
        assert first.recorded_at == "2026-11-21T07:00:01.234567Z"
        assert tuple(first[2:]) == tuple(given[1:])
        assert (second.error, second.seq) == (None, first.seq + 1)

    on_stores(scene)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "1970-01-01T00:00:00.000000Z"), (-1, "1969-12-31T23:59:59.999999Z")],
)
def test_any_moment_that_a_calendar_has_is_kept(on_stores: OnStores, nanoseconds: int, text: str) -> None:
    async def scene(store: Any) -> None:
        await sink(store).write("b", lines(1, recorded_at_ns=nanoseconds))
        assert (await written(store))[0].recorded_at == text

    on_stores(scene)


def test_a_batch_that_comes_twice_is_there_once(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await sink(store).write("b1", lines(1, 2))
        await sink(store).write("b1", lines(1, 2))
        await sink(store).write("b2", lines(3))
        assert await events(store) == ["event-1", "event-2", "event-3"]

    on_stores(scene)


def test_batches_that_come_at_once_are_each_there_once(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        other = replace(store, writer=open_engine(store.writer.url))
        try:
            await asyncio.gather(
                *(
                    sink(each).write(f"b{n}", lines(2 * n, 2 * n + 1))
                    for n in range(8)
                    for each in (store, other)
                )
            )
        finally:
            await other.writer.dispose()
        assert sorted(await events(store)) == sorted(f"event-{n}" for n in range(16))

    on_stores(scene)


def test_what_fails_is_not_there_and_not_remembered(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await store.sql("ALTER TABLE interaction_logs RENAME TO elsewhere")
        with pytest.raises(Exception, match="interaction_logs") as caught:
            await sink(store).write("b1", lines(1))
        assert not isinstance(caught.value, ValueError | TypeError), "it may pass"
        await store.sql("ALTER TABLE elsewhere RENAME TO interaction_logs")
        await sink(store).write("b1", lines(1))
        assert await events(store) == ["event-1"]

    on_stores(scene)


def test_a_constraint_that_has_nothing_to_do_with_the_batch_is_told(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await store.sql("CREATE UNIQUE INDEX odd ON interaction_logs (event)")
        with pytest.raises(Exception, match=r"interaction_logs|odd") as caught:
            await sink(store).write("b1", lines(1, 1))
        assert not isinstance(caught.value, ValueError | TypeError)
        assert await events(store) == []

    on_stores(scene)


def test_a_batch_is_remembered_for_a_week(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        clock = At()
        for days in (0, 6, 8):
            clock.moment = NOW + timedelta(days=days)
            await sink(store, clock).write(f"b{days}", lines(days))
        async with store.reading.connect() as connection:
            found = (await connection.execute(select(log_batches.c.id).order_by(log_batches.c.id))).scalars()
            assert list(found) == ["b6", "b8"]
        assert len(await written(store)) == 3

    on_stores(scene)


@pytest.mark.parametrize(
    "bad",
    [
        {"recorded_at_ns": 10**30},
        {"recorded_at_ns": -(10**21)},
        {"recorded_at_ns": "soon"},
        {"event": "\ud800"},
    ],
    ids=["far", "long ago", "no number", "surrogate"],
)
def test_what_can_never_be_written_is_said_to_be_so(on_stores: OnStores, bad: dict[str, Any]) -> None:
    async def scene(store: Any) -> None:
        with pytest.raises((ValueError, TypeError)):
            await sink(store).write("b1", [*lines(1), *lines(2, **bad)])
        assert await events(store) == []
        await sink(store).write("b1", lines(1))
        assert await events(store) == ["event-1"]

    on_stores(scene)


@pytest.mark.parametrize("name", ["event", "instance", "details"])
def test_a_zero_byte_is_no_text_to_postgresql(
    on_stores: OnStores, databases: tuple[str, str], name: str
) -> None:
    if databases[0].startswith("sqlite"):
        pytest.skip("SQLite takes it")

    async def scene(store: Any) -> None:
        with pytest.raises(ValueError, match="cannot hold"):
            await sink(store).write("b1", [*lines(1), *lines(2, **{name: "a\0b"})])
        assert await events(store) == []
        with pytest.raises(ValueError, match="cannot hold"):
            await sink(store).write("b\0", lines(1))

    on_stores(scene)


def test_a_write_that_takes_too_long_is_given_up(
    on_stores: OnStores, databases: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if databases[0].startswith("sqlite"):
        pytest.skip("on SQLite a write does not wait")
    monkeypatch.setattr(logs, "_LONGEST_SECONDS", 0.2)

    async def scene(store: Any) -> None:
        async with store.writer.begin() as connection:
            await connection.exec_driver_sql("LOCK TABLE interaction_logs")
            with pytest.raises(TimeoutError):
                await sink(store).write("b1", lines(1))
        await sink(store).write("b1", lines(1))
        assert await events(store) == ["event-1"]

    on_stores(scene)


# --- together with the buffer -----------------------------------------------------------------------------


def record(number: int, **changes: Any) -> LogRecord:
    return LogRecord(
        **{"log_type": LogType.TELEMETRY, "event": f"e{number}", "details": {"n": number}, **changes}
    )


def test_the_buffers_accounts_are_those_of_the_table(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        ledger = GroupCommit(store.writer, SystemClock(), Heard())
        told: list[Loss] = []

        async def on_loss(loss: Loss) -> None:
            await ledger.save(records.of_loss(loss))
            if not told:
                told.append(loss)
                raise OSError("the answer was lost on its way")
            told.append(loss)

        limits = Limits(capacity=200, batch=30, interval_seconds=0.01)
        buffer = TelemetryBuffer(sink(store), on_loss, FakeObserver(), limits=limits)
        running = asyncio.create_task(buffer.run())
        accepted = []
        for number in range(500):
            # Every hundredth is made at a moment that no calendar has: only the sink can tell.
            changes = {"recorded_at_ns": 10**30} if number % 100 == 99 else {}
            if buffer.record(record(number, **changes)):
                accepted.append(number)
            if number % 50 == 49:
                await asyncio.sleep(0.02)
        running.cancel()
        await asyncio.wait([running])
        await buffer.flush_all(5)
        counts = buffer.counts()
        lost = [number for number in accepted if number % 100 == 99]
        assert (counts.accepted, counts.waiting, counts.lost) == (len(accepted), 0, len(lost))
        assert counts.accepted + counts.refused == 500
        found = [orjson.loads(row.details)["n"] for row in await written(store)]
        assert sorted(found) == sorted(set(accepted) - set(lost))
        assert counts.flushed == len(found)
        await _check_losses(store, ledger, told)

    on_stores(scene)


async def _check_losses(store: Any, ledger: GroupCommit, told: Sequence[Loss]) -> None:
    """Each loss is one entry, however often it was reported."""
    assert told[0].id == told[1].id, "the one whose answer was lost was not reported again"
    await ledger.save(records.of_loss(told[-1]))
    entries = await store.reader.entries(incident=None, after=0, limit=100)
    distinct = {loss.id: loss for loss in told}
    assert [entry.event for entry in entries] == ["TelemetryLost"] * len(distinct)
    assert [entry.details["records"] for entry in entries] == [loss.records for loss in distinct.values()]
    assert {entry.unit for entry in entries} == {f"telemetry:{loss}" for loss in distinct}
    assert await store.flaws() == []
    await ledger.close()


def test_while_the_database_is_away_nothing_accepted_is_lost(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async def on_loss(loss: Loss) -> None:
            raise AssertionError(loss)

        limits = Limits(capacity=100, batch=10, interval_seconds=0.01)
        buffer = TelemetryBuffer(sink(store), on_loss, FakeObserver(), limits=limits)
        await store.sql("ALTER TABLE interaction_logs RENAME TO elsewhere")
        accepted = sum(buffer.record(record(number)) for number in range(150))
        with pytest.raises((DBAPIError, Exception), match="interaction_logs"):
            await buffer.flush()
        await store.sql("ALTER TABLE elsewhere RENAME TO interaction_logs")
        await buffer.flush_all(5)
        assert accepted == 100
        assert await events(store) == [f"e{number}" for number in range(100)]
        assert buffer.counts().flushed == 100

    on_stores(scene)
