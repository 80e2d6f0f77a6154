"""How rollouts look in a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.words import visible

_BAR = 40
_COLUMNS = 60
_LEVELS = " ▁▂▃▄▅▆▇█"
_STYLES = {"promoted": "green", "rolled_back": "red", "rolling_back": "red", "cancelled": "yellow"}
_LAST = 8

Data = Mapping[str, Any]


def table(answer: Data) -> RenderableType:
    if not answer["deployments"]:
        return Text("There are no deployments.")
    rows = [
        (
            visible(item["id"]),
            visible(item["service"]),
            _status(item),
            _weight(item),
            Text(visible(item["reason"])),
        )
        for item in answer["deployments"]
    ]
    return screens.table("deployment", "service", "status", "weight", "reason", rows=rows, keep=("weight",))


def line(item: Data) -> Text:
    """One deployment in one line."""
    text = Text(visible(item["id"])).append(" ").append_text(_status(item))
    return text.append(f" at {_weight(item)} to {visible(item['course']['canary'])}")


def detail(answer: Data) -> RenderableType:
    item, look = answer["deployment"], answer["look"]
    parts: list[RenderableType] = [line(item), _bar(item)]
    if item["awaits"]:
        parts.append(Text(f"waits for your word: {visible(item['awaits'])}", "bold yellow"))
    if item["reason"]:
        parts.append(Text(visible(item["reason"]), "dim"))
    return Group(*parts, *_findings(look))


def chart(answer: Data, events: Sequence[Data]) -> RenderableType:
    """The deployment, its curves look by look, and the last that happened."""
    looks = [event["details"]["look"] for event in events if event["details"].get("look")][-_COLUMNS:]
    curves: list[RenderableType] = []
    if looks:
        curves = [
            _curve("weight", [look["weight"] for look in looks], 100.0, "{:.0f} %"),
            _curve("canary errors", [_errors(look, "canary") for look in looks], None, "{:.2%}"),
            _curve("control errors", [_errors(look, "control") for look in looks], None, "{:.2%}"),
            _curve("evidence", [max(0.0, look["assessment"]["harm"]) for look in looks], 1.301, "10^{:.2f}"),
        ]
    said = [
        Text(f"{event['at'][11:19]}  {event['event']:<20} ", "dim").append(visible(event["reason"]))
        for event in events[-_LAST:]
    ]
    return Group(detail(answer), Text(), *curves, Text(), *said)


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
    return Text(f"{name:>15} ").append(f"{marks:<{_COLUMNS}}", "cyan").append(f" {last}")


def _findings(look: Data | None) -> list[Text]:
    if look is None:
        return [Text("No look yet.", "dim")]
    assessment = look["assessment"]
    lines = [Text(f"  {visible(finding['reason'])}") for finding in assessment["findings"]]
    answer = Text(f"{assessment['step']}", "bold")
    if assessment["expected_seconds"] is not None:
        answer.append(f", a verdict in about {assessment['expected_seconds']:.0f} s if it is healthy", "dim")
    doubts = [Text(f"  doubt: {visible(doubt)}", "yellow") for doubt in look["doubts"]]
    return [answer, *lines, *doubts]


def _bar(item: Data) -> Text:
    filled = _BAR * item["weight"] // 100
    bar = Text("#" * filled, "cyan").append("." * (_BAR - filled), "dim")
    stages = ", ".join(f"{stage['weight']}" for stage in item["course"]["stages"])
    return bar.append(f" of {stages} %", "dim")


def _status(item: Data) -> Text:
    status = str(item["status"])
    words = f"{status.replace('_', ' ')}{', paused' if item['paused'] else ''}"
    return Text(words, _STYLES.get(status, "bold"))


def _weight(item: Data) -> str:
    moving = f" -> {item['wanted']} %" if item["moving"] else ""
    return f"{item['weight']} %{moving}"
