"""The context platform around a story: the example's graph, runbooks and policy, and a little warehouse, all real."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from stage import playbook, shop, signal

from penelope.adapters.example import MODELS
from penelope.adapters.graph.file import load_graph
from penelope.adapters.graph.opened import open_graph
from penelope.adapters.policy.context_rego import load_governor
from penelope.adapters.semantic.duck import DuckLayer
from penelope.adapters.semantic.load import load_models
from penelope.domain.access import Access, AccessQuestion, Subject
from penelope.domain.degradation import Store
from penelope.domain.plan import Match, Playbook
from penelope.domain.service import Service
from penelope.domain.signal import Signal
from penelope.entry.documents import Indexer
from penelope.errors import Unavailable
from penelope.flow.resolving import Definitions, Limits, Resolver, Stores
from penelope.flow.surroundings import Manner, ResolvedSurroundings, SetUp
from penelope.kit.clock import SystemClock
from penelope.kit.guard import Guard, Patience
from penelope.rooms.context.registry_of import registry_of
from penelope.rooms.context.resolve import Rules
from penelope.settings.documents import Documents
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.open_passages import open_passages
from penelope.store.reader import SqlReader
from penelope.store.shelf import SqlShelf, any_documents

EXAMPLE = MODELS.parent
SERVICE = Subject(actor="penelope", role="service", purpose="incident")
GOVERNOR = load_governor([])
"""One for all tests: its evaluator must go on the thread that made it."""

MODEL = """
cubes:
  - name: sales
    sql_table: sales
    meta: {as_of: loaded_at}
    measures:
      - name: revenue
        title: Checkout revenue
        type: sum
        sql: amount
        meta: {service: checkout, impact: per_minute, unit: USD, classification: confidential, time: sales.made_at}
      - name: takings_of_people
        title: Takings of people
        type: sum
        sql: amount
        meta: {service: checkout, impact: per_minute, classification: restricted, owner: team-x, time: sales.made_at}
      - name: elsewhere
        title: Of another service
        type: sum
        sql: amount
        meta: {service: search, impact: per_minute, classification: internal, time: sales.made_at}
      - name: loaded_at
        type: time
        sql: "MAX({CUBE}.made_at)"
        meta: {classification: internal, time: sales.made_at}
    dimensions:
      - name: made_at
        sql: made_at
        type: time
        meta: {classification: internal}
"""


class Broken:
    """Stands before a store, and is down or hangs for as long as it is told to. `asked` counts."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.down = self.hangs = False
        self.asked = 0

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def ask(*given: Any) -> Any:
            self.asked += 1
            if self.hangs:
                await asyncio.sleep(3600)
            if self.down:
                raise Unavailable("the store is down: shipment 4711 of eve@example.com")
            return await getattr(self.store, name)(*given)

        return ask


class BrokenGovernor:
    def __init__(self) -> None:
        self.down = False

    async def judge(self, questions: Sequence[AccessQuestion]) -> Sequence[Access]:
        if self.down:
            return [Access(allow=False, failed="the policy engine is down") for _ in questions]
        return await GOVERNOR.judge(questions)


@dataclass
class Around:
    """The surroundings with their stores, each of which can be broken."""

    surroundings: ResolvedSurroundings
    semantic: Broken
    graph: Broken
    passages: Broken
    governor: BrokenGovernor

    def stop(self, store: Store) -> None:
        {
            Store.SEMANTIC: self.semantic,
            Store.GRAPH: self.graph,
            Store.VECTOR: self.passages,
            Store.POLICY: self.governor,
        }[store].down = True


def checkout(**changes: Any) -> Service:
    """The stage's service by a name that the example knows."""
    made = shop()
    targets = {name: replace(target, service="checkout") for name, target in made.targets.items()}
    return replace(made, name="checkout", targets=targets, **changes)


def fix(**changes: Any) -> Playbook:
    return playbook(match=Match(names=("CheckoutLatencyHigh",)), **changes)


def slow(number: int = 1, **changes: Any) -> Signal:
    given = {
        "service": "checkout",
        "name": "CheckoutLatencyHigh",
        "annotations": {"summary": "checkout answers slowly"},
        **changes,
    }
    return signal(number, **given)


def fill(folder: Path) -> None:
    """The graph, the model and a warehouse: 10 USD a minute in the last hour, 40 USD in the same one of last week."""
    (folder / "model.yaml").write_text(MODEL)
    now = datetime.now(UTC).replace(tzinfo=None)
    rows = [
        (now - week - timedelta(minutes=minute), amount)
        for week, amount in ((timedelta(), 10.0), (timedelta(days=7), 40.0))
        for minute in range(240)
    ]
    # Data is loaded ahead of the clock of the tests, so that it is fresh for as long as they run.
    rows.append((now + timedelta(minutes=10), 0.0))
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE sales (made_at TIMESTAMP, amount DOUBLE)")
        connection.executemany("INSERT INTO sales VALUES (?, ?)", rows)

    async def draw() -> None:
        graph = await open_graph(folder / "graph", None, 5.0)
        await graph.replace(*load_graph(EXAMPLE / "graph.yaml"))
        await graph.close()

    asyncio.run(draw())


@asynccontextmanager
async def around(
    folder: Path,
    database: str,
    *,
    services: Collection[Service] = (),
    documents: Sequence[Path] = (EXAMPLE / "documents" / "runbooks",),
    manner: Manner | None = None,
) -> AsyncIterator[Around]:
    """Everything but the warehouse's size as it ships; documents are searched by words, for the model takes a second."""
    url = parse_url(database)
    async with AsyncExitStack() as stack:
        writer, reader = open_engine(url), open_reader(url)
        stack.push_async_callback(reader.dispose)
        stack.push_async_callback(writer.dispose)
        await migrate(writer)
        await Indexer(SqlShelf(writer), None, Documents()).run(documents, lambda *_: None)
        shape = load_models([folder / "model.yaml"])
        layer = stack.enter_context(DuckLayer(shape, folder / "shop.duckdb", mask_key=b"a key of tests"))
        drawn = await open_graph(folder / "graph", None, 5.0)
        stack.push_async_callback(drawn.close)
        passages = open_passages(url, reader, model="none")
        stack.callback(passages.close)
        semantic, graph, shelves = Broken(layer), Broken(drawn), Broken(passages)
        governor = BrokenGovernor()
        stores = Stores(
            semantic=semantic,  # type: ignore[arg-type]  # it passes each call on
            graph=graph,  # type: ignore[arg-type]  # as above
            passages=shelves,  # type: ignore[arg-type]  # as above
            governor=governor,
        )
        patience = Patience(timeout_seconds=30, attempts=1, failures=100)
        guards = {each: Guard(each.value, patience) for each in Store if each is not Store.REGISTRY}
        resolver = Resolver(
            stores,
            guards,
            Definitions(registry_of=registry_of),
            Rules(),
            SystemClock(),
            limits=Limits(deadline_seconds=60),
        )

        async def yes() -> bool:
            return True

        async def shelved() -> bool:
            return await any_documents(reader)

        asks = ResolvedSurroundings(
            resolver,
            SqlReader(reader),
            {service.name: service for service in services},
            SetUp(graph=yes, documents=shelved, figures=True),
            manner or Manner(subject=SERVICE, seconds=20.0),
        )
        yield Around(asks, semantic, graph, shelves, governor)
