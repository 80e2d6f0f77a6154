"""What `context` needs from outside: figures, what changed lately, and the stores that concepts are resolved over."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from penelope.domain.access import Access, AccessQuestion, Asset, Masking
from penelope.domain.evidence import Evidence
from penelope.domain.graph import Edge, Node
from penelope.domain.likeness import Vector
from penelope.domain.metrics import Reading
from penelope.domain.passage import Document, Passage, Piece, Shelved
from penelope.domain.semantics import Model, SemanticQuery, Table
from penelope.domain.service import Service, Target
from penelope.kit.canonical import Json


class MetricReader(Protocol):
    """Reads a service's figures."""

    async def read(self, service: Service, window_seconds: float) -> Reading:
        """Figures over the last `window_seconds`. Raises Unavailable when no instance answers."""


class ChangeReader(Protocol):
    """Tells what changed lately on a target."""

    async def changes(self, target: Target) -> Mapping[str, Json]:
        """Facts such as ``release``, ``previous_release``, ``head`` or ``last_change``; empty where none are kept.

        Raises Unavailable when the target is out of reach.
        """


class ContextReader(Protocol):
    """Tells of an incident what stores and documents know: `domain.surroundings` has the names of what it gives."""

    async def about(self, incident: str, service: Service) -> Sequence[Evidence]:
        """Within the reader's own time, and never an error: what could not be asked is evidence without a value. Nothing
        where nothing is set up to be asked.
        """


class SemanticLayer(Protocol):
    """Answers questions about governed measures."""

    async def model(self) -> Model:
        """All that can be asked for. Raises Unavailable, Timeout."""

    async def run(self, query: SemanticQuery, masks: Mapping[str, Masking]) -> Table:
        """The table of a query, with masked dimensions masked in it.

        Raises InvalidQuery for what the model cannot answer (an unknown member, a fan-out); Unavailable, Timeout.
        """


class Graph(Protocol):
    """Answers named questions about how things hang together."""

    async def ask(self, name: str, parameters: Mapping[str, Json]) -> Sequence[Mapping[str, Json]]:
        """The rows of a named query, in its order. Raises InvalidQuery; Unavailable, Timeout."""

    async def replace(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        """Makes these all that there is, at once: whoever asks meanwhile sees the old or the new. Raises Unavailable."""


class Passages(Protocol):
    """Finds passages of documents."""

    async def search(
        self, words: str, vector: Vector | None, allowed: Collection[str], limit: int
    ) -> Sequence[Passage]:
        """The best first, among documents of the classifications in `allowed`; by words alone where there is no vector.

        Of each document the best passage. Raises Unavailable, Timeout.
        """


class Shelf(Protocol):
    """Keeps documents so that their passages are found. Whatever it is stopped in, it keeps each document whole."""

    async def shelved(self) -> Sequence[Shelved]:
        """All that is kept. Raises Unavailable."""

    async def put(self, document: Document, pieces: Sequence[Piece], recipe: str, model: str) -> None:
        """Keeps a document in place of what was kept under its id, at once. `model` made the vectors. Raises Unavailable."""

    async def forget(self, ids: Collection[str]) -> int:
        """Takes documents away, and says how many were there. Raises Unavailable."""


class Governor(Protocol):
    """Says who may know and see what."""

    async def judge(self, questions: Sequence[AccessQuestion]) -> Sequence[Access]:
        """An answer each, in the order of the questions. Whatever goes wrong is a no that says why; never raises."""


@runtime_checkable
class Discerning(Governor, Protocol):
    """A governor that knows which assets make no difference to it."""

    def alike(self, asset: Asset) -> Hashable:
        """Assets of which this gives the same are answered alike, whoever asks for what, for as long as the governor lives."""
