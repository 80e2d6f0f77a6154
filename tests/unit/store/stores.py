"""An operational store without an engine over it, and what whoever owns the database can do to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.ledger.chain import Flaw
from penelope.store import guards
from penelope.store.reader import SqlReader
from penelope.store.transaction import SqlTransaction
from penelope.store.verification import DATABASE, SqlVerification

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


@dataclass(frozen=True)
class Store:
    writer: AsyncEngine
    reading: AsyncEngine
    reader: SqlReader
    verification: SqlVerification

    @asynccontextmanager
    async def transaction(self, now: datetime = NOW) -> AsyncIterator[SqlTransaction]:
        """As isolated as the engine's are."""
        async with self.writer.connect() as connection:
            await connection.execution_options(isolation_level="SERIALIZABLE")
            async with connection.begin():
                yield SqlTransaction(connection, now)

    async def sql(self, statement: str) -> int:
        """Behind everyone's back; returns the number of rows it changed."""
        async with self.writer.begin() as connection:
            return int((await connection.exec_driver_sql(statement)).rowcount)

    async def tamper(self, statement: str) -> int:
        """As who owns the database can: the guards are dropped first."""
        async with self.writer.begin() as connection:
            await connection.run_sync(guards.remove)
        return await self.sql(statement)

    async def flaws(self, **known: Any) -> list[Flaw]:
        """What is found wrong, but for the guards that `tamper` has dropped."""
        found = [flaw async for flaw in self.verification.flaws(**known)]
        return [flaw for flaw in found if flaw.unit != DATABASE]
