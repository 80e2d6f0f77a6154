"""Commands about missions: incidents and actions with one goal."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected
from penelope.entry.cli.words import visible

_PATH = "/api/v1/missions"
_BAR = 30

MissionId = Annotated[str, typer.Argument(metavar="MISSION", help="The id of a mission.")]
Incidents = Annotated[
    list[str] | None, typer.Option("--incident", metavar="ID", help="The id of an incident; repeatable.")
]
Actions = Annotated[
    list[str] | None, typer.Option("--action", metavar="ID", help="The id of an action; repeatable.")
]
Reason = Annotated[str, typer.Option(help="Why; it is kept in history.")]


def list_missions(
    context: typer.Context,
    *,
    status: Annotated[Literal["open", "closed"] | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at most.")] = 20,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """List missions, the one that changed last first."""
    with connected(context, server, key) as client:
        answer = client.get(_PATH, status=status, limit=limit)
    _print(answer, _table, as_json=as_json)


def show(
    context: typer.Context,
    mission: MissionId,
    *,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show how far a mission is, and what blocks it."""
    with connected(context, server, key) as client:
        answer = client.get(_path(mission))
    _print(answer, _detail, as_json=as_json)


def create(  # noqa: PLR0913 - one option each
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is called.")],
    *,
    goal: Annotated[str, typer.Option(help="What is to be reached.")],
    incident: Incidents = None,
    action: Actions = None,
    once: Annotated[
        str,
        typer.Option(metavar="KEY", help="Make it only once under this key, however often it is asked for."),
    ] = "",
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Make a mission of incidents and actions; more can be added later."""
    wanted = {"name": name, "goal": goal, "key": once, **_members(incident, action)}
    with connected(context, server, key) as client:
        answer = client.post(_PATH, wanted)
    _print(answer, _line, as_json=as_json)


def add(  # noqa: PLR0913 - one option each
    context: typer.Context,
    mission: MissionId,
    *,
    reason: Reason,
    incident: Incidents = None,
    action: Actions = None,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Add incidents and actions to a mission."""
    wanted = {"add": _members(incident, action), "reason": reason}
    with connected(context, server, key) as client:
        answer = client.post(f"{_path(mission)}/members", wanted)
    _print(answer, _line, as_json=as_json)


def remove(  # noqa: PLR0913 - one option each
    context: typer.Context,
    mission: MissionId,
    *,
    reason: Reason,
    incident: Incidents = None,
    action: Actions = None,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Remove incidents and actions from a mission."""
    wanted = {"remove": _members(incident, action), "reason": reason}
    with connected(context, server, key) as client:
        answer = client.post(f"{_path(mission)}/members", wanted)
    _print(answer, _line, as_json=as_json)


def close(
    context: typer.Context,
    mission: MissionId,
    *,
    reason: Reason,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """End a mission, however far it is."""
    with connected(context, server, key) as client:
        answer = client.post(f"{_path(mission)}/close", {"reason": reason})
    _print(answer, _line, as_json=as_json)


def _path(mission: str) -> str:
    return f"{_PATH}/{quote(mission, safe='')}"


def _members(incidents: list[str] | None, actions: list[str] | None) -> dict[str, list[str]]:
    return {"incidents": incidents or [], "actions": actions or []}


def _table(answer: Mapping[str, Any]) -> RenderableType:
    if not answer["missions"]:
        return Text("There are no missions.")
    rows = [
        (
            visible(item["id"]),
            item["status"],
            str(len(item["incidents"]) + len(item["actions"])),
            Text(visible(item["name"])),
        )
        for item in answer["missions"]
    ]
    return screens.table("mission", "status", "members", "name", rows=rows, keep=("status",))


def _detail(answer: Mapping[str, Any]) -> RenderableType:
    mission, progress = answer["mission"], answer["progress"]
    filled = _BAR * progress["percent"] // 100
    bar = Text("#" * filled, "green").append("." * (_BAR - filled), "dim")
    bar.append(f" {progress['percent']} %, {progress['done']} of {progress['total']} pieces of work")
    head = [_line(mission), Text(visible(mission["goal"]), "dim"), bar]
    rows = [
        (
            Text(visible(item["title"])).append(f"\n{visible(item['id'])}", "dim"),
            Text(visible(item["state"])),
            f"{item['done']}/{item['total']}",
            Text("\n".join(f"{block['by']} {visible(block['of'])}" for block in item["blocked"]), "yellow"),
        )
        for item in progress["members"]
    ]
    listed = screens.table("member", "state", "done", "blocked by", rows=rows, keep=("done",))
    return Group(*head, listed) if rows else Group(*head)


def _line(item: Mapping[str, Any]) -> Text:
    members = len(item["incidents"]) + len(item["actions"])
    text = Text(visible(item["id"])).append(f" {item['status']}", "bold")
    return text.append(f", {members} member{'' if members == 1 else 's'}: {visible(item['name'])}")


def _print(answer: Any, screen: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        screens.show(screen(answer))
