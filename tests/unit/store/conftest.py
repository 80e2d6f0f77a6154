"""An operational store on each database, without an engine over it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.ledger.chain import Flaw
from penelope.store import guards
from penelope.store.database import migrate, open_engine, open_reader, parse_url
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


Scene = Callable[[Store], Awaitable[None]]


@pytest.fixture
def on_stores(databases: tuple[str, str]) -> Callable[[Scene], None]:
    """Runs a scene on an empty store that is up to date."""

    async def run(scene: Scene) -> None:
        url = parse_url(databases[0])
        writer, reading = open_engine(url), open_reader(url)
        try:
            await migrate(writer)
            await scene(
                Store(
                    writer=writer,
                    reading=reading,
                    reader=SqlReader(reading),
                    verification=SqlVerification(reading),
                )
            )
        finally:
            await reading.dispose()
            await writer.dispose()

    return lambda scene: asyncio.run(run(scene))
