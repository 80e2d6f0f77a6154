"""Reads past cases for reports."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.flow.calibrating import Lived
from penelope.kit.clock import timestamp
from penelope.rooms.learn.calibration import Prediction
from penelope.store.tables import past_cases

_columns = past_cases.c

MOST_PREDICTIONS = 100_000
"""The newest ones; more would tell nothing else."""


class SqlPast:
    """Fulfils flow's PastReader."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def predictions(self, wanted: Lived) -> Sequence[Prediction]:
        query = select(_columns.confidence, _columns.verified).where(
            _columns.verified.is_not(None),
            _columns.confidence.between(0, 1),
            _columns.imported.is_(False),
            _columns.ended_at >= timestamp(wanted.since),
        )
        if wanted.service is not None:
            query = query.where(_columns.service == wanted.service)
        if wanted.playbook is not None:
            query = query.where(_columns.playbook == wanted.playbook)
        async with self._engine.connect() as connection:
            found = await connection.execute(query.order_by(_columns.ended_at.desc()).limit(MOST_PREDICTIONS))
            return [Prediction(confidence=row.confidence, verified=bool(row.verified)) for row in found]
