"""A transaction as the durable engine makes it, for tests that have no engine; and an assessment without its story."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.flow.assessment import Assessment
from penelope.flow.parts import Parts
from penelope.flow.trying import NotTried, try_out
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


async def decided(engine: Any, parts: Parts, body: Body) -> Assessment:
    """What a transaction that assesses comes to, once what it asks for was tried. `engine` makes transactions."""
    while True:
        try:
            found: Assessment = await engine.transaction("decide", body)
        except NotTried as lacking:
            await try_out(engine, parts, lacking)
        else:
            return found
