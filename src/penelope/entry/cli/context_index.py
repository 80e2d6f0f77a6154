"""Commands that index documents and search in them, on the database of the settings."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from penelope.domain.access import Classification
from penelope.entry.cli import screens
from penelope.entry.cli.offline import existing_database, plainly
from penelope.entry.cli.options import settings_of
from penelope.entry.cli.words import visible

if TYPE_CHECKING:
    from penelope.domain.passage import Passage
    from penelope.entry.documents import Report
    from penelope.settings import Settings

_EXCERPT = 240


def index(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, and folders of them.")],
    *,
    classification: Annotated[
        Classification | None,
        typer.Option(help="Of documents that say none themselves; by default that of the settings."),
    ] = None,
    meaning: Annotated[
        bool, typer.Option("--meaning/--words-only", help="Whether documents are also found by meaning.")
    ] = True,
) -> None:
    """Index documents, so that they are found and cited. What did not change is skipped, what is gone forgotten.

    Exits with 1 if a file or folder could not be read; what is left out by a rule is only named.
    """
    overrides = () if classification is None else (f"documents.classification={classification.value}",)
    settings = settings_of(context, *overrides)
    with plainly():
        report = asyncio.run(_index(settings, paths, meaning=meaning))
    _tell(report)
    if report.unread:
        raise typer.Exit(1)


async def _index(settings: "Settings", paths: list[Path], *, meaning: bool) -> "Report":
    from penelope.adapters.vector.minilm import MiniLm  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.entry.documents import Indexer  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.store.database import migrate, open_engine, parse_url  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.store.shelf import SqlShelf  # noqa: PLC0415 - so that `--help` is there at once

    engine = open_engine(parse_url(settings.database.url))
    embedder = MiniLm()
    try:
        await migrate(engine)
        shelf = SqlShelf(engine)
        if meaning and not await shelf.ready():
            screens.remark("This database has no pgvector: documents will be found by words alone.")
            meaning = False
        with _progress() as look:
            return await Indexer(shelf, embedder if meaning else None, settings.documents).run(paths, look)
    finally:
        embedder.close()
        await engine.dispose()


@contextmanager
def _progress() -> Iterator[Callable[[str, int], None]]:
    """Told each file: a bar on a terminal, else a plain line for every hundredth."""
    if not sys.stderr.isatty():
        done = 0

        def count(_: str, number: int) -> None:
            nonlocal done
            done += 1
            if done % 100 == 0:
                screens.remark(f"{done} of {number} files")

        yield count
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - so that `--help` is there at once

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[file]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, file="")

        def advance(file: str, number: int) -> None:
            bar.update(task, total=number, advance=1, file=visible(file[-60:]))

        yield advance


def _tell(report: "Report") -> None:
    for source, reason in report.left_out:
        screens.remark(f"left out: {visible(source)}: {visible(reason)}")
    for source, level, kinds in report.raised:
        screens.remark(f"raised to {level.value}: {visible(source)}: {kinds}")
    for source, reason in report.unread:
        screens.complain(f"cannot be read: {source}: {reason}", "")
    if report.without_meaning:
        screens.complain(
            report.without_meaning, "Documents were indexed for words alone; index them again later."
        )
    screens.show(
        Text(
            f"{report.indexed} documents indexed ({report.passages} passages), {report.unchanged} unchanged,"
            f" {report.forgotten} forgotten, {len(report.left_out)} left out, {len(report.unread)} unread",
            "green" if not report.unread else "yellow",
        )
    )


def search(
    context: typer.Context,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What is looked for, in words.")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many documents at most.")] = 5,
    allowed: Annotated[
        list[Classification] | None,
        typer.Option(
            "--allow", help="A classification that may be found; repeatable. By default public and internal."
        ),
    ] = None,
    meaning: Annotated[
        bool, typer.Option("--meaning/--words-only", help="Whether to search by meaning too.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search the indexed documents by words and meaning. It needs no server, and whoever may read the database may ask."""
    kinds = [kind.value for kind in (allowed or [Classification.PUBLIC, Classification.INTERNAL])]
    settings = settings_of(context)
    with plainly():
        found = asyncio.run(_search(settings, question, kinds, limit, meaning=meaning))
    if as_json:
        typer.echo(json.dumps([_as_data(item) for item in found], indent=2))
        return
    if not found:
        screens.remark("Nothing was found.")
    for item in found:
        screens.show(_shown(item))


async def _search(
    settings: "Settings", question: str, allowed: list[str], limit: int, *, meaning: bool
) -> "list[Passage]":
    from penelope.adapters.vector.minilm import MODEL, MiniLm  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.errors import Unavailable  # noqa: PLC0415 - so that `--help` is there at once

    embedder = MiniLm()
    try:
        vector = None
        if meaning:
            try:
                (vector,) = await embedder.embed([question])
            except Unavailable as error:
                screens.remark(f"Searching by words alone: {visible(error.message)}")
        async with _opened(settings, MODEL) as passages:
            return list(await passages.search(question, vector, allowed, limit))
    finally:
        embedder.close()


@asynccontextmanager
async def _opened(settings: "Settings", model: str) -> AsyncIterator[Any]:
    from penelope.store.database import open_reader  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.store.open_passages import open_passages  # noqa: PLC0415 - so that `--help` is there at once

    url = existing_database(settings)
    reader = open_reader(url)
    limits = settings.documents
    passages = open_passages(
        url, reader, model=model, weight=limits.keywords, patience_seconds=limits.patience_seconds
    )
    try:
        yield passages
    finally:
        passages.close()
        await reader.dispose()


def _as_data(item: "Passage") -> dict[str, Any]:
    document = item.document
    return {
        "score": round(item.score, 4),
        "by": list(item.by),
        "title": document.title,
        "heading": item.heading,
        "kind": document.kind,
        "source": document.source,
        "classification": document.classification.value,
        "owner": document.owner,
        "services": list(document.services),
        "text": item.text,
    }


def _shown(item: "Passage") -> Text:
    document = item.document
    head = visible(document.title + (f" > {item.heading}" if item.heading else ""))
    text = " ".join(item.text.split())
    excerpt = text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"
    shown = Text.assemble((f"{item.score:.2f}  ", "dim"), (head, "bold"))
    shown.append(f"\n      {document.classification.value}, {visible(document.source)}", "dim")
    return shown.append(f"\n      {visible(excerpt)}\n")
