"""Commands about decisions: what was decided, how it went, and what it rested on."""

import json
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from penelope.domain.decision import Judgement
from penelope.entry.cli import audit_screens, screens
from penelope.entry.cli.options import moment_of
from penelope.entry.cli.output import Output, deliver
from penelope.entry.cli.remote import ApiKey, AsJson, Id, Server, connected

_AUDIT = "/api/v1/audit/decisions"

Service = Annotated[str | None, typer.Option(metavar="NAME", help="Only about this service.")]
Decided = Annotated[Judgement | None, typer.Option(help="Only where this was decided.")]
RiskMin = Annotated[float | None, typer.Option(min=0, max=1, help="Only from this risk on.")]
RiskMax = Annotated[float | None, typer.Option(min=0, max=1, help="Only up to this risk.")]
Actor = Annotated[str | None, typer.Option(metavar="NAME", help="Only what this actor decided.")]
Playbook = Annotated[str | None, typer.Option(metavar="NAME", help="Only with this playbook.")]
Incident = Annotated[str | None, typer.Option(metavar="ID", help="Only about this incident.")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Decided then or later, such as 2026-11-21 (UTC).")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Decided before.")]
Words = Annotated[
    str | None, typer.Option("--text", metavar="WORDS", help="All of these words occur in the rationale.")
]
Limit = Annotated[int, typer.Option(min=1, max=500, help="How many at most.")]
Cursor = Annotated[
    str | None, typer.Option(metavar="NEXT", help="Go on where a list ended: `next` of its --json.")
]


def list_decisions(  # noqa: PLR0913 - one option each
    context: typer.Context,
    *,
    service: Service = None,
    judgement: Decided = None,
    risk_min: RiskMin = None,
    risk_max: RiskMax = None,
    actor: Actor = None,
    playbook: Playbook = None,
    incident: Incident = None,
    since: Since = None,
    until: Until = None,
    text: Words = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """List decisions, newest first. All that is asked for must hold."""
    wanted = {
        "service": service,
        "judgement": judgement,
        "risk_min": risk_min,
        "risk_max": risk_max,
        "actor": actor,
        "playbook": playbook,
        "incident": incident,
        "since": moment_of(since),
        "until": moment_of(until),
        "text": text,
        "limit": limit,
        "cursor": cursor,
    }
    with connected(context, server, key) as client:
        page = client.get(_AUDIT, **wanted)
    _print(page, audit_screens.decisions, as_json=as_json)


def list_high_risk(  # noqa: PLR0913 - one option each
    context: typer.Context,
    *,
    risk_min: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="From this risk on; by default where a person must agree."),
    ] = None,
    service: Service = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """List risky decisions, the riskiest first."""
    with connected(context, server, key) as client:
        page = client.get(
            f"{_AUDIT}/high-risk", risk_min=risk_min, service=service, limit=limit, cursor=cursor
        )
    _print(page, audit_screens.decisions, as_json=as_json)


def statistics(  # noqa: PLR0913 - one option each
    context: typer.Context,
    *,
    service: Service = None,
    since: Since = None,
    until: Until = None,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show how much was decided, how risky it was and how often it was overridden; by default in 30 days."""
    with connected(context, server, key) as client:
        answer = client.get(
            f"{_AUDIT}/statistics", service=service, since=moment_of(since), until=moment_of(until)
        )
    _print(answer, audit_screens.statistics, as_json=as_json)


def precedents(
    context: typer.Context,
    incident: Id,
    *,
    version: Annotated[
        int | None, typer.Option(min=1, help="Which decision about it; by default the latest.")
    ] = None,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show the earlier uses of its playbook that a decision rested on."""
    with connected(context, server, key) as client:
        answer = client.get(f"{_AUDIT}/{quote(incident, safe='')}/precedents", version=version)
    _print(answer, audit_screens.precedents, as_json=as_json)


def export(  # noqa: PLR0913 - one option each
    context: typer.Context,
    *,
    form: Annotated[Literal["json", "csv"], typer.Option("--format", help="How to write it.")] = "csv",
    service: Service = None,
    judgement: Decided = None,
    risk_min: RiskMin = None,
    risk_max: RiskMax = None,
    actor: Actor = None,
    playbook: Playbook = None,
    incident: Incident = None,
    since: Since = None,
    until: Until = None,
    text: Words = None,
    output: Output = None,
    server: Server = None,
    key: ApiKey = None,
) -> None:
    """Write all decisions that are asked for, newest first, as CSV or JSON."""
    wanted = {
        "format": form,
        "service": service,
        "judgement": judgement,
        "risk_min": risk_min,
        "risk_max": risk_max,
        "actor": actor,
        "playbook": playbook,
        "incident": incident,
        "since": moment_of(since),
        "until": moment_of(until),
        "text": text,
    }
    with connected(context, server, key) as client:
        deliver(client.pieces(f"{_AUDIT}/export", **wanted), output)


def _print(answer: Any, screen: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        screens.show(screen(answer))
