"""Words and vectors of past cases in memory, where one product finds the nearest ones.

One implementation for both databases: PostgreSQL ranks texts by other rules than SQLite, and has no BM25.
"""

import math
import sys
from array import array
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from penelope.domain.likeness import Hit, Vector

_KEYWORDS = 0.3
"""The weight of keywords beside meaning, as z-scores: measured to find more than reciprocal ranks do (docs/wisdom.md)."""
_SATURATION, _LENGTH = 1.2, 0.75
"""BM25's k1 and b (Robertson and Zaragoza 2009)."""
_KNEE = 0.7
_FIRST_ROOM = 256
_RARE = 0.05
"""A case that holds less of what a question's words are worth was not found by keywords."""
_NEAR = 0.25
"""A case whose vector lies further off (cosine) was not found by meaning."""


_TERMS_EACH = 64
"""The words that a case has on average at most. Cases of more words are fewer: labels come from outside."""


class MemoryIndex:
    """The newest past cases, at most so many: 50,000 take about 120 MB. Not for several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._clear()

    def __len__(self) -> int:
        return len(self._names)

    def _clear(self) -> None:
        self._names: list[str] = []
        self._terms: list[Sequence[str]] = []
        self._places: dict[str, int] = {}
        self._postings: dict[str, array[int]] = {}
        self._lengths: Any = np.zeros(_FIRST_ROOM, dtype=np.float32)
        self._vectors: Any = np.zeros((0, 0), dtype=np.float32)
        self._embedded = 0
        self._held = 0

    def add(self, case: str, terms: Sequence[str], vector: Vector | None) -> None:
        """Takes a case in; one that is there only gets its vector. When full, the oldest tenth is forgotten."""
        place = self._places.get(case)
        if place is None:
            if len(self._names) >= self._most or self._held >= self._most * _TERMS_EACH:
                self._forget(max(1, len(self._names) // 10))
            place = self._place(case, terms)
        if vector is not None:
            self._set(place, vector)

    def _place(self, case: str, terms: Sequence[str]) -> int:
        place = len(self._names)
        self._names.append(case)
        # One object a word, however many cases hold it: that is a third of what a case takes.
        terms = [sys.intern(term) for term in terms]
        self._terms.append(terms)
        self._held += len(terms)
        self._places[case] = place
        if place >= len(self._lengths):
            self._lengths = _wider(self._lengths)
        self._lengths[place] = len(terms)
        for term in terms:
            self._postings.setdefault(term, array("I")).append(place)
        return place

    def _set(self, place: int, vector: Vector) -> None:
        made = np.frombuffer(vector, dtype="<f4")
        if not self._embedded:
            self._vectors = np.zeros((_FIRST_ROOM, len(made)), dtype=np.float32)
        while place >= len(self._vectors):
            self._vectors = _wider(self._vectors)
        self._vectors[place] = made
        self._embedded += 1

    def _forget(self, number: int) -> None:
        """Built anew from what is left: that costs as much as adding it, once in a tenth of all additions."""
        names, terms, vectors = self._names[number:], self._terms[number:], self._vectors[number:]
        self._clear()
        for place, (name, words) in enumerate(zip(names, terms, strict=True)):
            has_vector = place < len(vectors) and vectors[place].any()
            self.add(name, words, vectors[place].tobytes() if has_vector else None)

    def search(self, terms: Collection[str], vector: Vector | None, limit: int) -> list[Hit]:
        """The cases most like a question, best first.

        By the cosine of their meanings, and by the share (0…1) of what the question's words are worth that a case
        holds; without a vector by that share alone.
        """
        if not self._names:
            return []
        words = self._keywords(terms)
        if vector is None or not self._embedded:
            return self._hits(words, {"keywords": words}, limit)
        asked = np.frombuffer(vector, dtype="<f4")
        meaning = np.zeros(len(self._names), dtype=np.float32)
        known = min(len(self._names), len(self._vectors))
        meaning[:known] = self._vectors[:known] @ asked
        fused = meaning + _KEYWORDS * words
        return self._hits(fused, {"meaning": meaning, "keywords": words}, limit)

    def _keywords(self, terms: Collection[str]) -> Any:
        """For each case, the share (0…1) that it holds of what the question's words are worth, by BM25."""
        number = len(self._names)
        found = np.zeros(number, dtype=np.float32)
        lengths = self._lengths[:number]
        norm = (_SATURATION + 1) / (
            1 + _SATURATION * (1 - _LENGTH + _LENGTH * lengths / max(1.0, lengths.mean()))
        )
        whole = 0.0
        for term in sorted(set(terms)):
            places = self._postings.get(term)
            held = 0 if places is None else len(places)
            worth = math.log1p((number - held + 0.5) / (held + 0.5))
            whole += worth
            if places is not None:
                at = np.frombuffer(places, dtype=np.uint32)
                found[at] += worth * norm[at]
        best = whole * float(norm.max(initial=0.0))
        return found / best if best else found

    def _hits(self, scores: Any, parts: Mapping[str, Any], limit: int) -> list[Hit]:
        number = min(limit, len(scores))
        best = np.argpartition(-scores, number - 1)[:number]
        hits = []
        for place in best.tolist():
            by = tuple(name for name, part in parts.items() if part[place] >= _LEAST[name])
            if by:
                likeness = _reading(float(scores[place]))
                hits.append(Hit(incident=self._names[place], likeness=likeness, by=by))
        return sorted(hits, key=lambda hit: (-hit.likeness, hit.incident))


_LEAST = {"meaning": _NEAR, "keywords": _RARE}


def _reading(score: float) -> float:
    """A score as 0…1 in the same order: itself up to the knee, from where on it approaches 1."""
    if score <= _KNEE:
        return max(0.0, score)
    return 1 - (1 - _KNEE) * math.exp((_KNEE - score) / (1 - _KNEE))


def _wider(values: Any) -> Any:
    return np.concatenate([values, np.zeros_like(values)])
