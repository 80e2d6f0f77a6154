"""`penelope context graph`: rows on the screen, and what is refused."""

import asyncio
import json
from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from penelope.adapters.example import MODELS
from penelope.domain.passage import Document
from penelope.entry.cli import context_graph
from penelope.entry.cli.options import Options
from penelope.errors import InvalidQuery
from penelope.store.database import migrate, open_engine, parse_url
from penelope.store.shelf import SqlShelf


def run(folder: Path, *words: str, settings: tuple[str, ...] = ()) -> Result:
    app = typer.Typer()
    app.command("graph")(context_graph.graph)
    app.command("draw")(context_graph.draw)

    @app.callback()
    def options(context: typer.Context) -> None:
        database = f"database.url=sqlite:///{folder / 'penelope.db'}"
        catalogue = f"catalogue.path={folder / 'services.yaml'}"
        context.obj = Options(overrides=(f"graph.folder={folder / 'graph'}", database, catalogue, *settings))

    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


def test_the_example_is_loaded_and_asked(tmp_path: Path) -> None:
    done = run(tmp_path, "draw", "--example")
    assert done.exit_code == 0, done.output
    assert "40 nodes" in done.output
    shown = run(tmp_path, "graph", "blast_radius", "id=service:payments", "depth=2")
    assert shown.exit_code == 0
    assert "service:checkout" in shown.output
    assert "dataset:refunds" not in shown.output
    more = ("--allow", "internal", "--allow", "confidential", "--json")
    rows = json.loads(run(tmp_path, "graph", "blast_radius", "id=service:payments", *more).stdout)
    assert "dataset:refunds" in {row["id"] for row in rows}
    way = run(tmp_path, "graph", "shortest_path", "id=service:payments", "to=team:checkout").output
    assert "service:payments - team:checkout" in way
    assert "payments - Checkout team" in way
    causes = ("graph", "upstream_causes", "id=service:storefront", "since=2026-11-01", "--json")
    (cause, *_) = json.loads(run(tmp_path, *causes).stdout)
    assert (cause["id"], cause["incidents"]) == ("service:checkout", 1)


def test_without_a_query_they_are_listed(tmp_path: Path) -> None:
    listed = run(tmp_path, "graph").output
    assert "upstream_causes" in listed
    assert "id since limit" in listed


def test_what_cannot_be_asked_is_told(tmp_path: Path) -> None:
    for words, why in (
        (("owner_off",), "did you mean"),
        (("owner_of",), "'id' is missing"),
        (("owner_of", "service:a"), "no parameter"),
        (("owner_of", "id=a", "allowed=pii"), "no parameter"),
        (("depends_on", "id=a", "depth=many"), "'depth' must be"),
    ):
        error = run(tmp_path, "graph", *words).exception
        assert isinstance(error, InvalidQuery)
        assert why in error.message


def test_what_is_known_elsewhere_is_drawn_with_what_was_drawn_by_hand(tmp_path: Path) -> None:
    (tmp_path / "services.yaml").write_text(
        "apiVersion: penelope.dev/v1\nkind: Services\nservices:\n"
        "  checkout: {owner: team-shop, tier: 1, dependencies: [payments]}\n  payments: {owner: team-pay, tier: 1}\n",
        encoding="utf-8",
    )
    document = Document(
        id="runbooks/pay.md",
        kind="runbook",
        title="When payments fail",
        source="runbooks/pay.md",
        digest="0" * 64,
        services=("payments",),
    )
    asyncio.run(shelve(tmp_path, document))
    file = tmp_path / "hosts.yaml"
    file.write_text(
        "apiVersion: penelope.dev/v1\nkind: ServiceGraph\n"
        "nodes:\n  service:payments: {label: Service, name: Payments}\n  host:a: {label: Host, name: a}\n"
        "edges: {RUNS_ON: {service:payments: [host:a]}}\n",
        encoding="utf-8",
    )
    done = run(tmp_path, "draw", str(file))
    assert done.exit_code == 0, done.output

    def names(query: str, thing: str) -> set[str]:
        rows = json.loads(run(tmp_path, "graph", query, f"id={thing}", "--json").stdout)
        return {row["name"] for row in rows}

    assert names("blast_radius", "host:a") == {"Payments", "checkout"}
    assert names("owner_of", "service:payments") == {"team-pay"}
    assert "When payments fail" in names("runbooks_of", "service:payments")
    # Each time all is drawn anew: what is not known any more is gone.
    (tmp_path / "services.yaml").unlink()
    assert run(tmp_path, "draw").exit_code == 0
    assert names("thing", "service:checkout") == set()
    assert "When payments fail" in names("runbooks_of", "service:payments")


def test_the_measures_of_the_settings_are_in_the_graph(tmp_path: Path) -> None:
    done = run(tmp_path, "draw", settings=(f'semantic.models=["{MODELS}"]',))
    assert done.exit_code == 0, done.output
    asked = ("graph", "lineage_up", "id=metric:orders.revenue", "--allow", "internal", "--json")
    assert json.loads(run(tmp_path, *asked).stdout) == []
    rows = json.loads(run(tmp_path, *asked, "--allow", "confidential").stdout)
    assert [row["id"] for row in rows] == ["dataset:orders", "table:orders"]


async def shelve(folder: Path, document: Document) -> None:
    engine = open_engine(parse_url(f"sqlite:///{folder / 'penelope.db'}"))
    await migrate(engine)
    await SqlShelf(engine).put(document, [], "recipe", "model")
    await engine.dispose()


def test_hostile_names_reach_no_terminal(tmp_path: Path) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(
        "apiVersion: penelope.dev/v1\nkind: ServiceGraph\n"
        'nodes: {service:a: {label: Service, name: "[red]\u202eadmin"}}\n',
        encoding="utf-8",
    )
    assert run(tmp_path, "draw", str(file)).exit_code == 0
    shown = run(tmp_path, "graph", "thing", "id=service:a").output
    assert "[red]\\u202eadmin" in shown
    assert "\u202e" not in shown
