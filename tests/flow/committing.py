"""A transaction as the durable engine makes it, for tests that have no engine."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.store.transaction import SqlTransaction

Body = Callable[[SqlTransaction], Awaitable[Any]]

_TRY_AGAIN = "40"
"""The SQLSTATE class of what collided: a failed serialization, a deadlock."""


async def commit(database: AsyncEngine, now: datetime, body: Body, isolation: str = "SERIALIZABLE") -> Any:
    """Made again where the database asks for that. SQLite knows no isolation but the first."""
    while True:
        try:
            async with database.connect() as plain:
                connection = await plain.execution_options(isolation_level=isolation)
                async with connection.begin():
                    return await body(SqlTransaction(connection, now))
        except DBAPIError as error:
            if not str(getattr(error.orig, "sqlstate", "")).startswith(_TRY_AGAIN):
                raise
