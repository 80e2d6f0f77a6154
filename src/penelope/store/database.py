"""Opens the operational database, brings its schema up to date, and hands out transactions and reads."""

import asyncio
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only, immutabledict

from penelope.errors import BadSettings, Unavailable
from penelope.store.hardening import opener
from penelope.store.inline import connect

_MIGRATIONS = Path(__file__).parent / "migrations"

_FOR_ALL = ("busy_timeout=30000", "cell_size_check=ON")
"""Patience with the file's lock, and pages that cannot be right are refused. Not trusted_schema=OFF: SQLite
3.40, for one, then runs no trigger that fills a text index; Python's connections have no function to be kept from it."""


_DURABLE = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
"""In WAL mode, FULL waits for the disk at each commit; NORMAL would lose the last ones when the machine stops."""


_AT_ONCE = ("busy_timeout=0",)
"""Who works in the event loop's thread must not wait there for the file's lock."""

_PATIENCE_SECONDS = 30
"""How long another process may hold the lock."""

_PAUSE_SECONDS = 0.005
"""How long the lock may have been free before it is seen."""

_MIGRATING = 7_365_000_001
"""Our number among PostgreSQL's advisory locks."""

_PRIMARY = 0xFF
"""The part of SQLite's error code that tells its kind; the rest tells why."""


def parse_url(text: str) -> URL:
    """A URL with the driver that fits. Raises BadSettings for any database but SQLite and PostgreSQL."""
    try:
        url = make_url(text)
    except Exception as error:
        message = "database.url is not a database URL"
        raise BadSettings(
            message, hint="Write sqlite:///path/file.db or postgresql://user@host/name."
        ) from error
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}
    backend = url.get_backend_name()
    if backend not in drivers:
        message = f"database.url names {backend}; Penelope runs on SQLite and PostgreSQL"
        raise BadSettings(message)
    return url.set(drivername=drivers[backend])


def existing(url: URL) -> URL:
    """The same URL. Raises BadSettings for a file that is not there: SQLite would make an empty one of it."""
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
        raise BadSettings(
            f"there is no file {url.database}",
            hint="Name the settings with --config, or run `penelope database migrate` first.",
        )
    return url


def open_engine(url: URL) -> AsyncEngine:
    """The engine for transactions that write; what it has committed is on the disk.

    On SQLite it has one connection: writers queue here in order instead of spinning on the file's lock.
    """
    if url.get_backend_name() != "sqlite":
        engine = create_async_engine(url, pool_size=10, max_overflow=10)
        event.listen(engine.sync_engine, "connect", _prefer_indexes)
        return engine
    _make_folder(url)
    factory = opener(*_DURABLE, *_FOR_ALL, *_AT_ONCE)
    inline = {"async_creator_fn": connect, "factory": factory, "isolation_level": None}
    engine = create_async_engine(url, connect_args=inline, pool_size=1, max_overflow=0, pool_timeout=60)
    # Every transaction of SQLite's is serializable. Each that asks to be would be answered with four statements.
    engine.dialect.connection_characteristics = immutabledict()  # type: ignore[attr-defined]  # every default dialect has it

    @event.listens_for(engine.sync_engine, "begin")
    def _immediate(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        with suppress(Unavailable, sqlite3.Error):
            await_only(begin(driver.bare))
            return
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # raises what whoever tries again expects

    return engine


def _prefer_indexes(connection: Any, _: object) -> None:
    """A sequential scan makes a serializable transaction collide with every writer of its table, and small tables are
    always scanned: PostgreSQL's manual (13.2.3, Serializable Isolation Level) advises to favour indexes.
    """
    cursor = connection.cursor()
    cursor.execute("SET enable_seqscan = off")
    cursor.close()
    connection.commit()


def open_connection(url: URL) -> sqlite3.Connection:
    """A bare connection to SQLite that writes as durably, for `group`; it does not wait for the file's lock."""
    return opener(*_DURABLE, *_FOR_ALL, *_AT_ONCE)(str(url.database), isolation_level=None)


async def begin(connection: sqlite3.Connection) -> None:
    """Begins to write, once nobody else does; the event loop goes on meanwhile. Raises Unavailable after a while."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not begun(connection):  # noqa: ASYNC110 - SQLite tells nobody when the lock is free
                await asyncio.sleep(_PAUSE_SECONDS)
    except TimeoutError as error:
        raise Unavailable("another process keeps the database to itself") from error


def begun(connection: sqlite3.Connection) -> bool:
    """Begins to write, unless somebody else does."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & _PRIMARY != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def open_reader(url: URL) -> AsyncEngine:
    """The engine for screens and reports: each transaction sees one moment, and no reader waits for a writer."""
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url, pool_size=5, max_overflow=5, isolation_level="REPEATABLE READ")
    given = {"factory": opener("query_only=ON", *_FOR_ALL), "isolation_level": None}
    engine = create_async_engine(url, connect_args=given, pool_size=4)

    @event.listens_for(engine.sync_engine, "begin")
    def _snapshot(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def open_workflow_engine(url: URL) -> Engine:
    """The synchronous engine in which the durable engine keeps its own state.

    On SQLite its threads share two connections, one of which its poll for messages may hold; with more of them
    they met at the file's lock, where each slept (docs/benchmarks.md).
    """
    if url.get_backend_name() != "sqlite":
        engine = create_engine(url, pool_size=10, max_overflow=10)
        _close_what_comes_late(engine)
        return engine
    _make_folder(url)
    engine = create_engine(url.set(drivername="sqlite"), pool_size=2, max_overflow=0)

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        # As the engine itself sets SQLite up: its reads take no lock, and what it writes begins with one.
        connection.isolation_level = "IMMEDIATE"
        connection.execute("PRAGMA journal_mode=WAL")
        # A step whose note is lost when the machine stops runs again: what it did once is in the operational store.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA busy_timeout=30000")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def _close_what_comes_late(engine: Engine) -> None:
    """Closes connections that threads still use when the engine is disposed of, once they give them back: the pool that
    they go to is no longer anybody's, and would leave them to the collector.
    """
    disposed = threading.Event()
    event.listen(engine, "engine_disposed", lambda _: disposed.set())

    @event.listens_for(engine, "checkin")
    def _closed(_: Any, record: Any) -> None:
        if disposed.is_set():
            record.close()


async def migrate(engine: AsyncEngine) -> None:
    """Brings the schema up to date; does nothing where it is. Raises BadSettings for that of a newer Penelope."""
    async with engine.begin() as connection:
        await connection.run_sync(upgrade)


def upgrade(connection: Connection) -> None:
    """The same inside a transaction that someone else commits."""
    if connection.dialect.name == "postgresql":
        # Of two hosts that start together one comes second, and finds all done.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    _refuse_what_is_newer(connection, ScriptDirectory.from_config(config))
    command.upgrade(config, "head")


def _refuse_what_is_newer(connection: Connection, known: ScriptDirectory) -> None:
    """Whoever goes back to an older version would only be told of a revision that cannot be located."""
    found = set(MigrationContext.configure(connection).get_current_heads())
    newer = found - {script.revision for script in known.walk_revisions()}
    if newer:
        raise BadSettings(
            f"a newer Penelope has changed the tables (to {max(newer)}; this one knows {known.get_current_head()})",
            hint="Run the newer version, or restore a backup from before the upgrade.",
        )


def _make_folder(url: URL) -> None:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
