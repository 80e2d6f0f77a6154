"""The commands that teach a running server what words mean, and take that back."""

import json
from typing import Annotated

import typer
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected
from penelope.entry.cli.words import visible

Phrase = Annotated[str, typer.Argument(metavar="PHRASE", help='The words, such as "takings".')]


def correct(
    context: typer.Context,
    phrase: Phrase,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The definition that they mean, such as orders.revenue.")
    ],
    *,
    answer: Annotated[str | None, typer.Option(metavar="ID", help="The answer that is corrected.")] = None,
    server: Server = None,
    key: ApiKey = None,
) -> None:
    """Teach what words mean, for all who may know of the definition. Needs the scope write."""
    body = {"phrase": phrase, "name": name, **({"id": answer} if answer else {})}
    with connected(context, server, key) as client:
        found = client.post("/api/v1/feedback", body)
    screens.show(Text(f"{visible(found['phrase'])} means {visible(found['name'])} from now on.", "green"))


def withdraw(
    context: typer.Context,
    phrase: Phrase,
    *,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Take back what was taught: the words mean again what they did before. Needs the scope write."""
    with connected(context, server, key) as client:
        found = client.post("/api/v1/feedback/withdraw", {"phrase": phrase})
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    screens.show(Text(f"{visible(found['phrase'])} is taught no more.", "green"))
