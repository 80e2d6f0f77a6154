"""Reads benchmark runs and baselines, by the indexes that hold these units alone."""

from collections.abc import Sequence

import orjson
from sqlalchemy import ColumnElement, literal_column, select
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.benchmark import Baseline, BenchmarkRun
from penelope.kit.codec import from_data
from penelope.store.rows import as_text
from penelope.store.tables import BASELINES, BENCHMARKS, units_of_work

_units = units_of_work.c

_LATE = 5000
"""Runs that are looked through for those of one service."""


class SqlBenchmarks:
    """Fulfils flow's BenchmarkReader."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def baselines(self, service: str) -> Sequence[Baseline]:
        # As the index has it, to the letter: a parameter would not be recognised.
        query = select(_units.attributes).where(literal_column(BASELINES)).order_by(_units.id)
        found: list[Baseline] = []
        async with self._engine.connect() as connection:
            for (text,) in await connection.execute(query.where(_of(service))):
                baseline = from_data(Baseline, orjson.loads(text))
                if baseline.service == service:
                    found.append(baseline)
        return found

    async def runs(self, service: str, limit: int) -> Sequence[BenchmarkRun]:
        newest = (_units.updated_at.desc(), _units.id.desc())
        late = (
            select(_units.attributes, _units.updated_at, _units.id)
            .where(literal_column(BENCHMARKS))
            .order_by(*newest)
            .limit(_LATE)
            .subquery()
        )
        query = select(late.c.attributes).where(
            late.c.attributes.contains(f'"service":{as_text(service)}', autoescape=True)
        )
        query = query.order_by(late.c.updated_at.desc(), late.c.id.desc())
        found: list[BenchmarkRun] = []
        async with self._engine.connect() as connection, connection.stream(query) as rows:
            async for (text,) in rows:
                run = from_data(BenchmarkRun, orjson.loads(text))
                # What is told apart by case alone the database may not tell apart.
                if run.service == service:
                    found.append(run)
                if len(found) == limit:
                    break
        return found


def _of(service: str) -> ColumnElement[bool]:
    """Most others are left out before they are read."""
    return _units.attributes.contains(f'"service":{as_text(service)}', autoescape=True)
