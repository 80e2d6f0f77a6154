"""The ten worked questions of the example: values beside plain SQL, what each role is told, each store stopped in turn."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penelope.adapters.example.worked import ANALYST, INTERN, WORKED, Worked, followed, plain_rows
from penelope.domain.access import Subject
from penelope.domain.answer import Outcome
from penelope.domain.degradation import DegradationMode, Store
from penelope.entry.cli.main import app
from penelope.entry.worked import STOPPED, Scene, Theatre, prepare, settings_in, theatre
from penelope.kit.codec import to_data

REVENUE = WORKED[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("example")
    seen: list[str] = []
    asyncio.run(prepare(settings_in(made), seen.append))
    assert len(seen) == 3
    return made


def play(folder: Path, scene: Callable[[Theatre], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with theatre(settings_in(folder)) as stage:
            return await scene(stage)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def scenes(folder: Path) -> list[Scene]:
    async def all_of(stage: Theatre) -> list[Scene]:
        return [scene async for scene in stage.play()]

    found: list[Scene] = play(folder, all_of)
    return found


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
    assert kinds == set(Outcome)


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
    folder: Path, concept: str, region: str
) -> None:
    async def ask(stage: Theatre) -> Scene:
        subject = replace(INTERN, region=region)
        return await stage.ask(replace(REVENUE, concept=concept, subject=subject, outcome=Outcome.DENIED))

    scene = play(folder, ask)
    assert scene.flaws == ("it is not orders.revenue",)
    told = scene.told
    assert told.why == (
        "Revenue, owned by team-finance: this role may know that there is such a measure, and not read it"
    )
    assert (told.definition, told.query, told.value, told.confidence) == (None, None, None, None)
    assert (told.rows, told.lineage, told.passages, told.choices, told.unmet) == ((), (), (), (), ())
    assert "discounts" not in json.dumps(to_data(told), default=str)


def test_of_what_is_only_named_to_an_intern_no_more_than_names_is_a_choice(folder: Path) -> None:
    """Also not which words stand in a description: they take no part in finding the answer."""

    async def ask(stage: Theatre) -> tuple[Scene, Scene, Scene]:
        def of(concept: str, subject: Subject) -> Worked:
            return replace(REVENUE, concept=concept, subject=subject)

        return (
            await stage.ask(of("gross sales or net sales last month", INTERN)),
            await stage.ask(of("gross sales or net sales last month", ANALYST)),
            await stage.ask(of("gross margin last month", INTERN)),
        )

    intern, analyst, hidden = play(folder, ask)
    mine, theirs = (
        {each.definition.name: each.definition for each in one.told.choices} for one in (intern, analyst)
    )
    assert mine.keys() == theirs.keys() == {"orders.revenue", "orders.gross_amount"}
    for name, definition in mine.items():
        assert theirs[name].description
        assert (definition.description, definition.unit, definition.version) == ("", "", "")
        assert (definition.title, definition.owner) == (theirs[name].title, theirs[name].owner)
    assert "order_items.margin" not in json.dumps(to_data(hidden.told), default=str)


def test_the_words_of_a_description_are_no_help_to_who_may_not_read_it(folder: Path) -> None:
    async def ask(stage: Theatre) -> list[list[tuple[str, float]]]:
        found = []
        for concept in ("revenue brought", "revenue shipping", "revenue qwertyzu"):
            scene = await stage.ask(replace(REVENUE, concept=concept, subject=INTERN))
            found.append([(each.definition.name, each.score) for each in scene.told.choices])
            found[-1].append((scene.told.outcome.value, 0.0))
        return found

    brought, shipping, nonsense = play(folder, ask)
    assert brought == nonsense
    assert shipping == nonsense


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


def test_names_of_the_graph_are_known_while_it_is_stopped(folder: Path) -> None:
    async def ask(stage: Theatre) -> tuple[Scene, Scene]:
        owner = WORKED[7]
        await stage.ask(owner)
        stage.resolver.limits = replace(stage.resolver.limits, fresh_seconds=0)
        return await stage.ask(owner, Store.GRAPH), await stage.ask(owner)

    without, again = play(folder, ask)
    assert without.told.definition is not None
    assert without.told.definition.name == "service:checkout"
    assert without.told.rows == ()
    assert again.flaws == ()


def test_playbooks_of_the_settings_have_names(folder: Path) -> None:
    async def names(stage: Theatre) -> set[str]:
        await stage.ask(REVENUE)
        known = stage.resolver._known
        assert known is not None
        return set(known.registry.definitions)

    found = play(folder, names)
    assert sum(name.startswith("runbook:") for name in found) > 20
    assert {"service:payments", "team:data", "dataset:orders", "dashboard:sales"} <= found
    assert not any(name.startswith(("person:", "host:", "incident:")) for name in found)


@pytest.mark.parametrize(
    ("worked", "change"),
    [
        (WORKED[0], {"sql": f"SELECT 1 + ({WORKED[0].sql})"}),
        (WORKED[0], {"sql": f"{WORKED[0].sql} AND false"}),
        (WORKED[0], {"masked": ("customers.email",)}),
        (WORKED[0], {"definition": "orders.count"}),
        (WORKED[1], {"sql": WORKED[1].sql.replace("c.email,", "c.phone,", 1)}),
        (WORKED[4], {"compared": WORKED[4].sql}),
        (WORKED[5], {"told": ("orders.count",)}),
        (WORKED[6], {"sql": "SELECT 1"}),
        (WORKED[7], {"thing": "service:shipping"}),
        (WORKED[9], {"told": ("Something else",)}),
        (WORKED[0], {"outcome": Outcome.DENIED}),
        (WORKED[3], {"subject": ANALYST}),
    ],
)
def test_what_is_wrong_is_seen(folder: Path, worked: Worked, change: dict[str, Any]) -> None:
    async def ask(stage: Theatre) -> Scene:
        return await stage.ask(replace(worked, **change))

    assert play(folder, ask).flaws


def test_the_file_of_the_graph_is_followed_to_its_end() -> None:
    assert followed(WORKED[8]) == {"service:checkout", "service:warehouse-etl", "service:storefront"}


def test_the_command_prints_what_it_found(folder: Path) -> None:
    done = CliRunner().invoke(app, ["context", "demo", "--folder", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert len(found) == 10 + len(STOPPED)
    assert [each["flaws"] for each in found] == [[]] * len(found)
    assert found[0]["told"]["value"]["table"]["rows"] == [[9485365.08]]
    assert [each["stopped"] for each in found[10:]] == [store.value for store in STOPPED]
