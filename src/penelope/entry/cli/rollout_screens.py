"""How rollouts look in a terminal."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.words import visible

_BAR = 40
COLUMNS = 45
"""Looks that a chart has room for."""
_LEVELS = " ▁▂▃▄▅▆▇█"
_STYLES = {
    "promoted": "green",
    "rolled_back": "red",
    "rolling_back": "red",
    "cancelled": "yellow",
    "concluded": "green",
}
_LAST = 8

Data = Mapping[str, Any]


def answered(answer: Data, screen: Callable[[Data], RenderableType], *, as_json: bool) -> None:
    """Shows what the server said: as JSON, or on a screen."""
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        screens.show(screen(answer))


def table(answer: Data) -> RenderableType:
    if not answer["deployments"]:
        return Text("There are no deployments.")
    rows = [(item["id"], item["service"], _status(item), _weight(item)) for item in answer["deployments"]]
    keep = ("deployment", "weight")
    return screens.table("deployment", "service", "status", "weight", rows=rows, keep=keep)


def line(item: Data) -> Text:
    """One deployment in one line."""
    text = Text(visible(item["id"])).append(" ").append_text(_status(item))
    return text.append(f" at {_weight(item)} to {visible(item['course']['canary'])}")


def detail(answer: Data) -> RenderableType:
    item, look = answer["deployment"], answer["look"]
    parts: list[RenderableType] = [line(item), _bar(item)]
    if item["awaits"]:
        parts.append(Text(f"waits for your word: {visible(item['awaits'])}", "bold yellow"))
    if item.get("cause"):
        parts.append(Text(f"goes back for: {visible(item['cause'])}", "red"))
    found = _findings(look)
    if item.get("noise"):
        parts.append(Text(f"noise: {visible(item['noise'])}", "dim"))
    # After a look its findings are the reason, and are shown each in a line of its own.
    if item["reason"] and item["reason"] != _joined(look):
        parts.append(Text(visible(item["reason"]), "dim"))
    return Group(*parts, *found)


def _joined(look: Data | None) -> str | None:
    if look is None:
        return None
    return "; ".join([*look["assessment"]["reasons"], *look["doubts"]])


def chart(answer: Data, events: Sequence[Data]) -> RenderableType:
    """The deployment, its curves look by look, and the last that happened."""
    looks = [event["details"]["look"] for event in events if event["details"].get("look")][-COLUMNS:]
    curves: list[RenderableType] = []
    if looks:
        curves = [
            _curve("weight", [look["weight"] for look in looks], 100.0, "{:.0f} %"),
            _curve("canary errors", [_errors(look, "canary") for look in looks], None, "{:.2%}"),
            _curve("control errors", [_errors(look, "control") for look in looks], None, "{:.2%}"),
            _curve("evidence", [max(0.0, look["assessment"]["harm"]) for look in looks], 1.301, "10^{:.2f}"),
        ]
    return Group(detail(answer), Text(), *curves, Text(), *map(_happened, events[-_LAST:]))


def _happened(event: Data) -> Text:
    when, name, why = (visible(event[part]) for part in ("at", "event", "reason"))
    line_of_it = Text(no_wrap=True, overflow="ellipsis")
    return line_of_it.append(f"{when[11:19]}  {name:<20} ", "dim").append(why)


def _errors(look: Data, metric_arm: str) -> float | None:
    for finding in look["assessment"]["findings"]:
        if finding["metric"] == "errors":
            ratio: float | None = finding[metric_arm]
            return ratio
    return None


def _curve(name: str, values: Sequence[float | None], top: float | None, form: str) -> Text:
    known = [value for value in values if value is not None]
    highest = max([top or 0.0, *known, 1e-9])
    marks = "".join(
        " " if value is None else _LEVELS[min(8, max(0, round(8 * value / highest)))] for value in values
    )
    last = form.format(known[-1]) if known else "not seen"
    return Text(f"{name:>15} ").append(f"{marks:<{COLUMNS}}", "cyan").append(f" {last}")


def _findings(look: Data | None) -> list[RenderableType]:
    if look is None:
        return [Text("No look yet.", "dim")]
    assessment = look["assessment"]
    lines = [_indented(Text(visible(finding["reason"]))) for finding in assessment["findings"]]
    answer = Text(visible(assessment["step"]), "bold")
    if assessment["expected_seconds"] is not None:
        answer.append(f", a verdict in about {assessment['expected_seconds']:.0f} s if it is healthy", "dim")
    doubts = [_indented(Text(f"doubt: {visible(doubt)}", "yellow")) for doubt in look["doubts"]]
    return [answer, *lines, *doubts]


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 2))


def _bar(item: Data) -> Text:
    filled = _BAR * item["weight"] // 100
    bar = Text("#" * filled, "cyan").append("." * (_BAR - filled), "dim")
    stages = ", ".join(f"{stage['weight']}" for stage in item["course"]["stages"])
    return bar.append(f" of {stages} %", "dim")


def _status(item: Data) -> Text:
    status = str(item["status"])
    words = f"{visible(status).replace('_', ' ')}{', paused' if item['paused'] else ''}"
    if item["awaits"]:
        words += ", waits"
    return Text(words, _STYLES.get(status, "bold"))


def _weight(item: Data) -> str:
    moving = f" -> {item['wanted']} %" if item["moving"] else ""
    return f"{item['weight']} %{moving}"
