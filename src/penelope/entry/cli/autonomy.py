"""Commands about earned autonomy: where playbooks stand, and what people did."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.remote import ApiKey, AsJson, Comment, Id, Server, connected, incident_path
from penelope.entry.cli.words import visible

LevelName = Literal["shadow", "suggest", "supervised", "autonomous"]

_STYLES = {"shadow": "dim", "suggest": "yellow", "supervised": "cyan", "autonomous": "green"}
_COMPARISONS = {
    "agreed": "People did the same: it counts for {playbook}.",
    "differed": "{playbook} would have been run: people did something else.",
    "overridden": "{playbook} was overridden, and has fallen.",
    "noted": "It is noted; there is no playbook to hold it against.",
}


def standings(  # noqa: PLR0913 - one option each
    context: typer.Context,
    *,
    service: Annotated[str | None, typer.Option(metavar="NAME", help="Only on this service.")] = None,
    playbook: Annotated[str | None, typer.Option(metavar="NAME", help="Only this playbook.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at most.")] = 100,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show where playbooks stand on services, and why not higher."""
    if context.invoked_subcommand is not None:
        return
    with connected(context, server, key) as client:
        answer = client.get("/api/v1/autonomy", service=service, playbook=playbook, limit=limit)
    _print(answer, _table, as_json=as_json)


def place(  # noqa: PLR0913 - one option each
    context: typer.Context,
    playbook: Annotated[str, typer.Argument(help="The name of a playbook.")],
    service: Annotated[str, typer.Argument(help="The name of a service.")],
    level: Annotated[LevelName, typer.Argument(help="Where it shall stand from now on.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept in history.")],
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Lower or raise a playbook on a service, within its cap; it begins anew there."""
    wanted = {"playbook": playbook, "service": service, "level": level, "reason": reason}
    with connected(context, server, key) as client:
        answer = client.post("/api/v1/autonomy", wanted)
    _print(answer, _line, as_json=as_json)


def report(  # noqa: PLR0913 - one option each
    context: typer.Context,
    incident: Id,
    *,
    did: Annotated[
        str, typer.Option(metavar="WHAT", help="The name of a playbook, or `other`, or `nothing`.")
    ],
    comment: Comment = "",
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Say what people did about an incident that has ended; playbooks rise and fall by it."""
    with connected(context, server, key) as client:
        answer = client.post(f"{incident_path(incident)}/report", {"did": did, "comment": comment})
    _print(answer, _compared, as_json=as_json)


def _table(answer: Mapping[str, Any]) -> RenderableType:
    begin = f"Playbooks begin at {visible(answer['start'])}."
    if not answer["standings"]:
        return Text(f"No playbook has a past yet. {begin}")
    rows = [
        (
            Text(visible(item["playbook"])).append(f"\n{visible(item['service'])}", "dim"),
            _level(item),
            f"{item['lowest']:.2f}-{item['highest']:.2f}",
            Text(visible(item["hindrance"] or item["reason"])),
        )
        for item in answer["standings"]
    ]
    listed = screens.table(
        "playbook, service", "level", "95 %", "why not higher", rows=rows, keep=("level", "95 %")
    )
    more = " There are more: see --limit, --service and --playbook." if answer["next"] else ""
    return Group(listed, Text(begin + more, "dim"))


def _level(item: Mapping[str, Any]) -> Text:
    text = Text(visible(item["level"]), _STYLES.get(item["level"], ""))
    return text.append(f"\ncap {visible(item['cap'])}", "dim") if item["capped"] else text


def _line(item: Mapping[str, Any]) -> RenderableType:
    pair = f"{visible(item['playbook'])} on {visible(item['service'])} stands at "
    return Text(pair).append_text(_level(item))


def _compared(answer: Mapping[str, Any]) -> RenderableType:
    playbook = visible(answer["playbook"] or "no playbook")
    return Text(_COMPARISONS[answer["comparison"]].format(playbook=playbook))


def _print(answer: Any, screen: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        screens.show(screen(answer))
