"""An estate in which everything that somebody may not see bears a mark, and who may see which, told without the code under test.

A mark is ``zq`` and ten letters. It stands in values of columns, names and words of definitions, things of the graph and
documents. What a subject is told must hold no mark that `may_see` does not allow, whatever is asked and whichever store lies.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from penelope.adapters.graph.opened import open_graph
from penelope.adapters.policy.context_rego import load_governor
from penelope.adapters.semantic.duck import DuckLayer
from penelope.adapters.semantic.load import load_models
from penelope.domain.access import Access, AccessQuestion, Classification, Subject
from penelope.domain.degradation import Store
from penelope.domain.graph import Edge, Node
from penelope.domain.passage import Document, Passage
from penelope.domain.semantics import Table
from penelope.entry.documents import Indexer
from penelope.errors import Unavailable
from penelope.flow.resolving import Definitions, Limits, Resolver, Stores
from penelope.kit.guard import Guard, Patience
from penelope.rooms.context.registry_of import registry_of
from penelope.rooms.context.resolve import Rules
from penelope.settings.documents import Documents
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.open_passages import open_passages
from penelope.store.shelf import SqlShelf
from penelope.testing.clock import FakeClock

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MARK = re.compile(r"zq[a-z]{10}")
REGIONS = ("EMEA", "APAC", "AMER")
AMOUNTS = {"EMEA": 1_000_003, "APAC": 20_000_029, "AMER": 300_000_007}
"""What was sold in each region: every sum tells which regions are in it."""

OWNER = "team-vault"
ROLES = ("admin", "analyst", "support", "service", "agent", "intern", "guest", "root", "")
PURPOSES = ("", "analysis", "support", "incident", "audit", "marketing", "curiosity")


def mark(of: str) -> str:
    chance = random.Random(of)
    return "zq" + "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(10))


RESTRICTED_METRIC = mark("restricted metric")
CONFIDENTIAL_WORDS = mark("confidential words")
CONFIDENTIAL_VALUE = mark("confidential value")
RESTRICTED_VALUE = mark("restricted value")
CITY = {region: mark(f"city of {region}") for region in REGIONS}
MAIL = {region: mark(f"mail of {region}") for region in REGIONS}
NOTE = {region: mark(f"note of {region}") for region in REGIONS}
NODE = {each: mark(f"node {each}") for each in Classification}
TEXT = {each: mark(f"text {each}") for each in Classification}
OUTCRY = mark("what a broken store cries")
"""In the messages of stores that fail: for nobody."""

MODEL = f"""\
cubes:
  - name: sales
    sql_table: sales
    joins:
      - {{name: customers, relationship: many_to_one, sql: "{{CUBE}}.customer_id = {{customers}}.id"}}
    measures:
      - {{name: revenue, sql: amount, type: sum, title: Revenue, description: "Words of {CONFIDENTIAL_WORDS}",
          meta: {{classification: confidential, synonyms: [takings], owner: team-sales}}}}
      - {{name: count, type: count, title: Number of sales, meta: {{classification: internal}}}}
      - {{name: bribes, sql: cost, type: sum, title: "Bribes {RESTRICTED_METRIC}",
          meta: {{classification: restricted, synonyms: ["{RESTRICTED_METRIC} profit"], owner: {OWNER}}}}}
    dimensions:
      - {{name: id, sql: id, type: number, primary_key: true, meta: {{classification: internal}}}}
      - {{name: customer_region, sql: "{{customers.region}}", type: string, title: Region of customer, meta: {{classification: internal}}}}
      - {{name: note, sql: note, type: string, title: Note, meta: {{classification: restricted, values: ["{RESTRICTED_VALUE}"], owner: {OWNER}}}}}
      - {{name: channel, sql: channel, type: string, title: Channel, meta: {{classification: confidential, values: ["{CONFIDENTIAL_VALUE}"]}}}}
      - {{name: made_at, sql: made_at, type: time, meta: {{classification: internal, time: true}}}}
  - name: customers
    sql_table: customers
    measures:
      - {{name: count, type: count, title: Number of customers, meta: {{classification: internal}}}}
      - {{name: longest_mail, sql: "length({{CUBE}}.email)", type: max, title: Longest mail, meta: {{classification: internal}}}}
    dimensions:
      - {{name: id, sql: id, type: number, primary_key: true, meta: {{classification: internal}}}}
      - {{name: region, sql: region, type: string, title: Region, meta: {{classification: internal, values: [EMEA, APAC, AMER]}}}}
      - {{name: city, sql: city, type: string, title: City, meta: {{classification: internal}}}}
      - {{name: email, sql: email, type: string, title: Email, meta: {{classification: pii, synonyms: [mail address]}}}}
"""


_KNOWN = {
    "admin": "public internal confidential pii",
    "analyst": "public internal confidential pii",
    "support": "public internal confidential pii",
    "service": "public internal confidential",
    "agent": "public internal confidential",
    "intern": "public internal",
}


def may_see(subject: Subject, token: str) -> bool:
    """By the words of docs/context-policy.md, and by nothing of the code."""
    if subject.role not in _KNOWN or subject.purpose not in PURPOSES[:-1]:
        return False
    for region in REGIONS:
        if token == CITY[region]:
            return not is_bound(subject) or subject.region == region
        if token == MAIL[region]:
            return subject.role == "admin" and subject.purpose != "marketing"
    if token in (RESTRICTED_METRIC, RESTRICTED_VALUE):
        return subject.actor == OWNER
    if token == CONFIDENTIAL_WORDS and subject.actor == "team-sales":
        return True
    classes = {TEXT[each]: each for each in Classification} | {NODE[each]: each for each in Classification}
    classes |= dict.fromkeys((CONFIDENTIAL_WORDS, CONFIDENTIAL_VALUE), Classification.CONFIDENTIAL)
    return token in classes and may_read(subject, classes[token])


def may_read(subject: Subject, classification: Classification) -> bool:
    """Whether somebody of a known role may read what nobody owns, and of which nothing can be masked."""
    if classification is Classification.PII:
        return subject.role in {"admin", "support"} and subject.purpose in {"support", "incident", "audit"}
    if classification is Classification.CONFIDENTIAL and subject.role in {"service", "agent"}:
        return subject.purpose in {"incident", "analysis"}
    return classification.value in _KNOWN[subject.role].split()


def is_bound(subject: Subject) -> bool:
    """Whether somebody sees the rows of one region alone."""
    return subject.role in {"support", "intern"} or (
        subject.role in {"analyst", "agent"} and subject.region != ""
    )


def may_hold(subject: Subject, figure: float) -> bool:
    """Whether a figure holds no sales of a region that its asker does not see."""
    if not is_bound(subject):
        return True
    hidden = [amount for region, amount in AMOUNTS.items() if region != subject.region]
    own = AMOUNTS.get(subject.region, 0)
    return figure not in {extra + total for extra in (0, own) for total in (*hidden, sum(hidden))}


# --- the stores, and how they fail --------------------------------------------------------------------------


class Faulty:
    """Stands before a store. `manner` is "", down, slow, flapping or lying; a lie is made by `lie` from what was found."""

    def __init__(self, store: Any, chance: random.Random, lie: Callable[[Any], Any]) -> None:
        self._store, self._chance, self._lie = store, chance, lie
        self.manner = ""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def ask(*given: Any) -> Any:
            if self.manner == "down" or (self.manner == "flapping" and self._chance.random() < 0.5):
                raise Unavailable(f"cannot be reached: {OUTCRY}")
            if self.manner == "slow":
                await asyncio.sleep(60)
            found = await getattr(self._store, name)(*given)
            return self._lie(found) if self.manner == "lying" else found

        return ask


class FaultyGovernor:
    def __init__(self, governor: Any, chance: random.Random) -> None:
        self._governor, self._chance = governor, chance
        self.manner = ""

    async def judge(self, questions: Sequence[AccessQuestion]) -> Sequence[Access]:
        if self.manner in {"down", "slow", "lying"} or (
            self.manner == "flapping" and self._chance.random() < 0.5
        ):
            # As its adapters tell a server that is down or late, or answers nonsense.
            return [Access(allow=False, failed=f"no answer: {OUTCRY}") for _ in questions]
        found: Sequence[Access] = await self._governor.judge(questions)
        return found


def lie_about_figures(found: Any) -> Any:
    """More columns than were asked for, or rows of other regions and addresses in clear where there are such columns."""
    if not isinstance(found, Table):
        return found
    rows = [list(row) for row in found.rows] or [[None] * len(found.columns)]
    for place, column in enumerate(found.columns):
        for row in rows:
            if column.endswith(".email"):
                row[place] = f"{MAIL['EMEA']}@example.com"
            if column.endswith("region"):
                row[place] = "EMEA"
    told = replace(found, rows=tuple(tuple(row) for row in rows))
    if len(rows) % 2:
        return replace(
            told, columns=(*told.columns, "sales.note"), rows=tuple((*row, NOTE["EMEA"]) for row in told.rows)
        )
    return told


def lie_about_things(found: Any) -> Any:
    secret = {"id": f"service:{NODE[Classification.RESTRICTED]}", "kind": "Service", "distance": 1}
    named = {**secret, "name": NODE[Classification.RESTRICTED]}
    return [*found, named, {**named, "classification": "restricted"}, {**named, "classification": 7}]


def lie_about_passages(found: Any) -> Any:
    secret = Document(
        id="lie",
        kind="runbook",
        title=TEXT[Classification.RESTRICTED],
        source="/lie.md",
        digest="0" * 64,
        classification=Classification.RESTRICTED,
    )
    passage = Passage(
        document=secret, heading="", text=TEXT[Classification.RESTRICTED], score=9.0, by=("words",)
    )
    return [passage, *found]


@dataclass(frozen=True)
class Estate:
    resolver: Resolver
    faults: dict[Store, Any]

    def fail(self, store: Store | None, manner: str) -> None:
        """One store fails so, and the others do not."""
        for each, fault in self.faults.items():
            fault.manner = manner if each is store else ""


# --- making it ----------------------------------------------------------------------------------------------


def furnish(folder: Path, *, bare: bool = False) -> None:
    """Makes the estate or, `bare`, one in which there never was what is restricted."""
    lines = (line for line in MODEL.splitlines() if not (bare and "bribes" in line.lower()))
    kept = [line for line in lines if not (bare and ("restricted" in line))]
    (folder / "model.yaml").write_text("\n".join(kept) + "\n")
    with duckdb.connect(str(folder / "shop.duckdb")) as shop:
        shop.execute("CREATE TABLE customers (id INT, region TEXT, city TEXT, email TEXT)")
        shop.execute(
            "CREATE TABLE sales (id INT, customer_id INT, amount BIGINT, cost BIGINT, note TEXT, channel TEXT, made_at TIMESTAMP)"
        )
        for number, region in enumerate(REGIONS):
            shop.execute(
                "INSERT INTO customers VALUES (?, ?, ?, ?)",
                [number, region, CITY[region], f"{MAIL[region]}@example.com"],
            )
            shop.execute(
                "INSERT INTO sales VALUES (?, ?, ?, 7, ?, ?, '2026-11-01')",
                [number, number, AMOUNTS[region], NOTE[region], CONFIDENTIAL_VALUE],
            )
    asyncio.run(_fill(folder, [each for each in Classification if not bare or each.value != "restricted"]))


async def _fill(folder: Path, classes: Sequence[Classification]) -> None:
    nodes = [Node(id="service:checkout", label="Service", name="checkout")]
    nodes += [
        Node(
            id="metric:sales.revenue",
            label="Metric",
            name="revenue",
            classification=Classification.CONFIDENTIAL,
        )
    ]
    edges = []
    for each in classes:
        thing = Node(id=f"service:{NODE[each]}", label="Service", name=NODE[each], classification=each)
        source = Node(id=f"dataset:{NODE[each]}", label="Dataset", name=NODE[each], classification=each)
        nodes += [thing, source]
        edges.append(Edge(type="DEPENDS_ON", start="service:checkout", end=thing.id))
        edges.append(Edge(type="DEPENDS_ON", start=thing.id, end="service:checkout"))
        edges.append(Edge(type="DERIVED_FROM", start="metric:sales.revenue", end=source.id))
    graph = await open_graph(folder / "graph", None, 5.0)
    await graph.replace(nodes, edges)
    await graph.close()
    shelf = folder / "documents"
    shelf.mkdir()
    for each in classes:
        (shelf / f"{each.value}.md").write_text(
            f"---\nclassification: {each.value}\nkind: runbook\n---\n# Runbook for checkout\n\n"
            f"When revenue of checkout falls, look at {TEXT[each]} and restart it.\n"
        )
    engine = open_engine(parse_url(f"sqlite:///{folder}/penelope.db"))
    await migrate(engine)
    report = await Indexer(SqlShelf(engine), None, Documents()).run([shelf], lambda *_: None)
    await engine.dispose()
    assert [*report.left_out, *report.unread] == []


GOVERNOR = load_governor([])
"""One for all: its evaluator must go on the thread that made it."""


@asynccontextmanager
async def opened(
    folder: Path, seed: int, *, timeout_seconds: float = 0.05, recovery_seconds: float = 0.01
) -> AsyncIterator[Estate]:
    async with AsyncExitStack() as stack:
        layer = stack.enter_context(
            DuckLayer(load_models([folder / "model.yaml"]), folder / "shop.duckdb", mask_key=b"k" * 16)
        )
        graph = await open_graph(folder / "graph", None, 5.0)
        stack.push_async_callback(graph.close)
        url = parse_url(f"sqlite:///{folder}/penelope.db")
        reader = open_reader(url)
        stack.push_async_callback(reader.dispose)
        passages = open_passages(url, reader, model="none")
        stack.callback(passages.close)
        chance = random.Random(seed)
        faults: dict[Store, Any] = {
            Store.SEMANTIC: Faulty(layer, chance, lie_about_figures),
            Store.GRAPH: Faulty(graph, chance, lie_about_things),
            Store.VECTOR: Faulty(passages, chance, lie_about_passages),
            Store.POLICY: FaultyGovernor(GOVERNOR, chance),
        }
        stores = Stores(
            semantic=faults[Store.SEMANTIC],
            graph=faults[Store.GRAPH],
            passages=faults[Store.VECTOR],
            governor=faults[Store.POLICY],
        )
        patience = Patience(
            timeout_seconds=timeout_seconds, attempts=1, failures=5, recovery_seconds=recovery_seconds
        )
        guards = {store: Guard(store.value, patience) for store in Store if store is not Store.REGISTRY}
        definitions = Definitions(registry_of=registry_of)
        limits = Limits(deadline_seconds=1.0, fresh_seconds=0.2)
        resolver = Resolver(stores, guards, definitions, Rules(), FakeClock(NOW), limits=limits)
        yield Estate(resolver, faults)


# --- what is asked ------------------------------------------------------------------------------------------

_THINGS = (
    "revenue",
    "takings",
    "number of sales",
    "number of customers",
    "longest mail",
    "bribes",
    f"bribes {RESTRICTED_METRIC}",
    f"{RESTRICTED_METRIC} profit",
    RESTRICTED_METRIC,
    "sales.bribes",
    "note",
    "channel",
    "email",
    "mail address",
    "city",
    "checkout",
    "profit",
    CONFIDENTIAL_WORDS,
    NODE[Classification.RESTRICTED],
    f"service {NODE[Classification.PII]}",
)
_TAILS = (
    "",
    "",
    "by region",
    "by city",
    "by email",
    "by note",
    "by channel",
    "by region of customer",
    "by month",
    "in APAC",
    "in EMEA by city",
    "without AMER",
    "this year",
    "this month vs last month",
    f"where email is {MAIL['APAC']}@example.com",
    f"for {RESTRICTED_VALUE}",
    f"with channel {CONFIDENTIAL_VALUE}",
    f"of {CITY['AMER']} by city",
)
_HEADS = (
    "",
    "",
    "",
    "top 5 customers by ",
    "top 3 city by ",
    "which city has the highest ",
    "definition of ",
    "how is ",
)
_RELATIONS = (
    "who owns {}",
    "what depends on {}",
    "{} depends on",
    "lineage of {}",
    "blast radius of {}",
    "root cause of {}",
    "what changed on {}",
    "runbook for {}",
    "how do I restart {}",
    "documentation of {}",
    "path from checkout to {}",
)


def figure(chance: random.Random) -> str:
    """A concept whose answer is a table of more than one region, or of people."""
    thing = chance.choice(("takings", "number of sales", "number of customers"))
    return f"{thing} {chance.choice(('by city', 'by email', 'by region'))}"


def concept(chance: random.Random) -> str:
    thing = chance.choice(_THINGS)
    if chance.random() < 0.3:
        return chance.choice(_RELATIONS).format(thing)
    text = f"{chance.choice(_HEADS)}{thing} {chance.choice(_TAILS)}".strip()
    if chance.random() < 0.05:
        place = chance.randrange(len(text))
        text = text[:place] + chance.choice("'\"%;\\\n\u202e{}()") + text[place:]
    return text


def subject(chance: random.Random) -> Subject:
    return Subject(
        actor=chance.choice(("ann", "ivo", "key:gateway", "team-sales", OWNER)),
        role=chance.choice(ROLES if chance.random() < 0.1 else ROLES[:6]),
        region=chance.choice(("", "", *REGIONS, "MOON")),
        purpose=chance.choice(PURPOSES if chance.random() < 0.1 else PURPOSES[:6]),
    )
