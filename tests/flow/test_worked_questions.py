"""The ten worked questions of the example: values beside plain SQL, what each role is told, each store stopped in turn."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penelope.adapters.example.worked import ANALYST, INTERN, NOW, WORKED, Worked, followed, plain_rows
from penelope.adapters.graph.ladybug import LadybugGraph
from penelope.domain.access import Classification, Subject
from penelope.domain.answer import Outcome
from penelope.domain.concept import GraphQuestion, Request
from penelope.domain.degradation import DegradationMode, Store
from penelope.entry.cli.main import app
from penelope.entry.worked import STOPPED, Scene, Theatre, prepare, settings_in, theatre
from penelope.flow.turn import Turn
from penelope.kit.canonical import Json
from penelope.kit.codec import to_data

REVENUE = WORKED[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("example")
    seen: list[str] = []
    asyncio.run(prepare(settings_in(made), seen.append))
    assert len(seen) == 3
    return made


def copy_of(folder: Path, to: Path) -> Path:
    """What was prepared, to be spoilt."""
    shutil.copytree(folder, to)
    return to


@dataclass
class Stage:
    """The stores, opened once for all tests, on one loop."""

    runner: asyncio.Runner
    theatre: Theatre

    def ask(self, worked: Worked, stopped: Store | None = None) -> Scene:
        return self.runner.run(self.theatre.ask(worked, stopped))


@pytest.fixture(scope="module")
def stage(folder: Path) -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        opened = theatre(settings_in(folder))
        yield Stage(runner, runner.run(opened.__aenter__()))
        runner.run(opened.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def scenes(stage: Stage) -> list[Scene]:
    async def all_of() -> list[Scene]:
        return [scene async for scene in stage.theatre.play()]

    return stage.runner.run(all_of())


def scene_of(scenes: list[Scene], concept: str, subject: Subject = ANALYST) -> Scene:
    [found] = [
        each
        for each in scenes
        if (each.worked.concept, each.worked.subject, each.stopped) == (concept, subject, None)
    ]
    return found


def test_there_are_ten_and_each_is_as_plain_sql_and_plain_files_have_it(scenes: list[Scene]) -> None:
    assert len(WORKED) == 10
    assert [scene.flaws for scene in scenes] == [()] * (10 + len(STOPPED))
    assert sum(scene.against.startswith("SQL") for scene in scenes) >= 8
    kinds = {worked.outcome for worked in WORKED}
    assert kinds == set(Outcome) - {Outcome.UNAVAILABLE}


def test_the_revenue_is_this_figure(scenes: list[Scene], folder: Path) -> None:
    """Held against a figure that was written down once, so that a change of the example is noticed."""
    told = scene_of(scenes, REVENUE.concept).told
    assert told.value is not None
    assert told.value.table.rows == ((9485365.08,),)
    assert (told.value.unit, told.value.table.as_of is not None) == ("USD", True)
    assert plain_rows(folder / "shop.duckdb", "SELECT count(*) FROM orders") == [(1_200_000,)]
    assert "dataset:orders" in {row["id"] for row in told.lineage}
    assert told.confidence is not None
    assert told.confidence.value > 0.9


def test_the_people_among_the_first_five_are_masked(scenes: list[Scene], folder: Path) -> None:
    told = scene_of(scenes, WORKED[1].concept).told
    clear = {row[0] for row in plain_rows(folder / "shop.duckdb", WORKED[1].sql)}
    assert all("@" in address for address in clear)
    text = json.dumps(to_data(told), default=str)
    assert not any(address in text for address in clear)
    assert list(told.masks) == ["customers.email"]


def test_a_region_is_all_that_who_works_for_it_sees(scenes: list[Scene]) -> None:
    told = scene_of(scenes, WORKED[2].concept, WORKED[2].subject).told
    assert told.value is not None
    assert [row[0] for row in told.value.table.rows] == ["EMEA"]
    assert told.row_filters


@pytest.mark.parametrize("region", ["APAC", "EMEA", ""])
@pytest.mark.parametrize(
    "concept",
    ["APAC revenue last quarter", "definition of revenue", "who owns revenue?", "lineage of revenue"],
)
def test_an_intern_is_denied_with_reasons_and_learns_no_more_than_names(
    stage: Stage, concept: str, region: str
) -> None:
    subject = replace(INTERN, region=region)
    scene = stage.ask(replace(REVENUE, concept=concept, subject=subject, outcome=Outcome.DENIED))
    assert scene.flaws == ("it is not orders.revenue",)
    told = scene.told
    assert told.why == (
        "Revenue, owned by team-finance: this role may know that there is such a measure, and not read it"
    )
    assert (told.definition, told.query, told.value, told.confidence) == (None, None, None, None)
    assert (told.rows, told.lineage, told.passages, told.choices, told.unmet) == ((), (), (), (), ())
    assert "discounts" not in json.dumps(to_data(told), default=str)


def test_of_what_is_only_named_to_an_intern_no_more_than_names_is_a_choice(stage: Stage) -> None:
    concept = "gross sales or net sales last month"
    intern = stage.ask(replace(REVENUE, concept=concept, subject=INTERN))
    analyst = stage.ask(replace(REVENUE, concept=concept))
    hidden = stage.ask(replace(REVENUE, concept="gross margin last month", subject=INTERN))
    mine, theirs = (
        {each.definition.name: each.definition for each in one.told.choices} for one in (intern, analyst)
    )
    assert mine.keys() == theirs.keys() == {"orders.revenue", "orders.gross_amount"}
    for name, definition in mine.items():
        assert theirs[name].description
        assert (definition.description, definition.unit, definition.version) == ("", "", "")
        assert (definition.title, definition.owner) == (theirs[name].title, theirs[name].owner)
    assert "order_items.margin" not in json.dumps(to_data(hidden.told), default=str)


def test_the_words_of_a_description_are_no_help_to_who_may_not_read_it(stage: Stage) -> None:
    """Else one could guess them, one by one: what helps is nearer."""

    def near(word: str, subject: Subject) -> tuple[Outcome, list[float]]:
        told = stage.ask(replace(REVENUE, concept=f"revenue {word}", subject=subject)).told
        return told.outcome, [
            each.scores["explained"] for each in told.choices if each.definition.name == "orders.revenue"
        ]

    assert near("brought", INTERN) == near("zebras", INTERN)
    assert near("brought", INTERN)[1]
    assert near("brought", ANALYST) != near("zebras", ANALYST)


@pytest.mark.parametrize(
    ("store", "mode"),
    [
        (Store.SEMANTIC, DegradationMode.STALE),
        (Store.GRAPH, DegradationMode.REGISTRY_ONLY),
        (Store.VECTOR, DegradationMode.KEYWORDS_ONLY),
        (Store.POLICY, DegradationMode.DENY),
    ],
)
def test_without_a_store_the_answer_says_what_it_lacks(
    scenes: list[Scene], store: Store, mode: DegradationMode
) -> None:
    [told] = [scene.told for scene in scenes if scene.stopped is store]
    assert [(notice.store, notice.mode) for notice in told.notices] == [(store, mode)]
    match store:
        case Store.POLICY:
            assert told.outcome is Outcome.DENIED
            assert (told.definition, told.value, told.passages, told.choices) == (None, None, (), ())
        case Store.SEMANTIC:
            assert told.value is not None
            assert told.value.kept_at is not None
        case Store.GRAPH:
            assert told.value is not None
            assert told.lineage == ()
        case Store.VECTOR:
            assert {by for passage in told.passages for by in passage.by} == {"keywords"}


def test_names_of_the_graph_are_known_while_it_is_stopped(stage: Stage) -> None:
    owner, resolver = WORKED[7], stage.theatre.resolver
    stage.ask(owner)
    before = resolver.limits
    resolver.limits = replace(before, fresh_seconds=0)
    without, again = stage.ask(owner, Store.GRAPH), stage.ask(owner)
    resolver.limits = before
    assert without.told.definition is not None
    assert without.told.definition.name == "service:checkout"
    assert without.told.rows == ()
    assert again.flaws == ()


def test_playbooks_of_the_settings_have_names(stage: Stage) -> None:
    stage.ask(REVENUE)
    known = stage.theatre.resolver._known
    assert known is not None
    found = set(known.registry.definitions)
    assert sum(name.startswith("runbook:") for name in found) > 20
    assert {"service:payments", "team:data", "dataset:orders", "dashboard:sales"} <= found
    assert not any(name.startswith(("person:", "host:", "incident:")) for name in found)


class Loose(LadybugGraph):
    """A graph that gives all that it has, whatever is allowed."""

    async def ask(self, name: str, parameters: Mapping[str, Json]) -> Sequence[Mapping[str, Json]]:
        return await super().ask(name, {**parameters, "allowed": [*Classification]})


@pytest.mark.parametrize("loose", [False, True])
@pytest.mark.parametrize(
    ("query", "start", "end", "path"),
    [
        ("dependency_path", "service:storefront", "service:payments", 3),
        ("shortest_path", "service:payments", "team:checkout", 2),
        ("shortest_path", "service:payments", "dashboard:finance", 0),
        ("shortest_path", "person:ada", "service:payments", 0),
        ("dependency_path", "metric:customers.count", "service:warehouse-etl", 0),
    ],
)
def test_a_way_is_shown_to_who_may_see_all_of_it(
    stage: Stage, folder: Path, query: str, start: str, end: str, path: int, *, loose: bool
) -> None:
    """Over confidential things an intern gets none, even of a store that gives more than it may."""
    resolver = stage.theatre.resolver
    stores = resolver.stores
    question = GraphQuestion(name=query, parameters={"id": start, "to": end})
    request = Request(concept="", subject=INTERN, at=NOW)

    async def ways() -> tuple[list[int], int]:
        graph = Loose(folder / "graph", timeout_seconds=30)
        resolver.stores = replace(stores, graph=graph) if loose else stores
        try:
            found = [len(row["path"]) for row in await Turn(resolver, request).rows(question)]
            return found, len(await graph.ask(query, question.parameters))
        finally:
            resolver.stores = stores
            await graph.close()

    assert stage.runner.run(ways()) == ([path] if path else [], 1)


@pytest.mark.parametrize(
    ("worked", "change"),
    [
        (WORKED[0], {"sql": f"SELECT 1 + ({WORKED[0].sql})"}),
        (WORKED[0], {"sql": f"{WORKED[0].sql} AND false"}),
        (WORKED[0], {"masked": ("customers.email",)}),
        (WORKED[0], {"definition": "orders.count"}),
        (WORKED[1], {"sql": WORKED[1].sql.replace("c.email,", "max(c.phone),", 1)}),
        (WORKED[4], {"compared": WORKED[4].sql}),
        (WORKED[5], {"told": ("orders.count",)}),
        (WORKED[6], {"sql": "SELECT 1"}),
        (WORKED[7], {"thing": "service:shipping"}),
        (WORKED[9], {"told": ("Something else",)}),
        (WORKED[0], {"outcome": Outcome.DENIED}),
        (WORKED[3], {"subject": ANALYST}),
    ],
)
def test_what_is_wrong_is_seen(stage: Stage, worked: Worked, change: dict[str, Any]) -> None:
    assert stage.ask(replace(worked, **change)).flaws


def test_the_file_of_the_graph_is_followed_to_its_end() -> None:
    assert followed(WORKED[8]) == {"service:checkout", "service:warehouse-etl", "service:storefront"}


def test_the_page_tells_what_comes_out(scenes: list[Scene]) -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "context.md").read_text(encoding="utf-8")
    for worked in WORKED:
        assert f"| {worked.concept} |" in page
    figures = [
        row[-1]
        for scene in scenes
        for value in (scene.told.value, scene.told.compared)
        if value is not None
        for row in value.table.rows[:1]
    ]
    assert len(figures) >= 5
    assert [f"{figure:,.2f} USD" for figure in figures if f"{figure:,.2f} USD" not in page] == []
    denied = scene_of(scenes, REVENUE.concept, INTERN).told.why
    assert f"denied: {denied}\n" in (docs / "context-policy.md").read_text(encoding="utf-8")


def test_the_command_prints_what_it_found(folder: Path) -> None:
    done = CliRunner().invoke(app, ["context", "demo", "--folder", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert len(found) == 10 + len(STOPPED)
    assert [each["flaws"] for each in found] == [[]] * len(found)
    assert found[0]["told"]["value"]["table"]["rows"] == [[9485365.08]]
    assert [each["stopped"] for each in found[10:]] == [store.value for store in STOPPED]


def test_what_is_not_as_it_must_be_is_shown_and_ends_with_1(folder: Path, tmp_path: Path) -> None:
    """Here the index holds other words than the file; asked on a narrow terminal."""
    spoilt = copy_of(folder, tmp_path / "spoilt")
    with sqlite3.connect(spoilt / "penelope.db") as index:
        changed = index.execute("UPDATE passages SET text = replace(text, 'acquirer', 'baker')").rowcount
    index.close()
    assert changed > 0
    words = ["context", "demo", "--folder", str(spoilt)]
    done = CliRunner(env={"COLUMNS": "60"}).invoke(app, words)
    assert done.exit_code == 1, done.output
    assert "the excerpt does not stand in the file" in " ".join(done.stdout.replace("│", " ").split())
    assert "2 are NOT as they must be" in done.stdout
    panels = [line for line in done.stdout.splitlines() if line.startswith(("╭", "│", "╰"))]
    assert len(panels) > 100
    assert {len(line) for line in panels} == {60}
    assert "APAC revenue last quarter" in done.stdout
    assert "9,485,365.08 USD" in done.stdout


def test_what_was_stopped_while_it_was_prepared_is_mended_by_the_next_run(
    folder: Path, tmp_path: Path
) -> None:
    left = copy_of(folder, tmp_path / "left")
    settings = settings_in(left)
    shutil.rmtree(left / "graph")
    (left / "penelope.db").unlink()

    class Stopped(Exception):
        pass

    def stopping(at: str) -> Callable[[str], None]:
        def look(what: str) -> None:
            if at in what:
                raise Stopped

        return look

    for step in ("warehouse", "graph", "index"):
        with pytest.raises(Stopped):
            asyncio.run(prepare(settings, stopping(step)))
    assert (left / "graph").exists()
    assert not (left / "penelope.db").exists()

    async def again() -> list[Scene]:
        await prepare(settings, stopping("nothing"))
        async with theatre(settings) as stage:
            return [await stage.ask(worked) for worked in (REVENUE, WORKED[7], WORKED[9])]

    assert [scene.flaws for scene in asyncio.run(again())] == [(), (), ()]
