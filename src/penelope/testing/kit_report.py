"""Shows what trials came to: a line each while they go on, a table of what counts at the end, or JSON."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from penelope.testing.kit import Finding, Result

_COLOURS = {Finding.HELD: "green", Finding.BROKEN: "bold red", Finding.NOTED: "yellow"}
_MOST_SHOWN = 300


def line(result: Result) -> Text:
    """One trial: what, outcome, seconds, and why."""
    return Text.assemble(
        (f"{result.finding.value:<6} ", _COLOURS[result.finding]),
        (f"{result.seconds:6.1f} s  ", "dim"),
        f"{result.trial.subject.playbook}: {result.trial}",
        (f"  {_plain(result.why)}", "" if result.finding is Finding.BROKEN else "dim"),
    )


def summary(results: Sequence[Result], absent: Sequence[tuple[str, str]] = ()) -> RenderableType:
    """A row for each playbook: how many trials came to what, and in which kinds something is broken or noted.

    `absent` are playbooks that could not be tried.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    table.add_column("playbook", no_wrap=True)
    for finding in Finding:
        table.add_column(finding.value, justify="right", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("where", overflow="fold")
    for name in dict.fromkeys(result.trial.subject.playbook for result in results):
        own = [result for result in results if result.trial.subject.playbook == name]
        counts = Counter(result.finding for result in own)
        cells = [Text(str(counts[item]), _COLOURS[item] if counts[item] else "dim") for item in Finding]
        table.add_row(name, *cells, f"{sum(result.seconds for result in own):.0f}", _where(own))
    for name, why in absent:
        table.add_row(name, "", "", "", "", Text(f"not tried: {_plain(why)}", "yellow"))
    return table


def _where(results: Iterable[Result]) -> Text:
    """The kinds of trials in which not all held."""
    kinds = dict.fromkeys(
        (result.trial.kind.value, result.finding) for result in results if result.finding is not Finding.HELD
    )
    return Text(", ").join(Text(kind, _COLOURS[finding]) for kind, finding in kinds)


def data(results: Sequence[Result], absent: Sequence[tuple[str, str]], seed: int) -> dict[str, Any]:
    """All of it for other programs."""
    counts = Counter(result.finding for result in results)
    return {
        "seed": seed,
        "counts": {finding.value: counts[finding] for finding in Finding},
        "trials": [
            {
                "playbook": result.trial.subject.playbook,
                "world": result.trial.subject.world,
                "kind": result.trial.kind.value,
                "trial": str(result.trial),
                "finding": result.finding.value,
                "why": result.why,
                "seconds": round(result.seconds, 3),
            }
            for result in results
        ],
        "not_tried": [{"playbook": name, "why": why} for name, why in absent],
    }


def _plain(text: str) -> str:
    """A reason as one line that cannot steer the terminal: hostile values stand in it."""
    shown = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"
