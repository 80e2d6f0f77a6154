"""The resolver over real embedded stores: values as plain SQL has them, under policy, and with each store stopped in turn."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from penelope.adapters.example import MODELS
from penelope.adapters.example.warehouse import warehouse
from penelope.adapters.graph.file import load_graph
from penelope.adapters.graph.opened import open_graph
from penelope.adapters.policy.context_rego import load_governor
from penelope.adapters.semantic.duck import DuckLayer
from penelope.adapters.semantic.load import load_models
from penelope.domain.access import Access, AccessQuestion, Masking, Subject
from penelope.domain.answer import Outcome, Told
from penelope.domain.concept import Request
from penelope.domain.degradation import DegradationMode, Store
from penelope.domain.semantics import Model, Table
from penelope.entry.documents import Indexer
from penelope.errors import AccessBroken, Unavailable
from penelope.flow.resolving import Definitions, Limits, Resolver, Stores
from penelope.kit.call_breaker import BreakerState
from penelope.kit.codec import to_data
from penelope.kit.guard import Guard, Patience
from penelope.rooms.context.registry import BadRegistry, Registry
from penelope.rooms.context.registry_of import registry_of
from penelope.rooms.context.resolve import Rules
from penelope.settings.documents import Documents
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.open_passages import open_passages
from penelope.store.shelf import SqlShelf
from penelope.testing.clock import FakeClock

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EXAMPLE = MODELS.parent
ANALYST = Subject(actor="ann", role="analyst")
KEY = b"a key for masks in tests"

QUESTIONS = {
    "APAC revenue last quarter": "SELECT sum(o.amount - o.discount) FROM orders o JOIN customers c ON c.id = o.customer_id "
    "WHERE o.status = 'completed' AND c.country IN ('JP', 'AU', 'IN', 'SG', 'KR') AND o.created_at >= '2026-07-01' AND o.created_at < '2026-10-01'",
    "number of orders yesterday": "SELECT count(*) FROM orders "
    "WHERE created_at >= '2026-11-19' AND created_at < '2026-11-20'",
    "how many customers do we have": "SELECT count(*) FROM customers",
}
"""Concepts with the plain SQL of their values, of the warehouse's tables."""


@dataclass
class Broken:
    """Stands before a store, and fails for as long as it is told to."""

    store: Any
    down: bool = False
    gives: Callable[[Any], Any] = field(default=lambda found: found)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def ask(*given: Any) -> Any:
            if self.down:
                raise Unavailable("the store is down: shipment 4711 of eve@example.com")
            return self.gives(await getattr(self.store, name)(*given))

        return ask


@dataclass
class BrokenGovernor:
    governor: Any
    down: bool = False

    async def judge(self, questions: Sequence[AccessQuestion]) -> Sequence[Access]:
        if self.down:
            return [Access(allow=False, failed="the policy engine is down") for _ in questions]
        found: Sequence[Access] = await self.governor.judge(questions)
        return found


@dataclass
class House:
    resolver: Resolver
    semantic: Broken
    graph: Broken
    passages: Broken
    governor: BrokenGovernor

    async def ask(self, concept: str, subject: Subject = ANALYST) -> Told:
        return await self.resolver.tell(Request(concept=concept, subject=subject, at=NOW, execute=True))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example's warehouse, graph and documents."""
    folder = tmp_path_factory.mktemp("shop")
    warehouse(folder / "shop.duckdb")

    async def fill() -> None:
        graph = await open_graph(folder / "graph", None, 5.0)
        await graph.replace(*load_graph(EXAMPLE / "graph.yaml"))
        await graph.close()
        engine = open_engine(parse_url(f"sqlite:///{folder}/penelope.db"))
        await migrate(engine)
        await Indexer(SqlShelf(engine), None, Documents()).run([EXAMPLE / "documents"], lambda *_: None)
        await engine.dispose()

    asyncio.run(fill())
    return folder


GOVERNOR = load_governor([])
"""One for all tests: its evaluator must go on the thread that made it."""


@asynccontextmanager
async def housed(folder: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        layer = stack.enter_context(DuckLayer(load_models([MODELS]), folder / "shop.duckdb", mask_key=KEY))
        graph = await open_graph(folder / "graph", None, 5.0)
        stack.push_async_callback(graph.close)
        url = parse_url(f"sqlite:///{folder}/penelope.db")
        reader = open_reader(url)
        stack.push_async_callback(reader.dispose)
        passages = open_passages(url, reader, model="none")
        stack.callback(passages.close)
        house = (Broken(layer), Broken(graph), Broken(passages), BrokenGovernor(GOVERNOR))
        semantic, graphs, shelves, governor = house
        stores = Stores(
            semantic=semantic,  # type: ignore[arg-type]  # it passes each call on
            graph=graphs,  # type: ignore[arg-type]  # as above
            passages=shelves,  # type: ignore[arg-type]  # as above
            governor=governor,
        )
        guards = {
            store: Guard(store.value, Patience(timeout_seconds=30, attempts=1, failures=3))
            for store in Store
            if store is not Store.REGISTRY
        }
        resolver = Resolver(
            stores,
            guards,
            Definitions(registry_of=registry_of),
            Rules(),
            FakeClock(NOW),
            limits=Limits(deadline_seconds=60),
        )
        yield House(resolver, *house)


def play(folder: Path, scene: Callable[[House], Awaitable[None]]) -> None:
    async def run() -> None:
        async with housed(folder) as house:
            await scene(house)

    asyncio.run(run())


def modes(told: Told) -> dict[Store, DegradationMode]:
    return {notice.store: notice.mode for notice in told.notices}


@pytest.fixture
def plain(shop: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH '{shop / 'shop.duckdb'}' AS w (READ_ONLY); USE w")
        yield connection


@pytest.mark.parametrize("concept", QUESTIONS)
def test_a_value_is_the_one_of_plain_sql(shop: Path, plain: duckdb.DuckDBPyConnection, concept: str) -> None:
    expected = plain.execute(QUESTIONS[concept]).fetchone()
    assert expected is not None

    async def scene(house: House) -> None:
        told = await house.ask(concept)
        assert told.outcome is Outcome.RESOLVED
        assert told.value is not None
        assert told.value.table.rows[0][-1] == pytest.approx(float(expected[0]))
        assert told.confidence is not None
        assert 0.5 <= told.confidence.value <= 1.0
        assert told.notices == ()

    play(shop, scene)


def test_an_answer_says_what_it_is_made_of_and_what_is_written_of_it(shop: Path) -> None:
    async def scene(house: House) -> None:
        told = await house.ask("APAC revenue last quarter")
        assert told.definition is not None
        assert (told.definition.name, told.definition.unit) == ("orders.revenue", "USD")
        assert "dataset:orders" in {row["id"] for row in told.lineage}
        assert told.passages

    play(shop, scene)


def test_personal_data_is_masked_in_the_value_and_said_to_be(
    shop: Path, plain: duckdb.DuckDBPyConnection
) -> None:
    addresses = {row[0] for row in plain.execute("SELECT email FROM customers").fetchall()}

    async def scene(house: House) -> None:
        told = await house.ask("number of customers by email")
        assert told.masks.get("customers.email") is Masking.HASH
        assert told.value is not None
        place = told.value.table.columns.index("customers.email")
        shown = {row[place] for row in told.value.table.rows}
        assert len(shown) > 100
        assert not shown & addresses
        assert not any("@" in str(each) for each in shown)

    play(shop, scene)


def test_who_may_not_know_of_a_measure_learns_nothing_of_it(shop: Path) -> None:
    async def scene(house: House) -> None:
        told = await house.ask("APAC revenue last quarter", Subject(actor="ivo", role="intern"))
        assert told.outcome in {Outcome.UNRESOLVED, Outcome.DENIED}
        assert (told.definition, told.value, told.query, told.lineage) == (None, None, None, ())
        assert "orders.revenue" not in json.dumps(to_data(told), default=str)

    play(shop, scene)


@pytest.mark.parametrize(
    ("concept", "column"),
    [
        ("number of customers by region", "customers.region"),
        ("revenue last quarter by region", "customers.region"),
    ],
)
def test_rows_of_other_regions_are_left_out_in_the_query_itself(
    shop: Path, concept: str, column: str
) -> None:
    async def scene(house: House) -> None:
        whole = await house.ask(concept)
        bound = await house.ask(concept, replace(ANALYST, region="EMEA"))
        assert whole.value is not None
        assert bound.value is not None
        assert len(whole.value.table.rows) == 3
        place = bound.value.table.columns.index(column)
        assert [row[place] for row in bound.value.table.rows] == ["EMEA"]
        assert bound.row_filters

    play(shop, scene)


def test_a_figure_without_a_region_in_it_is_of_the_own_region_alone(
    shop: Path, plain: duckdb.DuckDBPyConnection
) -> None:
    own = plain.execute(QUESTIONS["APAC revenue last quarter"]).fetchone()
    assert own is not None

    async def scene(house: House) -> None:
        told = await house.ask("revenue last quarter", replace(ANALYST, region="APAC"))
        assert told.value is not None
        assert told.value.table.rows == ((pytest.approx(float(own[0])),),)

    play(shop, scene)


def test_without_the_semantic_layer_the_last_value_is_told_as_such(shop: Path) -> None:
    async def scene(house: House) -> None:
        before = await house.ask("APAC revenue last quarter")
        house.semantic.down = True
        stale = await house.ask("APAC revenue last quarter")
        assert stale.value is not None
        assert before.value is not None
        assert stale.value.table == before.value.table
        assert stale.value.kept_at == NOW
        assert modes(stale) == {Store.SEMANTIC: DegradationMode.STALE}
        never = await house.ask("number of orders yesterday")
        assert (never.outcome, never.value) == (Outcome.RESOLVED, None)
        assert modes(never) == {Store.SEMANTIC: DegradationMode.APPROXIMATE}
        assert "eve@" not in json.dumps(to_data(never), default=str)

    play(shop, scene)


def test_a_value_of_now_by_definitions_of_before_is_not_called_approximate(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unread() -> Model:
        raise Unavailable("the model cannot be read again")

    async def scene(house: House) -> None:
        await house.ask("APAC revenue last quarter")
        monkeypatch.setattr(house.semantic, "model", unread, raising=False)
        house.resolver.forget()
        told = await house.ask("APAC revenue last quarter")
        assert told.value is not None
        assert told.value.kept_at is None
        assert modes(told) == {Store.SEMANTIC: DegradationMode.STALE}
        house.semantic.down = True
        never = await house.ask("number of orders yesterday")
        assert never.value is None
        assert modes(never) == {Store.SEMANTIC: DegradationMode.APPROXIMATE}

    play(shop, scene)


def test_a_kept_value_is_told_to_nobody_who_may_see_other_rows(shop: Path) -> None:
    async def scene(house: House) -> None:
        await house.ask("number of customers by region")
        house.semantic.down = True
        other = await house.ask("number of customers by region", replace(ANALYST, region="EMEA"))
        assert other.value is None

    play(shop, scene)


def test_without_graph_and_documents_there_is_an_answer_all_the_same(shop: Path) -> None:
    async def scene(house: House) -> None:
        house.graph.down = house.passages.down = True
        told = await house.ask("APAC revenue last quarter")
        assert told.value is not None
        assert (told.lineage, told.passages) == ((), ())
        assert modes(told) == {
            Store.GRAPH: DegradationMode.REGISTRY_ONLY,
            Store.VECTOR: DegradationMode.KEYWORDS_ONLY,
        }

    play(shop, scene)


@pytest.mark.parametrize("warm", [True, False])
def test_while_the_policy_engine_is_down_nothing_is_told(shop: Path, *, warm: bool) -> None:
    async def scene(house: House) -> None:
        if warm:
            await house.ask("APAC revenue last quarter")
            await house.ask("revenue or sales")
        house.governor.down = True
        for concept in ("APAC revenue last quarter", "revenue or sales", "runbook for late warehouse loads"):
            told = await house.ask(concept)
            assert told.outcome in {Outcome.UNRESOLVED, Outcome.DENIED}
            assert (told.definition, told.query, told.value) == (None, None, None)
            assert (told.rows, told.lineage, told.passages, told.choices) == ((), (), (), ())
            assert modes(told)[Store.POLICY] is DegradationMode.DENY
        house.governor.down = False
        assert (await house.ask("APAC revenue last quarter")).value is not None

    play(shop, scene)


def test_a_model_with_too_many_definitions_is_told_and_the_one_before_goes_on(shop: Path) -> None:
    async def scene(house: House) -> None:
        def too_many(_: Model, **__: Any) -> Registry:
            raise BadRegistry("there are more than 100000 definitions")

        made = house.resolver._definitions
        house.resolver._definitions = Definitions(registry_of=too_many)
        never = await house.ask("APAC revenue last quarter")
        assert (never.outcome, never.definition) == (Outcome.UNAVAILABLE, None)
        house.resolver._definitions = made
        assert (await house.ask("APAC revenue last quarter")).value is not None
        house.resolver._definitions = Definitions(registry_of=too_many)
        house.resolver.limits = replace(house.resolver.limits, fresh_seconds=0.0)
        house.semantic.gives = lambda found: replace(found) if isinstance(found, Model) else found
        assert (await house.ask("APAC revenue last quarter")).value is not None

    play(shop, scene)


def test_meaning_that_takes_too_long_is_done_without(shop: Path) -> None:
    class Slow:
        model = "none"

        async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
            await asyncio.sleep(60)
            return [b"" for _ in texts]

    async def scene(house: House) -> None:
        await house.ask("APAC revenue last quarter")
        house.resolver.stores = replace(house.resolver.stores, embedder=Slow())
        house.resolver.limits = replace(house.resolver.limits, deadline_seconds=3.0)
        told = await house.ask("APAC revenue last quarter")
        assert told.value is not None
        assert told.passages
        assert modes(told) == {Store.VECTOR: DegradationMode.KEYWORDS_ONLY}

    play(shop, scene)


def test_warming_up_opens_no_breaker_and_makes_the_first_search_find(shop: Path) -> None:
    async def scene(house: House) -> None:
        searched: list[Any] = []
        house.passages.gives = lambda found: searched.append(found) or found
        house.passages.down = True
        for _ in range(5):
            await house.resolver.warm()
        assert house.resolver.guards[Store.VECTOR].state().breaker is BreakerState.CLOSED
        assert searched == []
        house.passages.down = False
        await house.resolver.warm()
        assert len(searched) == 1
        assert (await house.ask("what is revenue")).passages

    play(shop, scene)


def test_a_store_that_gives_what_is_to_be_masked_is_not_passed_on(shop: Path) -> None:
    async def scene(house: House) -> None:
        def clear(found: Any) -> Any:
            if not isinstance(found, Table) or "customers.email" not in found.columns:
                return found
            place = found.columns.index("customers.email")
            rows = tuple((*row[:place], "eve@example.com", *row[place + 1 :]) for row in found.rows)
            return replace(found, rows=rows)

        house.semantic.gives = clear
        with pytest.raises(AccessBroken) as error:
            await house.ask("number of customers by email")
        assert "eve@" not in str(error.value)

    play(shop, scene)
