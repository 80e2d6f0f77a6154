"""The command about the constitution: how well decisions keep it."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.audit import Service
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected
from penelope.entry.cli.words import percent, visible

_BARS = "▁▂▃▄▅▆▇█"


def constitution(
    context: typer.Context,
    *,
    service: Service = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="How many days to look back.")] = 30,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show how well decisions keep the constitution, article by article."""
    with connected(context, server, key) as client:
        answer = client.get("/api/v1/constitution", service=service, days=days)
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        screens.show(_screen(answer))


def _screen(answer: Mapping[str, Any]) -> RenderableType:
    about = f" about {visible(answer['service'])}" if answer["service"] else ""
    if answer["score"] is None:
        return Text(f"No decision{about} was weighed in the last {answer['days']} days.")
    rows = [
        (
            visible(item["article"]),
            f"{item['weight']:g}",
            percent(item["kept"]),
            _ratio(item),
            Text("healthy", "green") if item["healthy"] else Text("not healthy", "bold red"),
        )
        for item in answer["articles"]
    ]
    head = Text(f"{answer['score']:.1f} of 100", "bold")
    head.append(f", {answer['decisions']} decisions{about} in {answer['days']} days\n", "default")
    columns = ("article", "weight", "kept", "beside it", "")
    trend = "".join(_BARS[round((day["score"] or 0) / 100 * 7)] for day in answer["trend"])
    return Group(head, screens.table(*columns, rows=rows), Text(f"\nby day: {trend}"))


def _ratio(item: Mapping[str, Any]) -> str:
    if item["ratio"] is None:
        return ""
    what = "observed" if item["article"] == "Sophia" else "escalated"
    band = item["band"]
    return f"{item['ratio']:.0%} {what}, of {band['least']:.0%} to {band['most']:.0%}"
