"""Commands for what can be asked of the data: they read the settings, and need no server."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table as Grid
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.options import settings_of
from penelope.entry.cli.words import visible
from penelope.errors import InvalidRequest

if TYPE_CHECKING:
    from penelope.adapters.semantic.cube import CubeLayer
    from penelope.adapters.semantic.duck import DuckLayer
    from penelope.domain.semantics import Model, Table

context = typer.Typer(
    help="Ask what is known: governed measures, documents, relations.", no_args_is_help=True
)

_MOST_BYTES = 256 * 1024


@context.command("model")
def model(
    context: typer.Context,
    words: Annotated[
        str,
        typer.Argument(
            metavar="[WORDS]", help="Show only members with these words in name, title or synonyms."
        ),
    ] = "",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Show hidden members too.")] = False,
) -> None:
    """Show what can be asked for: the measures, dimensions and segments of the data models."""
    with _layer(context) as layer:
        found = asyncio.run(layer.model())
    screens.show(_members(found, words, everything=everything))


@context.command("query")
def query(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="A query of Cube's REST API in JSON; - reads it here.")
    ],
    *,
    explain: Annotated[bool, typer.Option("--sql", help="Show the SQL instead of the answer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print rows as lines of JSON.")] = False,
) -> None:
    """Answer a query, and show the table. No policies are asked: whoever reads the settings may read the file too."""
    from penelope.adapters.semantic.question import question  # noqa: PLC0415 - so that `--help` is there at once

    asked = question(_content(file))
    with _layer(context) as layer:
        if explain:
            statement = asyncio.run(layer.statement(asked))
            typer.echo("\n".join(visible(line) for line in statement.split("\n")))
            return
        table = asyncio.run(layer.run(asked, {}))
    if as_json:
        _print_json(table)
        return
    screens.show(grid(table))
    renewed = f", as of {table.as_of:%Y-%m-%d %H:%M} UTC" if table.as_of else ""
    screens.remark(f"{len(table.rows)} rows{renewed}")


def _layer(context: typer.Context) -> "DuckLayer | CubeLayer":
    from penelope.bootstrap.context import open_semantic  # noqa: PLC0415 - so that `--help` is there at once

    return open_semantic(settings_of(context).semantic, example=True)


def _content(file: str) -> bytes:
    try:
        if file == "-":
            return sys.stdin.buffer.read(_MOST_BYTES + 1)
        with Path(file).open("rb") as stream:
            return stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(
            f"{file} cannot be read: {error.strerror}", hint="Name a file with a query."
        ) from error


def _members(found: "Model", words: str, *, everything: bool) -> Grid:
    """A member takes two lines where it has synonyms: side by side nothing of it could be read on a narrow screen."""
    grid = Grid(box=box.SIMPLE_HEAD)
    grid.add_column("member", no_wrap=True)
    grid.add_column("what it is", overflow="fold")
    grid.add_column("title, and other names of it", overflow="fold")
    for member in found.members:
        synonyms = member.meta.get("synonyms", ())
        known = ", ".join(map(str, synonyms)) if isinstance(synonyms, list) else ""
        shown = member.public or everything
        if shown and words.casefold() in f"{member.name} {member.title} {known}".casefold():
            kinds = (member.type, member.meta.get("unit"), member.meta.get("classification"))
            what = f"{member.kind.value}: " + ", ".join(visible(str(kind)) for kind in kinds if kind)
            title = Text(visible(member.title))
            if known:
                title.append(f"\n{visible(known)}", style="dim")
            grid.add_row(Text(visible(member.name)), Text(what), title)
    return grid


def grid(table: "Table") -> Grid:
    """A table as it is shown, numbers to the right."""
    shown = Grid(box=box.SIMPLE_HEAD)
    for place, column in enumerate(table.columns):
        figures = all(isinstance(row[place], int | float | None) for row in table.rows)
        shown.add_column(Text(visible(column)), overflow="fold", justify="right" if figures else "left")
    for row in table.rows:
        shown.add_row(*(Text("" if value is None else visible(str(value))) for value in row))
    return shown


def _print_json(table: "Table") -> None:
    import orjson  # noqa: PLC0415 - so that `--help` is there at once

    for row in table.rows:
        typer.echo(orjson.dumps(dict(zip(table.columns, row, strict=True))))
