"""Commands about whether the ledger holds, and who is alive."""

import json
from collections.abc import Mapping
from typing import Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected
from penelope.entry.cli.words import visible


def sweep(
    context: typer.Context, *, server: Server = None, key: ApiKey = None, as_json: AsJson = False
) -> None:
    """Verify all stored history now, as the server does by itself; what does not fit becomes an incident.

    Exits with 1 if anything was found.
    """
    with connected(context, server, key) as client:
        answer = client.post("/api/v1/ledger/sweep", {})
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        screens.show(_sweep(answer))
    if answer["count"]:
        raise typer.Exit(1)


def actors(
    context: typer.Context, *, server: Server = None, key: ApiKey = None, as_json: AsJson = False
) -> None:
    """List who does things here, and which workers are alive."""
    with connected(context, server, key) as client:
        answer = client.get("/api/v1/actors")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    rows = [
        (Text(visible(item["name"])), item["kind"], _life(item), item["last_heartbeat_at"][:19])
        for item in answer
    ]
    screens.show(
        screens.table("name", "kind", "alive", "last heard of (UTC)", rows=rows, keep=("kind", "alive"))
    )


def _life(item: Mapping[str, Any]) -> Text:
    if item["alive"] is None:
        return Text("-", "dim")
    return Text("yes", "green") if item["alive"] else Text("no", "bold red")


def _sweep(answer: Mapping[str, Any]) -> RenderableType:
    if not answer["count"]:
        return Text("All stored history fits.", "bold green")
    rows = [
        (Text(visible(flaw["unit"])), str(flaw["version"]), Text(visible(flaw["problem"]), "red"))
        for flaw in answer["flaws"]
    ]
    told = answer["incident"]
    before = "told before on this day (UTC), in an incident named LedgerDrift"
    end = Text(f"incident {told}" if told else before)
    title = Text(f"{answer['count']} flaws in stored history", "bold red")
    return Group(title, screens.table("unit", "version", "flaw", rows=rows), end)
