"""Answers questions about decisions from indexes, on either database.

Ids follow the order of time, so that every index that ends in them gives its decisions newest first, a stretch of time
is a range of them, and the last one of a page is all that the next page must know.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from math import ceil
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Text,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy import table as plain_table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penelope.domain.decision import Judgement, Precedent
from penelope.flow.audit import (
    DecisionFilter,
    DecisionPrecedents,
    DecisionRow,
    DecisionStatistics,
    Lived,
    PrecedentCase,
    RiskPercentiles,
    Window,
)
from penelope.kit.clock import timestamp
from penelope.kit.codec import from_data
from penelope.rooms.learn.calibration import Prediction
from penelope.store.decisions import BANDS, band, first_id, words
from penelope.store.tables import decisions, outcomes, past_cases

Row = Mapping[str, Any]

MOST_CASES = 50
"""Cases that are shown behind one precedent."""

MOST_PREDICTIONS = 10_000
"""The newest ones, of which calibration is measured; more would tell nothing else."""

_LAST_ID = 2**63 - 1

_columns = decisions.c
_text = plain_table("decisions_text", column("rowid"))
_ROWS = select(
    *(
        item
        for item in decisions.columns
        if item.name not in {"risk_band", "words", "precedent_list", "broken"}
    )
)
_EQUAL = ("service", "judgement", "actor", "playbook", "incident")


class SqlAudit:
    """Fulfils flow's DecisionAudit."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def decisions(
        self, wanted: DecisionFilter, *, before: int | None, limit: int
    ) -> Sequence[DecisionRow]:
        async with self._engine.connect() as connection:
            found = await _rows(connection, page(wanted, before, limit, connection.dialect.name))
        return [_decision(row) for row in found]

    async def high_risk(
        self, at_least: float, *, service: str | None, below: tuple[float, int] | None, limit: int
    ) -> Sequence[DecisionRow]:
        query = _ROWS.where(_columns.risk >= at_least)
        if service is not None:
            query = query.where(_columns.service == service)
        query = query.order_by(_columns.risk.desc(), _columns.id.desc())
        parts = [query]
        if below is not None:
            risk, identifier = below
            # Two ranges, since SQLite would walk all decisions of equal risk to find those behind an id.
            parts = [
                query.where(_columns.risk == risk, _columns.id < identifier),
                query.where(_columns.risk < risk),
            ]
        found: list[Row] = []
        async with self._engine.connect() as connection:
            for part in parts:
                found += await _rows(connection, part.limit(limit - len(found)))
        return [_decision(row) for row in found]

    async def statistics(self, window: Window) -> DecisionStatistics:
        """Reads the index entries of the window once, and for each percentile those of its band once more.

        The cost grows with the decisions in the window, not with the table: 1,000,000 in one window take about
        a second, 10,000 some milliseconds (bench/decision_audit.py).
        """
        within = [_columns.id >= first_id(window.since), _columns.id < first_id(window.until)]
        if window.service is not None:
            within.append(_columns.service == window.service)
        async with self._engine.connect() as connection:
            bands = await _rows(connection, _COUNTS.where(*within).group_by(_columns.risk_band))
            sizes = {row["risk_band"]: row["number"] for row in bands}
            risks = [await _risk(connection, within, place) for place in _places(sizes)]
        return DecisionStatistics(
            by_judgement={name: sum(row[name.value] for row in bands) for name in Judgement},
            risk=RiskPercentiles(p50=risks[0], p90=risks[1], p99=risks[2]) if risks else None,
            with_precedents=sum(row["with_precedents"] for row in bands),
            overridden=sum(row["overridden"] for row in bands),
        )

    async def located(self, identifier: str, version: int | None) -> DecisionRow | None:
        if identifier.isascii() and identifier.isdecimal():
            query = _ROWS.where(_columns.id == min(int(identifier), _LAST_ID))
        else:
            query = _ROWS.where(_columns.incident == identifier)
        if version is not None:
            query = query.where(_columns.version == version)
        async with self._engine.connect() as connection:
            found = await _rows(connection, query.order_by(_columns.id.desc()).limit(1))
        return _decision(found[0]) if found else None

    async def predictions(self, wanted: Lived) -> Sequence[Prediction]:
        query = select(past_cases.c.confidence, past_cases.c.verified).where(
            past_cases.c.verified.is_not(None),
            past_cases.c.confidence.between(0, 1),
            past_cases.c.imported.is_(False),
            past_cases.c.ended_at >= timestamp(wanted.since),
        )
        for name in ("service", "playbook"):
            if (value := getattr(wanted, name)) is not None:
                query = query.where(past_cases.c[name] == value)
        async with self._engine.connect() as connection:
            query = query.order_by(past_cases.c.ended_at.desc()).limit(MOST_PREDICTIONS)
            found = await connection.execute(query)
            return [Prediction(confidence=row.confidence, verified=bool(row.verified)) for row in found]

    async def precedents(self, incident: str, version: int | None) -> DecisionPrecedents | None:
        query = _ROWS.add_columns(_columns.precedent_list).where(_columns.incident == incident)
        if version is not None:
            query = query.where(_columns.version == version)
        async with self._engine.connect() as connection:
            found = await _rows(connection, query.order_by(_columns.id.desc()).limit(1))
            if not found:
                return None
            row = dict(found[0])
            weighed = from_data(tuple[Precedent, ...], orjson.loads(row.pop("precedent_list")))
            decision = _decision(row)
            cases = [(item, await _cases(connection, item, decision.decided_at)) for item in weighed]
        return DecisionPrecedents(decision=decision, precedents=cases)


async def _rows(connection: AsyncConnection, query: Any) -> Sequence[Row]:
    return [dict(row) for row in (await connection.execute(query)).mappings()]


def _decision(row: Row) -> DecisionRow:
    overridden = row["overridden_at"]
    return DecisionRow(
        **{
            **row,
            "judgement": Judgement(row["judgement"]),
            "decided_at": datetime.fromisoformat(row["decided_at"]),
            "overridden_at": None if overridden is None else datetime.fromisoformat(overridden),
        }
    )


# --- pages ------------------------------------------------------------------------------------------------


def page(wanted: DecisionFilter, before: int | None, limit: int, dialect: str) -> Select[Any]:
    """The query for one page of decisions, newest first."""
    asked = words(wanted.text or "")
    if asked and wanted.incident is None:
        query, key = _about(asked, dialect)
        return query.where(*_conditions(wanted, before, key)).order_by(key.desc()).limit(limit)
    conditions = list(_conditions(wanted, before, _columns.id))
    # An incident has few decisions: to look at each is quicker than to find all that hold the words.
    conditions += [(" " + _columns.words + " ").like(f"% {word} %") for word in asked]
    lowest = band(wanted.risk_min or 0.0)
    highest = max(lowest, band(1.0 if wanted.risk_max is None else wanted.risk_max))
    bands = range(lowest, highest + 1)
    newest = _columns.id.desc()
    if len(bands) == BANDS:
        return _ROWS.where(*conditions).order_by(newest).limit(limit)
    # No index gives a range of risks in the order of time; the index of each band does.
    each = [
        select(_columns.id).where(_columns.risk_band == number, *conditions).order_by(newest).limit(limit)
        for number in bands
    ]
    found = union_all(*(select(part.subquery().c.id) for part in each))
    return _ROWS.where(_columns.id.in_(found)).order_by(newest).limit(limit)


def _conditions(
    wanted: DecisionFilter, before: int | None, key: ColumnElement[int]
) -> Iterator[ColumnElement[bool]]:
    for name in _EQUAL:
        if (value := getattr(wanted, name)) is not None:
            yield _columns[name] == value
    if wanted.risk_min is not None:
        yield _columns.risk >= wanted.risk_min
    if wanted.risk_max is not None:
        yield _columns.risk <= wanted.risk_max
    if wanted.since is not None:
        yield key >= first_id(wanted.since)
    if wanted.until is not None:
        yield key < first_id(wanted.until)
    if before is not None:
        yield key < before


def _about(wanted: Sequence[str], dialect: str) -> tuple[Select[Any], ColumnElement[int]]:
    """The rows that hold all these words, and the column to go through them by.

    Words are letters and digits only: nothing in them could be taken for the language of a search.
    """
    if dialect == "sqlite":
        match = literal_column("decisions_text").op("MATCH")(" ".join(f'"{word}"' for word in wanted))
        return _ROWS.join(_text, _text.c.rowid == _columns.id).where(match), _text.c.rowid
    # As the index has it, to the letter: a parameter in place of ' ' would not be recognised.
    held = func.string_to_array(_columns.words, literal_column("' '"))
    # Written out, so that each plan is made for these words: rare ones want another than common ones.
    asked = bindparam(None, list(wanted), type_=ARRAY(Text), literal_execute=True)
    return _ROWS.where(held.op("@>")(cast(asked, ARRAY(Text)))), _columns.id


# --- figures ----------------------------------------------------------------------------------------------

_COUNTS = select(
    _columns.risk_band,
    func.count().label("number"),
    *(func.count().filter(_columns.judgement == name.value).label(name.value) for name in Judgement),
    func.count().filter(_columns.precedents > 0).label("with_precedents"),
    func.count(_columns.overridden_at).label("overridden"),
)


def _places(sizes: Mapping[int, int]) -> list[tuple[int, int]]:
    """Where the percentiles 50, 90 and 99 are found: band, and place in it from 0 on. Nearest rank, so all are exact."""
    total = sum(sizes.values())
    if not total:
        return []
    bands = sorted(sizes)
    ends = list(accumulate(sizes[number] for number in bands))
    places = []
    for share in (50, 90, 99):
        rank = ceil(total * share / 100)
        index = next(index for index, end in enumerate(ends) if end >= rank)
        places.append((bands[index], rank - 1 - (ends[index] - sizes[bands[index]])))
    return places


async def _risk(
    connection: AsyncConnection, within: Sequence[ColumnElement[bool]], place: tuple[int, int]
) -> float:
    number, offset = place
    query = select(_columns.risk).where(_columns.risk_band == number, *within)
    found = await connection.execute(query.order_by(_columns.risk).offset(offset).limit(1))
    return float(found.scalar_one())


async def _cases(
    connection: AsyncConnection, precedent: Precedent, until: datetime
) -> Sequence[PrecedentCase]:
    query = (
        select(outcomes.c.incident, outcomes.c.verified, outcomes.c.ended_at)
        .where(
            outcomes.c.service == precedent.service,
            outcomes.c.playbook == precedent.playbook,
            outcomes.c.ended_at <= timestamp(until),
        )
        .order_by(outcomes.c.ended_at.desc())
        .limit(MOST_CASES)
    )
    return [
        PrecedentCase(
            incident=row["incident"],
            verified=row["verified"],
            ended_at=datetime.fromisoformat(row["ended_at"]),
        )
        for row in await _rows(connection, query)
    ]
