"""Writes exported entries, which come as JSON lines, into a file of another format."""

import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from penelope.errors import PenelopeError

_LONGEST_LINE = 64 * 1024 * 1024

_COLUMNS = {
    "index": "BIGINT",
    "seq": "BIGINT",
    "recorded_at": "VARCHAR",
    "unit": "VARCHAR",
    "version": "BIGINT",
    "kind": "VARCHAR",
    "incident": "VARCHAR",
    "event": "VARCHAR",
    "actor_id": "VARCHAR",
    "status_before": "VARCHAR",
    "status_after": "VARCHAR",
    "state_before": "VARCHAR",
    "state_hash": "VARCHAR",
    "interaction_before": "VARCHAR",
    "interaction_after": "VARCHAR",
    "previous_hash": "VARCHAR",
    "payload_hash": "VARCHAR",
    "hash": "VARCHAR",
    "actor": "VARCHAR",
    "reason": "VARCHAR",
    "details": "JSON",
    "patch": "JSON",
    "salt": "VARCHAR",
}


class Format(StrEnum):
    """How an export is written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def convert(pieces: Iterator[bytes], form: Format, file: Path) -> int:
    """Writes the file, and returns the number of entries. Raises OSError, or PenelopeError if it fails halfway.

    What is not JSON lines passes through a temporary file, so that memory does not grow with it.
    """
    if form is Format.JSONL:
        return _write(pieces, file)
    with tempfile.TemporaryDirectory(prefix="penelope-") as folder:
        lines = Path(folder, "entries.jsonl")
        number = _write(pieces, lines)
        _copy(lines, form, file)
    return number


def _write(pieces: Iterator[bytes], file: Path) -> int:
    number = 0
    with file.open("wb") as stream:
        for piece in pieces:
            stream.write(piece)
            number += piece.count(b"\n")
    return number


def _copy(lines: Path, form: Format, file: Path) -> None:
    import duckdb  # noqa: PLC0415 - nothing else needs it

    # In Parquet a moment is a moment; in text it stays as it was recorded.
    columns = _COLUMNS if form is Format.CSV else {**_COLUMNS, "recorded_at": "TIMESTAMPTZ"}
    try:
        with duckdb.connect() as database:
            found = database.read_json(
                str(lines), columns=columns, format="newline_delimited", maximum_object_size=_LONGEST_LINE
            )
            if form is Format.CSV:
                found.write_csv(str(file), header=True)
            else:
                found.write_parquet(str(file))
    except duckdb.Error as error:
        raise PenelopeError(
            f"the export could not be converted: {error}", hint="Export JSON lines instead."
        ) from error
