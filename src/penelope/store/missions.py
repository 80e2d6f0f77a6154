"""Reads missions, and what their progress is made of."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import literal_column, select
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.incident import IncidentState
from penelope.domain.mission import Mission, MissionStatus
from penelope.domain.work import UnitOfWork
from penelope.kit.codec import from_data
from penelope.store import rows
from penelope.store.tables import MISSIONS, incidents, units_of_work

_units = units_of_work.c
_OF_PROGRESS = ("incident", "plan", "action", "approval")
_INTERVENING = sorted(state.value for state in IncidentState if state.intervening)


class SqlMissions:
    """Fulfils flow's MissionReader."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def missions(
        self, *, status: MissionStatus | None, before: str | None, limit: int
    ) -> Sequence[Mission]:
        # As the index has it, to the letter: a parameter would not be recognised.
        query = select(units_of_work).where(literal_column(MISSIONS))
        if status is not None:
            query = query.where(_units.status == status.value)
        if before is not None:
            last = select(_units.updated_at, _units.id).where(_units.id == before).subquery()
            query = query.where(
                (_units.updated_at < last.c.updated_at)
                | ((_units.updated_at == last.c.updated_at) & (_units.id < last.c.id))
            )
        query = query.order_by(_units.updated_at.desc(), _units.id.desc()).limit(limit)
        async with self._engine.connect() as connection:
            found = [rows.unit_from(dict(row)) for row in (await connection.execute(query)).mappings()]
        return [from_data(Mission, unit.attributes) for unit in found]

    async def mission(self, identifier: str) -> Mission | None:
        query = select(units_of_work).where(_units.id == identifier, _units.kind == "mission")
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else from_data(Mission, rows.unit_from(dict(row)).attributes)

    async def work(self, incidents: Collection[str]) -> Sequence[UnitOfWork]:
        found: list[UnitOfWork] = []
        async with self._engine.connect() as connection:
            for part in rows.chunks(sorted(incidents)):
                query = select(units_of_work).where(_units.incident.in_(part), _units.kind.in_(_OF_PROGRESS))
                answer = await connection.execute(query.order_by(_units.updated_at, _units.id))
                found += [rows.unit_from(dict(row)) for row in answer.mappings()]
        return found

    async def units(self, identifiers: Collection[str]) -> Sequence[UnitOfWork]:
        found: list[UnitOfWork] = []
        async with self._engine.connect() as connection:
            for part in rows.chunks(sorted(identifiers)):
                answer = await connection.execute(select(units_of_work).where(_units.id.in_(part)))
                found += [rows.unit_from(dict(row)) for row in answer.mappings()]
        return found

    async def intervening(self, services: Collection[str]) -> Mapping[str, str]:
        query = select(incidents.c.service, incidents.c.id).where(
            incidents.c.state.in_(_INTERVENING), incidents.c.service.in_(sorted(services))
        )
        async with self._engine.connect() as connection:
            found = (await connection.execute(query)).all()
        return {str(service): str(incident) for service, incident in found}
