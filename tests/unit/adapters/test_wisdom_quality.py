"""How well past incidents are found, on pairs that were made by hand and share few words; measured: docs/wisdom.md."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from penelope.adapters.vector.memory import MemoryIndex
from penelope.adapters.vector.minilm import MiniLm
from penelope.rooms.decide.precedents import terms_of, text_of

ROOT = Path(__file__).parents[3]
PAIRS = [
    json.loads(line) for line in (ROOT / "tests/corpus/wisdom/paraphrases.jsonl").read_text().splitlines()
]
OTHERS = [json.loads(line) for line in (ROOT / "examples/past-incidents.jsonl").read_text().splitlines()]


class Library:
    """All past incidents, the pairs' first."""

    def __init__(self) -> None:
        self.embedder = MiniLm()
        self.index = MemoryIndex(1000)
        cases = [*PAIRS, *OTHERS]
        vectors = self.embed(*(text_of(case["name"], case["summary"]) for case in cases))
        for number, (case, vector) in enumerate(zip(cases, vectors, strict=True)):
            terms = terms_of(case["name"], case["summary"], case.get("labels", {}))
            self.index.add(str(number), terms, vector)

    def embed(self, *texts: str) -> Any:
        return asyncio.run(self.embedder.embed(texts))

    def places(self, questions: list[str]) -> list[int]:
        """Where each question finds the case with its number, 0 for the first place, 99 for none."""
        found = []
        for number, question in enumerate(questions):
            hits = self.index.search(terms_of("", question, {}), self.embed(question)[0], 10)
            names = [hit.incident for hit in hits]
            found.append(names.index(str(number)) if str(number) in names else 99)
        return found


@pytest.fixture(scope="module")
def library() -> Library:
    return Library()


def recall(places: list[int], among: int) -> float:
    return sum(place < among for place in places) / len(places)


def test_there_are_enough_pairs_to_say_something() -> None:
    assert len(PAIRS) >= 40
    assert len({pair["summary"] for pair in PAIRS}) == len(PAIRS)


def test_paraphrases_are_found_by_meaning(library: Library) -> None:
    places = library.places([pair["question"] for pair in PAIRS])
    assert recall(places, 5) >= 0.7
    assert recall(places, 1) >= 0.4


def test_rare_words_find_what_holds_them(library: Library) -> None:
    words = [" ".join(pair["summary"].split()[-3:]) for pair in PAIRS]
    assert recall(library.places(words), 5) >= 0.9


def test_the_same_text_finds_itself(library: Library) -> None:
    assert recall(library.places([pair["summary"] for pair in PAIRS]), 1) >= 0.95
