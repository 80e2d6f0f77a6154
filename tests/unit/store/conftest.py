"""An operational store on each database, without an engine over it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from stores import Store

from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.reader import SqlReader
from penelope.store.verification import SqlVerification

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
