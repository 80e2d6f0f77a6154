"""Saves of many callers at once in one commit, each of them whole or not at all."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.work import Change, Entry
from penelope.errors import AppendConflict, LedgerError
from penelope.flow.ports import Observer
from penelope.kit.clock import Clock
from penelope.store.bulk import is_bad_data, statements
from penelope.store.database import begin, begun, open_connection
from penelope.store.draft import Draft
from penelope.store.session import PostgresqlSession, Session, SqliteSession, driver_of, pseudonyms, told_by

MOST_SAVES = 256
"""Saves in one commit: beyond it a commit costs next to nothing a save, and the first would wait for the last."""


@dataclass(eq=False, slots=True)
class _Save:
    changes: Sequence[Change]
    done: "asyncio.Future[Sequence[Entry]]"


class _Port(Protocol):
    def transaction(self) -> AbstractAsyncContextManager[Session]: ...

    async def close(self) -> None: ...


class GroupCommit:
    """Saves units of work outside of the story; fulfils flow's LedgerWriter.

    Whoever calls while a commit is under way is in the next one. What was answered is durable; what was not may be
    so all the same, as with every commit: a writer who must know gives `Change.version`.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock, observer: Observer) -> None:
        self._clock = clock
        self._observer = observer
        self._port: _Port = _Sqlite(engine) if engine.dialect.name == "sqlite" else _Postgresql(engine)
        self._sql = statements(engine.dialect.name)
        self._actors: dict[str, str] = {}
        self._waiting: deque[_Save] = deque()
        self._task: asyncio.Task[None] | None = None

    async def save(self, *changes: Change) -> Sequence[Entry]:
        """Saves changes, all or none, and returns their entries, fewer where nothing changed.

        Raises AppendConflict for a version passed by, ChainBroken for a unit that something else has changed,
        EntryTooLarge, ValueError or TypeError for what cannot be written, Unavailable while another process keeps
        the database to itself, and what the database raises.
        """
        save = _Save(changes, asyncio.get_running_loop().create_future())
        self._waiting.append(save)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        return await save.done

    async def close(self) -> None:
        """Waits for what was begun."""
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._port.close()

    async def _drain(self) -> None:
        while self._waiting:
            most = min(MOST_SAVES, len(self._waiting))
            saves = [self._waiting.popleft() for _ in range(most)]
            try:
                await self._commit(saves)
            except BaseException as error:
                for save in saves:
                    _fail(save, error)
                if not isinstance(error, Exception):
                    self._give_up(error)
                    raise
            await asyncio.sleep(0)  # whoever was answered may have more to save

    def _give_up(self, error: BaseException) -> None:
        while self._waiting:
            _fail(self._waiting.popleft(), error)

    async def _commit(self, saves: Sequence[_Save]) -> None:
        try:
            made = await self._write(saves)
        except (LedgerError, ValueError, TypeError) as error:
            if len(saves) == 1:
                _fail(saves[0], error)
                return
            # One of them met another process, a unit that was tampered with, or has what the database cannot take,
            # and nobody knows which: apart, the others come through.
            for save in saves:
                if not save.done.done():
                    await self._commit([save])
            return
        for save, entries in made:
            for entry in entries:
                self._observer.entry_recorded(entry)
            if not save.done.done():
                save.done.set_result(entries)

    async def _write(self, saves: Sequence[_Save]) -> list[tuple[_Save, Sequence[Entry]]]:
        made: list[tuple[_Save, Sequence[Entry]]] = []
        changes = [change for save in saves for change in save.changes]
        async with self._port.transaction() as session:
            names = {change.actor for change in changes}
            actors = await pseudonyms(session, names, self._actors, self._clock.now())
            draft = Draft(await session.load([change.unit for change in changes]))
            for save in saves:
                first = len(draft.entries)
                try:
                    draft.add(save.changes, actors, self._clock.now())
                except Exception as error:  # noqa: BLE001 - nothing was written, so it is about these changes alone
                    _fail(save, error)
                else:
                    made.append((save, draft.entries[first:]))
            await session.run(draft.writes(self._sql))
        return made


def _fail(save: _Save, error: BaseException) -> None:
    if not save.done.done():
        save.done.set_exception(error)


class _Sqlite:
    """A connection of its own, used in the event loop's thread: a round is over before anything else runs.

    Mostly nobody else writes at that moment. When somebody does, the turn is waited for in the engine's queue, as all
    writers do, and not by blocking the loop.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: sqlite3.Connection | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        if self._connection is None:
            self._connection = open_connection(self._engine.url)
        with told_by(self._engine.dialect, self._connection):
            if begun(self._connection):
                with _ending(self._connection):
                    yield SqliteSession(self._connection, self._engine.dialect)
                return
            async with self._engine.connect():
                await begin(self._connection)
                with _ending(self._connection):
                    yield SqliteSession(self._connection, self._engine.dialect)

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


@contextmanager
def _ending(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class _Postgresql:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with self._engine.connect() as connection:
            raw = driver_of(connection)
            try:
                with told_by(self._engine.dialect, raw):
                    async with raw.transaction():
                        yield PostgresqlSession(connection)
            except Exception as error:
                if is_bad_data(error):
                    raise ValueError("the database cannot hold a value of this change") from error
                if _is_to_be_tried_again(error):
                    raise AppendConflict("another writer was first") from error
                if raw.closed:
                    # SQLAlchemy has seen nothing of it, and the pool's other connections are no better.
                    await self._engine.dispose()
                raise

    async def close(self) -> None:
        """The engine is somebody else's."""


_TRY_AGAIN = "40"
"""The SQLSTATE class of what a transaction meets that came second."""


def _is_to_be_tried_again(error: Exception) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    # The driver itself is not imported, for not everybody has it installed.
    return str(getattr(error.orig, "sqlstate", None) or "").startswith(_TRY_AGAIN)
