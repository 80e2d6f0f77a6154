"""Finding the right document: by words, by meaning, by both; and how long a search takes among 50,000 passages.

The weight of words is chosen on every other question; figures are those of the rest, which it has not seen.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from penelope.adapters.vector.minilm import MODEL, MiniLm
from penelope.adapters.yaml_source import read
from penelope.domain.access import Classification
from penelope.domain.passage import Document, Piece
from penelope.entry.documents import Indexer
from penelope.rooms.context import ranking
from penelope.rooms.context.terms import terms_of
from penelope.settings.documents import Documents
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.open_passages import open_passages
from penelope.store.shelf import SqlShelf
from penelope.store.sqlite_passages import SqlitePassages

EXAMPLE = Path(__file__).parents[1] / "src" / "penelope" / "adapters" / "example" / "documents"
QUESTIONS = Path(__file__).parent / "questions" / "retrieval.yaml"
ALLOWED = tuple(kind.value for kind in Classification)
WEIGHTS = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
LENGTHS = (0.0, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9)
DIMENSIONS = 384
PIECES_EACH = 25
RANKS = range(1, 20_001)
SHARES = tuple(accumulate(1 / (rank + 30) for rank in RANKS))

Question = tuple[str, str, bytes]
Way = Callable[[Any, Any, float], Any]


async def questions(embedder: MiniLm) -> Mapping[str, list[Question]]:
    data: Any = read(QUESTIONS).data
    return {
        kind: [
            (item["question"], item["document"], (await embedder.embed([item["question"]]))[0])
            for item in items
        ]
        for kind, items in data.items()
    }


async def ranks(passages: Any, asked: Sequence[Question], *, words: bool, meaning: bool) -> list[int]:
    """At which place, from 0, the right document comes; 999 where it does not."""
    found = []
    for text, right, vector in asked:
        hits = await passages.search(text if words else "", vector if meaning else None, ALLOWED, 10)
        sources = [str(Path(hit.document.source).relative_to(EXAMPLE.resolve())) for hit in hits]
        found.append(sources.index(right) if right in sources else 999)
    return found


def at(found: Sequence[int], first: int) -> float:
    return sum(rank < first for rank in found) / len(found)


async def quality(url: str, embedder: MiniLm) -> None:
    engine, reader = open_engine(parse_url(url)), open_reader(parse_url(url))
    await migrate(engine)
    began = time.perf_counter()
    report = await Indexer(SqlShelf(engine), embedder, Documents()).run([EXAMPLE], lambda *_: None)
    taken = time.perf_counter() - began
    print(f"{report.indexed} documents, {report.passages} passages, indexed in {taken:.1f} s")
    asked = await questions(embedder)
    halves = {kind: (items[::2], items[1::2]) for kind, items in asked.items()}

    async def measured(half: int, weight: float, *, words: bool = True, meaning: bool = True) -> list[float]:
        passages = open_passages(parse_url(url), reader, model=MODEL, weight=weight)
        figures = []
        for kind in ("paraphrases", "keywords"):
            found = await ranks(passages, halves[kind][half], words=words, meaning=meaning)
            figures += [at(found, 1), at(found, 5)]
        passages.close()
        return figures

    tried = {weight: await measured(0, weight) for weight in WEIGHTS}
    for weight, figures in tried.items():
        print(f"chosen on, weight {weight:.2f}: " + " ".join(f"{figure:.2f}" for figure in figures))
    # First what keywords find must be found, then the most paraphrases; of equals the one in the middle.
    worth = {weight: (found[2] >= 0.98, found[1], found[0]) for weight, found in tried.items()}
    equals = [weight for weight in WEIGHTS if worth[weight] == max(worth.values())]
    best = equals[len(equals) // 2]
    print(f"best weight {best}; on the other half: paraphrases R@1 R@5, keywords R@1 R@5")
    for name, more in (
        ("words alone", {"meaning": False}),
        ("meaning alone", {"words": False}),
        ("both", {}),
    ):
        figures = await measured(1, best, **more)
        print(f"{name:14} " + " ".join(f"{figure:.2f}" for figure in figures))
    await lengths(url, asked)
    found = await compared(url, asked)
    for name, (setting, figures) in found.items():
        print(f"{name:14} chosen {setting:<5} " + " ".join(f"{figure:.2f}" for figure in figures))
    shipped = await measured(1, Documents().keywords)
    print(f"as shipped ({Documents().keywords}) " + " ".join(f"{figure:.2f}" for figure in shipped))
    await reader.dispose()
    await engine.dispose()


class _Tried(SqlitePassages):
    """The store with another way to put meaning and words together; `setting` is its one figure."""

    def __init__(self, file: str, way: Way, setting: float) -> None:
        super().__init__(file, model=MODEL)
        self._way, self._setting = way, setting

    def _fused(self, meanings: Any, shares: Any) -> Any:
        return self._way(meanings, shares, self._setting)


def by_cosine(meanings: Any, shares: Any, weight: float) -> Any:
    return meanings + weight * shares


def by_z_scores(meanings: Any, shares: Any, weight: float) -> Any:
    return _z(meanings) + weight * _z(shares)


def by_reciprocal_ranks(meanings: Any, shares: Any, k: float) -> Any:
    """Cormack, Clarke and Büttcher 2009; a passage without any of the words has no rank among words."""
    return 1 / (k + _rank(meanings)) + np.where(shares > 0, 1 / (k + _rank(shares)), 0)


def _z(values: Any) -> Any:
    spread = values.std()
    return (values - values.mean()) / spread if spread else values * 0


def _rank(values: Any) -> Any:
    ranks = np.empty(len(values))
    ranks[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return ranks


WAYS: Mapping[str, tuple[Way, Sequence[float]]] = {
    "cosine + share": (by_cosine, WEIGHTS),
    "z-scores": (by_z_scores, WEIGHTS),
    "ranks (RRF)": (by_reciprocal_ranks, (5, 10, 20, 60, 100)),
}


async def lengths(url: str, asked: Mapping[str, list[Question]]) -> None:
    """How much the length of a passage should count: on the half that figures are chosen on."""
    shipped = ranking.LENGTH, ranking.HIGHEST
    for ranking.LENGTH in LENGTHS:
        ranking.HIGHEST = (ranking.SATURATION + 1) / (1 + ranking.SATURATION * (1 - ranking.LENGTH))
        for weight in (0.3, 0.5, 0.7):
            passages = _Tried(url.removeprefix("sqlite:///"), by_cosine, weight)
            figures = []
            for kind in ("paraphrases", "keywords"):
                found = await ranks(passages, asked[kind][::2], words=True, meaning=True)
                figures += [at(found, 1), at(found, 5)]
            passages.close()
            print(
                f"length {ranking.LENGTH:.2f}, weight {weight}: "
                + " ".join(f"{figure:.2f}" for figure in figures)
            )
    ranking.LENGTH, ranking.HIGHEST = shipped


async def compared(url: str, asked: Mapping[str, list[Question]]) -> Mapping[str, tuple[float, list[float]]]:
    """Each way with the setting that is best on one half: its figures on the other half, and on all that came later."""

    async def tried(way: Way, setting: float, half: int) -> list[float]:
        passages = _Tried(url.removeprefix("sqlite:///"), way, setting)
        figures = []
        for kind in ("paraphrases", "keywords"):
            found = await ranks(passages, asked[kind][half::2], words=True, meaning=True)
            figures += [at(found, 1), at(found, 5)]
        if half:
            found = await ranks(passages, asked["keywords_later"], words=True, meaning=True)
            figures += [at(found, 1), at(found, 5)]
        passages.close()
        return figures

    best = {}
    for name, (way, settings) in WAYS.items():
        known = {setting: await tried(way, setting, 0) for setting in settings}
        for setting, figures in known.items():
            print(f"{name} {setting}: " + " ".join(f"{figure:.2f}" for figure in figures))
        worth = {
            setting: (found[2] >= 0.98, found[2], found[1], found[0]) for setting, found in known.items()
        }
        equals = [setting for setting in settings if worth[setting] == max(worth.values())]
        chosen = equals[len(equals) // 2]
        best[name] = (chosen, await tried(way, chosen, 1))
    return best


def sample(chance: random.Random, number: int) -> list[str]:
    """Words as texts have them without those that stand everywhere: the commonest in two of five passages of a hundred
    words, most in hardly any (Zipf and Mandelbrot)."""
    return [f"word{rank}" for rank in chance.choices(RANKS, cum_weights=SHARES, k=number)]


def piece(chance: random.Random, vector: Any) -> Piece:
    text = " ".join(sample(chance, 100))
    terms, length = terms_of(text)
    return Piece(heading="", text=text, terms=terms, length=length, vector=vector.tobytes())


async def speed(url: str, number: int, searches: int) -> None:
    engine, reader = open_engine(parse_url(url)), open_reader(parse_url(url))
    await migrate(engine)
    shelf = SqlShelf(engine)
    chance, figures = random.Random(1), np.random.default_rng(1)
    classes = [Classification.PUBLIC, Classification.INTERNAL, Classification.CONFIDENTIAL]
    for document in range(number // PIECES_EACH):
        vectors = figures.standard_normal((PIECES_EACH, DIMENSIONS)).astype("<f4")
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        named = Document(
            id=f"d{document}",
            kind="guide",
            title=f"D {document}",
            source=f"/d/{document}",
            digest=str(document),
            classification=classes[document % 3],
        )
        await shelf.put(named, [piece(chance, vector) for vector in vectors], "bench", MODEL)
    if url.startswith("postgresql"):
        async with engine.connect() as connection:
            await connection.exec_driver_sql("ANALYZE")
            await connection.commit()
    passages = open_passages(parse_url(url), reader, model=MODEL, patience_seconds=60)
    began = time.perf_counter()
    await passages.search("word100", None, ALLOWED, 5)
    print(f"first search (what is held in memory is read): {(time.perf_counter() - began) * 1e3:.0f} ms")
    times = []
    for _ in range(searches):
        vector = figures.standard_normal(DIMENSIONS).astype("<f4")
        vector /= np.linalg.norm(vector)
        words = " ".join(sample(chance, 8))
        began = time.perf_counter()
        await passages.search(words, vector.tobytes(), ("public", "internal"), 10)
        times.append((time.perf_counter() - began) * 1e3)
    middle, late = np.percentile(times, 50), np.percentile(times, 99)
    print(f"{number:,} passages: a search takes {middle:.1f} ms (p50), {late:.1f} ms (p99)")
    passages.close()
    await reader.dispose()
    await engine.dispose()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--postgres", help="URL of an empty PostgreSQL; by default SQLite in a folder of its own"
    )
    parser.add_argument("--passages", type=int, default=50_000)
    parser.add_argument("--searches", type=int, default=300)
    parser.add_argument("--only", choices=["quality", "speed"])
    given = parser.parse_args()
    embedder = MiniLm()
    with tempfile.TemporaryDirectory() as folder:
        if given.only != "speed":
            asyncio.run(quality(given.postgres or f"sqlite:///{folder}/quality.db", embedder))
        if given.only != "quality":
            asyncio.run(
                speed(given.postgres or f"sqlite:///{folder}/speed.db", given.passages, given.searches)
            )
    embedder.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
