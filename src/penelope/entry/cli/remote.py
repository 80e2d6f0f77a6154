"""Commands that ask a running server."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from rich.console import RenderableType

from penelope.domain.incident import IncidentState
from penelope.entry.cli import decision_screens, screens, timeline
from penelope.entry.cli.options import settings_of

if TYPE_CHECKING:
    from penelope.entry.cli.client import Client

_PAGE = 500
_WITH_PEOPLE = (IncidentState.AWAITING_APPROVAL.value, IncidentState.ESCALATED.value)
_FOLLOW_SECONDS = 0.5

Server = Annotated[
    str | None,
    typer.Option(
        envvar="PENELOPE_SERVER",
        metavar="URL",
        help="Address of the server; by default what the settings say.",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--key", envvar="PENELOPE_API_KEY", metavar="KEY", help="API key; safer in the environment than here."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print what the server says, as JSON.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of an incident.")]
Comment = Annotated[str, typer.Option(help="Why; it is kept with the decision.")]


@contextmanager
def connected(context: typer.Context, server: str | None, key: str | None) -> Iterator["Client"]:
    from penelope.entry.cli.client import Client, address_of  # noqa: PLC0415 - so that `--help` is there at once

    with Client(server or address_of(settings_of(context)), key) as client:
        yield client


def incident_path(identifier: str) -> str:
    return f"/api/v1/incidents/{quote(identifier, safe='')}"


def status(
    context: typer.Context, *, server: Server = None, key: ApiKey = None, as_json: AsJson = False
) -> None:
    """Show the server's version, its services and playbooks, and how many incidents there are."""
    with connected(context, server, key) as client:
        answer = client.get("/api/v1/status")
    _print(answer, screens.status, as_json=as_json)


def incidents(
    context: typer.Context,
    *,
    state: Annotated[
        list[IncidentState] | None,
        typer.Option(metavar="STATE", help="Only in this state, such as escalated; repeatable."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at most.")] = 20,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """List incidents, newest first."""
    with connected(context, server, key) as client:
        page = client.get("/api/v1/incidents", state=[item.value for item in state or ()], limit=limit)
    _print(page, screens.incidents, as_json=as_json)


def show(
    context: typer.Context,
    incident: Id,
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the incident has ended.")] = False,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show what happened to an incident, why, and what came of it. Times are in UTC.

    With --follow, --json prints an entry a line.
    """
    with connected(context, server, key) as client:
        answer = client.get(incident_path(incident))
        if as_json and not follow:
            _print(answer, screens.incident, as_json=True)
            return
        if not as_json:
            screens.show(screens.incident(answer["incident"]))
            if answer["briefing"] and answer["incident"]["state"] in _WITH_PEOPLE:
                screens.show(decision_screens.briefing(answer["briefing"]))
        for entry in _entries(client, incident, follow=follow):
            if as_json:
                typer.echo(json.dumps(entry))
            else:
                screens.show(timeline.line(entry, screens.width()))


def _entries(client: "Client", incident: str, *, follow: bool) -> Iterator[Mapping[str, Any]]:
    """What happened so far and, if it is to be followed, what happens until the incident has ended."""
    after, ended = 0, not follow
    while True:
        page = client.get(f"{incident_path(incident)}/timeline", after=after, limit=_PAGE)
        for entry in page["entries"]:
            yield entry
            if follow and entry["kind"] == "incident":
                ended = IncidentState(entry["status_after"]).ended
        after = page["next"]
        if len(page["entries"]) == _PAGE:
            continue
        if ended:
            return
        time.sleep(_FOLLOW_SECONDS)


def approve(
    context: typer.Context, incident: Id, *, comment: Comment = "", server: Server = None, key: ApiKey = None
) -> None:
    """Agree to the plan that an incident waits with."""
    with connected(context, server, key) as client:
        screens.show(
            screens.answered(client.post(f"{incident_path(incident)}/approve", {"comment": comment}))
        )


def reject(
    context: typer.Context, incident: Id, *, comment: Comment = "", server: Server = None, key: ApiKey = None
) -> None:
    """Refuse the plan that an incident waits with, with a comment that says why; people take the incident over."""
    with connected(context, server, key) as client:
        screens.show(screens.answered(client.post(f"{incident_path(incident)}/reject", {"comment": comment})))


def _print(answer: Any, screen: Callable[[Any], RenderableType], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        screens.show(screen(answer))
