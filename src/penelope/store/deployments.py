"""Reads deployments."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, literal_column, select
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.deployment import Deployment, DeploymentStatus
from penelope.domain.work import Entry
from penelope.flow.deploying import KIND, kept_from
from penelope.rooms.rollout.look import Kept
from penelope.store import rows
from penelope.store.reader import HISTORY, SqlReader
from penelope.store.tables import DEPLOYMENTS, units_of_work, units_of_work_history

_units = units_of_work.c
_PAGE = 100
_ENDED = sorted(status.value for status in DeploymentStatus if status.ended)


class SqlDeployments:
    """Fulfils flow's DeploymentReader."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = SqlReader(engine)

    async def deployments(
        self, *, service: str | None, active: bool | None, before: str | None, limit: int
    ) -> Sequence[Deployment]:
        found: list[Deployment] = []
        async with self._engine.connect() as connection:
            while len(found) < limit:
                answer = await connection.execute(_page(before, active=active))
                page = [kept_from(rows.unit_from(dict(row))).deployment for row in answer.mappings()]
                found += [item for item in page if service is None or item.service == service]
                if len(page) < _PAGE:
                    break
                before = page[-1].id
        return found[:limit]

    async def active(self) -> Sequence[Deployment]:
        query = select(units_of_work).where(literal_column(DEPLOYMENTS), _units.status.not_in(_ENDED))
        async with self._engine.connect() as connection:
            answer = await connection.execute(query.order_by(_units.updated_at.desc(), _units.id.desc()))
            return [kept_from(rows.unit_from(dict(row))).deployment for row in answer.mappings()]

    async def deployment(self, identifier: str) -> Kept | None:
        query = select(units_of_work).where(_units.id == identifier, _units.kind == KIND)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else kept_from(rows.unit_from(dict(row)))

    async def history(
        self, identifier: str, after: int, limit: int, *, newest: bool = False
    ) -> Sequence[Entry]:
        if not newest:
            return await self._reader.history(identifier, after, limit)
        version = units_of_work_history.c.version
        query = HISTORY.where(units_of_work_history.c.unit == identifier, version > after)
        async with self._engine.connect() as connection:
            answer = await connection.execute(query.order_by(version.desc()).limit(limit))
            return [rows.entry_from(dict(row)) for row in answer.mappings()][::-1]


def _page(before: str | None, *, active: bool | None) -> Select[Any]:
    # As the index has it, to the letter: a parameter would not be recognised.
    query = select(units_of_work).where(literal_column(DEPLOYMENTS))
    if active is not None:
        ended = _units.status.in_(_ENDED)
        query = query.where(~ended if active else ended)
    if before is not None:
        last = select(_units.updated_at, _units.id).where(_units.id == before).subquery()
        query = query.where(
            (_units.updated_at < last.c.updated_at)
            | ((_units.updated_at == last.c.updated_at) & (_units.id < last.c.id))
        )
    return query.order_by(_units.updated_at.desc(), _units.id.desc()).limit(_PAGE)
