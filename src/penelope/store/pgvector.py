"""Passages on PostgreSQL: meanings by pgvector, words by its text index, both ranked in one statement.

Every allowed vector is looked at, and no approximate index: such an index lets passages that may not be known crowd
others out of the candidates, and so change ranks. docs/documents.md says what that costs.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penelope.domain.likeness import Vector
from penelope.domain.passage import Passage
from penelope.errors import Timeout, Unavailable
from penelope.rooms.context.ranking import (
    DIGITS,
    HIGHEST,
    KEYWORDS,
    LENGTH,
    NEAR,
    RARE,
    SATURATION,
    found_by,
    worth,
)
from penelope.rooms.context.terms import asked
from penelope.store.passage_rows import FOUND, passage_from

_AVAILABLE = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
_THERE = text("SELECT to_regclass('passages_text_meaning') IS NOT NULL")
_MEANING = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    (
        "CREATE TABLE passages_text_meaning ("
        " seq bigint PRIMARY KEY REFERENCES passages (seq) ON DELETE CASCADE,"
        " document varchar NOT NULL, classification varchar NOT NULL, model varchar NOT NULL, meaning vector NOT NULL)"
    ),
)


def lay(connection: Connection) -> bool:
    """Makes the table of meanings unless it is there, and says whether it is now.

    It is not where the server has no pgvector, or this role may not bring it in: then passages are found by words.
    """
    if connection.execute(_THERE).scalar():
        return True
    if connection.exec_driver_sql(_AVAILABLE).first() is None:
        return False
    try:
        with connection.begin_nested():
            for statement in _MEANING:
                connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") != "42501":  # insufficient_privilege
            raise
        return False
    return True


def made_by_hand(connection: Connection) -> list[str]:
    """Our tables that are there and that the metadata does not list."""
    wanted = ("passages_text", "passages_text_meaning")
    return [name for name in wanted if connection.execute(_NAMED, {"name": name}).scalar()]


_NAMED = text("SELECT to_regclass(:name) IS NOT NULL")
_POPULATION = text(
    "SELECT coalesce(sum(passages), 0), coalesce(sum(words), 0) FROM documents WHERE classification = ANY(:allowed)"
)
_HELD = text(
    "SELECT a.n, count(p.seq) FROM unnest(CAST(:terms AS text[])) WITH ORDINALITY AS a(term, n) "
    "JOIN passages_text p ON p.words @@ CAST(a.term AS tsquery) "
    "WHERE p.classification = ANY(:allowed) GROUP BY a.n"
)


def _rounded(score: str) -> str:
    """Sums of floats differ in their last digits by the order that they are added in: such passages are equals."""
    return f"round(CAST({score} AS numeric), {DIGITS})"


_WORDS = f"""
words AS (
    SELECT p.seq, p.document,
        sum(a.worth) * {SATURATION + 1}
            / (1 + {SATURATION} * (1 - {LENGTH} + {LENGTH} * p.length / CAST(:mean AS float8)))
        / {HIGHEST} / CAST(:whole AS float8) AS share
    FROM unnest(CAST(:terms AS text[]), CAST(:worths AS float8[])) AS a(term, worth)
    JOIN passages_text p ON p.words @@ CAST(a.term AS tsquery)
    WHERE p.classification = ANY(:allowed) GROUP BY p.seq, p.document
)"""  # noqa: S608 - our own figures
_MEANINGS = """
meanings AS MATERIALIZED (
    SELECT seq, document, -(meaning <#> CAST(:vector AS vector)) AS cosine FROM passages_text_meaning
    WHERE classification = ANY(:allowed) AND model = :model
)"""
_BEST = f"""
SELECT DISTINCT ON (document) document, seq, cosine, share, score FROM scored
WHERE cosine >= {NEAR} OR share >= {RARE} ORDER BY document, score DESC, seq
"""  # noqa: S608 - our own figures
_BOTH = text(
    f"""WITH {_WORDS}, {_MEANINGS}, scored AS (
    SELECT seq, document, cosine, coalesce(share, 0) AS share,
        {_rounded("coalesce(cosine, 0) + CAST(:weight AS float8) * coalesce(share, 0)")} AS score
    FROM meanings FULL JOIN words USING (seq, document)
), best AS ({_BEST})
SELECT seq, cosine, share, score FROM best ORDER BY score DESC, seq LIMIT :limit"""  # noqa: S608 - our own words
)
_WORDS_ALONE = text(
    f"""WITH {_WORDS}, scored AS (
    SELECT seq, document, CAST(NULL AS float8) AS cosine, share, {_rounded("share")} AS score FROM words
), best AS ({_BEST})
SELECT seq, cosine, share, score FROM best ORDER BY score DESC, seq LIMIT :limit"""  # noqa: S608 - our own words
)
_FOUND = text(
    f"SELECT p.seq, {FOUND} FROM passages p JOIN documents d ON d.id = p.document "  # noqa: S608 - our own names
    "WHERE p.seq = ANY(:found) AND p.classification = ANY(:allowed)"
)


class PgvectorPassages:
    """Fulfils the Passages port. `reader` sees one moment in each transaction (`database.open_reader`)."""

    def __init__(
        self,
        reader: AsyncEngine,
        *,
        model: str,
        dimensions: int = 384,
        weight: float = KEYWORDS,
        patience_seconds: float = 5.0,
    ) -> None:
        """`model` is what makes the vectors of questions; passages whose vectors others made are found by words."""
        self._reader = reader
        self._model = model
        self._bytes = 4 * dimensions
        self._weight = weight
        self._patience = patience_seconds

    async def search(
        self, words: str, vector: Vector | None, allowed: Collection[str], limit: int
    ) -> Sequence[Passage]:
        if not allowed or limit < 1:
            return []
        if vector is not None and len(vector) != self._bytes:
            vector = None
        try:
            async with asyncio.timeout(self._patience), self._reader.connect() as connection:
                return await self._search(
                    connection, words, vector, {"allowed": sorted(allowed), "limit": limit}
                )
        except TimeoutError as error:
            raise Timeout("the store of passages answers too late") from error
        except DBAPIError as error:
            raise Unavailable("the store of passages does not answer") from error

    def close(self) -> None:
        """Nothing: the reader is whose it was."""

    async def _search(
        self, connection: AsyncConnection, words: str, vector: Vector | None, given: Mapping[str, Any]
    ) -> Sequence[Passage]:
        weighed = await _weighed(connection, words, given)
        if vector is not None and (await connection.execute(_THERE)).scalar():
            more = {"vector": as_literal(vector), "model": self._model, "weight": self._weight}
            scored = (await connection.execute(_BOTH, {**given, **weighed, **more})).all()
        else:
            scored = (await connection.execute(_WORDS_ALONE, {**given, **weighed})).all()
        asked_for = {"found": [row.seq for row in scored], "allowed": given["allowed"]}
        found = {row[0]: row[1:] for row in (await connection.execute(_FOUND, asked_for)).all()}
        return [
            passage_from(found[row.seq], float(row.score), found_by(row.cosine, float(row.share)))
            for row in scored
            if row.seq in found
        ]


async def _weighed(connection: AsyncConnection, words: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A question's words with what they are worth, and the mean length of passages, all among the allowed ones."""
    allowed = {"allowed": given["allowed"]}
    number, length = (await connection.execute(_POPULATION, allowed)).one()
    terms = [as_query(term) for term in asked(words)]
    held = {row[0]: row[1] for row in (await connection.execute(_HELD, {**allowed, "terms": terms})).all()}
    worths = [worth(int(number), held.get(place, 0)) for place in range(1, len(terms) + 1)]
    mean = max(1.0, int(length) / number) if number else 1.0
    return {"terms": terms, "worths": worths, "whole": sum(worths) or 1.0, "mean": mean}


def as_query(term: str) -> str:
    """A word as tsquery reads it, whatever is in it."""
    escaped = term.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def as_literal(vector: Vector) -> str:
    """A vector as pgvector reads it; 32-bit floats keep their value with nine digits."""
    return "[" + ",".join(f"{figure:.9g}" for figure in np.frombuffer(vector, "<f4").tolist()) + "]"
