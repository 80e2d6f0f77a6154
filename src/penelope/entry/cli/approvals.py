"""Commands about requests for approval: what waits, answers, breaking the glass, and reviews."""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from penelope.domain.approval import ApprovalStatus
from penelope.domain.break_glass import ReviewStatus
from penelope.entry.cli import screens
from penelope.entry.cli.remote import ApiKey, AsJson, Id, Server, connected, incident_path
from penelope.entry.cli.words import visible

_STATUSES = {
    "pending": "bold yellow",
    "approved": "green",
    "rejected": "red",
    "expired": "red",
    "cancelled": "dim",
    "overridden": "bold magenta",
    "open": "bold yellow",
    "closed": "green",
}

Request = Annotated[str, typer.Argument(metavar="ID", help="The id of a request for approval.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the answer.")]


def list_approvals(
    context: typer.Context,
    *,
    status: Annotated[
        list[ApprovalStatus] | None,
        typer.Option(metavar="STATUS", help="Only in this state, such as pending; repeatable."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at most.")] = 20,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """List requests for approval, the one that changed last first."""
    with connected(context, server, key) as client:
        page = client.get("/api/v1/approvals", status=[item.value for item in status or ()], limit=limit)
    _print(page, _list, as_json=as_json)


def show(
    context: typer.Context,
    request: Request,
    *,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show what a request rests on, and every word so far."""
    with connected(context, server, key) as client:
        answer = client.get(_path(request))
    _print(answer, _one, as_json=as_json)


def approve(
    context: typer.Context,
    request: Request,
    *,
    reason: Reason = "",
    server: Server = None,
    key: ApiKey = None,
) -> None:
    """Say yes to a plan."""
    _post(context, server, key, f"{_path(request)}/approve", {"reason": reason})


def reject(
    context: typer.Context,
    request: Request,
    *,
    reason: Annotated[str, typer.Option(help="Why; a rejection needs it.")],
    server: Server = None,
    key: ApiKey = None,
) -> None:
    """Say no to a plan, and why."""
    _post(context, server, key, f"{_path(request)}/reject", {"reason": reason})


def comment(
    context: typer.Context,
    request: Request,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The remark.")],
    *,
    server: Server = None,
    key: ApiKey = None,
) -> None:
    """Leave a remark without voting."""
    _post(context, server, key, f"{_path(request)}/comment", {"text": text})


def delegate(
    context: typer.Context,
    request: Request,
    *,
    to: Annotated[str | None, typer.Option(help="The person who is to answer instead.")] = None,
    role: Annotated[str | None, typer.Option(help="The role of which anybody may answer instead.")] = None,
    server: Server = None,
    key: ApiKey = None,
) -> None:
    """Hand your seat on to a person or a role; it is spent for you with that."""
    given = {name: item for name, item in {"to": to, "role": role}.items() if item is not None}
    _post(context, server, key, f"{_path(request)}/delegate", given)


def cancel(
    context: typer.Context,
    request: Request,
    *,
    reason: Annotated[str, typer.Option(help="Why.")],
    server: Server = None,
    key: ApiKey = None,
) -> None:
    """Withdraw a request; people take the incident over."""
    _post(context, server, key, f"{_path(request)}/cancel", {"reason": reason})


def break_glass(
    context: typer.Context,
    incident: Id,
    *,
    reason: Annotated[str, typer.Option(help="Why; two people will read it afterwards.")],
    server: Server = None,
    key: ApiKey = None,
) -> None:
    """Run the plan that an incident waits with, or that was refused to it, at once. Two others must review it."""
    with connected(context, server, key) as client:
        glass = client.post(f"{incident_path(incident)}/break-glass", {"reason": reason})
    screens.show(_reviews({"reviews": [glass]}))


def reviews(
    context: typer.Context,
    *,
    status: Annotated[
        list[ReviewStatus] | None, typer.Option(metavar="STATUS", help="Only `open` or `closed` ones.")
    ] = None,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """List broken glasses and how far their reviews are."""
    with connected(context, server, key) as client:
        answer = client.get("/api/v1/reviews", status=[item.value for item in status or ()])
    _print(answer, _reviews, as_json=as_json)


def review(
    context: typer.Context,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="The id of a review.")],
    *,
    note: Annotated[str, typer.Option(help="What you found.")],
    server: Server = None,
    key: ApiKey = None,
) -> None:
    """Note that you have looked at a broken glass; the second of two closes the review."""
    with connected(context, server, key) as client:
        glass = client.post(f"/api/v1/reviews/{quote(identifier, safe='')}/close", {"note": note})
    screens.show(_reviews({"reviews": [glass]}))


def _path(identifier: str) -> str:
    return f"/api/v1/approvals/{quote(identifier, safe='')}"


def _post(
    context: typer.Context, server: str | None, key: str | None, path: str, body: dict[str, Any]
) -> None:
    with connected(context, server, key) as client:
        answer = client.post(path, body)
    screens.show(_one(answer))


def _status(status: str) -> Text:
    return Text(visible(status), _STATUSES.get(status, ""))


def _list(page: Mapping[str, Any]) -> RenderableType:
    rows = [
        (
            item["id"],
            _status(item["status"]),
            Text(visible(_subject(item))),
            Text(visible(_tally(item))),
            item["expires_at"][:16].replace("T", " "),
        )
        for item in page["approvals"]
    ]
    if not rows:
        return Text("There are no such requests.")
    return screens.table(
        "id", "status", "plan", "votes", "until (UTC)", rows=rows, keep=("id", "until (UTC)")
    )


def _subject(item: Mapping[str, Any]) -> str:
    brief = item["brief"]
    return f"{brief['playbook']} on {brief['service']}" if brief else item["incident"]


def _tally(item: Mapping[str, Any]) -> str:
    yes = sum(vote["approve"] for vote in item["votes"])
    needed = " + ".join(f"{bench['needed']} {bench['role']}" for bench in item["quorum"])
    return f"{yes} yes, {len(item['votes']) - yes} no; needs {needed}"


def _one(item: Mapping[str, Any]) -> RenderableType:
    parts: list[RenderableType] = [
        Text.assemble((visible(_subject(item)), "bold"), "  ", _status(item["status"])),
        Text(f"incident {visible(item['incident'])}, request {visible(item['id'])}"),
        Text(visible(_tally(item))),
    ]
    brief = item["brief"]
    if brief and item["status"] == "pending":
        parts += [Text(visible(brief["rationale"])), Text(visible(brief["silence"]), "dim")]
    if brief:
        parts.append(Text(f"risk {brief['risk']:.2f}, confidence {brief['confidence']:.2f}", "bold"))
        parts += [Text(f"  {part['value']:+.2f} {visible(part['reason'])}") for part in brief["risks"]]
        for step in brief["steps"]:
            parts.append(Text(visible(f"- {step['name']} ({step['target']}, tier {step['tier']})")))
            # Requests of an earlier version tell nothing of the rest.
            more = [step.get("when", ""), step.get("params", ""), *step["diff"].splitlines()]
            parts += [Text(f"    {visible(line)}", "dim") for line in more if line]
            parts += _tried(step)
        parts += _on_the_twin(brief)
        parts += [Text(f"  {visible(line)}", "dim") for line in brief["evidence"]]
    for vote in item["votes"]:
        word = Text("yes", "green") if vote["approve"] else Text("no", "red")
        parts.append(Text.assemble(word, visible(f" {vote['actor']} by {vote['channel']}: {vote['reason']}")))
    parts += [Text(visible(f"{remark['actor']}: {remark['text']}")) for remark in item["comments"]]
    parts += [
        Text(visible(f"{handed['by']} handed a seat ({handed['seat']}) to {handed['to']}"))
        for handed in item["delegations"]
    ]
    return Group(*parts)


def _tried(step: Mapping[str, Any]) -> list[Text]:
    """What a step would change, when it was tried."""
    lines = [f"      {visible(line)}" for line in step.get("preview_diff", "").splitlines()]
    parts = [Text(f"    would: {visible(step['preview'])}")] if step.get("preview") else []
    parts += [Text(line, _SIGNS.get(line.strip()[:1], "dim")) for line in lines]
    if step.get("not_previewed"):
        parts.append(Text(f"    not previewed: {visible(step['not_previewed'])}", "yellow"))
    return parts


_SIGNS = {"+": "green", "-": "red"}


def _on_the_twin(brief: Mapping[str, Any]) -> list[Text]:
    parts = [Text(f"on the twin: {visible(brief['twin'])}", "bold")] if brief.get("twin") else []
    parts += [Text(f"  {visible(check)}", "dim") for check in brief.get("twin_checks", ())]
    if brief.get("previewed_at"):
        parts.append(Text(f"previewed at {visible(brief['previewed_at'])}", "dim"))
    return parts


def _reviews(answer: Mapping[str, Any]) -> RenderableType:
    rows = [
        (
            item["id"],
            Text("overdue", "bold red") if item["overdue"] else _status(item["status"]),
            Text(visible(f"{item['playbook']} on {item['service']}, incident {item['incident']}")),
            Text(visible(f"{item['actor']}: {item['reason']}")),
            f"{len(item['reviews'])} of 2",
        )
        for item in answer["reviews"]
    ]
    if not rows:
        return Text("There are no such reviews.")
    return screens.table("id", "status", "what", "who and why", "reviews", rows=rows, keep=("id",))


def _print(answer: Any, screen: Callable[[Any], RenderableType], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        screens.show(screen(answer))
