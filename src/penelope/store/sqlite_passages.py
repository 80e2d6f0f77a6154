"""Passages on SQLite: words by its text index, meanings by one product over vectors that are held in memory.

A block a classification: what the asker may not know is not even multiplied. 50,000 passages take 80 MB.
"""

import asyncio
import math
import sqlite3
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from penelope.domain.access import Classification
from penelope.domain.likeness import Vector
from penelope.domain.passage import Passage
from penelope.errors import Timeout, Unavailable
from penelope.rooms.context.ranking import DIGITS, KEYWORDS, NEAR, RARE, dampened, found_by, worth
from penelope.rooms.context.terms import asked
from penelope.store.hardening import opener
from penelope.store.passage_rows import FOUND, passage_from

_MOST_TERMS = 4096
"""The words of a block whose passages are remembered; then they are looked up anew."""
_CLASSES = tuple(kind.value for kind in Classification)
_STEPS = 10_000
"""Instructions of SQLite's between two looks at the clock: well below a millisecond."""


class _Block:
    """The passages of one classification: `seqs` ascend, `documents` are numbers, `vectors` are zero where there is none."""

    def __init__(self, dimensions: int) -> None:
        self.seqs: Any = np.zeros(0, dtype=np.int64)
        self.documents: Any = np.zeros(0, dtype=np.int64)
        self.lengths: Any = np.zeros(0)
        self.vectors: Any = np.zeros((0, dimensions), dtype=np.float32)
        self.places: dict[str, Any] = {}

    def keep(self, live: Any) -> None:
        kept = np.isin(self.seqs, live, assume_unique=True)
        if not kept.all():
            self.seqs, self.documents = self.seqs[kept], self.documents[kept]
            self.lengths, self.vectors = self.lengths[kept], self.vectors[kept]
        self.places.clear()

    def add(self, seqs: list[int], documents: list[int], lengths: list[int], vectors: Any) -> None:
        self.seqs = np.concatenate([self.seqs, np.array(seqs, dtype=np.int64)])
        self.documents = np.concatenate([self.documents, np.array(documents, dtype=np.int64)])
        self.lengths = np.concatenate([self.lengths, np.array(lengths, dtype=np.float64)])
        self.vectors = np.concatenate([self.vectors, vectors])


class SqlitePassages:
    """Fulfils the Passages port. Searches run one after the other, on a thread and a connection of their own."""

    def __init__(
        self,
        file: str,
        *,
        model: str,
        dimensions: int = 384,
        weight: float = KEYWORDS,
        patience_seconds: float = 5.0,
    ) -> None:
        """`model` is what makes the vectors of questions; passages whose vectors others made are found by words."""
        self._file = file
        self._model = model
        self._dimensions = dimensions
        self._weight = weight
        self._patience = patience_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passages")
        self._connection: sqlite3.Connection | None = None
        self._revision = -1
        self._blocks = {kind: _Block(dimensions) for kind in _CLASSES}
        self._numbers: dict[str, int] = {}
        self._deadline = math.inf

    async def search(
        self, words: str, vector: Vector | None, allowed: Collection[str], limit: int
    ) -> Sequence[Passage]:
        if vector is not None and len(vector) != 4 * self._dimensions:
            vector = None
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + self._patience
        given = (words, vector, frozenset(allowed), limit, deadline)
        try:
            async with asyncio.timeout(self._patience):
                return await loop.run_in_executor(self._thread, self._answer, *given)
        except TimeoutError as error:
            raise Timeout("the store of passages answers too late") from error

    def close(self) -> None:
        """Lets thread and connection go; searches that still wait are dropped."""
        self._thread.submit(self._disconnect)
        self._thread.shutdown(wait=True)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _answer(
        self, words: str, vector: Vector | None, allowed: frozenset[str], limit: int, deadline: float
    ) -> Sequence[Passage]:
        """In the thread. What waited there for too long is not begun: nobody listens any more."""
        self._deadline = deadline
        if self._late() or limit < 1:
            return []
        try:
            connection = self._connected()
            connection.execute("BEGIN")
            try:
                self._refresh(connection)
                return self._search(connection, asked(words), vector, allowed, limit)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._disconnect()
            if self._late():
                raise Timeout("the store of passages answers too late") from error
            raise Unavailable(
                f"the store of passages cannot be read: {error}",
                hint="Check database.url; `penelope database migrate` makes missing tables.",
            ) from error

    def _late(self) -> bool:
        return time.monotonic() > self._deadline

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            # Read-only in the URI too: a file that is not there must not be made.
            self._connection = opener("query_only=ON", "busy_timeout=5000", "cell_size_check=ON")(
                f"file:{_quoted(self._file)}?mode=ro", uri=True, isolation_level=None
            )
            self._connection.set_progress_handler(self._late, _STEPS)
        return self._connection

    def _refresh(self, connection: sqlite3.Connection) -> None:
        """Takes in what changed since the last search. Numbers only grow: what is new lies behind what is held."""
        (revision,) = connection.execute("SELECT revision FROM passages_revision").fetchone()
        if revision == self._revision:
            return
        # Whatever stops this half-way, the next search does it again.
        self._revision = -1
        for kind, block in self._blocks.items():
            found = connection.execute(
                "SELECT seq FROM passages WHERE classification = ? ORDER BY seq", (kind,)
            )
            live = np.fromiter((seq for (seq,) in found), dtype=np.int64)
            block.keep(live)
            last = int(block.seqs[-1]) if len(block.seqs) else 0
            if len(live) and int(live[-1]) > last:
                self._load(connection, kind, block, last)
        self._revision = revision

    def _load(self, connection: sqlite3.Connection, kind: str, block: _Block, last: int) -> None:
        found = connection.execute(
            "SELECT seq, document, length, CASE WHEN model = ? THEN vector END FROM passages "
            "WHERE classification = ? AND seq > ? ORDER BY seq",
            (self._model, kind, last),
        ).fetchall()
        vectors = np.zeros((len(found), self._dimensions), dtype=np.float32)
        for place, row in enumerate(found):
            if row[3] is not None and len(row[3]) == 4 * self._dimensions:
                vectors[place] = np.frombuffer(row[3], dtype="<f4")
        numbers = [self._numbers.setdefault(row[1], len(self._numbers)) for row in found]
        block.add([row[0] for row in found], numbers, [row[2] for row in found], vectors)

    def _fused(self, meanings: Any, shares: Any) -> Any:
        """The score of each passage; bench/retrieval.py tries others in its place."""
        return meanings + self._weight * shares

    def _search(
        self,
        connection: sqlite3.Connection,
        terms: Sequence[str],
        vector: Vector | None,
        allowed: frozenset[str],
        limit: int,
    ) -> Sequence[Passage]:
        kinds = [kind for kind in _CLASSES if kind in allowed and len(self._blocks[kind].seqs)]
        if not kinds:
            return []
        blocks = [self._blocks[kind] for kind in kinds]
        shares = self._shares(connection, terms, kinds)
        meanings = None if vector is None else self._meanings(blocks, vector)
        scores = np.round(shares if meanings is None else self._fused(meanings, shares), DIGITS)
        sound = shares >= RARE if meanings is None else (shares >= RARE) | (meanings >= NEAR)
        seqs = np.concatenate([block.seqs for block in blocks])
        documents = np.concatenate([block.documents for block in blocks])
        best = _best(np.flatnonzero(sound), scores, documents, seqs, limit)
        texts = _texts(connection, [int(seqs[place]) for place in best])
        return [
            passage_from(
                texts[int(seqs[place])],
                float(scores[place]),
                found_by(None if meanings is None else float(meanings[place]), float(shares[place])),
            )
            for place in best
        ]

    def _meanings(self, blocks: Sequence[_Block], vector: Vector) -> Any:
        asked_for = np.frombuffer(vector, dtype="<f4")
        # Row by row and not as one product: that would wake a thread on each processor, which for so little work took
        # three times the processor time and, beside other work, waits for the last of them.
        return np.concatenate([np.vecdot(block.vectors, asked_for) for block in blocks]).astype(np.float64)

    def _shares(self, connection: sqlite3.Connection, terms: Sequence[str], kinds: Sequence[str]) -> Any:
        """For each allowed passage the share of what the words are worth that it holds."""
        lengths = np.concatenate([self._blocks[kind].lengths for kind in kinds])
        found, whole = np.zeros(len(lengths)), 0.0
        damp = dampened(lengths, float(lengths.mean()))
        starts = np.cumsum([0, *(len(self._blocks[kind].seqs) for kind in kinds)]).tolist()
        for term in terms:
            places = [self._places(connection, kind, term) for kind in kinds]
            value = worth(len(lengths), sum(len(part) for part in places))
            whole += value
            for start, part in zip(starts, places, strict=False):
                found[start + part] += value
        return found * damp / whole if whole else found

    def _places(self, connection: sqlite3.Connection, kind: str, term: str) -> Any:
        """Where in its block the passages stand that hold a word."""
        block = self._blocks[kind]
        known = block.places.get(term)
        if known is None:
            quoted = term.replace('"', '""')
            found = connection.execute(
                "SELECT rowid FROM passages_text WHERE passages_text MATCH ?", (f'{{{kind}}} : "{quoted}"',)
            )
            seqs = np.fromiter((seq for (seq,) in found), dtype=np.int64)
            known = np.searchsorted(block.seqs, seqs)
            if len(block.places) >= _MOST_TERMS:
                block.places.clear()
            block.places[term] = known
        return known


def _best(sound: Any, scores: Any, documents: Any, seqs: Any, limit: int) -> list[int]:
    """The places of the best passage of each of the best documents."""
    order = (
        sound[np.lexsort((seqs[sound], -scores[sound]))]
        if len(sound) <= _SORTED
        else _foremost(sound, scores, documents, seqs, limit)
    )
    seen: set[int] = set()
    best: list[int] = []
    for place in order.tolist():
        number = int(documents[place])
        if number not in seen:
            seen.add(number)
            best.append(place)
            if len(best) >= limit:
                break
    return best


_SORTED = 2048
"""Of more candidates only the foremost are put in order."""


def _foremost(sound: Any, scores: Any, documents: Any, seqs: Any, limit: int) -> Any:
    """Candidates in order, as many as hold enough documents."""
    number = min(len(sound), max(_SORTED, 8 * limit))
    while True:
        some = sound if number >= len(sound) else sound[np.argpartition(-scores[sound], number - 1)[:number]]
        if number >= len(sound) or len(np.unique(documents[some])) >= limit:
            return some[np.lexsort((seqs[some], -scores[some]))]
        number = min(len(sound), number * 4)


def _texts(connection: sqlite3.Connection, seqs: Iterable[int]) -> dict[int, Sequence[Any]]:
    statement = f"SELECT {FOUND} FROM passages p JOIN documents d ON d.id = p.document WHERE p.seq = ?"  # noqa: S608 - our own names
    return {seq: connection.execute(statement, (seq,)).fetchone() for seq in seqs}


def _quoted(file: str) -> str:
    """A path as part of a URI (https://www.sqlite.org/uri.html)."""
    return file.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
