"""How passages are ranked: by meaning, and by the share of what a question's words are worth that a passage holds.

Worth is BM25's, of what the asker may know alone: the figures are counted among the allowed passages, so that a document
which must not be known moves no score.
"""

import math
from typing import Any

KEYWORDS = 0.5
"""The weight of that share beside the cosine of the meanings; chosen by bench/retrieval.py on half of its questions."""

NEAR = 0.25
"""A passage whose vector lies further off (cosine) was not found by meaning."""
RARE = 0.05
"""A passage that holds a smaller share was not found by keywords."""

DIGITS = 6
"""Decimals of a score: what differs beyond them are equals, on both databases in the order in which they came."""

SATURATION, LENGTH = 1.2, 0.25
"""BM25's k1 and b (Robertson and Zaragoza 2009). How often a passage says a word does not count, for passages are short; and
their length counts little, for all were cut to about one: with the usual b of 0.75 one of them that holds every word of a
question could stand below a shorter one that holds half of them. Chosen by bench/retrieval.py, together with KEYWORDS.
"""

HIGHEST = (SATURATION + 1) / (1 + SATURATION * (1 - LENGTH))
"""What the shortest of passages would get for a word that is worth 1."""


def worth(passages: int, held: int) -> float:
    """What a word is worth that so many of the passages hold; the rarer the more, and never nothing."""
    return math.log1p((passages - held + 0.5) / (held + 0.5))


def dampened(length: Any, mean: float) -> Any:
    """What a word that is worth 1 gives a passage of this length (or passages: an array), 0…1."""
    return (SATURATION + 1) / (1 + SATURATION * (1 - LENGTH + LENGTH * length / max(1.0, mean))) / HIGHEST


def found_by(meaning: float | None, keywords: float) -> tuple[str, ...]:
    """By what a passage was found; by nothing means that it was not."""
    by = ("meaning",) if meaning is not None and meaning >= NEAR else ()
    return (*by, "keywords") if keywords >= RARE else by
