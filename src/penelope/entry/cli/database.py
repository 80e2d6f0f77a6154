"""Commands for whoever keeps the database: bring it up to date, grant the service's role, check the guards."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.offline import existing_database, plainly
from penelope.entry.cli.options import settings_of
from penelope.entry.cli.words import visible
from penelope.errors import BadSettings

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine


def migrate(context: typer.Context) -> None:
    """Bring all tables up to date, the durable engine's too. Run it as the role that shall own them."""
    from penelope.flow.engine import make_tables  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.store.database import open_engine, parse_url, upgrade  # noqa: PLC0415 - so that `--help` is there at once

    settings = settings_of(context).database
    _run(open_engine(parse_url(settings.url)), upgrade)
    make_tables(settings.engine_address, settings.url)
    screens.remark("The tables are up to date.")


def grant(
    context: typer.Context,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="The role that the service connects as.")],
) -> None:
    """Give the service's PostgreSQL role what it needs, and no right to change history. Run it as the owner."""
    from penelope.store import grants  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.store.database import open_engine, parse_url  # noqa: PLC0415 - so that `--help` is there at once

    settings = settings_of(context).database
    if settings.url.startswith("sqlite"):
        raise BadSettings(
            "SQLite has no roles: whoever may write the file may change all of it",
            hint="Give the file to the service's user alone; see docs/database.md for what the log then shows.",
        )
    _run(open_engine(parse_url(settings.url)), lambda connection: grants.grant(connection, role))
    if settings.engine_address != settings.url:
        engine = open_engine(parse_url(settings.engine_address))
        _run(engine, lambda connection: grants.grant_engine(connection, role))
    screens.remark(f"Role {visible(role)} may now run Penelope, and only add to history.")


def check(context: typer.Context) -> None:
    """List the guards of history that are not in force. Exits with 1 if there are any."""
    from penelope.store import grants, guards  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.store.database import open_reader  # noqa: PLC0415 - so that `--help` is there at once

    url = existing_database(settings_of(context))
    sqlite = url.get_backend_name() == "sqlite"
    missing = _run(open_reader(url), guards.missing)
    powers = [] if sqlite else _run(open_reader(url), grants.powers_over_history)
    for name in missing:
        typer.echo(f"missing: {name}")
    if sqlite:
        screens.remark("SQLite has no roles: whoever may write the file may take the guards away.")
    elif powers:
        screens.remark(f"This role could change history ({'; '.join(powers)}): run the service as another.")
    if missing:
        raise typer.Exit(1)
    screens.show(Text("all guards of history are in force", "green"))


def _run(engine: "AsyncEngine", ask: "Callable[[Connection], Any]") -> Any:
    """What one transaction of the engine says; the engine is closed afterwards."""

    async def run() -> Any:
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(ask)
        finally:
            await engine.dispose()

    with plainly():
        return asyncio.run(run())
