"""`penelope context demo`: ten worked questions to the shipped example, each answer checked, and each store stopped."""

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table as Grid
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.context_resolve import named, parts
from penelope.entry.cli.words import milliseconds, percent, seconds, visible

if TYPE_CHECKING:
    from penelope.domain.answer import Figures, Told
    from penelope.domain.concept import Confidence, Definition
    from penelope.domain.passage import Passage
    from penelope.entry.worked import Scene

_WIDEST, _LABEL = 110, 10
_EXCERPT = 220
_COLOURS = {"resolved": "green", "ambiguous": "yellow", "unresolved": "yellow", "denied": "red"}
_SHORT = {"masked for you": "masked", "rows left for you": "only rows", "not understood": "left over"}
_IN_FULL = frozenset({"asked", "also near"})
_DIGEST = re.compile(r" \(document:[0-9a-f]+\)")
_STORES = {
    "semantic": "the semantic layer",
    "graph": "the graph",
    "vector": "the embedder of the document search",
    "policy": "the policy engine",
}


def demo(
    *,
    folder: Annotated[
        Path, typer.Option(help="Where the example is kept; it is made there on the first run.")
    ] = Path("var/context-demo"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask ten worked questions of the shipped example, check each answer against plain SQL, and stop each store in turn.

    It needs no server, no settings and no network. Exits with 1 if an answer is not what it must be.
    """
    began = time.perf_counter()
    scenes = asyncio.run(_played(folder.resolve(), aloud=not as_json))
    if as_json:
        typer.echo(json.dumps([_as_data(scene) for scene in scenes], indent=2, default=str))
    else:
        screens.show(_sum(scenes, time.perf_counter() - began))
    if any(scene.flaws for scene in scenes):
        raise typer.Exit(1)


async def _played(folder: Path, *, aloud: bool) -> "list[Scene]":
    from penelope.entry.worked import prepare, settings_in, theatre  # noqa: PLC0415 - so that `--help` is there at once

    settings = settings_in(folder)
    await _prepared(settings, prepare)
    scenes: list[Scene] = []
    async with theatre(settings) as stage:
        if aloud:
            _print(_opening())
        async for scene in stage.play():
            if aloud:
                if scene.stopped is not None and scenes[-1].stopped is None:
                    _print(Rule(Text("each store stopped in turn", "bold"), style="dim"))
                _print(_panel(scene, len(scenes) + 1))
            scenes.append(scene)
    return scenes


async def _prepared(settings: Any, prepare: Any) -> None:
    console = Console(stderr=True)
    if not sys.stderr.isatty():
        await prepare(settings, lambda what: screens.remark(f"preparing {what}"))
        return
    with console.status("preparing") as status:
        await prepare(settings, lambda what: status.update(f"preparing {what}"))


def _print(thing: RenderableType) -> None:
    console = Console(highlight=False)
    console.print(thing, width=min(console.width, _WIDEST))


def _opening() -> RenderableType:
    from penelope.adapters.example.worked import NOW  # noqa: PLC0415 - so that `--help` is there at once

    return Text.assemble(
        ("Ten worked questions", "bold"),
        f" to the example's shop, asked as if it were {NOW:%A, %d %B %Y, %H:%M} UTC. Each answer is held against plain SQL"
        " on the same file, or against the file that it comes from.\n",
    )


def _panel(scene: "Scene", number: int) -> Panel:
    told = scene.told
    colour = "bold red" if scene.flaws else _COLOURS[told.outcome.value]
    who = ", ".join(filter(None, (told.subject.actor, told.subject.role, told.subject.region)))
    heading = (
        f" {number}  {told.concept} " if scene.stopped is None else f" without {_STORES[scene.stopped]} "
    )
    asked = [("asked for", Text(f"{told.concept}"))] if scene.stopped is not None else []
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(style="dim", width=_LABEL)
    grid.add_column(overflow="fold", ratio=1)
    lines = _lines(told, brief=scene.stopped is not None)
    for label, thing in [*asked, ("who", Text(f"{who}: {scene.worked.point}")), *lines]:
        grid.add_row(label, thing)
    return Panel(
        Group(grid, Text(), _verdict(scene)),
        title=Text(visible(heading), "bold"),
        title_align="left",
        border_style=colour,
        box=box.ROUNDED,
    )


def _lines(told: "Told", *, brief: bool) -> Iterator[tuple[str, RenderableType]]:
    """Label and content of each line of a panel; a brief one leaves out what does not change without a store."""
    colour = _COLOURS[told.outcome.value]
    if told.outcome.value != "resolved":
        yield told.outcome.value, Text(visible(told.why), colour)
    definition = told.definition
    if told.value is not None:
        yield "value", _value(told, told.value)
    if told.rows:
        yield "answer", Text(visible("; ".join(map(named, told.rows))), "bold green")
    if definition is not None:
        yield "means", _means(definition, brief=brief)
    for label, lines in parts(told):
        if not (brief and label in _IN_FULL):
            shown = "; ".join(dict.fromkeys(lines))
            yield _SHORT.get(label, label), Text(_DIGEST.sub("", visible(shown)))
    if told.confidence is not None and not brief:
        yield "sure", _sure(told.confidence)
    if told.passages:
        yield "document", _passage(told.passages[0])
    for notice in told.notices:
        yield "notice", Text(f"{notice.mode.value}: {notice.message}", "bold yellow")


def _means(definition: "Definition", *, brief: bool) -> Text:
    certified = "certified" if definition.certified else "not certified"
    facts = filter(None, (definition.kind.value, definition.owner, certified, definition.classification))
    text = Text(_DIGEST.sub("", visible(f"{definition.title} ({definition.name})")))
    text.append(visible(f"  {', '.join(facts)}"), "dim")
    if definition.description and not brief:
        text.append(f"\n{visible(definition.description)}", "dim")
    return text


def _sure(confidence: "Confidence") -> Text:
    made = [item for item in confidence.contributions if item[0] != "bias"]
    most = sorted(made, key=lambda item: -abs(item[1]))[:3]
    why = ", ".join(f"{name} {weight:+.1f}" for name, weight in most)
    return Text(percent(confidence.value)).append(f"  most by {why}", "dim")


def _value(told: "Told", figures: "Figures") -> RenderableType:
    table = figures.table
    fresh = f"as of {table.as_of:%Y-%m-%d %H:%M} UTC" if table.as_of else ""
    if figures.kept_at:
        fresh = f"the last known one, of {figures.kept_at:%Y-%m-%d %H:%M} UTC"
    tail = Text(fresh, "yellow" if figures.kept_at else "dim")
    if len(table.rows) == 1 and len(table.columns) == 1:
        shown = Text(f"{_cell(table.rows[0][0], figures.unit)}  ", "bold green").append_text(tail)
        return shown.append_text(_compared(told, table.rows[0][0]))
    grid = Grid.grid(padding=(0, 2))
    for row in table.rows:
        grid.add_row(*(Text(_cell(cell, figures.unit), "bold green") for cell in row))
    return Group(grid, tail)


def _compared(told: "Told", value: Any) -> Text:
    if told.compared is None:
        return Text()
    before = told.compared.table.rows[0][0]
    change = f", {(value - before) / before:+.1%}" if before else ""
    return Text(f"\n{_cell(before, told.compared.unit)} before{change}", "green")


def _cell(cell: Any, unit: str) -> str:
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return visible("" if cell is None else cell)
    number = f"{cell:,}" if isinstance(cell, int) else f"{cell:,.2f}"
    return f"{number} {visible(unit)}".strip()


def _passage(passage: "Passage") -> Text:
    words = " ".join(passage.text.split())
    shown = words if len(words) <= _EXCERPT else f"{words[:_EXCERPT].rpartition(' ')[0]} …"
    title = passage.document.title + (f" > {passage.heading}" if passage.heading else "")
    found = f"  found by {' and '.join(passage.by)}"
    return Text.assemble(visible(title), (visible(found), "dim"), (f"\n{visible(shown)}", "italic dim"))


def _verdict(scene: "Scene") -> Text:
    took = f"  in {milliseconds(scene.took_seconds)}"
    if scene.flaws:
        return Text.assemble(("✗ ", "bold red"), (visible("; ".join(scene.flaws)), "bold red"), (took, "dim"))
    return Text.assemble(("✓ ", "bold green"), f"checked against {visible(scene.against)}", (took, "dim"))


def _sum(scenes: "Sequence[Scene]", took_seconds: float) -> Text:
    wrong = sum(bool(scene.flaws) for scene in scenes)
    stopped = sum(scene.stopped is not None for scene in scenes)
    told = (
        f"{len(scenes) - stopped} questions and {stopped} with a store stopped, in {seconds(took_seconds)}: "
    )
    if wrong:
        return Text.assemble(told, (f"{wrong} are NOT as they must be.", "bold red"))
    return Text.assemble(told, ("all as they must be.", "bold green"))


def _as_data(scene: "Scene") -> dict[str, Any]:
    from penelope.kit.codec import to_data  # noqa: PLC0415 - so that `--help` is there at once

    return {
        "question": scene.worked.concept,
        "point": scene.worked.point,
        "stopped": None if scene.stopped is None else scene.stopped.value,
        "checked_against": scene.against,
        "flaws": list(scene.flaws),
        "took_seconds": round(scene.took_seconds, 4),
        "told": to_data(scene.told),
    }
