"""Connections to SQLite keep the settings that they were opened with."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import DatabaseError, DBAPIError

OnStores = Callable[[Any], None]

ON_SQLITE = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@ON_SQLITE
@pytest.mark.parametrize(
    "pragma",
    [
        "writable_schema=ON",
        "Writable_Schema(1)",
        "main.writable_schema=RESET",
        "journal_mode=OFF",
        "journal_mode=MEMORY",
        "synchronous=OFF",
        "query_only=OFF",
        "schema_version=1",
        "recursive_triggers=OFF",
        "ignore_check_constraints=ON",
        "cell_size_check=OFF",
        "user_version=9",
    ],
)
def test_sqlite_connections_keep_their_settings(on_stores: OnStores, pragma: str) -> None:
    async def scene(store: Any) -> None:
        for engine in (store.writer, store.reading):
            async with engine.connect() as connection:
                with pytest.raises(DatabaseError, match="not authorized"):
                    await connection.exec_driver_sql(f"PRAGMA {pragma}")

    on_stores(scene)


@ON_SQLITE
def test_sqlite_connections_can_still_be_asked(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        expected = {"journal_mode": "wal", "cell_size_check": 1}
        # The one that works in the event loop's thread waits for nothing there; `begin` tries again instead.
        writing, reading = {"synchronous": 2, "busy_timeout": 0}, {"query_only": 1, "busy_timeout": 30000}
        both = ((store.writer, expected | writing), (store.reading, expected | reading))
        for engine, settings in both:
            async with engine.connect() as connection:
                for name, value in settings.items():
                    found = await connection.exec_driver_sql(f"PRAGMA {name}")
                    assert found.scalar_one() == value, name
                sound = await connection.exec_driver_sql("PRAGMA integrity_check(10)")
                assert sound.scalar_one() == "ok"

    on_stores(scene)


@ON_SQLITE
def test_a_reader_writes_nothing(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with store.reading.connect() as connection:
            with pytest.raises(DBAPIError, match="readonly"):
                await connection.exec_driver_sql("DELETE FROM history_payloads")

    on_stores(scene)
