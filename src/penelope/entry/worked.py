"""Asks the worked questions of the example over real embedded stores, with each of them stopped in turn, and holds every
answer against what it must come to.
"""

import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from math import isclose
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from penelope.adapters.example import DOCUMENTS, GRAPH
from penelope.adapters.example.warehouse import warehouse
from penelope.adapters.example.worked import NOW, WORKED, Worked, followed, plain_rows
from penelope.adapters.graph.file import load_graph
from penelope.adapters.vector.minilm import MiniLm
from penelope.bootstrap.context import opened_graph, others_of, resolver_of
from penelope.domain.access import Access, AccessQuestion, Masking
from penelope.domain.answer import Figures, Outcome, Told
from penelope.domain.concept import Request
from penelope.domain.degradation import DegradationMode, Store
from penelope.domain.likeness import Vector
from penelope.domain.masking import mask
from penelope.domain.passage import Passage
from penelope.domain.semantics import Model, SemanticQuery, Table
from penelope.entry.documents import Indexer
from penelope.errors import Unavailable
from penelope.flow.resolving import Resolver
from penelope.kit.canonical import Json
from penelope.kit.codec import to_data
from penelope.settings import Settings
from penelope.settings.context_policy import ContextGuard
from penelope.settings.graph import Graph
from penelope.settings.semantic import Semantic
from penelope.settings.tree import Database
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.shelf import SqlShelf

STOPPED: Mapping[Store, Worked] = {
    Store.SEMANTIC: WORKED[0],
    Store.GRAPH: WORKED[0],
    Store.VECTOR: WORKED[9],
    Store.POLICY: WORKED[0],
}
"""What is asked while a store is stopped: something that the store has a part in."""

_WITHOUT = {
    Store.SEMANTIC: DegradationMode.STALE,
    Store.GRAPH: DegradationMode.REGISTRY_ONLY,
    Store.VECTOR: DegradationMode.KEYWORDS_ONLY,
    Store.POLICY: DegradationMode.DENY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A question and its answer. `flaws` say what is not as it must be, and `against` what it was held against."""

    worked: Worked
    told: Told
    against: str
    flaws: tuple[str, ...]
    took_seconds: float
    stopped: Store | None = None


@dataclass(frozen=True, slots=True)
class _Then:
    """The moment that the example is of."""

    def now(self) -> datetime:
        return NOW


def settings_in(folder: Path) -> Settings:
    """Settings by which all that the questions need lies in a folder of its own."""
    return Settings(
        database=Database(url=f"sqlite:///{folder / 'penelope.db'}"),
        semantic=Semantic(database=folder / "shop.duckdb", mask_key=SecretStr(secrets.token_hex(32))),
        graph=Graph(folder=folder / "graph"),
        # What is stopped here stays stopped: to try again would only cost time.
        context_guard=ContextGuard(attempts=1),
    )


async def prepare(settings: Settings, look: Callable[[str], None]) -> None:
    """Makes warehouse, graph and index where they are not there yet; `look` is told what is done next.

    Each is whole or not there, so that the next run mends whatever this one is stopped in. Raises Unavailable.
    """
    look("the warehouse of 1.2 million orders")
    warehouse(settings.semantic.database)
    look("the graph of services")
    graph = await opened_graph(settings.graph)
    try:
        await graph.replace(*load_graph(GRAPH))
    finally:
        await graph.close()
    look("the index of 40 documents")
    engine = open_engine(parse_url(settings.database.url))
    embedder = MiniLm()
    try:
        await migrate(engine)
        report = await Indexer(SqlShelf(engine), embedder, settings.documents).run([DOCUMENTS], _unlooked)
    finally:
        embedder.close()
        await engine.dispose()
    if report.without_meaning:
        raise Unavailable(report.without_meaning)


def _unlooked(_file: str, _number: int) -> None:
    """Forty documents need no bar of their own."""


@asynccontextmanager
async def theatre(settings: Settings) -> AsyncIterator["Theatre"]:
    """The stores of the settings, opened as a server opens them."""
    async with AsyncExitStack() as stack:
        reader = open_reader(parse_url(settings.database.url))
        stack.push_async_callback(reader.dispose)
        resolver = await resolver_of(stack, settings, reader, _Then(), others_of(settings))
        if resolver.stores.embedder is not None:
            # Loaded before the first question: it may take longer than an answer has.
            await resolver.stores.embedder.embed(["ready"])
        key = settings.semantic.mask_key
        yield Theatre(
            resolver, settings.semantic.database, b"" if key is None else key.get_secret_value().encode()
        )


class Theatre:
    """Plays the questions. `key` is that of the masks, so that masked values can be checked too."""

    def __init__(self, resolver: Resolver, file: Path, key: bytes) -> None:
        self.resolver = resolver
        self._file = file
        self._key = key

    async def play(self) -> AsyncIterator[Scene]:
        """All questions, then those of `STOPPED`."""
        for worked in WORKED:
            yield await self.ask(worked)
        for store, worked in STOPPED.items():
            yield await self.ask(worked, store)

    async def ask(self, worked: Worked, stopped: Store | None = None) -> Scene:
        request = Request(concept=worked.concept, subject=worked.subject, at=NOW, execute=True)
        there = self.resolver.stores
        if stopped is not None:
            self.resolver.stores = replace(there, **_STOPPING[stopped])
        began = time.perf_counter()
        try:
            told = await self.resolver.tell(request)
        finally:
            took = time.perf_counter() - began
            self.resolver.stores = there
        against, flaws = self._checked(worked, told, stopped)
        return Scene(
            worked=worked,
            told=told,
            against=against,
            flaws=tuple(flaws),
            took_seconds=took,
            stopped=stopped,
        )

    # --- checks ---------------------------------------------------------------------------------------------

    def _checked(self, worked: Worked, told: Told, stopped: Store | None) -> tuple[str, list[str]]:
        found = {notice.store: notice.mode for notice in told.notices}
        wanted = {} if stopped is None else {stopped: _WITHOUT[stopped]}
        flaws = [] if found == wanted else [f"its notices are {found}, not {wanted}"]
        if stopped is Store.POLICY:
            return "SQL: nothing of its value is told", [*flaws, *self._leaks(worked, told)]
        if told.outcome is not worked.outcome:
            return "its outcome", [*flaws, f"it is {told.outcome}, not {worked.outcome}"]
        if worked.definition and (told.definition is None or told.definition.name != worked.definition):
            flaws.append(f"it is not {worked.definition}")
        if set(told.masks) != set(worked.masked):
            flaws.append(f"what is masked is {sorted(told.masks)}")
        if stopped is Store.GRAPH and told.lineage:
            flaws.append("there is lineage without a graph")
        if (stopped is Store.SEMANTIC) != (told.value is not None and told.value.kept_at is not None):
            flaws.append("whether it is a kept value is told wrong")
        against, more = self._held(worked, told)
        return against, [*flaws, *more]

    def _held(self, worked: Worked, told: Told) -> tuple[str, list[str]]:
        match worked.outcome:
            case Outcome.DENIED:
                return "SQL: nothing of its value is told", list(self._leaks(worked, told))
            case Outcome.UNRESOLVED:
                rows = plain_rows(self._file, worked.sql)
                return "SQL: there are no such rows", [f"there are {len(rows)} rows"] if rows else []
            case Outcome.AMBIGUOUS:
                names = sorted(each.definition.name for each in told.choices)
                flaws = [] if names == sorted(worked.told) else [f"the choices are {names}"]
                return "the two measures of these names", flaws
            case Outcome.RESOLVED if worked.sql:
                flaws = list(self._differs(told.value, worked.sql, told.masks))
                if worked.compared:
                    flaws += self._differs(told.compared, worked.compared, told.masks)
                return "SQL: equal", flaws
            case Outcome.RESOLVED if worked.edge:
                ids = {row["id"] for row in told.rows}
                return "the file of the graph: equal", [] if ids == followed(worked) else [
                    f"it is {sorted(followed(worked))}"
                ]
            case Outcome.RESOLVED | Outcome.UNAVAILABLE:
                return "the file of the document: equal", list(_misquoted(worked, told.passages))

    def _differs(self, figures: Figures | None, sql: str, masks: Mapping[str, Masking]) -> Iterator[str]:
        if figures is None:
            yield "there is no value"
            return
        columns, rows = figures.table.columns, plain_rows(self._file, sql)
        if len(rows) != len(figures.table.rows):
            yield f"SQL has {len(rows)} rows, and it {len(figures.table.rows)}"
            return
        for mine, other in zip(figures.table.rows, rows, strict=True):
            for name, cell, plain in zip(columns, mine, other, strict=True):
                if not _same(cell, plain, masks.get(name), self._key):
                    yield f"{name} is another one in SQL"

    def _leaks(self, worked: Worked, told: Told) -> Iterator[str]:
        if told.outcome not in {Outcome.DENIED, Outcome.UNRESOLVED}:
            yield f"it is {told.outcome}"
        if any((told.definition, told.query, told.value, told.compared, told.rows, told.lineage)):
            yield "something is told"
        if told.passages or told.choices:
            yield "passages or choices are told"
        text = json.dumps(to_data(told), default=str)
        for row in plain_rows(self._file, worked.sql):
            if any(str(cell) in text for cell in row):
                yield "a value is told"


def _same(cell: Json, plain: Any, masking: Masking | None, key: bytes) -> bool:
    if masking is not None:
        return bool(cell == mask(plain, masking, key)) and cell != plain
    if isinstance(plain, Decimal | float | int) and isinstance(cell, float | int):
        return isclose(float(plain), float(cell), rel_tol=1e-12)
    return bool(cell == plain)


def _misquoted(worked: Worked, passages: Sequence[Passage]) -> Iterator[str]:
    if not passages:
        yield "no document was found"
        return
    document = passages[0].document
    if document.title not in worked.told:
        yield f"the first document is “{document.title}”"
    whole = " ".join(Path(document.source).read_text(encoding="utf-8").split())
    lines = (" ".join(line.split()) for line in passages[0].text.splitlines())
    if not all(line in whole for line in lines):
        yield "the excerpt does not stand in the file"


# --- stores that are stopped --------------------------------------------------------------------------------


class _NoLayer:
    async def model(self) -> Model:
        raise Unavailable("the semantic layer was stopped")

    async def run(self, query: SemanticQuery, masks: Mapping[str, Masking]) -> Table:  # noqa: ARG002 - of the port
        raise Unavailable("the semantic layer was stopped")


class _NoGraph:
    async def ask(self, name: str, parameters: Mapping[str, Json]) -> Sequence[Mapping[str, Json]]:  # noqa: ARG002 - of the port
        raise Unavailable("the graph was stopped")

    async def replace(self, nodes: object, edges: object) -> None:  # noqa: ARG002 - of the port
        raise Unavailable("the graph was stopped")


class _NoMeaning:
    model = "none"

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:  # noqa: ARG002 - of the port
        raise Unavailable("the embedder was stopped")


class _NoPolicy:
    async def judge(self, questions: Sequence[AccessQuestion]) -> Sequence[Access]:
        return [Access(allow=False, failed="the policy engine was stopped") for _ in questions]


_STOPPING: Mapping[Store, Mapping[str, Any]] = {
    Store.SEMANTIC: {"semantic": _NoLayer()},
    Store.GRAPH: {"graph": _NoGraph()},
    Store.VECTOR: {"embedder": _NoMeaning()},
    Store.POLICY: {"governor": _NoPolicy()},
}
