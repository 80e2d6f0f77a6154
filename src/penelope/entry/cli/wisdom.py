"""Commands of the wisdom base."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from penelope.entry.cli import screens, wisdom_screens
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected
from penelope.errors import InvalidRequest

_WISDOM = "/api/v1/wisdom"
_BATCH_LINES = 5000
_BATCH_BYTES = 8 * 1024 * 1024
_LONGEST_LINE = 64 * 1024
"""As the server has it; a longer line is sent alone, and refused there."""


def search(  # noqa: PLR0913 - one option each
    context: typer.Context,
    text: Annotated[
        str, typer.Argument(metavar="[TEXT]", help="What happened, in words; without it the newest cases.")
    ] = "",
    *,
    service: Annotated[str | None, typer.Option(help="Only cases of this service.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many at most.")] = 10,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Find past incidents by meaning and words, the most alike first."""
    with connected(context, server, key) as client:
        answer = client.get(_WISDOM, q=text, service=service, limit=limit)
    _print(answer, wisdom_screens.found, as_json=as_json)


def show_case(
    context: typer.Context,
    incident: Annotated[
        str, typer.Argument(metavar="ID", help="The id of an incident that ended, or of an imported one.")
    ],
    *,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show a past incident as later decisions look back on it."""
    with connected(context, server, key) as client:
        answer = client.get(f"{_WISDOM}/{quote(incident, safe='')}")
    _print(answer, wisdom_screens.case, as_json=as_json)


def import_cases(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Past incidents, one JSON object a line.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check the file; keep nothing.")] = False,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Take past incidents in, so that decisions have precedents from the first day.

    The whole file is checked before anything is taken; a long one is then taken 5,000 lines at a time, each time all
    or none. Doing it again changes nothing.
    """
    total = {"new": 0, "known": 0, "dry_run": dry_run}
    with connected(context, server, key) as client:
        for keep in (False,) if dry_run else (False, True):
            total.update(new=0, known=0)
            for first, lines in _batches(file):
                path = f"{_WISDOM}/import?first_line={first}&dry_run={str(not keep).lower()}"
                answer = client.post_text(path, lines)
                total["new"] += answer["new"]
                total["known"] += answer["known"]
    _print(total, wisdom_screens.imported, as_json=as_json)


def _batches(file: Path) -> Iterator[tuple[int, bytes]]:
    """Pieces of whole lines, each with the number of its first. Raises InvalidRequest for what cannot be read."""
    first, size, sent = 1, 0, False
    lines: list[bytes] = []
    try:
        with file.open("rb") as stream:
            # A line without end is not read whole: the server refuses it for what has come.
            while line := stream.readline(_LONGEST_LINE + 1):
                lines.append(line)
                size += len(line)
                if len(lines) >= _BATCH_LINES or size >= _BATCH_BYTES:
                    if _says_anything(lines):
                        yield first, b"".join(lines)
                        sent = True
                    first, lines, size = first + len(lines), [], 0
    except OSError as error:
        raise InvalidRequest(
            f"{file} cannot be read: {error.strerror}", hint="Name a file with one JSON object a line."
        ) from error
    # The server refuses what has no incident in it: of a whole file that is right, of a piece it is not.
    if _says_anything(lines) or not sent:
        yield first, b"".join(lines)


def _says_anything(lines: list[bytes]) -> bool:
    return any(line.strip() for line in lines)


def _print(answer: Any, screen: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        screens.show(screen(answer))
