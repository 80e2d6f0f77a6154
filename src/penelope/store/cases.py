"""Past cases: how decisions and imports ask for them, and where their vectors are kept."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Select, Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.outcome import OutcomeKind
from penelope.domain.precedent import PastCase, Stratum
from penelope.domain.signal import Severity
from penelope.flow.wisdom import Indexed, Meaning
from penelope.kit.clock import timestamp
from penelope.store import rows
from penelope.store.bulk import given, insert
from penelope.store.statements import ADDED_UP, PAST_COLUMNS
from penelope.store.tables import case_vectors, past_cases, tallies

_EACH = 5
"""Candidates that one decision reads of the same problem, and of the same name."""

_cases, _vectors = past_cases.c, case_vectors.c


@dataclass(frozen=True, slots=True)
class OfCases:
    """SQL text for one database; `names` are a JSON list."""

    precedents: str
    """service, fingerprint, name, names -> PAST_COLUMNS, the same case perhaps more than once"""
    known: str
    """names -> those that are there"""
    insert: str
    """Rows of PAST_COLUMNS; those that are there are left alone."""
    count: str
    """Rows of `imported_tallies`: added to what was counted before"""


@cache
def of_cases(dialect: str) -> OfCases:
    """The statements for `sqlite` or `postgresql`."""
    place, each = "?", "json_each(?) AS given"
    if dialect == "postgresql":
        place, each = "%s", "json_array_elements_text(%s::json) AS given(value)"
    columns = ", ".join(PAST_COLUMNS)
    newest = f"ORDER BY ended_at DESC LIMIT {_EACH}"
    named = f"incident IN (SELECT value FROM {each})"  # noqa: S608 - our own names
    return OfCases(
        precedents=(
            f"SELECT * FROM (SELECT {columns} FROM past_cases "  # noqa: S608 - our own names
            f"WHERE service = {place} AND fingerprint = {place} {newest}) AS problem UNION ALL "
            f"SELECT * FROM (SELECT {columns} FROM past_cases WHERE name = {place} {newest}) AS name "
            f"UNION ALL SELECT {columns} FROM past_cases WHERE {named}"
        ),
        known=f"SELECT incident FROM past_cases WHERE {named}",  # noqa: S608 - our own names
        insert=f"{_insert(dialect, past_cases)} ON CONFLICT DO NOTHING",
        count=f"{_insert(dialect, tallies)} {ADDED_UP}",
    )


def _insert(dialect: str, table: Table) -> str:
    names = tuple(table.columns.keys())
    if dialect == "sqlite":
        return insert(dialect, table, names)
    kind = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it without types
    types = [column.type.compile(kind) for column in table.columns]
    return f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM {given(types, names)}"  # noqa: S608 - our own names


def cases_from(found: Iterable[Sequence[Any]]) -> list[PastCase]:
    """Cases from rows of PAST_COLUMNS, each once."""
    unique = {row[0]: row for row in found}
    return [_case(dict(zip(PAST_COLUMNS, row, strict=True))) for row in unique.values()]


def _case(row: dict[str, Any]) -> PastCase:
    verified = row["verified"]
    return PastCase(
        **{
            **row,
            "severity": Severity(row["severity"]),
            "labels": orjson.loads(row["labels"]),
            "kind": OutcomeKind(row["kind"]),
            "verified": None if verified is None else bool(verified),
            "healed_itself": bool(row["healed_itself"]),
            "stratum": Stratum(row["stratum"]),
            "imported": bool(row["imported"]),
            "opened_at": datetime.fromisoformat(row["opened_at"]),
            "ended_at": datetime.fromisoformat(row["ended_at"]),
        }
    )


class SqlCases:
    """Fulfils flow's CaseStore."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self._writer = writer
        self._reader = reader

    async def unindexed(self, model: str, limit: int) -> Sequence[PastCase]:
        made = select(_vectors.incident).where(_vectors.incident == _cases.incident)
        if model:
            made = made.where(_vectors.model == model)
        query = select(past_cases).where(~made.exists()).order_by(_cases.ended_at.desc()).limit(limit)
        return await self._cases(query)

    async def keep(self, meanings: Sequence[Meaning], model: str, now: datetime) -> None:
        moment = timestamp(now)
        values = [
            {"incident": item.incident, "model": model, "vector": item.vector, "indexed_at": moment}
            for item in meanings
        ]
        async with self._writer.begin() as connection:
            upsert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            statement = upsert(case_vectors).values(values)
            new = {name: statement.excluded[name] for name in ("model", "vector", "indexed_at")}
            await connection.execute(
                statement.on_conflict_do_update(index_elements=[_vectors.incident], set_=new)
            )

    async def indexed(self, after: tuple[str, str], limit: int) -> Sequence[Indexed]:
        moment, incident = after
        query = (
            select(_vectors.indexed_at, _vectors.model, _vectors.vector, past_cases)
            .join(past_cases, _cases.incident == _vectors.incident)
            .where(
                (_vectors.indexed_at > moment)
                | ((_vectors.indexed_at == moment) & (_vectors.incident > incident))
            )
            .order_by(_vectors.indexed_at, _vectors.incident)
            .limit(limit)
        )
        async with self._reader.connect() as connection:
            found = (await connection.execute(query)).all()
        return [
            Indexed(case=_case(dict(zip(PAST_COLUMNS, case, strict=True))), model=model, vector=vector, at=at)
            for at, model, vector, *case in found
        ]

    async def horizon(self, most: int) -> str:
        query = select(_vectors.indexed_at).order_by(_vectors.indexed_at.desc()).offset(most).limit(1)
        async with self._reader.connect() as connection:
            return (await connection.execute(query)).scalar() or ""

    async def cases(self, names: Collection[str], service: str | None = None) -> Sequence[PastCase]:
        found: list[PastCase] = []
        for some in rows.chunks(sorted(names)):
            query = select(past_cases).where(_cases.incident.in_(some))
            found += await self._cases(query if service is None else query.where(_cases.service == service))
        return found

    async def newest(self, service: str | None, limit: int) -> Sequence[PastCase]:
        query = select(past_cases).order_by(_cases.ended_at.desc(), _cases.incident).limit(limit)
        return await self._cases(query if service is None else query.where(_cases.service == service))

    async def _cases(self, query: Select[Any]) -> Sequence[PastCase]:
        async with self._reader.connect() as connection:
            return cases_from((await connection.execute(query)).all())
