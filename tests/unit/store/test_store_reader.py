"""What screens read: pages, counts, histories; and no reader waits for a writer."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.signal import Severity
from penelope.domain.work import Change
from penelope.errors import AppendConflict
from penelope.flow.records import of_incident
from penelope.ledger.merkle import EMPTY_ROOT, Tree
from penelope.store.log import SqlLog

OnStores = Callable[[Any], None]

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


def incident(number: int, state: IncidentState = IncidentState.RECEIVED, **changes: Any) -> Incident:
    made = Incident(
        id=f"inc_{number:03}",
        service="shop",
        fingerprint=f"problem-{number}",
        name="Broken",
        severity=Severity.ERROR,
        state=state,
        opened_at=NOW + timedelta(seconds=number),
        updated_at=NOW,
        signal_count=1,
    )
    return replace(made, **changes)


def opened(number: int, state: IncidentState = IncidentState.RECEIVED) -> Change:
    return of_incident(incident(number, state), "IncidentOpened", "a test says so")


def other(unit: str, of: str = "inc_001", **changes: Any) -> Change:
    made = Change(
        unit=unit,
        kind="decision",
        incident=of,
        status="made",
        attributes={"n": 1.5, "ü": ["☃", None, True]},
        event="DecisionMade",
        actor="penelope",
        reason="because",
        details={"why": "x" * 10},
    )
    return replace(made, **changes)


def test_pages_go_from_the_newest_to_the_oldest(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with store.transaction() as transaction:
            await transaction.save(*(opened(number) for number in range(10)))
        seen: list[Any] = []
        while page := await store.reader.incidents(
            states=(), before=seen[-1]["id"] if seen else None, limit=4
        ):
            assert len(page) in {4, 2}
            seen += page
        assert [item["id"] for item in seen] == [f"inc_{number:03}" for number in reversed(range(10))]
        assert seen[0]["opened_at"] == "2026-11-21T07:00:09Z"

    on_stores(scene)


def test_incidents_are_found_and_counted_by_state(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        states = [IncidentState.HEALED, IncidentState.ESCALATED, IncidentState.HEALED, IncidentState.ACTING]
        async with store.transaction() as transaction:
            await transaction.save(*(opened(number, state) for number, state in enumerate(states)))
        assert await store.reader.counts() == {"healed": 2, "escalated": 1, "acting": 1}
        wanted = {IncidentState.HEALED, IncidentState.ACTING}
        found = await store.reader.incidents(states=wanted, before=None, limit=9)
        assert [item["id"] for item in found] == ["inc_003", "inc_002", "inc_000"]
        async with store.transaction() as transaction:
            await transaction.save(opened(3, IncidentState.HEALED))
        assert await store.reader.counts() == {"healed": 3, "escalated": 1}
        assert await store.reader.incident("inc_003") == incident(3, IncidentState.HEALED)
        assert await store.reader.incident("inc_777") is None

    on_stores(scene)


def test_only_an_incident_is_read_as_one(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with store.transaction() as transaction:
            await transaction.save(opened(1), other("inc_001:decision"))
        assert await store.reader.incident("inc_001:decision") is None

    on_stores(scene)


def test_units_and_entries_keep_their_order_and_their_values(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        later = NOW + timedelta(microseconds=1)
        async with store.transaction() as transaction:
            await transaction.save(opened(1), other("z"), opened(2), other("y", of="inc_002"))
            told = transaction.entries
        async with store.transaction(later) as transaction:
            await transaction.save(other("a"), other("z", status="again", details={}))
            told += transaction.entries
        units = await store.reader.units("inc_001")
        assert [(unit.id, unit.version) for unit in units] == [("inc_001", 1), ("z", 2), ("a", 1)]
        assert units[1].attributes == {"n": 1.5, "ü": ["☃", None, True]}
        assert (units[1].updated_at, units[2].updated_at) == (later, later)
        entries = await store.reader.entries(incident=None, after=0, limit=99)
        assert [replace(entry, seq=0) for entry in entries] == list(told)
        assert [entry.seq for entry in entries] == sorted({entry.seq for entry in entries})
        assert [entry.unit for entry in entries] == ["inc_001", "z", "inc_002", "y", "a", "z"]
        mine = await store.reader.entries(incident="inc_001", after=entries[0].seq, limit=2)
        assert [entry.unit for entry in mine] == ["z", "a"]
        assert await store.reader.entries(incident=None, after=entries[-1].seq, limit=9) == []
        assert await store.reader.units("inc_777") == []

    on_stores(scene)


def test_the_head_is_over_the_log_in_order(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        empty = await store.verification.head()
        assert (empty.size, empty.root) == (0, EMPTY_ROOT.hex())
        async with store.transaction() as transaction:
            await transaction.save(*(other(f"unit-{number}") for number in (3, 1, 2)))
            leaves = [bytes.fromhex(entry.hash) for entry in transaction.entries]
        await SqlLog(store.writer, store.reading, "log").integrate(9)
        head = await store.verification.head()
        assert (head.size, head.root) == (3, Tree(leaves).root().hex())

    on_stores(scene)


def test_a_reader_cannot_write_on_sqlite(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        if store.reading.dialect.name != "sqlite":
            return
        async with store.reading.connect() as connection:
            with pytest.raises(DBAPIError, match="readonly"):
                await connection.exec_driver_sql("DELETE FROM incidents")

    on_stores(scene)


def test_readers_and_writers_do_not_wait_for_each_other(on_stores: OnStores) -> None:
    """A page is of one moment however long it takes, and what is not committed is not seen."""

    async def scene(store: Any) -> None:
        async with store.transaction() as transaction:
            await transaction.save(opened(1), other("inc_001:decision"))
        async with asyncio.timeout(20), store.transaction() as transaction:
            await transaction.save(opened(2))
            # In the middle of a write: 20 readers at once see what was there before.
            read = (store.reader.entries(incident=None, after=0, limit=9) for _ in range(20))
            assert {len(entries) for entries in await asyncio.gather(*read)} == {2}
        assert len(await store.reader.entries(incident=None, after=0, limit=9)) == 3

    on_stores(scene)


def test_the_ledger_can_be_walked_while_it_grows(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        stop, log = asyncio.Event(), SqlLog(store.writer, store.reading, "log")

        async def write(name: str) -> int:
            written = 0
            while not stop.is_set():
                changes = (other(name, attributes={"n": written}), other(f"{name}-{written}"))
                with suppress(
                    AppendConflict, DBAPIError
                ):  # PostgreSQL: too near to another writer, as the engine would find out
                    async with store.transaction() as transaction:
                        await transaction.save(*changes)
                    written += 1
                await asyncio.sleep(0)
            return written

        async def walk() -> list[Any]:
            found = []
            for _ in range(10):
                await log.integrate(512)
                found += await store.flaws()
            stop.set()
            return found

        flaws, *written = await asyncio.gather(walk(), *(write(f"writer-{number}") for number in range(3)))
        assert flaws == []
        assert min(written) > 0
        await log.integrate(2 * sum(written))
        assert (await store.verification.head()).size == 2 * sum(written)

    on_stores(scene)
