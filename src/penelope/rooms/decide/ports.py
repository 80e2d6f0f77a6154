"""What `decide` needs from outside: the meaning of texts."""

from collections.abc import Sequence
from typing import Protocol

from penelope.domain.likeness import Vector


class Embedder(Protocol):
    """Turns texts into vectors that lie the nearer to each other, the more alike the texts are in meaning."""

    @property
    def model(self) -> str:
        """What made the vectors; those of different models do not compare."""

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """A vector each, worked out beside the event loop. Raises Unavailable where the model cannot be used."""

    def at_hand(self, text: str) -> Vector | None:
        """The vector of a text that was embedded lately, at once; None for any other."""
