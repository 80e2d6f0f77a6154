"""Commands that verify stored history, through a server or without one."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.offline import existing_keys, plainly
from penelope.entry.cli.options import settings_of
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected
from penelope.entry.cli.words import visible
from penelope.errors import BadSettings, ChainBroken, InvalidRequest

if TYPE_CHECKING:
    from penelope.flow.verifying import Outside
    from penelope.ledger.chain import Flaw
    from penelope.settings import Settings

_MOST_FLAWS = 100

CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint", metavar="FILE", help="A signed checkpoint of this log that was kept elsewhere."
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Read the database of the settings itself, and ask no server.")
]
LogKeys = Annotated[
    list[str] | None,
    typer.Option(
        "--vkey",
        metavar="VKEY",
        help="With --offline, a verifier key of the log, instead of the folder of the settings; repeatable.",
    ),
]


def verify_ledger(  # noqa: PLR0913 - an option each
    context: typer.Context,
    *,
    checkpoint: CheckpointFile = None,
    offline: Offline = False,
    vkey: LogKeys = None,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Check all that is stored against what was recorded and signed. Exits with 1 if it does not fit.

    With --offline no server is trusted: what is verified is the database, against keys and checkpoint given.
    """
    if vkey and not offline:
        raise InvalidRequest("--vkey is for --offline", hint="A server verifies with its own keys.")
    note = None if checkpoint is None else _read(checkpoint)
    if offline:
        with plainly():
            answer = asyncio.run(_verified(settings_of(context), vkey or [], note))
    else:
        with connected(context, server, key) as client:
            path = "/api/v1/ledger/verify"
            answer = client.get(path) if note is None else client.post_text(path, note)
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        screens.show(screens.verification(answer))
    if not answer["ok"]:
        raise typer.Exit(1)


def show_state(
    context: typer.Context,
    unit: Annotated[str, typer.Argument(metavar="UNIT", help="The id of a unit of work.")],
    *,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Compare a unit of work with its history, and name what differs. Exits with 1 if anything does."""
    with connected(context, server, key) as client:
        answer = client.get(f"/api/v1/ledger/units/{quote(unit, safe='')}/state")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        _show(answer)
    if not answer["ok"]:
        raise typer.Exit(1)


def _show(answer: Any) -> None:
    if answer["ok"]:
        screens.show(Text(f"It is what its history of {answer['version']} entries says.", "green"))
    if answer["paths"] is None:
        screens.show(Text("Its history can no longer be followed: payloads were erased or altered."))
    for path in answer["paths"] or ():
        screens.show(Text(f"differs: {visible(path) or 'everything'}", "red"))
    for flaw in answer["flaws"]:
        screens.show(Text(f"version {flaw['version']}: {visible(flaw['problem'])}", "red"))


# --- without a server -------------------------------------------------------------------------------------


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}", hint="Check the path.") from error


async def _verified(settings: "Settings", vkeys: list[str], note: bytes | None) -> dict[str, Any]:
    """What the server would answer."""
    from penelope.bootstrap import stored_history  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.ledger.notes import open_checkpoint  # noqa: PLC0415 - so that `--help` is there at once

    found = await _outside(settings, vkeys)
    given = [] if note is None else [open_checkpoint(note, found.verifiers)]
    flaws = [_as_json(flaw) for flaw in found.flaws]
    async with stored_history(settings) as verification:
        async for flaw in verification.flaws([*found.checkpoints, *given], found.verifiers):
            if len(flaws) < _MOST_FLAWS:
                flaws.append(_as_json(flaw))
        try:
            head = await verification.head()
        except ChainBroken:
            return {"ok": False, "size": 0, "root": "", "flaws": flaws}
    return {"ok": not flaws, "size": head.size, "root": head.root, "flaws": flaws}


def _as_json(flaw: "Flaw") -> dict[str, Any]:
    return {"unit": flaw.unit, "version": flaw.version, "problem": flaw.problem, "seq": flaw.seq}


async def _outside(settings: "Settings", vkeys: list[str]) -> "Outside":
    """What to hold the database against: the keys given, or what lies in the folder of the log's keys."""
    from penelope.adapters.signers.ed25519 import verifier  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.adapters.signers.logkeys import FolderKeys  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.flow.verifying import Outside, outside  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.kit.clock import SystemClock  # noqa: PLC0415 - so that `--help` is there at once

    if vkeys:
        return Outside([verifier(each) for each in vkeys])
    try:
        folder = existing_keys(settings)
    except BadSettings as error:
        raise InvalidRequest(error.message, hint="Name the log's verifier key with --vkey.") from error
    return await outside(FolderKeys(folder, settings.ledger.origin, SystemClock()))
