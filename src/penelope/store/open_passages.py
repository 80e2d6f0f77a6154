"""The store of passages of a database: SQLite's or PostgreSQL's."""

from typing import Protocol

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.rooms.context.ports import Passages
from penelope.rooms.context.ranking import KEYWORDS
from penelope.store.pgvector import PgvectorPassages
from penelope.store.sqlite_passages import SqlitePassages


class OpenPassages(Passages, Protocol):
    """Passages that are let go of in the end."""

    def close(self) -> None: ...


def open_passages(
    url: URL, reader: AsyncEngine, *, model: str, weight: float = KEYWORDS, patience_seconds: float = 5.0
) -> OpenPassages:
    """Finds passages in this database; `reader` is `database.open_reader` of it. Raises nothing before the first search."""
    if url.get_backend_name() == "sqlite":
        return SqlitePassages(
            str(url.database), model=model, weight=weight, patience_seconds=patience_seconds
        )
    return PgvectorPassages(reader, model=model, weight=weight, patience_seconds=patience_seconds)
