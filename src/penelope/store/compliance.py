"""Counts decisions and the articles that they broke, by day, inside the database."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.constitution import Article, bit
from penelope.domain.decision import Judgement
from penelope.flow.audit import Window
from penelope.kit.clock import timestamp
from penelope.rooms.learn.compliance import Tally
from penelope.store.decisions import A_MOMENT, first_id
from penelope.store.tables import decisions, outcomes

_columns, _ended = decisions.c, outcomes.c
_A_DAY = timedelta(days=1) // timedelta(microseconds=1) * A_MOMENT
"""Ids that a day has."""

_EPOCH = date(1970, 1, 1)


class SqlTally:
    """Fulfils flow's TallyReader; an answer has a row a day, however many decisions there were."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def tally(self, window: Window) -> Mapping[date, Tally]:
        async with self._engine.connect() as connection:
            decided = (await connection.execute(_decided(window))).mappings().all()
            verified = (await connection.execute(_verified(window))).mappings().all()
        counted = {_EPOCH + timedelta(days=row["day"]): row for row in decided}
        judged = {date.fromisoformat(row["day"]): row for row in verified}
        return {day: _tally(counted.get(day, {}), judged.get(day, {})) for day in sorted({*counted, *judged})}


def _tally(counted: Mapping[Any, Any], judged: Mapping[Any, Any]) -> Tally:
    return Tally(
        decisions=counted.get("decisions", 0),
        observed=counted.get("observed", 0),
        escalated=counted.get("escalated", 0),
        weighed=counted.get("weighed", 0),
        broken={article: counted.get(article.value, 0) for article in Article},
        verified=judged.get("verified", 0),
        brier=judged.get("brier"),
    )


def _decided(window: Window) -> Select[Any]:
    """Reads nothing but the window's part of an index."""
    day = (_columns.id // _A_DAY).label("day")
    query = select(
        day,
        func.count().label("decisions"),
        func.count().filter(_columns.judgement == Judgement.OBSERVE.value).label("observed"),
        func.count().filter(_columns.judgement == Judgement.ESCALATE.value).label("escalated"),
        func.count(_columns.broken).label("weighed"),
        *(
            func.count().filter(_columns.broken.op("&")(bit(article)) != 0).label(article.value)
            for article in Article
        ),
    ).where(_columns.id >= first_id(window.since), _columns.id < first_id(window.until))
    if window.service is not None:
        query = query.where(_columns.service == window.service)
    return query.group_by(day)


def _verified(window: Window) -> Select[Any]:
    """How far confidence was from what came true, for the decision that each outcome followed from."""
    came_true = case((_ended.verified, 1.0), else_=0.0)
    distance = _columns.confidence - came_true
    day = func.substr(_ended.ended_at, 1, 10).label("day")
    other = decisions.alias()
    latest = select(func.max(other.c.id)).where(other.c.incident == _ended.incident).scalar_subquery()
    query = (
        select(day, func.count().label("verified"), func.avg(distance * distance).label("brier"))
        .join_from(outcomes, decisions, _columns.id == latest)
        .where(_ended.ended_at >= timestamp(window.since), _ended.ended_at < timestamp(window.until))
    )
    if window.service is not None:
        query = query.where(_ended.service == window.service)
    return query.group_by(day)
