"""Commands that work on files and on the database, without a server."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.options import settings_of
from penelope.entry.cli.words import visible
from penelope.errors import BadSettings, InvalidRequest
from penelope.flow.keys import Key, KeyRing, Order, Scope
from penelope.kit.lasting import lasting

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_OWNER = re.compile(r"(agent:)?[A-Za-z0-9._@+-]{1,128}")
_BAD_SETTINGS = 2


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of api.host.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port to listen on, instead of api.port.")] = None,
) -> None:
    """Run the server until it is told to stop."""
    with lasting():
        from penelope.entry.cli import serving  # noqa: PLC0415 - so that `--help` is there at once

    given = {"api.host": host, "api.port": port}
    serving.serve(
        settings_of(context, *(f"{name}={item}" for name, item in given.items() if item is not None))
    )


def check_config(context: typer.Context) -> None:
    """Show every setting in force and where it comes from, or every mistake. Exits with 2 on mistakes."""
    from penelope.settings import describe  # noqa: PLC0415 - so that `--help` is there at once

    try:
        settings = settings_of(context)
    except BadSettings as error:
        screens.complain(error.message, error.advice)
        raise typer.Exit(_BAD_SETTINGS) from None
    rows = [[visible(text) for text in item] for item in describe(settings)]
    screens.show(screens.table("setting", "value", "from", rows=[list(map(Text, row)) for row in rows]))


# --- playbooks --------------------------------------------------------------------------------------------


def lint_playbooks(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Playbook files and folders; by default those of the settings.", show_default=False
        ),
    ] = None,
) -> None:
    """Print every mistake of playbooks as file:line:column. Exits with 1 if there is any."""
    from penelope.adapters.actions.installed import operations  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.adapters.playbooks.lint import lint  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.adapters.playbooks.load import files_in, shipped_folder  # noqa: PLC0415 - so that `--help` is there at once

    if not paths:
        settings = settings_of(context).playbooks
        paths = [*settings.paths, *([shipped_folder()] if settings.shipped else [])]
    files = files_in(paths)
    problems = [problem for file in files for problem in lint(file, operations())]
    for problem in problems:
        typer.echo(visible(problem))
    if problems:
        raise typer.Exit(1)
    screens.show(Text(f"{len(files)} playbooks, no mistakes", "green"))


def list_playbooks(context: typer.Context) -> None:
    """List the playbooks that the settings put in force, in order of preference."""
    from penelope.adapters.actions.installed import operations  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.adapters.playbooks.load import load  # noqa: PLC0415 - so that `--help` is there at once

    settings = settings_of(context).playbooks
    rows = [
        (item.name, Text(visible(item.version)), str(int(item.tier)), Text(visible(item.title)))
        for item in load(settings.paths, settings.shipped, operations()).playbooks()
    ]
    screens.show(screens.table("name", "version", "tier", "what it does", rows=rows, keep=("name",)))


# --- keys -------------------------------------------------------------------------------------------------


def create_key(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Who or what will use it; the ledger names it.")
    ],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; repeatable.")],
    expires_days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="How many days it is good for; by default for ever.")
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(
            help="Whose votes it casts: a person, best by e-mail address, or agent:NAME. Two keys of one owner "
            "have one vote. By default the key's name."
        ),
    ] = None,
) -> None:
    """Make an API key and print it; it cannot be shown again."""
    if owner is not None and not _OWNER.fullmatch(owner):
        raise InvalidRequest(
            "an owner has 1 to 128 letters, digits, dots, hyphens, underscores, + or @, maybe behind agent:",
            hint="Use the person's e-mail address.",
        )
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            "the name of a key has 1 to 64 letters, digits, dots, hyphens, underscores or @",
            hint="Name it after who uses it, such as alertmanager.",
        )
    now = datetime.now(UTC)
    expires_at = None if expires_days is None else now + timedelta(days=expires_days)
    order = Order(name=name, scopes=frozenset(scope), expires_at=expires_at, owner=owner)
    key, text = _with_keys(context, lambda keys: keys.create(order, now))
    # The key alone goes to standard output, so that a script can take it from there.
    typer.echo(text)
    screens.remark(f"This is key {key.id} with the scopes {_scopes(key)}. Keep it: it is not shown again.")


def list_keys(context: typer.Context) -> None:
    """List all keys, but not their secret parts."""
    now = datetime.now(UTC)
    rows = [
        (key.id, Text(visible(key.name)), _scopes(key), f"{key.created_at:%Y-%m-%d}", _state(key, now))
        for key in _with_keys(context, lambda keys: keys.all())
    ]
    screens.show(screens.table("id", "name", "scopes", "created", "state", rows=rows, keep=("id", "created")))


def revoke_key(
    context: typer.Context, key: Annotated[str, typer.Argument(help="The id of a key.", metavar="ID")]
) -> None:
    """Revoke a key. A running server refuses it within seconds."""
    if not _with_keys(context, lambda keys: keys.revoke(key, datetime.now(UTC))):
        raise InvalidRequest(
            f"there is no key '{key}', or it was revoked before", hint="List them with `penelope keys list`."
        )
    screens.remark(f"Key {key} is revoked.")


def _with_keys(context: typer.Context, ask: Callable[[KeyRing], Awaitable[Any]]) -> Any:
    from penelope.bootstrap import keyring  # noqa: PLC0415 - so that `--help` is there at once

    settings = settings_of(context)

    async def run() -> Any:
        async with keyring(settings) as keys:
            return await ask(keys)

    return asyncio.run(run())


def _scopes(key: Key) -> str:
    return ", ".join(scope for scope in Scope if scope in key.scopes)


def _state(key: Key, now: datetime) -> Text:
    if key.revoked_at is not None:
        return Text(f"revoked {key.revoked_at:%Y-%m-%d}", "red")
    if key.expires_at is None:
        return Text("good", "green")
    if now >= key.expires_at:
        return Text(f"expired {key.expires_at:%Y-%m-%d}", "red")
    return Text(f"good until {key.expires_at:%Y-%m-%d}", "green")
