"""History only grows: whatever a statement tries, on either database, and whoever looks sees a guard that is gone."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from penelope.domain.work import Change
from penelope.errors import AppendConflict
from penelope.store import guards
from penelope.store.bulk import HISTORY_COLUMNS, LOG_COLUMNS, insert, statements
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.tables import interaction_logs, units_of_work_history

OnStores = Callable[[Any], None]

ON_SQLITE = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)

HISTORY = dict.fromkeys(HISTORY_COLUMNS, "x") | {"unit": "u", "version": 1}
LOG = dict.fromkeys(LOG_COLUMNS, "x")
ROWS: Mapping[str, dict[str, Any]] = {
    "units_of_work_history": HISTORY,
    "interaction_logs": LOG,
    "log_leaves": {"index": 0, "seq": 1},
    "log_checkpoints": {"size": 1, "root": "x", "note": "x", "signed_at": "x"},
    "cosignatures": {"size": 1, "witness": "w", "line": "x", "signed_at": "x"},
    "history_payloads": {"unit": "u", "version": 1, "salt": "x", "body": "x"},
}
"""A row of each guarded table; `x` stands in columns whose value does not matter."""

TABLES = tuple(ROWS)
NUMBERED = ("units_of_work_history", "interaction_logs")
FREE = {"log_leaves": "seq", "log_checkpoints": "note", "cosignatures": "line", "history_payloads": "body"}
"""A column to be changed, where it is not `event`."""

KEYS = {
    "units_of_work_history": "unit, version",
    "log_leaves": '"index"',
    "log_checkpoints": "size",
    "cosignatures": "size, witness",
    "history_payloads": "unit, version",
}


def values(row: Mapping[str, Any]) -> str:
    """What follows INSERT INTO table."""
    names = ", ".join(f'"{name}"' for name in row)
    return f"({names}) VALUES ({', '.join(repr(value) for value in row.values())})"


def column(table: str) -> str:
    return FREE.get(table, "event")


def new_value(table: str) -> str:
    return "77" if table == "log_leaves" else "'forged'"


def fill(connection: Connection) -> None:
    for table, row in ROWS.items():
        connection.exec_driver_sql(f"INSERT INTO {table} {values(row)}")


def content(connection: Connection) -> dict[str, list[Any]]:
    return {
        table: [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}")]
        for table in TABLES
    }


async def refused(store: Any, *scripts: str) -> DBAPIError:
    """The error of the last statement, after which nothing has changed; the ones before it must succeed."""
    async with store.writer.connect() as connection:
        before = await connection.run_sync(content)
        for script in scripts[:-1]:
            await connection.exec_driver_sql(script)
        with pytest.raises(DBAPIError) as caught:
            await connection.exec_driver_sql(scripts[-1])
        await connection.rollback()
        assert await connection.run_sync(content) == before
    return caught.value


def dialect(store: Any) -> str:
    return str(store.writer.dialect.name)


@pytest.fixture
def on_full(on_stores: OnStores) -> OnStores:
    """Runs a scene on a store with a row in each guarded table."""

    def run(scene: Any) -> None:
        async def filled(store: Any) -> None:
            async with store.writer.begin() as connection:
                await connection.run_sync(fill)
            await scene(store)

        on_stores(filled)

    return run


# --- changing and deleting --------------------------------------------------------------------------------


def test_the_rows_here_cover_every_guarded_table() -> None:
    assert set(TABLES) == {*guards.APPEND_ONLY, *guards.ERASABLE}


def test_no_row_is_changed(on_full: OnStores) -> None:
    async def scene(store: Any) -> None:
        for table in TABLES:
            error = await refused(store, f"UPDATE {table} SET {column(table)} = {new_value(table)}")
            assert f"{table} only grows" in str(error.orig)
            assert isinstance(error, IntegrityError)

    on_full(scene)


def test_no_row_is_deleted_but_payloads(on_full: OnStores) -> None:
    async def scene(store: Any) -> None:
        for table in guards.APPEND_ONLY:
            assert f"{table} only grows" in str((await refused(store, f"DELETE FROM {table}")).orig)
        assert await store.sql("DELETE FROM history_payloads WHERE unit = 'u'") == 1

    on_full(scene)


def test_no_insert_changes_a_row(on_full: OnStores) -> None:
    async def scene(store: Any) -> None:
        for table, row in ROWS.items():
            if table == "interaction_logs":
                continue  # It has no key but its number, which no insert may give.
            change = f"ON CONFLICT ({KEYS[table]}) DO UPDATE SET {column(table)} = {new_value(table)}"
            error = await refused(store, f"INSERT INTO {table} {values(row)} {change}")
            assert isinstance(error, IntegrityError)

    on_full(scene)


@ON_SQLITE
@pytest.mark.parametrize("verb", ["INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE", "INSERT OR FAIL"])
def test_no_insert_replaces_a_row_on_sqlite(on_full: OnStores, verb: str) -> None:
    async def scene(store: Any) -> None:
        for table, row in ROWS.items():
            numbered = {"seq": 1, **row, "unit": "other"} if table in NUMBERED else row
            error = await refused(store, f"{verb} INTO {table} {values(numbered)}")
            assert isinstance(error, IntegrityError)
        for forged in (
            HISTORY,
            HISTORY | {"version": "1"},
            HISTORY | {"version": 1.0},
            HISTORY | {"unit": "other", "seq": "1"},
            HISTORY | {"unit": "other", "seq": 1.0},
            {"rowid": 1, **HISTORY, "unit": "other"},
        ):
            await refused(store, f"{verb} INTO units_of_work_history {values(forged)}")
        await refused(store, f"{verb} INTO log_leaves {values({'index': 5, 'seq': 1})}")
        for table in ("log_checkpoints", "cosignatures"):
            await refused(store, f"{verb} INTO {table} {values({'rowid': 1, **ROWS[table], 'size': 9})}")

    on_full(scene)


@ON_SQLITE
def test_a_number_as_a_name_replaces_nothing_on_sqlite(on_full: OnStores) -> None:
    async def scene(store: Any) -> None:
        await store.sql(f"INSERT INTO units_of_work_history {values(HISTORY | {'unit': '5'})}")
        await refused(store, f"REPLACE INTO units_of_work_history {values(HISTORY | {'unit': 5})}")

    on_full(scene)


@ON_SQLITE
def test_sqlite_finds_a_row_by_no_other_name(on_full: OnStores) -> None:
    async def scene(store: Any) -> None:
        for table in guards.APPEND_ONLY:
            for name in ("rowid", "oid", "_rowid_"):
                await refused(store, f"UPDATE {table} SET {name} = 99")
            await refused(store, f"UPDATE OR REPLACE {table} SET {column(table)} = {new_value(table)}")
            await refused(store, f"UPDATE OR IGNORE {table} SET {column(table)} = {new_value(table)}")
        await refused(
            store,
            "CREATE TEMP VIEW behind AS SELECT * FROM units_of_work_history",
            "CREATE TEMP TRIGGER through INSTEAD OF UPDATE OF event ON behind "
            "BEGIN UPDATE units_of_work_history SET event = NEW.event WHERE seq = OLD.seq; END",
            "UPDATE behind SET event = 'forged'",
        )

    on_full(scene)


@ON_POSTGRESQL
@pytest.mark.parametrize("replica", [False, True])
def test_postgresql_knows_no_other_way(on_full: OnStores, replica: bool) -> None:  # noqa: FBT001 - pytest hands it over
    def way(table: str) -> str:
        return f"{column(table)} = {new_value(table)}"

    async def scene(store: Any) -> None:
        first = ["SET LOCAL session_replication_role = replica"] if replica else []
        for table in TABLES:
            set_ = way(table)
            for attack in (
                (f"UPDATE {table} SET {set_}",),
                (f"TRUNCATE {table}",),
                (f"TRUNCATE {table} RESTART IDENTITY CASCADE",),
                (
                    f"MERGE INTO {table} AS old USING (SELECT 1) AS one ON true WHEN MATCHED THEN UPDATE SET {set_}",
                ),
                (f"WITH gone AS (UPDATE {table} SET {set_} RETURNING 1) SELECT * FROM gone",),
                (f"CREATE VIEW behind AS SELECT * FROM {table}", f"UPDATE behind SET {set_}"),
                (
                    f"CREATE FUNCTION pg_temp.forge() RETURNS void LANGUAGE sql AS $$ UPDATE {table} SET {set_} $$",
                    "SELECT pg_temp.forge()",
                ),
            ):
                error = await refused(store, *first, *attack)
                assert f"{table} only grows" in str(error.orig)
                assert isinstance(error.orig, psycopg.errors.RestrictViolation)
        for table in guards.APPEND_ONLY:
            await refused(store, *first, f"DELETE FROM {table}")
            await refused(
                store,
                *first,
                f"MERGE INTO {table} USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
            )

    on_full(scene)


# --- numbers and transactions -----------------------------------------------------------------------------


@ON_SQLITE
@pytest.mark.parametrize("seq", [-5, -1, 0, 1, 3, 1000, 2**62])
def test_sqlite_numbers_by_itself(on_full: OnStores, seq: int) -> None:
    async def scene(store: Any) -> None:
        for table in NUMBERED:
            for row in (ROWS[table], ROWS[table] | {"unit": "other"}):
                await refused(store, f"INSERT INTO {table} {values({'seq': seq, **row})}")
                await refused(store, f"REPLACE INTO {table} {values({'seq': seq, **row})}")
            await store.sql(f"INSERT INTO {table} {values(ROWS[table] | {'unit': 'next'})}")
            async with store.reading.connect() as connection:
                found = await connection.exec_driver_sql(f"SELECT seq FROM {table} ORDER BY seq")
                assert list(found.scalars()) == [1, 2]

    on_full(scene)


@ON_SQLITE
def test_a_meddled_sequence_is_refused_on_sqlite(on_full: OnStores) -> None:
    async def scene(store: Any) -> None:
        other = f"INSERT INTO units_of_work_history {values(HISTORY | {'unit': 'other'})}"
        await refused(store, "UPDATE sqlite_sequence SET seq = 7", other)
        await store.sql("UPDATE sqlite_sequence SET seq = 0")
        assert await store.sql(other) == 1

    on_full(scene)


@ON_SQLITE
def test_sqlite_takes_no_transaction_number(on_full: OnStores) -> None:
    async def scene(store: Any) -> None:
        for tx in (-1, 5):
            row = HISTORY | {"unit": "other", "tx": tx}
            await refused(store, f"INSERT INTO units_of_work_history {values(row)}")

    on_full(scene)


@ON_POSTGRESQL
@pytest.mark.parametrize("seq", [-5, 0, 1, 3, 1000])
def test_postgresql_numbers_by_itself(on_full: OnStores, seq: int) -> None:
    async def scene(store: Any) -> None:
        for table in NUMBERED:
            given = values({"seq": seq, **ROWS[table], "unit": "other"})
            forged = f"INSERT INTO {table} {given}".replace(") VALUES", ") OVERRIDING SYSTEM VALUE VALUES")
            await refused(store, forged)
            own = f"INSERT INTO {table} {values(ROWS[table] | {'unit': 'own'})}"
            error = await refused(store, own, forged)
            assert f"{table} numbers its rows by itself" in str(error.orig)
            await refused(store, "SET LOCAL session_replication_role = replica", own, forged)

    on_full(scene)


@ON_POSTGRESQL
def test_a_number_through_copy_is_refused_on_postgresql(on_full: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with store.writer.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            async with raw.cursor() as cursor:
                with pytest.raises(psycopg.Error):
                    async with cursor.copy(
                        f"COPY interaction_logs (seq, {', '.join(LOG_COLUMNS)}) FROM STDIN"
                    ) as copy:
                        await copy.write_row((99, *LOG.values()))

    on_full(scene)


@ON_POSTGRESQL
def test_operators_of_a_session_change_nothing_on_postgresql(on_full: OnStores) -> None:
    async def scene(store: Any) -> None:
        row = HISTORY | {"unit": "other"}
        given = values(row).replace(") VALUES", ") OVERRIDING SYSTEM VALUE VALUES")
        await refused(
            store,
            "CREATE SCHEMA mine",
            "CREATE FUNCTION mine.same(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
            "CREATE OPERATOR mine.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = mine.same)",
            "SET LOCAL search_path = mine, pg_catalog, public",
            f"INSERT INTO units_of_work_history {given}",
            f"INSERT INTO units_of_work_history {given}".replace("(", "(seq, ", 1).replace(
                "VALUES (", "VALUES (99, "
            ),
        )

    on_full(scene)


@ON_POSTGRESQL
def test_postgresql_stamps_the_transaction_whatever_is_said(on_full: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with store.writer.begin() as connection:
            own = await connection.exec_driver_sql("SELECT pg_current_xact_id()::text::bigint")
            row = HISTORY | {"unit": "other", "tx": 5}
            made = await connection.exec_driver_sql(
                f"INSERT INTO units_of_work_history {values(row)} RETURNING tx"
            )
            assert made.scalar_one() == own.scalar_one() > 5

    on_full(scene)


# --- what goes on -----------------------------------------------------------------------------------------


def test_bulk_inserts_go_on(on_full: OnStores) -> None:
    async def scene(store: Any) -> None:
        sql = statements(dialect(store))
        for table, columns in ((units_of_work_history, HISTORY_COLUMNS), (interaction_logs, LOG_COLUMNS)):
            rows = [ROWS[table.name] | {"unit": f"bulk{n}"} for n in range(500)]
            many = sql.parameters([tuple(row[name] for name in columns) for row in rows])
            names = ", ".join(columns)
            copied = ", ".join("unit || '+'" if name == "unit" else name for name in columns)
            several = ", ".join(
                values(row | {"unit": f"also{n}"}).split("VALUES ")[1] for n, row in enumerate(rows)
            )
            async with store.writer.begin() as connection:
                await connection.exec_driver_sql(insert(dialect(store), table, columns), many)
                await connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES {several}")
                await connection.exec_driver_sql(
                    f"INSERT INTO {table.name} ({names}) SELECT {copied} FROM {table.name} ORDER BY seq DESC"
                )
                found = await connection.exec_driver_sql(f"SELECT count(*), max(seq) FROM {table.name}")
                assert tuple(found.one()) == (2002, 2002)

    on_full(scene)


@ON_POSTGRESQL
def test_copy_goes_on(on_full: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with store.writer.begin() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            async with (
                raw.cursor() as cursor,
                cursor.copy(f"COPY interaction_logs ({', '.join(LOG_COLUMNS)}) FROM STDIN") as copy,
            ):
                for _ in range(50):
                    await copy.write_row(tuple(LOG.values()))
        async with store.reading.connect() as connection:
            found = await connection.exec_driver_sql("SELECT max(seq) FROM interaction_logs")
            assert found.scalar_one() == 51

    on_full(scene)


def test_a_number_lost_to_a_rollback_does_not_stop_the_next(on_full: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with store.writer.connect() as connection:
            await connection.exec_driver_sql(f"INSERT INTO interaction_logs {values(LOG)}")
            await connection.rollback()
        assert await store.sql(f"INSERT INTO interaction_logs {values(LOG)}") == 1

    on_full(scene)


def test_a_line_of_history_that_is_there_is_a_lost_race(on_stores: OnStores) -> None:
    change = Change(
        unit="u",
        kind="decision",
        incident="inc_1",
        status="made",
        attributes={},
        event="Made",
        actor="penelope",
        reason="because",
    )

    async def scene(store: Any) -> None:
        await store.sql(f"INSERT INTO units_of_work_history {values(HISTORY)}")
        with pytest.raises(AppendConflict):
            async with store.transaction() as transaction:
                await transaction.save(change)

    on_stores(scene)


def test_guards_hold_for_connections_that_are_not_ours(tmp_path: Any) -> None:
    file = tmp_path / "penelope.db"

    async def make() -> None:
        writer, reading = (make(parse_url(f"sqlite:///{file}")) for make in (open_engine, open_reader))
        await migrate(writer)
        async with writer.begin() as connection:
            await connection.run_sync(fill)
        await writer.dispose()
        await reading.dispose()

    asyncio.run(make())
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        for recursive in ("ON", "OFF"):
            connection.execute(f"PRAGMA recursive_triggers={recursive}")
            for table, row in ROWS.items():
                numbered = {"seq": 1, **row} if table in NUMBERED else row
                for attack in (
                    f"REPLACE INTO {table} {values(numbered)}",
                    f"UPDATE {table} SET {column(table)} = {new_value(table)}",
                ):
                    with pytest.raises(sqlite3.IntegrityError, match="only grows"):
                        connection.execute(attack)
    finally:
        connection.close()
