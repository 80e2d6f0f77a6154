"""Reads what waits for the word of people: requests for approval, and reviews of broken glasses."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Select, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.approval import ApprovalStatus
from penelope.domain.break_glass import BreakGlass, ReviewStatus
from penelope.domain.work import UnitOfWork
from penelope.flow.ports import AskedCounts
from penelope.kit.codec import from_data
from penelope.store import rows
from penelope.store.tables import units_of_work as units

_KINDS = frozenset({"approval", "break_glass"})


def _of(kind: str, statuses: Collection[str]) -> Select[tuple[str]]:
    """Ids of units of a kind. The kind stands in the text, so that the databases see which partial index fits."""
    if kind not in _KINDS:
        raise ValueError(f"{kind!r} is not asked about")
    query = select(units.c.id).where(units.c.kind == literal_column(f"'{kind}'"))
    return query.where(units.c.status.in_(sorted(statuses))) if statuses else query


class AskedReader:
    """The part of flow's Reader that is about words of people."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(
        self, kind: str, *, statuses: Collection[str], before: str | None, limit: int
    ) -> Sequence[UnitOfWork]:
        """Newest change first."""
        query = select(units).where(units.c.id.in_(_of(kind, statuses)))
        if before is not None:
            last = select(units.c.updated_at, units.c.id).where(units.c.id == before).subquery()
            older = (units.c.updated_at < last.c.updated_at) | (
                (units.c.updated_at == last.c.updated_at) & (units.c.id < last.c.id)
            )
            query = query.where(older)
        query = query.order_by(units.c.updated_at.desc(), units.c.id.desc()).limit(limit)
        async with self._engine.connect() as connection:
            return [rows.unit_from(dict(row)) for row in (await connection.execute(query)).mappings()]

    async def counts(self, now: datetime) -> AskedCounts:
        """How many words are waited for at this moment."""
        pending = _of("approval", [ApprovalStatus.PENDING.value]).subquery()
        open_reviews = await self.page(
            "break_glass", statuses=[ReviewStatus.OPEN.value], before=None, limit=1000
        )
        glasses = [from_data(BreakGlass, unit.attributes) for unit in open_reviews]
        async with self._engine.connect() as connection:
            waiting = int(await connection.scalar(select(func.count()).select_from(pending)) or 0)
        overdue = sum(now >= glass.review_due_at for glass in glasses)
        return AskedCounts(pending=waiting, reviews=len(glasses), overdue=overdue)
