"""Shows what trials came to: a line each while they go on, a table of what counts at the end, or JSON."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from penelope.testing.kit import Finding, Kind, Result

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
    """A row for each playbook, and how many trials of each kind held; `absent` are playbooks that could not be tried."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    table.add_column("playbook", no_wrap=True)
    for kind in Kind:
        table.add_column(kind.value, justify="right")
    table.add_column("seconds", justify="right")
    for name in dict.fromkeys(result.trial.subject.playbook for result in results):
        own = [result for result in results if result.trial.subject.playbook == name]
        cells = [_cell([result for result in own if result.trial.kind is kind]) for kind in Kind]
        table.add_row(name, *cells, f"{sum(result.seconds for result in own):.0f}")
    for name, why in absent:
        table.add_row(name, *[""] * len(Kind), Text(f"not tried: {_plain(why)}", "yellow"))
    return table


def _cell(results: Iterable[Result]) -> Text:
    """How many held, then what did not: ``5``, ``4 1 noted``, ``3 2 BROKEN``."""
    counts = Counter(result.finding for result in results)
    text = Text(str(counts[Finding.HELD]), _COLOURS[Finding.HELD])
    for finding in (Finding.NOTED, Finding.BROKEN):
        if counts[finding]:
            word = "BROKEN" if finding is Finding.BROKEN else finding.value
            text.append(f" {counts[finding]} {word}", _COLOURS[finding])
    return text


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
