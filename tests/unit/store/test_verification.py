"""Drift of one unit, histories in pages, what may be missing, and what cannot be read any more."""

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from penelope.domain.work import Change
from penelope.errors import ChainBroken
from penelope.ledger.erasures import Erased
from penelope.store.damage import damage_in
from penelope.store.database import open_reader, parse_url
from penelope.store.log import SqlLog
from penelope.store.verification import SqlVerification

OnStores = Callable[[Any], None]

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


async def save(store: Any, *numbers: int, unit: str = "unit") -> None:
    for number in numbers:
        change = Change(
            unit=unit,
            kind="decision",
            incident="inc_1",
            status=f"made-{number}",
            attributes={"number": number, "deep": {"er": [number, 0]}},
            event="DecisionMade",
            actor="key:ada",
            reason="because",
        )
        async with store.transaction(NOW + timedelta(seconds=number)) as transaction:
            await transaction.save(change)


# --- one unit ---------------------------------------------------------------------------------------------


def test_a_unit_that_nobody_touched_has_not_drifted(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await save(store, 1, 2, 3)
        drift = await store.verification.state_drift("unit")
        assert (drift.unit, drift.version, drift.paths, drift.flaws) == ("unit", 3, [], [])
        assert await store.verification.state_drift("nowhere") is None

    on_stores(scene)


def test_the_paths_that_differ_are_named(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await save(store, 1, 2)
        await store.tamper(
            """UPDATE units_of_work SET attributes = '{"deep":{"er":[2,9]},"number":2}', status = 'x'"""
        )
        drift = await store.verification.state_drift("unit")
        assert drift.paths == ["/deep/er/1"]
        problems = {flaw.problem for flaw in drift.flaws}
        assert {"its attributes were altered", "its status was altered"} <= problems

    on_stores(scene)


@pytest.mark.parametrize("attributes", ["{", "null", ""])
def test_attributes_that_are_none_differ_as_a_whole(on_stores: OnStores, attributes: str) -> None:
    async def scene(store: Any) -> None:
        await save(store, 1)
        await store.tamper(f"UPDATE units_of_work SET attributes = '{attributes}'")
        drift = await store.verification.state_drift("unit")
        assert drift.paths == [""]
        assert drift.flaws

    on_stores(scene)


def test_a_history_without_payloads_cannot_be_followed(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await save(store, 1, 2)
        await store.sql("DELETE FROM history_payloads WHERE version = 1")
        drift = await store.verification.state_drift("unit")
        assert drift.paths is None
        assert [flaw.problem for flaw in drift.flaws] == [
            "its payload is gone though retention did not take it"
        ]

    on_stores(scene)


def test_a_unit_whose_state_is_gone_has_only_flaws(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await save(store, 1)
        await store.tamper("DELETE FROM units_of_work")
        drift = await store.verification.state_drift("unit")
        assert (drift.version, drift.paths) == (0, None)
        assert [flaw.problem for flaw in drift.flaws] == ["has history but no state"]

    on_stores(scene)


def test_a_history_is_read_in_pages(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await save(store, 1, 2, 3)
        await save(store, 4, unit="other")
        first = await store.reader.history("unit", 0, 2)
        rest = await store.reader.history("unit", first[-1].version, 2)
        assert [entry.version for entry in (*first, *rest)] == [1, 2, 3]
        assert {entry.unit for entry in (*first, *rest)} == {"unit"}
        assert rest[0].reason == "because"
        assert await store.reader.history("nowhere", 0, 2) == []

    on_stores(scene)


# --- what may be missing ----------------------------------------------------------------------------------


def test_a_payload_may_be_missing_where_the_ledger_says_so(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await save(store, 1, 2)
        first, second = await store.reader.history("unit", 0, 9)
        erased = Erased(subject="act_1", count=1, reason="ticket", seqs=((first.seq, first.seq),))
        async with store.transaction() as transaction:
            await transaction.save(erased.change("ers_1"))
        await store.sql("DELETE FROM history_payloads WHERE unit = 'unit'")
        (flaw,) = await store.flaws()
        assert (flaw.unit, flaw.version, flaw.seq) == ("unit", 2, second.seq)
        # A record that was altered excuses nothing.
        await store.tamper("UPDATE units_of_work SET attributes = '{}' WHERE id <> 'unit'")
        flaws = await store.flaws()
        assert {("unit", 1), ("unit", 2)} <= {(flaw.unit, flaw.version) for flaw in flaws}

    on_stores(scene)


# --- guards, and what cannot be read ----------------------------------------------------------------------


def test_each_guard_that_is_gone_is_a_flaw(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        assert [flaw async for flaw in store.verification.flaws()] == []
        on = "" if store.writer.dialect.name == "sqlite" else " ON log_leaves"
        await store.sql(f"DROP TRIGGER guard_log_leaves_update{on}")
        (flaw,) = [flaw async for flaw in store.verification.flaws()]
        assert (flaw.unit, flaw.version) == ("database", 0)
        assert flaw.problem == "the guard guard_log_leaves_update is not in force"

    on_stores(scene)


def test_a_table_that_is_gone_is_a_flaw_on_sqlite(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        if store.writer.dialect.name != "sqlite":
            pytest.skip("what PostgreSQL says of a table that is not there is no damage of its files")
        await save(store, 1)
        await store.tamper("DROP TABLE local_actors")
        flaws = await store.flaws()
        assert ("unit", "cannot be read any more: no such table: local_actors") in {
            (flaw.unit, flaw.problem) for flaw in flaws
        }

    on_stores(scene)


def test_bytes_that_are_no_text_hide_only_their_own_row(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        if store.writer.dialect.name != "sqlite":
            pytest.skip("PostgreSQL takes no such text")
        for number in range(9):
            await save(store, 1, unit=f"unit-{number}")
        await SqlLog(store.writer, store.reading, "log").integrate(99)
        for column, unit in (("body", "unit-3"), ("recorded_at", "unit-7")):
            await store.tamper(
                f"UPDATE units_of_work_history SET {column} = CAST(x'7bff' AS TEXT) WHERE unit = '{unit}'"
            )
        await store.tamper("UPDATE units_of_work SET status = 'x' WHERE id = 'unit-5'")
        flaws = await store.flaws()
        assert {flaw.unit for flaw in flaws} == {"unit-3", "unit-5", "unit-7", "log"}
        (lost,) = [flaw.problem for flaw in flaws if flaw.problem.startswith("entry 3")]
        assert "cannot be read any more" in lost

    on_stores(scene)


@pytest.mark.parametrize("value", ["x'00ff'", "1.5", "12"])
def test_a_value_of_another_type_is_a_flaw_and_no_error(on_stores: OnStores, value: str) -> None:
    async def scene(store: Any) -> None:
        if store.writer.dialect.name != "sqlite":
            pytest.skip("PostgreSQL holds columns to their types")
        for table, columns in (
            ("units_of_work", ("attributes", "version", "updated_at", "status")),
            ("units_of_work_history", ("body", "version", "recorded_at", "tx", "unit", "hash")),
            ("history_payloads", ("salt", "body", "version")),
        ):
            for column in columns:
                await save(store, 1, unit=f"{table}-{column}")
                await SqlLog(store.writer, store.reading, "log").integrate(9)
                where = f"{'id' if table == 'units_of_work' else 'unit'} = '{table}-{column}'"
                await store.tamper(f"UPDATE {table} SET {column} = {value} WHERE {where}")
        flaws = await store.flaws()
        found = {flaw.unit for flaw in flaws}
        for name in ("units_of_work-attributes", "units_of_work_history-body", "history_payloads-salt"):
            assert name in found
        assert all(isinstance(flaw.version, int) for flaw in flaws)

    on_stores(scene)


def test_a_log_whose_tiles_are_gone_has_no_head(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await save(store, 1)
        await SqlLog(store.writer, store.reading, "log").integrate(9)
        await store.sql("DELETE FROM log_tiles")
        with pytest.raises(ChainBroken):
            await store.verification.head()

    on_stores(scene)


def test_a_log_whose_state_is_no_number_is_a_flaw_and_has_no_head(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        if store.writer.dialect.name != "sqlite":
            pytest.skip("PostgreSQL holds columns to their types")
        await save(store, 1)
        await store.tamper("UPDATE log_state SET size = 'x'")
        assert [flaw async for flaw in store.verification.flaws()]
        with pytest.raises(ChainBroken):
            await store.verification.head()

    on_stores(scene)


def test_a_table_that_is_gone_has_no_head_on_sqlite(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        if store.writer.dialect.name != "sqlite":
            pytest.skip("what PostgreSQL says of a table that is not there is no damage of its files")
        await store.tamper("DROP TABLE log_state")
        with pytest.raises(ChainBroken, match="cannot be read any more"):
            await store.verification.head()

    on_stores(scene)


def test_a_database_that_is_busy_is_not_called_damaged() -> None:
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    with pytest.raises(OperationalError):
        damage_in(OperationalError("SELECT 1", {}, busy))
    gone = OperationalError("SELECT 1", {}, sqlite3.OperationalError("x"), connection_invalidated=True)
    with pytest.raises(OperationalError):
        damage_in(gone)


def test_a_server_that_is_away_is_no_flaw(postgres: str) -> None:
    async def scene() -> None:
        reading = open_reader(parse_url(postgres.replace("/postgres?", "/nowhere?")))
        try:
            with pytest.raises(OperationalError):
                [flaw async for flaw in SqlVerification(reading).flaws()]
        finally:
            await reading.dispose()

    asyncio.run(scene())
