"""What commands show on the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from penelope.entry.cli.words import seconds, visible

_STATES = {
    "received": "cyan",
    "observing": "yellow",
    "awaiting_approval": "bold yellow",
    "acting": "blue",
    "verifying": "blue",
    "rolling_out": "blue",
    "compensating": "yellow",
    "healed": "green",
    "resolved": "green",
    "escalated": "bold magenta",
}
_SEVERITIES = {"critical": "bold red", "error": "red", "warning": "yellow"}


def show(*things: RenderableType) -> None:
    """Prints to standard output, in colour where that is a terminal."""
    console = Console(highlight=False)
    for thing in things:
        # Lines of text go out as they are: cutting them would spoil them for other programs.
        console.print(thing, soft_wrap=isinstance(thing, Text))


def width() -> int:
    """The columns that there are, as far as lines of text should use them."""
    return min(Console().width, 120)


def remark(text: str) -> None:
    """Prints a remark to standard error, where it does not get into the way of other programs."""
    Console(stderr=True, highlight=False).print(Text(text, "dim"), soft_wrap=True)


def complain(message: str, hint: str) -> None:
    """Prints an error and what to do about it to standard error."""
    console = Console(stderr=True, highlight=False)
    for number, part in enumerate(message.splitlines()):
        console.print(Text(visible(part), "bold red" if number == 0 else "red"), soft_wrap=True)
    if hint:
        console.print(Text(visible(hint), "dim"), soft_wrap=True)


def _state(state: str) -> Text:
    return Text(visible(state).replace("_", " "), _STATES.get(state, ""))


def _moment(text: str | None) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S}" if text else ""


def table(*columns: str, rows: Iterable[Sequence[RenderableType]], keep: Sequence[str] = ()) -> Table:
    """A plain table; the columns in `keep` are never broken or cut. Texts are shown as they are, without markup."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in keep)
    for row in rows:
        made.add_row(*(_plain(cell) if isinstance(cell, str) else cell for cell in row))
    return made


def _plain(text: str) -> Text:
    return Text("\n".join(map(visible, text.split("\n"))))


def incidents(page: Mapping[str, Any]) -> RenderableType:
    rows = [
        (
            item["id"],
            _state(item["state"]),
            Text(visible(item["severity"]), _SEVERITIES.get(item["severity"], "")),
            Text(visible(f"{item['name']} on {item['service']}")),
            f"{datetime.fromisoformat(item['opened_at']).astimezone(UTC):%m-%d %H:%M}",
        )
        for item in page["incidents"]
    ]
    if not rows:
        return Text("There are no such incidents.")
    return table("id", "state", "severity", "problem", "opened", rows=rows, keep=("id", "opened"))


def incident(item: Mapping[str, Any]) -> RenderableType:
    """The head of an incident's page."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    grid.add_row("state", _state(item["state"]))
    grid.add_row("severity", Text(visible(item["severity"]), _SEVERITIES.get(item["severity"], "")))
    opened = f"{_moment(item['opened_at'])} UTC, {item['signal_count']} signals"
    grid.add_row("opened", opened if item["signal_count"] != 1 else opened.removesuffix("s"))
    if item["ended_at"]:
        grid.add_row("ended", f"{_moment(item['ended_at'])} UTC, after {_lasted(item)}")
    if item["summary"]:
        grid.add_row("summary", Text(visible(item["summary"])))
    title = Text.assemble((visible(item["name"]), "bold"), " on ", (visible(item["service"]), "bold"))
    return Panel(grid, title=title, title_align="left", subtitle=_plain(item["id"]), subtitle_align="right")


def _lasted(item: Mapping[str, Any]) -> str:
    begun, ended = (datetime.fromisoformat(item[name]) for name in ("opened_at", "ended_at"))
    return seconds((ended - begun).total_seconds())


def status(answer: Mapping[str, Any]) -> RenderableType:
    counts = [(_state(state), str(number)) for state, number in answer["incidents"].items()]
    services = [
        (Text(visible(item["name"])), str(item["tier"]), Text(visible(item["owner"])))
        for item in answer["services"]
    ]
    return Group(
        Text(f"Penelope {visible(answer['version'])}\n", "bold"),
        table("incidents", "number", rows=counts) if counts else Text("There are no incidents yet."),
        Text(),
        table("service", "tier", "owner", rows=services),
        Text(),
        Text("playbooks: " + ", ".join(map(visible, answer["playbooks"]))),
    )


def verification(answer: Mapping[str, Any]) -> RenderableType:
    summary = Text(f"{answer['size']} entries, root {visible(answer['root'])}")
    if answer["ok"]:
        return Group(Text("The ledger is whole.", "bold green"), summary)
    rows = [
        (Text(visible(flaw["unit"])), str(flaw["version"]), Text(visible(flaw["problem"]), "red"))
        for flaw in answer["flaws"]
    ]
    return Group(
        Text("The ledger is NOT whole.", "bold red"), summary, table("unit", "version", "flaw", rows=rows)
    )


def answered(approval: Mapping[str, Any]) -> RenderableType:
    good = approval["status"] == "approved"
    text = Text(visible(approval["status"]).capitalize(), "bold green" if good else "bold red")
    return text.append(f" by {visible(approval['decided_by'])}: incident {approval['incident']}", "default")
