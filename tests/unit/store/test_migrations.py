"""The migrations make the tables that the code knows, and can be run again and again."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Identity, inspect, text

from penelope.errors import BadSettings
from penelope.store import migrations
from penelope.store.database import migrate, open_engine, open_workflow_engine, parse_url
from penelope.store.guards import missing
from penelope.store.tables import metadata

OLD_COLUMNS = [
    "unit",
    "version",
    "kind",
    "incident",
    "event",
    "actor",
    "reason",
    "status_after",
    "state_hash",
    "details",
    "recorded_at",
    "previous_hash",
    "hash",
]


def is_ours(name: str | None, *_: Any) -> bool:
    """What finds words is made by hand, in another way on each database."""
    return name is None or not name.startswith(("decisions_text", "passages_text"))


def differences(connection: Connection) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True, "include_name": is_ours}
    found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return [item for item in found if not (connection.dialect.name == "sqlite" and is_identity(item))]


def is_identity(difference: Any) -> bool:
    """SQLite numbers rows by AUTOINCREMENT, and so shows no identity where the code asks for one."""
    (kind, *_, wanted), *others = difference if isinstance(difference, list) else [difference]
    return kind == "modify_default" and isinstance(wanted, Identity) and not others


def tables(connection: Connection) -> set[str]:
    return set(filter(is_ours, inspect(connection).get_table_names()))


def alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    return config


def downgrade(connection: Connection) -> None:
    command.downgrade(alembic(connection), "base")


def begin_of_old(connection: Connection) -> None:
    command.upgrade(alembic(connection), "0001")


def test_they_make_what_the_code_knows_and_twice_is_once(databases: tuple[str, str]) -> None:
    async def run() -> None:
        engine = open_engine(parse_url(databases[0]))
        try:
            await migrate(engine)
            async with engine.connect() as connection:
                assert await connection.run_sync(differences) == []
                made = await connection.run_sync(tables)
                assert made == {*metadata.tables, "alembic_version"}
            await migrate(engine)
            async with engine.connect() as connection:
                assert await connection.run_sync(differences) == []
            async with engine.begin() as connection:
                await connection.run_sync(downgrade)
                assert await connection.run_sync(tables) == {"alembic_version"}
            await migrate(engine)
            async with engine.connect() as connection:
                assert await connection.run_sync(tables) == made
        finally:
            await engine.dispose()

    asyncio.run(run())


def test_hosts_that_start_together_all_find_the_tables(databases: tuple[str, str]) -> None:
    async def run() -> None:
        engines = [open_engine(parse_url(databases[0])) for _ in range(4)]
        try:
            await asyncio.gather(*map(migrate, engines))
            async with engines[0].connect() as connection:
                assert await connection.run_sync(differences) == []
        finally:
            for engine in engines:
                await engine.dispose()

    asyncio.run(run())


def test_tables_of_a_newer_penelope_are_refused_and_left_alone(databases: tuple[str, str]) -> None:
    async def run() -> None:
        engine = open_engine(parse_url(databases[0]))
        try:
            await migrate(engine)
            async with engine.begin() as connection:
                found = await connection.exec_driver_sql("SELECT version_num FROM alembic_version")
                known = found.scalar_one()
                await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
            with pytest.raises(BadSettings, match="newer Penelope") as caught:
                await migrate(engine)
            assert "9999" in caught.value.message
            async with engine.begin() as connection:
                found = await connection.exec_driver_sql("SELECT version_num FROM alembic_version")
                assert found.scalars().all() == ["9999"]
                await connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{known}'")
            await migrate(engine)
        finally:
            await engine.dispose()

    asyncio.run(run())


def test_history_in_the_old_form_is_refused_and_left_alone(databases: tuple[str, str]) -> None:
    row = dict.fromkeys(OLD_COLUMNS, "x") | {"version": 1}
    names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)

    async def run() -> None:
        engine = open_engine(parse_url(databases[0]))
        try:
            async with engine.begin() as connection:
                await connection.run_sync(begin_of_old)
                await connection.execute(text(f"INSERT INTO ledger_entries ({names}) VALUES ({marks})"), row)
            with pytest.raises(BadSettings, match="before the first release"):
                await migrate(engine)
            async with engine.begin() as connection:
                found = await connection.exec_driver_sql("SELECT count(*) FROM ledger_entries")
                assert found.scalar_one() == 1
                assert "units_of_work_history" not in await connection.run_sync(tables)
                await connection.exec_driver_sql("DELETE FROM ledger_entries")
            await migrate(engine)
            async with engine.connect() as connection:
                assert await connection.run_sync(missing) == []
        finally:
            await engine.dispose()

    asyncio.run(run())


def test_the_engines_own_sqlite_waits_for_no_disk_and_for_its_turn(tmp_path: Path) -> None:
    url = parse_url(f"sqlite:///{tmp_path}/made/for/it/penelope.db")
    engine = open_workflow_engine(url)
    try:
        with engine.connect() as connection:
            asked = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
            found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in asked]
            assert found == ["wal", 1, 30000, 1]
    finally:
        engine.dispose()
    assert (tmp_path / "made" / "for" / "it").is_dir()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("no url at all", "Write sqlite:///path/file.db"),
        ("mysql://root@host/name", "config check"),
        ("", "Write sqlite:///path/file.db"),
    ],
)
def test_other_databases_are_refused(text: str, hint: str) -> None:
    with pytest.raises(BadSettings, match=r"database.url") as caught:
        parse_url(text)
    assert hint in caught.value.advice


def test_a_url_gets_the_driver_that_fits() -> None:
    assert parse_url("sqlite:///a.db").drivername == "sqlite+aiosqlite"
    url = parse_url("postgresql://me:secret@host/name")
    assert (url.drivername, url.password, url.database) == ("postgresql+psycopg", "secret", "name")
