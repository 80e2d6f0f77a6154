"""Commands about what leaves the ledger: receipts, checkpoints, exports, figures, and the log's keys."""

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penelope.entry.cli import ledger_screens, screens
from penelope.entry.cli.export import Format, convert
from penelope.entry.cli.offline import existing_keys
from penelope.entry.cli.options import moment_of, settings_of
from penelope.entry.cli.output import Output, deliver, replacing
from penelope.entry.cli.remote import ApiKey, AsJson, Id, Server, connected, incident_path
from penelope.errors import BadSettings, InvalidRequest

if TYPE_CHECKING:
    from penelope.adapters.signers.keyfolder import KeyFolder
    from penelope.ledger.ports import Verifier

_LARGEST_KEY_FILE = 1024 * 1024


# --- what a server tells ----------------------------------------------------------------------------------


def prove(
    context: typer.Context, incident: Id, *, output: Output = None, server: Server = None, key: ApiKey = None
) -> None:
    """Get the receipt of an incident: its whole story, which proves itself offline."""
    with connected(context, server, key) as client:
        receipt = client.get(f"{incident_path(incident)}/receipt")
    deliver([f"{json.dumps(receipt, indent=1)}\n".encode()], output)
    where = "" if output is None else f" It is in {output}."
    screens.remark(f"The receipt proves {_entries(len(receipt['entries']))}.{where}")


def checkpoint(
    context: typer.Context, *, output: Output = None, server: Server = None, key: ApiKey = None
) -> None:
    """Get the newest signed checkpoint. Keep it where nobody who can write to the database can."""
    from penelope.ledger.notes import Note  # noqa: PLC0415 - so that `--help` is there at once

    with connected(context, server, key) as client:
        answer = client.get("/api/v1/ledger/checkpoint")
    deliver([Note.parse(answer["note"].encode()).encode()], output)
    screens.remark(f"It covers {_entries(answer['size'])}.")


def stats(
    context: typer.Context, *, server: Server = None, key: ApiKey = None, as_json: AsJson = False
) -> None:
    """Show how much history there is, and how the log stands."""
    with connected(context, server, key) as client:
        answer = client.get("/api/v1/ledger/stats")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        screens.show(ledger_screens.figures(answer))


def export(  # noqa: PLR0913 - one option each
    context: typer.Context,
    *,
    form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.JSONL,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Recorded then or later, such as 2026-11-21 (UTC). To go on after an earlier export, begin a"
            " while before its end: what was being written then is not in it.",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Recorded before; by default now.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPR",
            help="FIELD=VALUE or FIELD!=VALUE; the field is event, kind, actor, unit, incident or status_after."
            " Repeatable: all must hold.",
        ),
    ] = None,
    output: Output = None,
    server: Server = None,
    key: ApiKey = None,
) -> None:
    """Write entries in order of time, with their places in the log, as JSON lines, CSV or Parquet."""
    query = {"since": moment_of(since), "until": moment_of(until), "where": where}
    if form is not Format.JSONL and output is None:
        raise InvalidRequest(f"{form} needs a file to be written to", hint="Name it with -o FILE.")
    with connected(context, server, key) as client:
        pieces = client.pieces("/api/v1/ledger/export", **query)
        if output is None:
            number = _pass_on(pieces)
        else:
            with replacing(output) as aside:
                number = convert(pieces, form, aside)
    screens.remark(f"{_entries(number)}.")


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"


def _pass_on(pieces: Iterator[bytes]) -> int:
    number = 0
    for piece in pieces:
        sys.stdout.buffer.write(piece)
        number += piece.count(b"\n")
    sys.stdout.buffer.flush()
    return number


# --- checking a receipt -----------------------------------------------------------------------------------


def check(
    receipt: Annotated[Path, typer.Argument(metavar="FILE", help="A receipt.")],
    *,
    key: Annotated[
        list[str],
        typer.Option(
            metavar="VKEY", help="A verifier key of the log, or a file with one a line; repeatable."
        ),
    ],
    witness: Annotated[
        list[str] | None,
        typer.Option(metavar="VKEY", help="The same of a witness that must have cosigned; repeatable."),
    ] = None,
) -> None:
    """Check a receipt without server, database and settings, and show what it proves. Exits with 1 if it fails."""
    from penelope.ledger import receipt as receipts  # noqa: PLC0415 - so that `--help` is there at once

    made = receipts.parse(_read(receipt, receipts.LARGEST_BYTES))
    story = receipts.check(made, _verifiers(key), _verifiers(witness or ()))
    for part in ledger_screens.story(story, screens.width()):
        screens.show(part)


def _read(file: Path, most: int) -> bytes:
    """What is in a file, and a byte more than `most` if it is longer. Raises InvalidRequest."""
    try:
        with file.open("rb") as stream:
            return stream.read(most + 1)
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}", hint="Name another file.") from error


def _verifiers(given: Sequence[str]) -> list["Verifier"]:
    from penelope.adapters.signers.ed25519 import verifier  # noqa: PLC0415 - so that `--help` is there at once

    return [verifier(vkey) for text in given for vkey in _vkeys(text)]


def _vkeys(text: str) -> list[str]:
    """The verifier keys that a text is or, if it names a file, that begin the lines of it."""
    if "+" in text and not Path(text).exists():
        return [text]
    content = _read(Path(text), _LARGEST_KEY_FILE)
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        lines = []
    if not lines or len(content) > _LARGEST_KEY_FILE:
        raise BadSettings(f"{text} holds no verifier keys", hint="`penelope ledger key` prints the log's.")
    return [line.split(" ")[0] for line in lines if line]


# --- the log's keys ---------------------------------------------------------------------------------------


def keys(context: typer.Context) -> None:
    """Print the log's verifier keys, a line each, for whoever checks receipts; and rotate or retire keys."""
    if context.invoked_subcommand is None:
        for each in _folder(context).listed:
            typer.echo(each.vkey)
            end = "and signs" if each.retired is None else f"retired {each.retired}"
            screens.remark(f"{each.key_id}: added {each.added}, {end}")


def rotate(context: typer.Context) -> None:
    """Add a key that signs from now on, beside those there are, and print its verifier key."""
    before = _folder(context)
    after = before.rotate(datetime.now(UTC))
    known = {each.vkey for each in before.listed}
    for each in after.listed:
        if each.vkey not in known:
            typer.echo(each.vkey)
    screens.remark("Hand it to auditors and witnesses; once they have it, retire the old key.")


def retire(
    context: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id of a key: eight hexadecimal digits.")],
) -> None:
    """End a key's signing for good, and remove its private half. What it has signed stays good."""
    _folder(context).retire(key_id, datetime.now(UTC))
    screens.remark(f"Key {key_id} is retired. Auditors still need it for what it has signed.")


def _folder(context: typer.Context) -> "KeyFolder":
    from penelope.adapters.signers.keyfolder import load  # noqa: PLC0415 - so that `--help` is there at once

    settings = settings_of(context)
    return load(existing_keys(settings), settings.ledger.origin, datetime.now(UTC))
