"""Opens the operational database, brings its schema up to date, and hands out transactions and reads."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from penelope.errors import BadSettings
from penelope.store.inline import connect

_MIGRATIONS = Path(__file__).parent / "migrations"


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


def open_engine(url: URL) -> AsyncEngine:
    """The engine for transactions that write.

    On SQLite it has one connection: writers queue here in order instead of spinning on the file's lock.
    """
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url, pool_size=10, max_overflow=10)
    _make_folder(url)
    inline = {"async_creator_fn": connect}
    engine = create_async_engine(url, connect_args=inline, pool_size=1, max_overflow=0, pool_timeout=60)
    tune_sqlite(engine.sync_engine, isolation_level=None)

    @event.listens_for(engine.sync_engine, "begin")
    def _immediate(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def open_reader(url: URL) -> AsyncEngine:
    """The engine for screens and reports: each transaction sees one moment, and no reader waits for a writer."""
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url, pool_size=5, max_overflow=5, isolation_level="REPEATABLE READ")
    engine = create_async_engine(url, pool_size=4)

    @event.listens_for(engine.sync_engine, "connect")
    def _read_only(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout=30000")
        connection.execute("PRAGMA query_only=ON")

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
        return create_engine(url, pool_size=10, max_overflow=10)
    _make_folder(url)
    engine = create_engine(url.set(drivername="sqlite"), pool_size=2, max_overflow=0)
    # As the engine itself sets SQLite up: its reads take no lock, and what it writes begins with one.
    tune_sqlite(engine, isolation_level="IMMEDIATE")
    return engine


def tune_sqlite(engine: Engine, isolation_level: str | None) -> None:
    """WAL, a lock taken when writing begins rather than in its middle, and patience (stack.md)."""

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        connection.isolation_level = isolation_level
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA busy_timeout=30000")
        connection.execute("PRAGMA foreign_keys=ON")


async def migrate(engine: AsyncEngine) -> None:
    """Brings the schema up to date; does nothing where it is."""
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _make_folder(url: URL) -> None:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
