"""What happens inside a transaction, told to the database's own driver.

SQLAlchemy opens connections, begins and commits; in between, its way to the driver costs several times what SQLite
takes for a statement of ours (docs/benchmarks.md).
"""

import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from datetime import datetime
from typing import Any, Protocol

import orjson
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from penelope.domain.work import UnitOfWork
from penelope.errors import AppendConflict, ChainBroken
from penelope.store import rows
from penelope.store.bulk import UNIT_COLUMNS, Rows, statements
from penelope.store.draft import Write, actor_row, is_lasting

_PIPELINED = 32 * 1024
"""Characters; well below what the sockets' buffers hold."""


class Session(Protocol):
    """One transaction of a database, begun and ended by someone else.

    What the driver raises is raised as SQLAlchemy's DBAPIError.
    """

    async def load(self, names: Sequence[str]) -> Mapping[str, UnitOfWork]:
        """Units by id, locked where the database locks rows. Raises ChainBroken for one that was tampered with."""

    async def actors(self, names: Sequence[str]) -> Mapping[str, str]:
        """The ids of actors by name."""

    async def add_actors(self, fresh: Rows) -> None:
        """Adds actors, as rows of `draft.actor_row`; leaves alone those whose names are there."""

    async def rows(self, sql: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        """What a statement of this database returns."""

    async def run(self, writes: Sequence[Write]) -> None:
        """Writes, in order. Raises AppendConflict where another writer was first."""


def session_on(connection: AsyncConnection) -> Session:
    """The transaction that a connection of SQLAlchemy's is in. Raises RuntimeError where it is in none."""
    if not connection.in_transaction():
        raise RuntimeError("the connection is in no transaction: what is written would be committed at once")
    if connection.dialect.name == "sqlite":
        return SqliteSession(driver_of(connection).bare, connection.dialect)
    return PostgresqlSession(connection)


def driver_of(connection: AsyncConnection) -> Any:
    """The driver's own connection."""
    return connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]  # it is open


class SqliteSession:
    """Runs in the event loop's thread."""

    def __init__(self, connection: sqlite3.Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect
        self._sql = statements("sqlite")

    async def load(self, names: Sequence[str]) -> Mapping[str, UnitOfWork]:
        if len(names) == 1:
            return _units(await self.rows(self._sql.load_unit, *names))
        return _units(await self.rows(self._sql.load_units, as_json(names))) if names else {}

    async def actors(self, names: Sequence[str]) -> Mapping[str, str]:
        return dict(await self.rows(self._sql.load_actors, as_json(names)))

    async def add_actors(self, fresh: Rows) -> None:
        await self.run([Write(self._sql.insert_actors, fresh)])

    async def rows(self, sql: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        with told_by(self._dialect, self._connection):
            return self._connection.execute(sql, values).fetchall()

    async def run(self, writes: Sequence[Write]) -> None:
        with _conflicts(), told_by(self._dialect, self._connection):
            for write in writes:
                _check(write, self._connection.executemany(write.sql, write.rows).rowcount)


class PostgresqlSession:
    """Small writes are all sent before an answer is waited for."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._driver = driver_of(connection)
        self._sql = statements("postgresql")

    async def load(self, names: Sequence[str]) -> Mapping[str, UnitOfWork]:
        if not names:
            return {}
        asked = (
            (self._sql.load_unit, *names) if len(names) == 1 else (self._sql.load_units, sorted(set(names)))
        )
        found = await self.rows(*asked)
        if not all(backed for *_, backed in found):
            # Who had to wait for a row sees it as it is now, but beside it a history without its last entry, where the
            # transaction is read committed. Now that the row is held, a second look sees both as they are.
            found = await self.rows(*asked)
        return _units(found)

    async def actors(self, names: Sequence[str]) -> Mapping[str, str]:
        return dict(await self.rows(self._sql.load_actors, list(names)))

    async def add_actors(self, fresh: Rows) -> None:
        await self.run([Write(self._sql.insert_actors, fresh)])

    async def rows(self, sql: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        async with self._told():
            cursor = await self._driver.execute(sql, values)
            return [] if cursor.description is None else await cursor.fetchall()

    async def run(self, writes: Sequence[Write]) -> None:
        given = [(write.sql, self._sql.parameters(write.rows)) for write in writes]
        size = sum(len(text) for _, (text,) in given)
        # A pipeline stands still for good when more is sent than the sockets' buffers hold.
        pipelined = self._driver.pipeline() if size < _PIPELINED else nullcontext()
        with _conflicts():
            async with self._told(), pipelined:
                cursors = [await self._driver.execute(sql, parameters) for sql, parameters in given]
        for write, cursor in zip(writes, cursors, strict=True):
            _check(write, cursor.rowcount)

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        try:
            with told_by(self._connection.dialect, self._driver):
                yield
        except DBAPIError as error:
            if error.connection_invalidated:
                await self._connection.invalidate(error)
            raise


async def pseudonyms(
    session: Session, names: set[str], known: dict[str, str], now: datetime
) -> Mapping[str, str]:
    """The ids of actors by name; who is new gets one.

    `known` outlives the transaction: it spares the look, and takes in those that were read as committed and that
    nobody can erase. Those that are added here are gone if the transaction is taken back.
    """
    unknown = sorted(names - known.keys())
    ids = {name: known[name] for name in names if name in known}
    if not unknown:
        return ids
    found = await session.actors(unknown)
    known |= {name: identifier for name, identifier in found.items() if is_lasting(name)}
    new = [name for name in unknown if name not in found]
    if not new:
        return {**ids, **found}
    await session.add_actors([actor_row(name, now) for name in new])
    return {**ids, **found, **await session.actors(new)}


@contextmanager
def told_by(dialect: Dialect, connection: Any) -> Iterator[None]:
    """Raises what the driver raises as SQLAlchemy would, so that whoever tries again knows when to."""
    kind: Any = dialect.loaded_dbapi.Error
    try:
        yield
    except kind as error:
        gone = dialect.is_disconnect(error, connection, None)
        told: Any = DBAPIError.instance(None, None, error, kind, connection_invalidated=gone, dialect=dialect)
        raise told from error


@contextmanager
def _conflicts() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise AppendConflict("another writer was first") from error


def _check(write: Write, touched: int) -> None:
    if write.exact and touched != len(write.rows):
        raise AppendConflict("a unit of work changed while it was being saved")


def units_from(found: Iterable[Sequence[Any]]) -> list[UnitOfWork]:
    """Units from rows of UNIT_COLUMNS."""
    return [rows.unit_from(dict(zip(UNIT_COLUMNS, row, strict=True))) for row in found]


def sound_units_from(found: Iterable[Sequence[Any]]) -> list[UnitOfWork]:
    """Units that are about to be changed, from rows of LOADED. Raises ChainBroken for one that was tampered with:
    nothing may build on what somebody has put there.
    """
    return [_sound(row) for row in found]


def _sound(row: Sequence[Any]) -> UnitOfWork:
    *columns, backed = row
    unit = rows.sound_unit_from(dict(zip(UNIT_COLUMNS, columns, strict=True)))
    if not backed:
        message = f"what is stored of {unit.id} is not what its history ends with"
        raise ChainBroken(message, hint=f"Run `penelope ledger state {unit.id}`: it names what differs.")
    return unit


def _units(found: Iterable[Sequence[Any]]) -> Mapping[str, UnitOfWork]:
    return {unit.id: unit for unit in sound_units_from(found)}


def as_json(values: Sequence[Any]) -> str:
    """A list as one parameter of a statement."""
    return orjson.dumps(values).decode()
