"""SQLite in the event loop's own thread, for the connection that writes.

aiosqlite hands every call to a thread and back. A statement of ours takes some tens of microseconds; the two
hand-overs take ten times as long, all of it while the one writing connection is held (docs/benchmarks.md). A commit
waits for the disk, and the loop with it. Long reads stay in threads, see `open_reader`.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import aiosqlite

_Call = tuple["asyncio.Future[Any] | None", Callable[[], Any]]


class _AtOnce:
    """Takes the place of aiosqlite's queue to its thread: runs what is put into it."""

    def put_nowait(self, call: _Call) -> None:
        future, function = call
        try:
            result = function()
        except Exception as error:  # noqa: BLE001 - handed on to whoever awaits the call
            if future is not None:
                future.set_exception(error)
        else:
            if future is not None:
                future.set_result(result)


class InlineConnection(aiosqlite.Connection):
    """An aiosqlite connection without a thread."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._tx = _AtOnce()  # type: ignore[assignment]  # the one method of a queue that is used

    @property
    def bare(self) -> sqlite3.Connection:
        """What Python itself has for SQLite."""
        return self._conn

    def __await__(self) -> Generator[Any, None, aiosqlite.Connection]:
        return self._connect().__await__()


def connect(database: str, **options: Any) -> InlineConnection:
    """What SQLAlchemy's dialect calls in place of `aiosqlite.connect`."""
    return InlineConnection(partial(sqlite3.connect, database, **options))
