"""The wisdom base: past cases that are embedded in the background, and found by words and meaning."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from penelope.domain.incident import Incident
from penelope.domain.likeness import Hit, Vector
from penelope.domain.precedent import PastCase
from penelope.errors import Unavailable
from penelope.flow.ports import Reader
from penelope.kit.clock import Clock, timestamp
from penelope.rooms.decide.ports import QuickEmbedder
from penelope.rooms.decide.precedents import terms_of, text_of

_BATCH = 64
"""Cases that are embedded, or read into memory, at a time: 0.4 s of the embedder's thread."""
_EXPECTED = 1024
_WAITING = 4
"""Texts that may wait for the embedder. In a storm of new problems the others are looked for by words alone."""
_OVERLAP = timedelta(seconds=30)
"""What another worker commits late may bear an earlier moment than what was read before."""
_ROOMY = 20
"""Looking for news takes at most a twentieth of the time, however many cases there are."""
_MOST_OF_ALL = 2000
"""The most like a question, of all services, among which those of one service are looked for."""
_FOUND = 20
"""Candidates that a search gives to a decision."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """A case's vector; None where nothing could make one."""

    incident: str
    vector: Vector | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """A past case with its vector, the model that made it, and when (RFC 3339) that was stored."""

    case: PastCase
    model: str
    vector: Vector | None
    at: str


class CaseStore(Protocol):
    """Past cases and their vectors as they were committed."""

    async def unindexed(self, model: str, limit: int) -> Sequence[PastCase]:
        """Cases without a vector of this model, newest first; without a model, those that were never looked at.

        What another model made is kept for as long as there is none.
        """

    async def keep(self, meanings: Sequence[Meaning], model: str, now: datetime) -> None:
        """Stores vectors, in place of those of other models."""

    async def indexed(self, after: tuple[str, str], limit: int) -> Sequence[Indexed]:
        """In order of moment and incident, beyond both."""

    async def horizon(self, most: int) -> str:
        """The moment from which on about so many cases were stored with their vectors."""

    async def cases(self, names: Collection[str], service: str | None = None) -> Sequence[PastCase]:
        """Those of these cases that there are, of one service or all."""

    async def newest(self, service: str | None, limit: int) -> Sequence[PastCase]:
        """Cases that ended last, of one service or all."""


class CaseIndex(Protocol):
    """Words and vectors in memory."""

    def __len__(self) -> int: ...

    def add(self, case: str, terms: Sequence[str], vector: Vector | None) -> None:
        """Takes a case in; one that is there only gets its vector."""

    def search(self, terms: Collection[str], vector: Vector | None, limit: int) -> list[Hit]:
        """The cases most like a question, best first."""


class Recall(Protocol):
    """What a decision asks for before its transaction begins."""

    async def recall(self, incident: str) -> Sequence[Hit]:
        """Past cases that are like an incident by words or meaning; soon, and never an error."""


class NoRecall:
    """Remembers nothing: decisions then lean on the same problem and the same name alone."""

    async def recall(self, incident: str) -> Sequence[Hit]:  # noqa: ARG002 - whatever it is about
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a decision waits for a meaning, and how often news is looked for, in seconds; cases in memory."""

    patience_seconds: float
    refresh_seconds: float
    most_cases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a person's search found, best first, each with its hit; `degraded` says why meaning was left out."""

    found: Sequence[tuple[PastCase, Hit | None]]
    degraded: str


class WisdomBase:
    """Fulfils Recall. A crash loses nothing: what is in memory is read again, and what has no vector gets one."""

    def __init__(
        self,
        store: CaseStore,
        index: CaseIndex,
        embedder: QuickEmbedder | None,
        reader: Reader,
        limits: Limits,
    ) -> None:
        self._store = store
        self._index = index
        self._embedder = embedder
        self._reader = reader
        self._limits = limits
        self._trouble = "" if embedder is not None else "search by meaning is switched off (wisdom.meaning)"
        self._known: dict[tuple[str, str], None] = {}
        self._expected: OrderedDict[str, Incident] = OrderedDict()
        self._waiting: set[asyncio.Task[Vector | None]] = set()
        self._news = asyncio.Event()
        self._read: tuple[str, str] | None = None

    # --- what goes on beside everything else ---

    async def run(self, clock: Clock) -> None:
        """Keeps the memory up to date, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            begun = loop.time()
            try:
                await self.catch_up(clock)
            except Exception:  # noqa: BLE001 - the database may be away for a moment; the next look tries again
                _log.exception("past cases could not be taken into the wisdom base")
            pause = max(self._limits.refresh_seconds, _ROOMY * (loop.time() - begun))
            try:
                await asyncio.wait_for(self._news.wait(), pause)
            except TimeoutError:
                continue

    def wake(self) -> None:
        """Says that there may be new cases."""
        self._news.set()

    async def catch_up(self, clock: Clock) -> None:
        """Embeds what is not, and reads what is new."""
        await self._read_news(clock.now())
        while cases := await self._store.unindexed(self._model, _BATCH):
            # The model may turn out unusable just here; what has no vector is found by its words.
            vectors = [await self._vector(text_of(case.name, case.summary)) for case in cases]
            meanings = [
                Meaning(incident=case.incident, vector=vector)
                for case, vector in zip(cases, vectors, strict=True)
            ]
            await self._store.keep(meanings, self._model, clock.now())
            await self._read_news(clock.now())

    async def _read_news(self, now: datetime) -> None:
        if self._read is None:
            self._read = (await self._store.horizon(self._limits.most_cases), "")
        place = self._read
        while page := await self._store.indexed(place, _BATCH):
            for item in page:
                self._remember(item)
            place = (page[-1].at, page[-1].case.incident)
            await asyncio.sleep(0)
        if place != self._read:
            # A worker whose clock is ahead must not hide what the others add until then.
            earlier = timestamp(min(now, datetime.fromisoformat(place[0])) - _OVERLAP)
            self._read = max(self._read, (earlier, ""))

    def _remember(self, item: Indexed) -> None:
        case = item.case
        vector = item.vector if item.model == self._model else None
        self._index.add(case.incident, terms_of(case.name, case.summary, case.labels), vector)
        self._known.pop(problem := (case.service, case.fingerprint), None)
        self._known[problem] = None
        if len(self._known) > self._limits.most_cases:
            del self._known[next(iter(self._known))]

    # --- meaning ---

    @property
    def _model(self) -> str:
        """Empty while there is none."""
        return "" if self._embedder is None or self._trouble else self._embedder.model

    async def _vector(self, text: str) -> Vector | None:
        """None where the embedder cannot be used; that is said once."""
        if self._embedder is None or self._trouble:
            return None
        try:
            (vector,) = await self._embedder.embed([text])
        except Unavailable as error:
            if not self._trouble:
                self._trouble = error.message
                _log.warning("past cases are found by structure and words alone: %s", error.message)
            return None
        return vector

    async def _soon(self, text: str) -> Vector | None:
        """The vector, if it is there within a decision's patience; it goes on being made for the next one."""
        if self._embedder is None or self._trouble:
            return None
        vector = self._embedder.at_hand(text)
        if vector is not None or len(self._waiting) >= _WAITING:
            return vector
        task = asyncio.create_task(self._vector(text))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        done, _ = await asyncio.wait([task], timeout=self._limits.patience_seconds)
        return task.result() if done else None

    # --- what is asked ---

    def expect(self, incident: Incident) -> None:
        """Says that an incident will soon be asked about, which spares a look into the database."""
        self._expected[incident.id] = incident
        if len(self._expected) > _EXPECTED:
            self._expected.popitem(last=False)

    async def recall(self, incident: str) -> Sequence[Hit]:
        """Nothing for a problem that is known: its own past says more, and the decision reads that itself."""
        try:
            found = self._expected.get(incident) or await self._reader.incident(incident)
            if found is None or not len(self._index) or (found.service, found.fingerprint) in self._known:
                return ()
            vector = await self._soon(text_of(found.name, found.summary))
            terms = terms_of(found.name, found.summary, found.labels)
            return self._index.search(terms, vector, _FOUND)
        except Exception:  # noqa: BLE001 - a decision must not fail for want of a precedent
            _log.exception("past cases could not be looked up")
            return ()

    async def search(self, text: str, service: str | None, limit: int) -> Findings:
        """The cases most like a text; the newest ones for an empty text."""
        if not text.strip():
            newest = await self._store.newest(service, limit)
            return Findings(found=[(case, None) for case in newest], degraded="")
        vector = await self._vector(text_of("", text))
        # Of one service there may be few among the best; the index knows no services.
        wide = limit if service is None else _MOST_OF_ALL
        hits = self._index.search(terms_of("", text, {}), vector, wide)
        cases = await self._store.cases([hit.incident for hit in hits], service)
        found = {case.incident: case for case in cases}
        wanted = [(found[hit.incident], hit) for hit in hits if hit.incident in found]
        return Findings(found=wanted[:limit], degraded=self._trouble)

    async def cases(self, names: Collection[str]) -> Sequence[PastCase]:
        """Those of these cases that there are."""
        return await self._store.cases(names)
