"""Where documents and their passages are kept, on both databases: each in one transaction, whole or not at all."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import delete, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penelope.domain.access import Classification
from penelope.domain.passage import Document, Piece, Shelved
from penelope.errors import Unavailable
from penelope.store import rows
from penelope.store.passage_rows import DOCUMENT, document_from, document_row
from penelope.store.pgvector import as_literal, lay
from penelope.store.tables import documents, passages, passages_revision

_documents, _passages = documents.c, passages.c
_CHANGED = passages_revision.update().values(revision=passages_revision.c.revision + 1)
_COLUMNS = frozenset(kind.value for kind in Classification)


class SqlShelf:
    """Fulfils the Shelf port."""

    def __init__(self, writer: AsyncEngine) -> None:
        self._writer = writer
        self._with_meaning: bool | None = None

    async def ready(self) -> bool:
        """Whether meanings are searched in this database; pgvector is brought in where that can be done now."""
        if self._with_meaning is None:
            with _unavailable():
                async with self._writer.begin() as connection:
                    on_sqlite = connection.dialect.name == "sqlite"
                    self._with_meaning = on_sqlite or await connection.run_sync(lay)
        return self._with_meaning

    async def shelved(self) -> Sequence[Shelved]:
        query = select(_documents.id, _documents.source, _documents.digest, _documents.recipe)
        with _unavailable():
            async with self._writer.connect() as connection:
                found = (await connection.execute(query.order_by(_documents.id))).all()
        return [Shelved(id=row.id, source=row.source, digest=row.digest, recipe=row.recipe) for row in found]

    async def put(self, document: Document, pieces: Sequence[Piece], recipe: str, model: str) -> None:
        with_meaning = await self.ready()
        counted = {"passages": len(pieces), "words": sum(piece.length for piece in pieces)}
        row = {**document_row(document), "recipe": recipe, **counted}
        with _unavailable():
            async with self._writer.begin() as connection:
                await _take_out(connection, [document.id])
                await connection.execute(insert(documents).values(row))
                for piece in pieces:
                    await _add(connection, document, piece, model if with_meaning else "")
                await connection.execute(_CHANGED)

    async def forget(self, ids: Collection[str]) -> int:
        gone = 0
        with _unavailable():
            async with self._writer.begin() as connection:
                for some in rows.chunks(sorted(ids)):
                    gone += await _take_out(connection, some)
                if gone:
                    await connection.execute(_CHANGED)
        return gone


async def any_documents(reader: AsyncEngine) -> bool:
    """Whether there is anything to be found. Raises Unavailable."""
    with _unavailable():
        async with reader.connect() as connection:
            return (await connection.execute(select(_documents.id).limit(1))).first() is not None


async def documents_of(reader: AsyncEngine) -> tuple[Document, ...]:
    """All that are indexed, by id, without their passages. Raises Unavailable."""
    query = f"SELECT {DOCUMENT} FROM documents d ORDER BY d.id"  # noqa: S608 - our own names
    with _unavailable():
        async with reader.connect() as connection:
            found = (await connection.exec_driver_sql(query)).all()
    return tuple(document_from(row) for row in found)


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise Unavailable(f"the store of passages does not answer: {_said(error)}") from error


def _said(error: DBAPIError) -> str:
    return next(iter(str(error.orig).splitlines()), type(error.orig).__name__)


async def _take_out(connection: AsyncConnection, ids: Sequence[str]) -> int:
    if connection.dialect.name == "sqlite":
        # A contentless index is told what it held: it has no other way to know.
        old = select(_passages.seq, _passages.classification, _passages.terms).where(
            _passages.document.in_(ids)
        )
        for seq, classification, terms in (await connection.execute(old)).all():
            statement = f"INSERT INTO passages_text (passages_text, rowid, {_column(classification)}) VALUES ('delete', :seq, :terms)"  # noqa: S608 - a name out of our own list
            await connection.execute(text(statement), {"seq": seq, "terms": terms})
    await connection.execute(delete(passages).where(_passages.document.in_(ids)))
    return (await connection.execute(delete(documents).where(_documents.id.in_(ids)))).rowcount


async def _add(connection: AsyncConnection, document: Document, piece: Piece, model: str) -> None:
    on_sqlite = connection.dialect.name == "sqlite"
    classification, terms = document.classification.value, " ".join(piece.terms)
    given: dict[str, Any] = {
        "document": document.id,
        "classification": classification,
        "heading": piece.heading,
        "text": piece.text,
        "terms": terms,
        "length": piece.length,
        "model": model if piece.vector is not None else "",
        "vector": piece.vector if on_sqlite else None,
    }
    upsert: Any = sqlite.insert if on_sqlite else postgresql.insert
    seq = (await connection.execute(upsert(passages).values(given).returning(_passages.seq))).scalar_one()
    if on_sqlite:
        statement = f"INSERT INTO passages_text (rowid, {_column(classification)}) VALUES (:seq, :terms)"  # noqa: S608 - a name out of our own list
        await connection.execute(text(statement), {"seq": seq, "terms": terms})
        return
    known = {"seq": seq, "document": document.id, "classification": classification}
    await connection.execute(
        text(
            "INSERT INTO passages_text (seq, document, classification, length, words) VALUES "
            "(:seq, :document, :classification, :length, array_to_tsvector(CAST(:terms AS text[])))"
        ),
        {**known, "length": piece.length, "terms": list(piece.terms)},
    )
    if piece.vector is not None and model:
        await connection.execute(
            text(
                "INSERT INTO passages_text_meaning (seq, document, classification, model, meaning) VALUES "
                "(:seq, :document, :classification, :model, CAST(:meaning AS vector))"
            ),
            {**known, "model": model, "meaning": as_literal(piece.vector)},
        )


def _column(classification: str) -> str:
    """The index's column of a classification. Raises ValueError for what is none."""
    if classification not in _COLUMNS:
        raise ValueError(f"{classification!r} is no classification")
    return classification
