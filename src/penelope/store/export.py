"""History as it is handed out: page by page, with its places in the log."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.flow.export import Condition, Figures, Logged, Wanted
from penelope.kit.clock import timestamp
from penelope.store import tables
from penelope.store.reader import HISTORY
from penelope.store.rows import entry_from

_entries, _leaves, _actors = tables.units_of_work_history, tables.log_leaves, tables.local_actors

_PAGE = 500
_LOGGED = HISTORY.add_columns(_leaves.c.index.label("place")).outerjoin(
    _leaves, _leaves.c.seq == _entries.c.seq
)
_TIME = (_entries.c.recorded_at, _entries.c.seq)


class SqlHistory:
    """Fulfils flow's HistoryReader."""

    def __init__(self, engine: AsyncEngine, page: int = _PAGE) -> None:
        self._engine = engine
        self._page = page

    async def export(self, wanted: Wanted) -> AsyncIterator[Sequence[Logged]]:
        query = _LOGGED.where(*_clauses(wanted)).order_by(*_TIME).limit(self._page)
        page = await self._logged(query)
        while page:
            yield page
            last = page[-1].entry
            after = timestamp(last.recorded_at), last.seq
            # A short page may be the last one so far, but entries may have come since.
            page = await self._logged(query.where(tuple_(*_TIME) > after))

    async def story(self, incident: str) -> Sequence[Logged]:
        place = _leaves.c.index
        query = _LOGGED.where(_entries.c.incident == incident)
        return await self._logged(query.order_by(place.is_(None), place, _entries.c.seq))

    async def figures(self) -> Figures:
        by_event = select(_entries.c.event, func.count()).group_by(_entries.c.event)
        payloads = select(func.count()).select_from(tables.history_payloads)
        async with self._engine.connect() as connection:
            events = (await connection.execute(by_event)).all()
            oldest = await connection.scalar(select(func.min(_entries.c.recorded_at)))
            return Figures(
                events=dict(map(tuple, sorted(events))),
                payloads=int(await connection.scalar(payloads) or 0),
                oldest=None if oldest is None else datetime.fromisoformat(oldest),
            )

    async def _logged(self, query: Any) -> list[Logged]:
        async with self._engine.connect() as connection:
            found = (await connection.execute(query)).mappings()
            return [Logged(row["place"], entry_from(dict(row))) for row in found]


def _clauses(wanted: Wanted) -> list[ColumnElement[bool]]:
    clauses = [_clause(condition) for condition in wanted.where]
    if wanted.since is not None:
        clauses.append(_entries.c.recorded_at >= timestamp(wanted.since))
    if wanted.until is not None:
        clauses.append(_entries.c.recorded_at < timestamp(wanted.until))
    return clauses


def _clause(condition: Condition) -> ColumnElement[bool]:
    holds: ColumnElement[bool]
    if condition.field == "actor":
        named = select(_actors.c.id).where(_actors.c.name == condition.value)
        holds = or_(_entries.c.actor_id == condition.value, _entries.c.actor_id.in_(named))
    else:
        holds = _entries.c[condition.field] == condition.value
    return ~holds if condition.negated else holds
