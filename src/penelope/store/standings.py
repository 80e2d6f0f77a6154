"""Reads what playbooks have earned, by the index that holds these units alone."""

from collections.abc import Sequence

import orjson
from sqlalchemy import literal_column, select
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.autonomy import Standing
from penelope.kit.codec import from_data
from penelope.store.rows import as_text
from penelope.store.tables import STANDINGS, units_of_work

_units = units_of_work.c


class SqlStandings:
    """Fulfils flow's StandingReader."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def standings(
        self, *, service: str | None, playbook: str | None, after: str | None, limit: int
    ) -> Sequence[tuple[str, Standing]]:
        # As the index has it, to the letter: a parameter would not be recognised.
        query = select(_units.id, _units.attributes).where(literal_column(STANDINGS)).order_by(_units.id)
        if after is not None:
            query = query.where(_units.id > after)
        for name, value in (("service", service), ("playbook", playbook)):
            if value is not None:
                # Most others are left out before they are read; what is told apart by case alone, below.
                query = query.where(_units.attributes.contains(f'"{name}":{as_text(value)}', autoescape=True))
        found: list[tuple[str, Standing]] = []
        async with self._engine.connect() as connection, connection.stream(query) as rows:
            async for name, text in rows:
                standing = from_data(Standing, orjson.loads(text))
                if service in {None, standing.service} and playbook in {None, standing.playbook}:
                    found.append((name, standing))
                if len(found) == limit:
                    break
        return found
