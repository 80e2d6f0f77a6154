"""What is being done at this moment."""

import json

import typer
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected
from penelope.entry.cli.words import visible


def running(
    context: typer.Context, *, server: Server = None, key: ApiKey = None, as_json: AsJson = False
) -> None:
    """List the targets that are being changed now, and by what."""
    with connected(context, server, key) as client:
        answer = client.get("/api/v1/actions/running")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    if not answer:
        screens.show(Text("Nothing is being changed.", "dim"))
        return
    rows = [
        (
            Text(visible(item["target"])),
            Text(visible(item["action"] or "-")),
            item["status"],
            item["since"][11:19],
            item["beat_at"][11:19],
            item["incident"],
        )
        for item in answer
    ]
    heads = ("target", "action", "status", "since (UTC)", "alive at", "incident")
    screens.show(screens.table(*heads, rows=rows, keep=("target", "status")))
