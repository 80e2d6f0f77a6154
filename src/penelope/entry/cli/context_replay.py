"""The command that makes an answer again on a running server."""

import json
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected
from penelope.entry.cli.words import visible

_LONGEST = 400
"""Characters of a difference on the terminal; `--json` has them whole."""


def replay(
    context: typer.Context,
    answer: Annotated[str, typer.Argument(metavar="ID", help="The id of an answer, such as ans_0123.")],
    *,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Ask again what was asked then, as of the same moment. Exits with 1 and names what differs, if anything does.

    It is judged by the policy of now, for whoever asks now.
    """
    with connected(context, server, key) as client:
        found = client.post(f"/api/v1/answers/{quote(answer, safe='')}/replay", {})
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        screens.show(_screen(found))
    if not found["identical"]:
        raise typer.Exit(1)


def _screen(found: Mapping[str, Any]) -> RenderableType:
    about = visible(found["id"])
    notices = [Text(visible(item["message"]), "yellow") for item in found["notices"]]
    if found["identical"]:
        return Group(Text(f"Asked again, {about} is the same.", "green"), *notices)
    rows = [
        tuple(Text(_short(item[name])) for name in ("path", "recorded", "again"))
        for item in found["differences"]
    ]
    return Group(
        Text(f"Asked again, {about} is another: {', '.join(map(visible, found['changed']))}.", "bold red"),
        screens.table("where", "told then", "now", rows=rows),
        *notices,
    )


def _short(value: object) -> str:
    text = visible(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\N{HORIZONTAL ELLIPSIS}"
