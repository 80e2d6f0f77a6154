"""What commands about the ledger show on the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from penelope.entry.cli import timeline
from penelope.entry.cli.screens import table
from penelope.entry.cli.words import seconds, visible

if TYPE_CHECKING:
    from penelope.domain.work import Entry
    from penelope.ledger.receipt import Story


def figures(answer: Mapping[str, Any]) -> RenderableType:
    """The figures of history and log."""
    grid = _grid(
        ("entries", f"{answer['entries']:,}"),
        ("in the log", f"{answer['log_size']:,}, {_waiting(answer)}"),
        ("checkpoint", _checkpoint(answer["checkpoint"])),
        ("payloads", f"{answer['payloads']:,} in the database, {answer['removed']:,} archived or erased"),
        ("oldest entry", _moment(answer["oldest_at"])),
    )
    if not answer["events"]:
        return grid
    events = sorted(answer["events"].items(), key=lambda item: (-item[1], item[0]))
    rows = [(Text(visible(event)), Text(f"{number:,}", justify="right")) for event, number in events]
    return Group(grid, Text(), table("event", "entries", rows=rows))


def _waiting(answer: Mapping[str, Any]) -> str:
    if not answer["waiting"]:
        return "none waits"
    behind = f"; the oldest open transaction is {answer['xmin_age']:,} behind" if answer["xmin_age"] else ""
    return f"{answer['waiting']:,} wait{behind}"


def _checkpoint(last: Mapping[str, Any] | None) -> str:
    if last is None:
        return "none was signed yet"
    witnesses = ", ".join(map(visible, last["witnesses"])) or "nobody"
    return f"{last['size']:,} entries, signed {seconds(last['age_seconds'])} ago\ncosigned by {witnesses}"


def story(proven: "Story", width: int) -> Iterator[RenderableType]:
    """What a receipt proves: under what, the entries as a timeline, and what it does not prove."""
    first, last = (proven.entries[place].recorded_at for place in (0, -1))
    yield Text.assemble("Receipt of incident ", (visible(proven.incident), "bold"))
    yield _grid(
        ("log", visible(proven.checkpoint.origin)),
        ("checkpoint", f"{proven.checkpoint.size:,} entries, root\n{proven.checkpoint.root.hex()}"),
        ("signed by", _names(proven.signers)),
        *([("cosigned by", _names(proven.witnesses))] if proven.witnesses else []),
        ("acted", ", ".join(_actors(proven.entries))),
        ("recorded", f"{_moment(first.isoformat())} to {_moment(last.isoformat())}"),
    )
    yield Text()
    for entry in proven.entries:
        yield _line(entry, width)
    yield Text()
    number = len(proven.entries)
    yield Text(f"Every entry is proven: {number} of {number}.", "bold green")
    remarks = Table.grid(padding=(0, 1))
    for remark in proven.remarks:
        remarks.add_row(Text("·", "dim"), Text(visible(remark), "dim"))
    yield remarks


def _actors(entries: Sequence["Entry"]) -> list[str]:
    """Everybody who did something, in the order in which they came in."""
    return [visible(name) for name in dict.fromkeys(entry.actor for entry in entries if not entry.erased)]


def _names(names: Sequence[str]) -> str:
    return "\n".join(map(visible, names))


def _line(entry: "Entry", width: int) -> Text:
    plain = {
        "event": entry.event,
        "kind": entry.kind,
        "unit": entry.unit,
        "status_after": entry.status_after,
        "recorded_at": entry.recorded_at.isoformat(),
        "reason": entry.reason,
        "details": entry.details,
    }
    if not entry.erased:
        try:
            return timeline.line(plain, width)
        except (AttributeError, KeyError, TypeError, ValueError):
            pass  # details of another shape than ours: whoever recorded them was not this Penelope
    told = "its payload was erased" if entry.erased else entry.reason
    return timeline.line({**plain, "event": f"{entry.event} ({entry.status_after})", "reason": told}, width)


def _grid(*rows: tuple[str, str]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for name, text in rows:
        grid.add_row(name, Text(text))
    return grid


def _moment(text: str | None) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if text else "none"
