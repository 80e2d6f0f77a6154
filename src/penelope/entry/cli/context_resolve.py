"""`penelope context resolve`: what a concept is and comes to, for whom it is asked."""

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from penelope.domain.access import Subject
from penelope.domain.concept import LONGEST_CONCEPT, Request
from penelope.entry.cli import screens
from penelope.entry.cli.context import grid
from penelope.entry.cli.options import settings_of
from penelope.entry.cli.words import visible

if TYPE_CHECKING:
    from penelope.domain.answer import Figures, Told
    from penelope.domain.semantics import Condition, SemanticQuery
    from penelope.settings import Settings

_EXIT = {"resolved": 0, "ambiguous": 3, "unresolved": 4, "denied": 5, "unavailable": 6}
_EXCERPT = 160


def resolve(  # noqa: PLR0913 - each option of the command is a parameter
    context: typer.Context,
    concept: Annotated[str, typer.Argument(metavar="CONCEPT", help="What is meant, in words.")],
    *,
    role: Annotated[str, typer.Option(help="The role for which it is asked.")] = "analyst",
    region: Annotated[str, typer.Option(help="The region of the asker.")] = "",
    purpose: Annotated[str, typer.Option(help="To which end it is asked.")] = "",
    actor: Annotated[str, typer.Option(help="Who asks.")] = "cli",
    zone: Annotated[str, typer.Option(help="The asker's time zone, such as Europe/Berlin.")] = "",
    execute: Annotated[
        bool, typer.Option("--execute/--define", help="Whether to ask for the value, or only what it is.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Resolve a concept to its definition and value, such as "APAC revenue last quarter".

    Exits with 3 where it is ambiguous, 4 where nothing is known by it, 5 where the policy denies it,
    6 where no store can tell. Who asks is taken
    at its word: whoever reads the settings may read the stores too.
    """
    subject = Subject(actor=actor, role=role, region=region, purpose=purpose)
    request = Request(
        concept=concept[: LONGEST_CONCEPT + 1],
        subject=subject,
        at=datetime.now(UTC),
        zone=zone,
        execute=execute,
    )
    told = asyncio.run(_told(settings_of(context), request))
    if as_json:
        from penelope.kit.codec import to_data  # noqa: PLC0415 - so that `--help` is there at once

        typer.echo(json.dumps(to_data(told), indent=2, default=str))
    else:
        _show(told)
    raise typer.Exit(_EXIT[told.outcome.value])


async def _told(settings: "Settings", request: Request) -> "Told":
    from penelope.bootstrap.context import others_of, resolver_of  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.kit.clock import SystemClock  # noqa: PLC0415 - see above
    from penelope.store.database import migrate, open_engine, open_reader, parse_url  # noqa: PLC0415 - see above

    url = parse_url(settings.database.url)
    async with AsyncExitStack() as stack:
        writer = open_engine(url)
        stack.push_async_callback(writer.dispose)
        await migrate(writer)
        reader = open_reader(url)
        stack.push_async_callback(reader.dispose)
        resolver = await resolver_of(stack, settings, reader, SystemClock(), others_of(settings))
        return await resolver.tell(request)


def _show(told: "Told") -> None:
    screens.show(_head(told))
    for figures in filter(None, (told.value, told.compared)):
        _show_figures(figures)
    if told.rows:
        screens.show(Text("\n".join(f"  {visible(named(row))}" for row in told.rows)))
    for label, lines in parts(told):
        screens.show(Text.assemble((f"{label}: ", "dim"), visible("; ".join(lines))))
    for passage in told.passages:
        text = " ".join(passage.text.split())
        title = passage.document.title + (f" > {passage.heading}" if passage.heading else "")
        screens.show(
            Text.assemble(("document: ", "dim"), (visible(title), "bold"), f"\n  {visible(text[:_EXCERPT])}…")
        )
    for notice in told.notices:
        screens.show(Text(f"{notice.store.value}: {notice.message}", "yellow"))


def _head(told: "Told") -> Text:
    definition = told.definition
    if definition is None or told.outcome.value == "denied":
        style = {"denied": "red", "ambiguous": "yellow"}.get(told.outcome.value, "")
        return Text.assemble((told.outcome.value, style or "bold"), f": {visible(told.why)}")
    certified = "certified" if definition.certified else "not certified"
    owner = f", owned by {definition.owner}" if definition.owner else ""
    sure = f", {told.confidence.value:.0%} sure" if told.confidence else ""
    return Text.assemble(
        (visible(definition.title), "bold"),
        visible(f"  {definition.name} ({definition.kind.value}{owner}, {certified}{sure})"),
        f"\n{visible(definition.description)}" if definition.description else "",
    )


def _show_figures(figures: "Figures") -> None:
    screens.show(grid(figures.table))
    stale = f"last known value, of {figures.kept_at:%Y-%m-%d %H:%M} UTC" if figures.kept_at else ""
    fresh = f"as of {figures.table.as_of:%Y-%m-%d %H:%M} UTC" if figures.table.as_of else ""
    screens.show(Text(", ".join(filter(None, (figures.unit, fresh, stale))), "dim"))


def parts(told: "Told") -> list[tuple[str, list[str]]]:
    """What there is to say of an answer beside value and definition, each under its label; texts are as they were given."""
    found: list[tuple[str, list[str]]] = []
    if told.query is not None:
        found.append(("asked", _query(told.query)))
    if told.masks:
        found.append(("masked for you", [f"{name} ({mask.value})" for name, mask in told.masks.items()]))
    if told.row_filters:
        found.append(("rows left for you", [_condition(each) for each in told.row_filters]))
    if told.lineage:
        found.append(("made of", [named(row) for row in told.lineage]))
    if told.choices:
        label = "choose" if told.outcome.value == "ambiguous" else "also near"
        found.append((label, [f"{each.definition.title} ({each.definition.name})" for each in told.choices]))
    if told.unmet:
        found.append(("not understood", list(told.unmet)))
    return found


def _query(query: "SemanticQuery") -> list[str]:
    lines = [", ".join((*query.measures, *query.dimensions))]
    lines += [
        f"{each.dimension} {' to '.join(each.date_range or ())} {each.granularity or ''}".strip()
        for each in query.time_dimensions
    ]
    return [*lines, *(_condition(each) for each in query.filters)]


def _condition(condition: "Condition") -> str:
    from penelope.domain.semantics import AnyOf, Filter  # noqa: PLC0415 - so that `--help` is there at once

    if isinstance(condition, Filter):
        return f"{condition.member} {condition.operator.value} {', '.join(condition.values)}"
    return (" or " if isinstance(condition, AnyOf) else " and ").join(map(_condition, condition.parts))


def named(row: Any) -> str:
    """A row of the graph in a few words."""
    distance = f", {row['distance']} away" if row.get("distance") is not None else ""
    return f"{row.get('name', row.get('id', ''))} ({row.get('kind', '')}{distance})"
