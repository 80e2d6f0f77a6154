"""What a transaction says to the driver, and what the driver's errors become."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

from penelope.errors import AppendConflict
from penelope.store.bulk import statements
from penelope.store.draft import Write
from penelope.store.session import session_on

OnStores = Callable[[Callable[[Any], Any]], None]

ACTOR = ("act_1", "agent", "somebody", "2026-11-21T07:00:00.000000Z")


def test_a_connection_without_a_transaction_is_refused(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with store.writer.connect() as connection:
            with pytest.raises(RuntimeError, match="in no transaction"):
                session_on(connection)

    on_stores(scene)


def test_errors_are_those_of_sqlalchemy(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        with pytest.raises((OperationalError, ProgrammingError), match="nowhere") as met:
            async with store.writer.begin() as connection:
                await session_on(connection).rows("SELECT * FROM nowhere")
        assert not met.value.connection_invalidated

    on_stores(scene)


def test_a_key_that_is_taken_is_a_conflict(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        insert = statements(store.writer.dialect.name).insert_actors
        async with store.writer.begin() as connection:
            await session_on(connection).run([Write(insert, [ACTOR])])
        twin = ("act_1", "agent", "somebody else", ACTOR[3])
        with pytest.raises(AppendConflict, match="another writer was first") as met:
            async with store.writer.begin() as connection:
                await session_on(connection).run([Write(insert, [twin])])
        assert isinstance(met.value.__cause__, IntegrityError)
        async with store.writer.begin() as connection:
            session = session_on(connection)
            assert await session.actors(["somebody", "somebody else"]) == {"somebody": "act_1"}

    on_stores(scene)


def test_a_connection_that_was_cut_says_so(on_stores: OnStores, databases: tuple[str, str]) -> None:
    """The durable engine tries a transaction again only then."""
    if databases[0].startswith("sqlite"):
        pytest.skip("a file has no server")

    async def scene(store: Any) -> None:
        async with store.writer.connect() as connection:
            await connection.begin()
            with pytest.raises(DBAPIError) as met:
                await session_on(connection).rows("SELECT pg_terminate_backend(pg_backend_pid())")
        assert met.value.connection_invalidated
        async with store.writer.begin() as connection:
            assert await session_on(connection).rows("SELECT 1") == [(1,)]

    on_stores(scene)


def test_a_transaction_that_came_second_can_be_told(on_stores: OnStores, databases: tuple[str, str]) -> None:
    """By its SQLSTATE the durable engine knows that it is to be tried again."""
    if databases[0].startswith("sqlite"):
        pytest.skip("on SQLite one transaction writes at a time")

    async def scene(store: Any) -> None:
        async with store.writer.begin() as connection:
            await session_on(connection).run([Write(statements("postgresql").insert_actors, [ACTOR])])
        rename = "UPDATE local_actors SET kind = kind WHERE id = 'act_1'"
        async with store.writer.connect() as late:
            await late.execution_options(isolation_level="SERIALIZABLE")
            await late.begin()
            assert len(await session_on(late).rows("SELECT * FROM local_actors")) == 1
            async with store.writer.begin() as early:
                await session_on(early).rows(rename)
            with pytest.raises(DBAPIError) as met:
                await session_on(late).rows(rename)
        assert met.value.orig.sqlstate == "40001"

    on_stores(scene)
