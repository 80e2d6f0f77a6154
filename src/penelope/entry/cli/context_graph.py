"""Commands that ask and load the graph of things; they need no server of Penelope."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from penelope.domain.access import Classification
from penelope.entry.cli import screens
from penelope.entry.cli.options import moment_of, settings_of
from penelope.entry.cli.words import visible
from penelope.errors import InvalidQuery

if TYPE_CHECKING:
    from penelope.adapters.graph.cypher import NamedQuery
    from penelope.rooms.context.ports import Graph
    from penelope.settings import Settings

_WHOLE = frozenset({"depth", "limit"})


def graph(
    context: typer.Context,
    query: Annotated[
        str, typer.Argument(metavar="[QUERY]", help="The name of a query; without it they are listed.")
    ] = "",
    parameters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="Its parameters, as id=service:checkout."),
    ] = None,
    *,
    allow: Annotated[
        list[Classification] | None,
        typer.Option(help="What may be seen; repeatable. By default public and internal."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Ask the graph a named question, such as `blast_radius id=service:payments`."""
    from penelope.adapters.graph.library import library  # noqa: PLC0415 - so that `--help` is there at once

    known = library()
    if not query:
        _show_queries(known)
        return
    allowed = allow or [Classification.PUBLIC, Classification.INTERNAL]
    given = _values(known.get(query), parameters or [])
    rows = asyncio.run(_ask(settings_of(context), query, {**given, "allowed": [*map(str, allowed)]}))
    if as_json:
        typer.echo(json.dumps([dict(row) for row in rows], ensure_ascii=True, indent=2))
        return
    columns = list(known[query].columns)
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    screens.show(screens.table(*columns, rows=cells, keep=columns[:1]))
    screens.remark(f"{len(rows)} rows")


def draw(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Nodes and edges drawn by hand; by default graph.source."),
    ] = None,
    *,
    example: Annotated[
        bool, typer.Option("--example", help="Draw the shop that ships as an example, and nothing else.")
    ] = False,
) -> None:
    """Draw the graph anew: the catalogue, the data models, the playbooks, the indexed documents, and what a file adds.

    Who asks meanwhile sees the old graph or the new one.
    """
    from penelope.adapters.example import GRAPH  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.adapters.graph.file import load_graph  # noqa: PLC0415 - see above
    from penelope.bootstrap.drawing import gathered  # noqa: PLC0415 - see above
    from penelope.rooms.context.graph_of import graph_of  # noqa: PLC0415 - see above

    settings = settings_of(context)

    async def run() -> tuple[int, int]:
        found = (
            load_graph(GRAPH)
            if example
            else graph_of(await gathered(settings, file or settings.graph.source))
        )
        store = await _opened(settings)
        try:
            await store.replace(*found)
        finally:
            await store.close()
        return len(found[0]), len(found[1])

    nodes, edges = asyncio.run(run())
    screens.show(Text(f"{nodes} nodes and {edges} edges are in the graph", "green"))


async def _ask(
    settings: "Settings", query: str, parameters: Mapping[str, Any]
) -> Sequence[Mapping[str, Any]]:
    store = await _opened(settings)
    try:
        asked: Graph = store
        return await asked.ask(query, parameters)
    finally:
        await store.close()


async def _opened(settings: "Settings") -> Any:
    from penelope.bootstrap.context import opened_graph  # noqa: PLC0415 - so that `--help` is there at once

    return await opened_graph(settings.graph)


def _values(query: "NamedQuery | None", words: Sequence[str]) -> dict[str, Any]:
    """Parameters as the query takes them; what it makes of wrong ones it says itself."""
    given: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name == "allowed":
            raise InvalidQuery(
                f"'{visible(word[:80])}' is no parameter",
                hint="Write name=value; --allow says what may be seen.",
            )
        kind = query.parameters.get(name, "") if query is not None else ""
        given[name] = _value(kind, text)
    return given


def _value(kind: str, text: str) -> Any:
    if kind in _WHOLE | {"moment"} and text.isascii() and text.isdigit() and len(text) < 17:
        return int(text)
    if kind == "moment":
        return int(datetime.fromisoformat(moment_of(text) or text).timestamp())
    return text


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " - ".join(str(each["name"] if isinstance(each, dict) else each) for each in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _show_queries(known: Mapping[str, "NamedQuery"]) -> None:
    rows = [
        [name, " ".join(word for word in query.parameters if word != "allowed"), query.meaning]
        for name, query in known.items()
    ]
    screens.show(screens.table("query", "parameters", "what it answers", rows=rows, keep=["query"]))
