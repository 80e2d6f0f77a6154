"""What the commands about single decisions show on the terminal."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from penelope.entry.cli import wisdom_screens
from penelope.entry.cli.screens import table
from penelope.entry.cli.words import percent, seconds, visible

_BAR = 20
_JUDGEMENTS = {"observe": "yellow", "intervene": "green", "escalate": "bold magenta"}


def explanation(answer: Mapping[str, Any]) -> RenderableType:
    return Group(
        _head(answer),
        Text("\n1. Would it heal by itself?", "bold"),
        _healing(answer["healing"]),
        Text("\n2. Could acting do more harm than the incident?", "bold"),
        _figure("risk", answer["risk"]),
        _figure("the incident's harm", answer["cost"]),
        Text("\n3. Is there precedent?", "bold"),
        _figure("confidence", answer["confidence"]),
        *_precedents(answer["precedents"]),
        *_alike(answer["leaned_on"]),
        *_articles(answer["articles"]),
        *([] if answer["briefing"] is None else [Text(), briefing(answer["briefing"])]),
        _origin(answer["schema_version"]),
    )


def _head(answer: Mapping[str, Any]) -> Text:
    moment = datetime.fromisoformat(answer["decided_at"]).astimezone(UTC)
    head = Text.assemble(
        (visible(answer["judgement"]), _JUDGEMENTS.get(answer["judgement"], "")),
        f" on {answer['incident']} ({visible(answer['service'])}), decision {answer['version']}, ",
        f"{moment:%Y-%m-%d %H:%M:%S} UTC\n",
    )
    head.append(visible(answer["rationale"]))
    if answer["needs_approval"]:
        head.append("\nA person must agree before anything is done.", "yellow")
    if answer["recheck_seconds"] is not None:
        head.append(f"\nTo be looked at again after {seconds(answer['recheck_seconds'])}.", "dim")
    return head


def _healing(found: Mapping[str, Any] | None) -> Text:
    if found is None:
        return Text("Nothing is known of how such incidents last.")
    low, high = found["interval"]
    return Text(
        f"{percent(found['probability'])} within {seconds(found['within_seconds'])} "
        f"(95 %: {percent(low)} to {percent(high)}), from {found['cases']} cases of {visible(found['source'])}"
    )


def _figure(name: str, figure: Mapping[str, Any]) -> RenderableType:
    """The parts as bars from where the one before ended: the last one ends at the figure."""
    rows = list(_bars(figure["contributions"]))
    title = Text(f"{name} {figure['value']:.3f}", "cyan")
    if figure["interval"] is not None:
        low, high = figure["interval"]
        title.append(f"  (95 %: {low:.2f} to {high:.2f})", "dim")
    return (
        Group(title, table("part", "change", "0" + " " * (_BAR - 2) + "1", "why", rows=rows))
        if rows
        else title
    )


def _bars(contributions: list[Mapping[str, Any]]) -> Iterator[tuple[RenderableType, ...]]:
    reached = 0.0
    for item in contributions:
        before, reached = reached, reached + item["value"]
        style = "green" if item["value"] >= 0 else "red"
        yield (
            Text(visible(item["name"])),
            Text(f"{item['value']:+.3f}", style),
            Text(_bar(before, reached), style),
            Text(visible(item["reason"])),
        )


def _bar(one: float, other: float) -> str:
    begin, end = sorted(round(_BAR * min(1.0, max(0.0, place))) for place in (one, other))
    return (" " * begin + ("█" * (end - begin) or "│")).ljust(_BAR)[:_BAR]


def _precedents(found: list[Mapping[str, Any]]) -> Iterator[Text]:
    for item in found:
        uses = item["successes"] + item["failures"]
        name = f"{visible(item['playbook'])} on {visible(item['service'])}"
        yield Text(f"{name}: healed {item['successes']} of {uses} times")
    if not found:
        yield Text("It was never used here before.")


def _alike(found: list[Mapping[str, Any]]) -> Iterator[Text]:
    if found:
        yield Text("like past incidents").append_text(wisdom_screens.leaned_on(found))


def _articles(found: list[Mapping[str, Any]]) -> Iterator[RenderableType]:
    if found:
        yield Text("\nThe constitution", "bold")
    for item in found:
        line = Text.assemble(("kept    ", "green") if item["kept"] else ("broken  ", "bold red"))
        yield line.append(visible(f"{item['article']} ({item['principle']}): {item['reason']}"))


def _origin(version: int | None) -> Text:
    if version is None:
        return Text("\nIt was made before inputs were recorded, and cannot be made again.", "dim")
    return Text(
        f"\nMade by version {version} of the judgement; `penelope decision replay` makes it again.", "dim"
    )


def briefing(prepared: Mapping[str, Any]) -> RenderableType:
    """What a person needs who has to take an incident over."""
    text = Text()
    for title, lines in (
        ("What to do now", prepared["next_steps"]),
        ("What is known", prepared["known"]),
        ("What was considered", prepared["ruled_out"]),
        (f"The plan {prepared['candidate']}", prepared["steps"]),
        ("What it risks", prepared["dangers"]),
        ("What came of it before", prepared["precedents"]),
    ):
        if lines:
            text.append(f"{visible(title)}\n", "bold")
            text.append("".join(f"  {visible(line)}\n" for line in lines))
    text.rstrip()
    return Panel(text, title="prepared for whoever takes it over", title_align="left")


def replay(answer: Mapping[str, Any]) -> RenderableType:
    about = f"decision {answer['version']} on {answer['incident']}"
    if answer["identical"]:
        return Text(f"Made again from its recorded inputs, {about} is the same in every field.", "green")
    rows = [
        (Text(visible(item["path"])), Text(visible(item["recorded"])), Text(visible(item["again"])))
        for item in answer["differences"]
    ]
    return Group(
        Text(f"Made again, {about} is NOT the recorded one.", "bold red"),
        table("where", "recorded", "made again", rows=rows),
    )


def calibration(answer: Mapping[str, Any]) -> RenderableType:
    count = answer["count"]
    if not count:
        return Text("No plan acted in that time, so nothing can be said.")
    rows = [
        (
            f"{item['low']:.1f} to {item['high']:.1f}",
            str(item["count"]),
            f"{item['predicted']:.2f}",
            f"{item['observed']:.2f}",
            f"{item['interval'][0]:.2f} to {item['interval'][1]:.2f}",
            _both(item["predicted"], item["observed"]),
        )
        for item in answer["curve"]
    ]
    return Group(
        Text(f"{count} plans acted; {percent(answer['base_rate'])} were verified", "bold"),
        Text(f"Brier score                {answer['brier']:.3f}  (0 is perfect, 0.25 is one half always)"),
        Text(f"expected calibration error {answer['expected_error']:.3f}\n"),
        table(
            "confidence", "plans", "predicted", "came true", "95 %", "0" + " " * (_BAR - 2) + "1", rows=rows
        ),
        Text("\n█ came true, │ predicted", "dim"),
    )


def _both(predicted: float, observed: float) -> str:
    filled = round(_BAR * observed)
    bar = ("█" * filled).ljust(_BAR)
    place = min(_BAR - 1, round(_BAR * predicted))
    return bar[:place] + "│" + bar[place + 1 :]
