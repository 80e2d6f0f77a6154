"""Reads answers, and the corrections of people."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import literal_column, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.concept import Correction
from penelope.domain.work import UnitOfWork
from penelope.errors import Unavailable
from penelope.flow.answers import IN_FORCE
from penelope.kit.codec import from_data
from penelope.store import rows
from penelope.store.tables import CORRECTIONS, units_of_work

_units = units_of_work.c


class SqlAnswers:
    """Fulfils flow's AnswerReader."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def answer(self, identifier: str) -> UnitOfWork | None:
        query = select(units_of_work).where(_units.id == identifier, _units.kind == "answer")
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else rows.unit_from(dict(row))

    async def correction(self, identifier: str) -> UnitOfWork | None:
        query = select(units_of_work).where(_units.id == identifier, _units.kind == "correction")
        with _readable():
            async with self._engine.connect() as connection:
                row = (await connection.execute(query)).mappings().first()
        return None if row is None else rows.unit_from(dict(row))

    async def corrections(self) -> Sequence[Correction]:
        # As the index has it, to the letter: a parameter would not be recognised.
        query = (
            select(units_of_work)
            .where(literal_column(CORRECTIONS), _units.status == IN_FORCE)
            .order_by(_units.updated_at, _units.id)
        )
        with _readable():
            async with self._engine.connect() as connection:
                found = [rows.unit_from(dict(row)) for row in (await connection.execute(query)).mappings()]
        return [from_data(Correction, unit.attributes) for unit in found]


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise Unavailable(f"the corrections cannot be read: {type(error).__name__}") from error
