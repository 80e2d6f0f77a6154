"""Commands about single decisions, and about how well confidence fits."""

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from penelope.entry.cli import decision_screens, screens
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected

Decision = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The number of a decision, or the id of an incident for its latest decision."
    ),
]
Version = Annotated[
    int | None, typer.Option(min=1, help="Which decision about the incident; by default the latest.")
]


def explain(
    context: typer.Context,
    decision: Decision,
    *,
    version: Version = None,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Explain a decision: would it heal by itself, could acting do more harm, is there precedent?"""
    with connected(context, server, key) as client:
        answer = client.get(f"{_path(decision)}/explanation", version=version)
    _print(answer, decision_screens.explanation, as_json=as_json)


def replay(
    context: typer.Context,
    decision: Decision,
    *,
    version: Version = None,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Make a decision again from its recorded inputs. Exits with 1 and names what differs, if anything does."""
    chosen = "" if version is None else f"?version={version}"
    with connected(context, server, key) as client:
        answer = client.post(f"{_path(decision)}/replay{chosen}", {})
    _print(answer, decision_screens.replay, as_json=as_json)
    if not answer["identical"]:
        raise typer.Exit(1)


def calibration(  # noqa: PLR0913 - one option each
    context: typer.Context,
    *,
    service: Annotated[str | None, typer.Option(metavar="NAME", help="Only on this service.")] = None,
    playbook: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this playbook.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How many days back.")] = 30,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show how well confidence fits what came of the plans that acted."""
    with connected(context, server, key) as client:
        answer = client.get("/api/v1/calibration", service=service, playbook=playbook, days=days)
    _print(answer, decision_screens.calibration, as_json=as_json)


def _path(decision: str) -> str:
    return f"/api/v1/decisions/{quote(decision, safe='')}"


def _print(answer: Any, screen: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        screens.show(screen(answer))
