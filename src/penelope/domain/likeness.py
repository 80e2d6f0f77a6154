"""How past cases resemble an incident, and texts each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Vector = bytes
"""A vector of length 1, as 32-bit floats in little-endian order: as it is stored, and as numpy reads it."""


class Embedder(Protocol):
    """Turns texts into vectors that lie the nearer to each other, the more alike the texts are in meaning."""

    @property
    def model(self) -> str:
        """What made the vectors; those of different models do not compare."""

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """A vector each, worked out beside the event loop. Raises Unavailable where the model cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """A past case that resembles an incident (`similarity` 0…1), and what came of it there for the plan at hand.

    `verified` says whether the plan's playbook helped there, None where it was not used; `agrees` whether what came
    of the case speaks for acting with it now, None where it says nothing. `by` is what they are alike in:
    `fingerprint`, `name`, `labels`, `meaning`, `keywords`. `counted` says that the playbook's lived
    tallies hold the case already, so that it must not be counted again; an imported one is taken off its imported tally.
    """

    incident: str
    similarity: float
    verified: bool | None = None
    agrees: bool | None = None
    by: tuple[str, ...] = ()
    counted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A past case that a search by words and meaning found; `likeness` is 0…1, `by` as above."""

    incident: str
    likeness: float
    by: tuple[str, ...]
