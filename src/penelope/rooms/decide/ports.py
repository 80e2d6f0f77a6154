"""What `decide` needs from outside: the meaning of texts."""

from typing import Protocol

from penelope.domain.likeness import Embedder, Vector


class QuickEmbedder(Embedder, Protocol):
    """One that remembers what it was asked lately."""

    def at_hand(self, text: str) -> Vector | None:
        """The vector of a text that was embedded lately, at once; None for any other."""
