"""Reads around what the database cannot read any more, so that one broken row does not hide the others."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

Key = TypeVar("Key")
Found = TypeVar("Found")

_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_CANTOPEN,
    }
)
"""Refusals that say nothing about what is stored."""

_POSTGRESQL_DAMAGE = "XX"
"""The class of PostgreSQL's errors for corrupt data and indexes."""


@dataclass(frozen=True, slots=True)
class Part(Generic[Key, Found]):
    """What was found for some keys; where `found` is None, `problem` says why the one key cannot be read."""

    keys: Sequence[Key]
    found: Found | None
    problem: str = ""


def damage_in(error: DBAPIError) -> str:
    """What a database said of data that it cannot read. Raises the error itself where it is about something else."""
    if isinstance(error.orig, sqlite3.Error):
        damaged = (getattr(error.orig, "sqlite_errorcode", 0) & 0xFF) not in _PASSING
    else:
        damaged = (getattr(error.orig, "sqlstate", None) or "").startswith(_POSTGRESQL_DAMAGE)
    if error.connection_invalidated or not damaged:
        raise error
    return f"cannot be read any more: {str(error.orig).splitlines()[0][:200]}"


async def in_parts(
    engine: AsyncEngine,
    keys: Sequence[Key],
    load: Callable[[AsyncConnection, Sequence[Key]], Awaitable[Found]],
) -> AsyncIterator[Part[Key, Found]]:
    """Loads what belongs to the keys in one transaction or, where something is damaged, in ever smaller parts."""
    if not keys:
        return
    try:
        async with engine.connect() as connection:
            part = Part(keys, await load(connection, keys))
    except DBAPIError as error:
        problem = damage_in(error)
        if len(keys) == 1:
            yield Part(keys, None, problem)
            return
        middle = len(keys) // 2
        for half in (keys[:middle], keys[middle:]):
            async for part in in_parts(engine, half, load):
                yield part
    else:
        yield part
