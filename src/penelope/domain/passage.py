"""Documents that are searched, and what a search finds in them."""

from dataclasses import dataclass
from datetime import datetime

from penelope.domain.access import Classification
from penelope.domain.likeness import Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One indexed file. `kind` is runbook, guide, api, model, manifest, ownership or incident; `digest` is its SHA-256.

    `services` are those that it is about, by the names of the catalogue.
    """

    id: str
    kind: str
    title: str
    source: str
    digest: str
    classification: Classification = Classification.INTERNAL
    owner: str = ""
    services: tuple[str, ...] = ()
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A part of a document that answers a question: `score` is comparable within one search; `by` says what found it."""

    document: Document
    heading: str
    text: str
    score: float
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a document as it is shelved: `terms` are the different words that it is found by, `length` how many words
    it has in all. `vector` is None where nothing could embed it.
    """

    heading: str
    text: str
    terms: tuple[str, ...]
    length: int
    vector: Vector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """What is kept of a document that was indexed before: `recipe` tells how its pieces were made of its content."""

    id: str
    source: str
    digest: str
    recipe: str
