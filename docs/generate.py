"""Writes into docs/ what can be derived from the code: references, schemas and the picture of the imports."""

# ruff: noqa: PLC0415 - each page imports only what it shows, so that a broken part does not stop the others.

import argparse
import html
import inspect
import json
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grimp
import typer

from penelope import errors

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURE = "docs/architecture.md"
PLAYBOOKS = "docs/playbooks/README.md"
BEGIN, END = "<!-- imports:begin -->", "<!-- imports:end -->"
NOTICE = "<!-- Written by `make docs` from the code; edit the code instead. -->"

Edges = Mapping[tuple[str, str], int]


# --- the picture of the imports ---------------------------------------------------------------------------


def part_of(module: str) -> str | None:
    """The part that a module belongs to; a room counts as a part of its own, the bare package as none."""
    names = module.split(".")[1:]
    if not names:
        return None
    if names[0] == "rooms":
        return ".".join(names[:2]) if len(names) > 1 else None
    return names[0]


def floors() -> list[list[str]]:
    """The parts from the top floor down, as import-linter enforces them, so that there is one order only."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip("() ") for name in layer.replace(":", "|").split("|")] for layer in layers]


def count_imports() -> tuple[list[str], dict[tuple[str, str], int]]:
    """All parts, top floor first, and how many import statements lead from one part to another."""
    graph = grimp.build_graph("penelope", cache_dir=None)
    edges: Counter[tuple[str, str]] = Counter()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            pair = part_of(importer), part_of(imported)
            if pair[0] and pair[1] and pair[0] != pair[1]:
                details = graph.get_import_details(importer=importer, imported=imported)
                edges[pair[0], pair[1]] += len(details)
    order = {name: number for number, floor in enumerate(floors()) for name in floor}
    parts = {part for module in graph.modules if (part := part_of(module))}
    ranked = sorted(parts, key=lambda part: (order.get(part.partition(".")[0], len(order)), part))
    return ranked, dict(edges)


def without_shortcuts(edges: Edges) -> list[tuple[str, str]]:
    """The edges that no longer way implies: drawing all of them would show a hairball instead of a house."""
    following: defaultdict[str, set[str]] = defaultdict(set)
    for importer, imported in edges:
        following[importer].add(imported)

    def reaches(start: str, goal: str) -> bool:
        seen, waiting = {start}, [start]
        while waiting:
            for part in following[waiting.pop()] - seen:
                seen.add(part)
                waiting.append(part)
        return goal in seen

    def is_shortcut(importer: str, imported: str) -> bool:
        between = following[importer] - {imported}
        return not reaches(imported, importer) and any(reaches(part, imported) for part in between)

    return sorted(edge for edge in edges if not is_shortcut(*edge))


def mermaid(parts: Sequence[str], edges: Edges) -> Iterator[str]:
    """The drawing: one box a part, the rooms under one roof, the number of import statements on each arrow."""
    yield "flowchart TD"
    for part in parts:
        if not part.startswith("rooms."):
            yield f"  {part}"
    rooms = [part for part in parts if part.startswith("rooms.")]
    if rooms:
        yield '  subgraph rooms["rooms"]'
        yield from (f'    {room}["{room.removeprefix("rooms.")}"]' for room in rooms)
        yield "  end"
    for importer, imported in without_shortcuts(edges):
        yield f"  {importer} -->|{edges[importer, imported]}| {imported}"


def imports_picture() -> str:
    """The block between the markers: a Mermaid drawing, then every count in a table."""
    parts, edges = count_imports()
    rows = []
    for importer in parts:
        cells = [f"{part} {edges[importer, part]}" for part in parts if (importer, part) in edges]
        rows.append(f"| {importer} | {', '.join(cells) or '-'} |")
    return "\n".join(
        [
            "```mermaid",
            *mermaid(parts, edges),
            "```",
            "",
            "An arrow means *imports*, its number counts import statements. Arrows that a longer way implies are",
            "left out of the drawing; the table has them all.",
            "",
            "| part | imports |",
            "| --- | --- |",
            *rows,
        ]
    )


def architecture_page() -> str:
    """The hand-written page with a fresh picture between its markers."""
    page = (ROOT / ARCHITECTURE).read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        message = f"{ARCHITECTURE} must contain {BEGIN} and, after it, {END}"
        raise SystemExit(message)
    return f"{before}{BEGIN}\n{imports_picture()}\n{END}{after}"


# --- the references ---------------------------------------------------------------------------------------


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a cell's line breaks and bars would end the cell, so they are replaced."""
    lines = ["| " + " | ".join(header) + " |", "| " + " | ".join("---" for _ in header) + " |"]
    for row in rows:
        cells = (" ".join(cell.split()).replace("|", "\\|") for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(title: str, introduction: str, body: str) -> str:
    """One reference page with its warning against editing by hand."""
    return f"# {title}\n\n{NOTICE}\n\n{introduction}\n\n{body.strip()}\n"


def as_json(document: Mapping[str, Any]) -> str:
    """JSON in one stable form, so that a difference always means a change."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def settings_reference() -> str:
    """Every setting with its type, default and meaning."""
    from penelope import settings

    title, _, rest = settings.reference().partition("\n")
    return f"{title}\n\n{NOTICE}\n{rest}"


def error_classes() -> list[type[errors.PenelopeError]]:
    """The whole error tree, root first, in the order in which it is written down."""

    def walk(error: type[errors.PenelopeError]) -> Iterator[type[errors.PenelopeError]]:
        yield error
        for child in error.__subclasses__():
            # A test may derive a class of its own; only the shipped tree is documented.
            if child.__module__.partition(".errors.")[0] == "penelope":
                yield from walk(child)

    return list(dict.fromkeys(walk(errors.PenelopeError)))


def is_leaf(error: type[errors.PenelopeError]) -> bool:
    """Whether no other class of the shipped tree derives from this one: only leaves are raised."""
    return not any(other is not error and issubclass(other, error) for other in error_classes())


def status_of(error: type[errors.PenelopeError]) -> int | None:
    """The HTTP status of an error: its own, or that of its nearest base class below the root."""
    from penelope.entry.api import problems

    bases = error.__mro__[: error.__mro__.index(errors.PenelopeError)]
    return next((problems.STATUS[base] for base in bases if base in problems.STATUS), None)


def errors_reference() -> str:
    """Every error that can leave Penelope: its code, its status, whether a retry makes sense, and what to do."""
    rows = [
        (
            f"`{error.code}`",
            f"`{error.__name__}`",
            str(status_of(error) or "-"),
            "yes" if error.retryable else "no",
            (inspect.cleandoc(error.__doc__ or "").partition("\n\n")[0]),
            error.hint or "-",
        )
        for error in error_classes()
        if is_leaf(error)
    ]
    introduction = (
        "Every error answers with problem details (`application/problem+json`). Its `code` is stable: match on it,\n"
        "never on the text. A refusal, an escalation and degraded evidence are answers, not errors."
    )
    header = ("code", "class", "HTTP status", "retryable", "meaning", "what to do")
    return page("Errors", introduction, table(header, sorted(rows)))


def metrics_reference() -> str:
    """Every metric that `/metrics` shows, and every field that a log line may have."""
    from penelope import telemetry

    metrics = [
        (
            f"`{metric.name}`",
            metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels) or "-",
            metric.help,
        )
        for metric in sorted(telemetry.METRICS, key=lambda metric: metric.name)
    ]
    fields = [(f"`{name}`", meaning) for name, meaning in telemetry.LOG_FIELDS.items()]
    introduction = (
        "What `/metrics` exposes in the Prometheus format, beside the client's own `process_` metrics. A label\n"
        f"has at most {telemetry.MOST_LABEL_VALUES} values a metric; what comes later is counted as `other`."
    )
    logs = (
        "A log line is a JSON object, or on a terminal a coloured line with the same fields. Values under names\n"
        "that sound like a secret are blanked, and so are API keys and passwords inside texts. `error` and\n"
        "`warning` are for a person to read; `info` tells the story."
    )
    body = [
        table(("name", "kind", "labels", "meaning"), metrics),
        "## Log lines",
        logs,
        table(("field", "meaning"), fields),
    ]
    return page("Metrics and logs", introduction, "\n\n".join(body))


def describe_command(command: Any, path: str, parent: Any) -> Iterator[str]:
    """One command and, after it, those below it."""
    context = command.make_context(path, [], parent=parent, resilient_parsing=True)
    yield f"## `{path}`"
    if command.help:
        yield inspect.cleandoc(command.help).partition("\f")[0].strip()
    yield "```console\n$ " + " ".join([path, *command.collect_usage_pieces(context)]) + "\n```"
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [(f"`{name}`", html.escape(text, quote=False)) for name, text in filter(None, records)]
    if rows:
        yield table(("argument or option", "meaning"), rows)
    for name, child in sorted(getattr(command, "commands", {}).items()):
        if not child.hidden:
            yield from describe_command(child, f"{path} {name}", context)


def cli_reference() -> str:
    """Every command with its arguments and options."""
    from penelope.entry.cli import main

    command = typer.main.get_command(main.app)
    body = "\n\n".join(describe_command(command, "penelope", None))
    return page("Command line", "What `penelope --help` tells, in one place.", body)


def openapi_document() -> str:
    """The HTTP interface, for clients and their generators."""
    from penelope.entry.api import app

    return as_json(app.openapi_document())


def playbook_schema() -> str:
    """The schema that lets an editor complete and check a playbook."""
    from penelope.adapters.playbooks import schema

    return as_json(schema.playbook_schema())


def services_schema() -> str:
    """The schema that lets an editor complete and check `services.yaml`."""
    from penelope.adapters.catalogue import schema

    return as_json(schema.services_schema())


def past_case_schema() -> str:
    """The schema of one line of an import of past incidents."""
    from penelope.adapters.sources import past_cases

    return as_json(past_cases.past_case_schema())


def playbooks_index() -> str:
    """Every playbook that ships, and what it was tried against."""
    from penelope.testing import kit

    worlds, rows = kit.worlds(), []
    for name, file in sorted(kit.shipped().items()):
        playbook = kit.read_playbook(file, kit.known_operations(worlds[name]))
        world = kit.world_class(worlds[name])
        adapters = sorted({step.adapter for step in playbook.every_step})
        rows.append(
            (
                f"[{name}]({name}.md)",
                playbook.title,
                ", ".join(f"`{alert}`" for alert in playbook.match.names) or "-",
                f"{int(playbook.tier)}{', approval' if playbook.approval else ''}",
                ", ".join(f"`{adapter}`" for adapter in adapters),
                "real" if world.real else "**a double**",
                world.thing,
            )
        )
    introduction = (
        "What ships in [playbooks/](../../playbooks). Each is tried by [the test kit](../testing-playbooks.md) against what the\n"
        "last column names; a double is not the thing itself, and its pages say what that leaves open. How to write one\n"
        "stands in [playbooks](../playbooks.md)."
    )
    header = ("playbook", "for what", "alerts", "tier", "adapters", "tried against", "which is")
    return page("The starter library", introduction, table(header, rows))


# A new generated file is one line here; `make check` and tests/house then watch it.
GENERATORS: dict[str, Callable[[], str]] = {
    ARCHITECTURE: architecture_page,
    "docs/reference/settings.md": settings_reference,
    "docs/reference/errors.md": errors_reference,
    "docs/reference/metrics.md": metrics_reference,
    "docs/reference/cli.md": cli_reference,
    "docs/reference/openapi.json": openapi_document,
    "docs/reference/playbook.schema.json": playbook_schema,
    "docs/reference/services.schema.json": services_schema,
    "docs/reference/past-case.schema.json": past_case_schema,
    PLAYBOOKS: playbooks_index,
}


def stale(names: Iterable[str] = GENERATORS) -> dict[str, str]:
    """The files that differ from what the code says now, each with its new text."""
    fresh = {name: GENERATORS[name]() for name in names}
    return {name: text for name, text in fresh.items() if current(name) != text}


def current(name: str) -> str | None:
    """A file's text as it is, or None before it was first written."""
    path = ROOT / name
    return path.read_text(encoding="utf-8") if path.exists() else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the stale files, or with `--check` only name them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is stale")
    parser.add_argument("names", nargs="*", metavar="FILE", help="only these files (default: all)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in GENERATORS]
    if unknown:
        parser.error(f"not generated: {', '.join(unknown)}; known: {', '.join(GENERATORS)}")
    changed = stale(options.names or GENERATORS)
    for name, text in changed.items():
        if options.check:
            print(f"stale: {name} (run `make docs`)", file=sys.stderr)
            continue
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, encoding="utf-8")
        print(f"written: {name}")
    return int(options.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
