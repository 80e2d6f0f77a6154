"""Who does things here, and who of them is alive."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Update, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.work import Actor, ActorKind
from penelope.kit.clock import timestamp
from penelope.store.bulk import statements
from penelope.store.draft import actor_row
from penelope.store.rows import chunks
from penelope.store.tables import local_actors, units_of_work

_carried = units_of_work.alias()


class SqlActors:
    """Fulfils flow's ActorStore."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self._writer = writer
        self._reader = reader
        self._sql = statements(writer.dialect.name)

    async def beat(self, name: str, incidents: Collection[str], now: datetime) -> None:
        """The actor lives, and so do the units of these incidents that are not at their end. No history is made."""
        alive = {"last_heartbeat_at": timestamp(now)}
        actor = update(local_actors).where(local_actors.c.name == name).values(alive)
        async with self._writer.begin() as connection:
            if not (await connection.execute(actor)).rowcount:
                rows = [actor_row(name, now)]
                await connection.exec_driver_sql(self._sql.insert_actors, self._sql.parameters(rows))
            for part in chunks(sorted(incidents)):
                await connection.execute(_carried_by(part).values(alive))

    async def all(self) -> Sequence[Actor]:
        async with self._reader.connect() as connection:
            found = await connection.execute(select(local_actors).order_by(local_actors.c.name))
            return [
                Actor(
                    id=row["id"],
                    kind=ActorKind(row["kind"]),
                    name=row["name"],
                    last_heartbeat_at=datetime.fromisoformat(row["last_heartbeat_at"]),
                )
                for row in found.mappings()
            ]


def _carried_by(incidents: Sequence[str]) -> Update:
    """The units of these incidents that are not at their end."""
    # Who has one of them locked is changing it: there is no better sign of life, and nothing to wait for.
    free = (
        select(_carried.c.id)
        .where(_carried.c.incident.in_(incidents), _carried.c.interaction != "done")
        .with_for_update(skip_locked=True)
    )
    return update(units_of_work).where(units_of_work.c.id.in_(free))
