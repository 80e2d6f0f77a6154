"""Documents and passages as rows, and back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from penelope.domain.access import Classification
from penelope.domain.passage import Document, Passage
from penelope.kit.clock import timestamp

DOCUMENT = "d.id, d.kind, d.title, d.source, d.digest, d.classification, d.owner, d.services, d.changed_at"
"""The columns that `document_from` reads, of documents `d`."""

FOUND = f"p.heading, p.text, {DOCUMENT}"
"""The columns that `passage_from` reads, of passages `p` and documents `d`."""


def document_row(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "kind": document.kind,
        "title": document.title,
        "source": document.source,
        "digest": document.digest,
        "classification": document.classification.value,
        "owner": document.owner,
        "services": orjson.dumps(document.services).decode(),
        "changed_at": None if document.changed_at is None else timestamp(document.changed_at),
    }


def document_from(row: Sequence[Any]) -> Document:
    """From a row of DOCUMENT."""
    identifier, kind, title, source, digest, classification, owner, services, changed_at = row
    return Document(
        id=identifier,
        kind=kind,
        title=title,
        source=source,
        digest=digest,
        classification=Classification(classification),
        owner=owner,
        services=tuple(orjson.loads(services)),
        changed_at=None if changed_at is None else datetime.fromisoformat(changed_at),
    )


def passage_from(row: Sequence[Any], score: float, by: tuple[str, ...]) -> Passage:
    """From a row of FOUND."""
    heading, text, *document = row
    return Passage(document=document_from(document), heading=heading, text=text, score=score, by=by)
