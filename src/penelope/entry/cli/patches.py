"""Commands about patches: who changed what, why, and how it went."""

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected
from penelope.entry.cli.words import visible

ServiceName = Annotated[str, typer.Argument(metavar="SERVICE", help="The name of a service.")]
TargetName = Annotated[str, typer.Argument(metavar="TARGET", help="One of its git_patch targets.")]


def log(  # noqa: PLR0913 - one option each
    context: typer.Context,
    service: ServiceName,
    target: TargetName,
    *,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many commits are looked through.")] = 50,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """List the patches that were made in a repository: newest first, with what the ledger says of each."""
    path = f"/api/v1/services/{quote(service)}/targets/{quote(target, safe='')}/patches"
    with connected(context, server, key) as client:
        answer = client.get(path, limit=limit)
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    if not answer:
        screens.show(Text("No patch was made here.", "dim"))
        return
    heads = ("commit", "at (UTC)", "what", "incident", "promise", "in force")
    rows = [
        (
            item["commit"][:12],
            item["at"][:16],
            Text(visible(item["subject"])),
            Text(visible(item["incident"])),
            _promise(item),
            _force(item),
        )
        for item in answer
    ]
    screens.show(screens.table(*heads, rows=rows, keep=("commit", "promise", "in force")))


def _promise(item: dict[str, Any]) -> Text:
    if item["verdict"] is None:
        return Text("none" if not item["contract"] else "-", "dim")
    return Text("kept", "green") if item["verdict"] == "passed" else Text("broken", "bold red")


def _force(item: dict[str, Any]) -> Text:
    taken_back = item["compensated_by"]
    return Text(f"no, {taken_back[:12]}", "yellow") if taken_back else Text("yes", "green")
