"""What the commands of the wisdom base show on the terminal."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from penelope.entry.cli.screens import table
from penelope.entry.cli.words import seconds, visible

_KINDS = {"healed": "green", "resolved": "green", "escalated": "magenta"}
_AGREES = {True: ("agrees", "green"), False: ("disagrees", "red"), None: ("is like it", "dim")}


def found(answer: Mapping[str, Any]) -> RenderableType:
    rows = [
        (
            "" if item["likeness"] is None else f"{item['likeness']:.2f}",
            item["case"]["incident"],
            Text(visible(f"{item['case']['name']} on {item['case']['service']}")).append(
                f"\n{visible(item['case']['summary'])}", "dim"
            ),
            _ended(item["case"]),
        )
        for item in answer["found"]
    ]
    if not rows:
        shown: RenderableType = Text("There are no such past incidents.")
    else:
        shown = table("like", "incident", "problem", "came to", rows=rows, keep=("like", "incident"))
    if not answer["degraded"]:
        return shown
    return Group(shown, Text(f"Found by words alone: {visible(answer['degraded'])}", "yellow"))


def _ended(case: Mapping[str, Any]) -> Text:
    text = Text(visible(case["kind"]), _KINDS.get(case["kind"], ""))
    if case["playbook"]:
        text.append(f"\n{visible(case['playbook'])}", "dim")
    if case["verified"] is False:
        text.append("\nwhich did not help", "red")
    return text


def case(item: Mapping[str, Any]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    grid.add_row("came to", _ended(item))
    grid.add_row("opened", _moment(item["opened_at"]))
    grid.add_row("ended", _moment(item["ended_at"]))
    grid.add_row("left alone for", seconds(item["alone_seconds"]))
    grid.add_row("severity", Text(visible(item["severity"])))
    if item["labels"]:
        labels = ", ".join(f"{name}={value}" for name, value in sorted(item["labels"].items()))
        grid.add_row("labels", Text(visible(labels)))
    if item["summary"]:
        grid.add_row("summary", Text(visible(item["summary"])))
    if item["imported"]:
        grid.add_row("source", "imported: a precedent, but no proof of a playbook")
    title = Text.assemble((visible(item["name"]), "bold"), " on ", (visible(item["service"]), "bold"))
    return Panel(
        grid,
        title=title,
        title_align="left",
        subtitle=Text(visible(item["incident"])),
        subtitle_align="right",
    )


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def imported(total: Mapping[str, Any]) -> RenderableType:
    done = "would be" if total["dry_run"] else "were"
    return Text(
        f"{total['new']} past incidents {done} taken in, {total['known']} were known.",
        "green" if total["new"] else "",
    )


def leaned_on(items: Iterable[Mapping[str, Any]]) -> Text:
    """The past cases that a decision leaned on, a line each; empty where there were none."""
    text = Text(style="dim")
    for item in items:
        word, style = _AGREES.get(item.get("agrees"), _AGREES[None])
        text.append(f"\n {item['similarity']:.2f} ").append(f"{word:<10}", style)
        text.append(f" {visible(item['incident'])}, by {visible(', '.join(item['by']))}")
    return text


def cases_leaned_on(items: Iterable[Mapping[str, Any]]) -> RenderableType:
    """The same with what came of each case."""
    rows = []
    for item in items:
        word, style = _AGREES.get(item["agrees"], _AGREES[None])
        past = item["case"]
        came_to = Text("not kept any more", "dim") if past is None else _ended(past)
        by = Text(visible(", ".join(item["by"])), "dim")
        rows.append((f"{item['similarity']:.2f}", item["incident"], by, came_to, Text(word, style)))
    columns = ("like", "past incident", "by", "came to", "this plan")
    return Group(table(*columns, rows=rows, keep=columns[:2]), Text())
