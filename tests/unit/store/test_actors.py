"""Who is alive: a beat is no history, and touches nothing but what lives."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from penelope.domain.work import ActorKind, Change
from penelope.store.actors import SqlActors
from penelope.store.tables import units_of_work

OnStores = Callable[[Any], None]

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
LATER = NOW + timedelta(seconds=10)


def change(unit: str, incident: str, status: str, actor: str = "penelope") -> Change:
    return Change(
        unit=unit,
        kind="approval",
        incident=incident,
        status=status,
        attributes={},
        event="Saved",
        actor=actor,
        reason="because",
    )


async def save(store: Any, *changes: Change) -> None:
    async with store.transaction(NOW) as transaction:
        await transaction.save(*changes)


async def beats(store: Any) -> dict[str, str]:
    async with store.reading.connect() as connection:
        query = select(units_of_work.c.id, units_of_work.c.last_heartbeat_at)
        return {row.id: row.last_heartbeat_at[11:19] for row in await connection.execute(query)}


def test_a_beat_shows_the_actor_alive_and_units_that_are_on_their_way(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await save(
            store,
            change("waits", "inc_1", "pending"),
            change("ended", "inc_1", "approved"),
            change("another's", "inc_2", "pending"),
        )
        entries = await store.reader.entries(incident=None, after=0, limit=100)
        actors = SqlActors(store.writer, store.reading)
        await actors.beat("worker:w-1", {"inc_1", "inc_3"}, LATER)
        assert await beats(store) == {"waits": "07:00:10", "ended": "07:00:00", "another's": "07:00:00"}
        assert await store.reader.entries(incident=None, after=0, limit=100) == entries
        assert await store.flaws() == []
        worker = (await actors.all())[-1]
        assert (worker.kind, worker.name, worker.last_heartbeat_at) == (
            ActorKind.WORKER,
            "worker:w-1",
            LATER,
        )

    on_stores(scene)


def test_who_carries_nothing_lives_all_the_same(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        actors = SqlActors(store.writer, store.reading)
        assert await actors.all() == []
        await save(store, change("waits", "inc_1", "pending"))
        for moment in (NOW, LATER):
            await actors.beat("worker:w-1", (), moment)
        assert [(each.name, each.last_heartbeat_at) for each in await actors.all()] == [
            ("penelope", NOW),
            ("worker:w-1", LATER),
        ]
        assert await beats(store) == {"waits": "07:00:00"}

    on_stores(scene)


def test_a_heart_beats_under_any_load(on_stores: OnStores) -> None:
    """A statement takes no more than 65,535 parameters on PostgreSQL; whoever cannot beat counts as dead."""

    async def scene(store: Any) -> None:
        actors = SqlActors(store.writer, store.reading)
        await actors.beat("worker:w-1", [f"inc_{number}" for number in range(70_000)], NOW)
        assert [actor.last_heartbeat_at for actor in await actors.all() if actor.name == "worker:w-1"] == [
            NOW
        ]

    on_stores(scene)


def test_it_keeps_the_pseudonym_under_which_it_is_known(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        actors = SqlActors(store.writer, store.reading)
        await actors.beat("worker:w-1", (), NOW)
        await asyncio.gather(*(actors.beat("worker:w-2", (), NOW) for _ in range(4)))
        first = await actors.all()
        await save(store, change("u", "inc_1", "pending", actor="worker:w-1"))
        await actors.beat("worker:w-1", (), LATER)
        assert await actors.all() == [replace(first[0], last_heartbeat_at=LATER), first[1]]
        (entry,) = await store.reader.entries(incident=None, after=0, limit=100)
        assert entry.actor_id == first[0].id

    on_stores(scene)


def test_it_does_not_wait_for_whoever_changes_a_unit(on_stores: OnStores, databases: tuple[str, str]) -> None:
    if databases[0].startswith("sqlite"):
        pytest.skip("on SQLite one transaction writes at a time")

    async def scene(store: Any) -> None:
        await save(store, change("held", "inc_1", "pending"), change("free", "inc_1", "pending"))
        actors = SqlActors(store.writer, store.reading)
        async with store.transaction() as transaction:
            await transaction.unit("held")
            async with asyncio.timeout(5):
                await actors.beat("worker:w-1", {"inc_1"}, LATER)
        assert await beats(store) == {"held": "07:00:00", "free": "07:00:10"}

    on_stores(scene)
