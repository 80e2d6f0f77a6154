"""`penelope context graph`: rows on the screen, and what is refused."""

import json
from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from penelope.entry.cli import context_graph
from penelope.entry.cli.options import Options
from penelope.errors import BadSettings, InvalidQuery


def run(folder: Path, *words: str) -> Result:
    app = typer.Typer()
    app.command("graph")(context_graph.graph)
    app.command("draw")(context_graph.draw)

    @app.callback()
    def options(context: typer.Context) -> None:
        context.obj = Options(overrides=(f"graph.folder={folder / 'graph'}",))

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
    nothing = run(tmp_path, "draw").exception
    assert isinstance(nothing, BadSettings)


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
