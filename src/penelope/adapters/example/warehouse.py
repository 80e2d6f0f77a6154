"""Writes the shop's warehouse once: a DuckDB file that is the same on every machine."""

import os
import time
import uuid
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import duckdb

from penelope.errors import Unavailable

_STATEMENTS = (Path(__file__).resolve().parent / "warehouse.sql").read_text(encoding="utf-8")
VERSION = sha256(_STATEMENTS.encode()).hexdigest()[:16]
"""Of the statements that make the warehouse; a file of another version is written anew."""

# What drivers of DuckDB 1.4 and later can read: that of Cube is older than ours.
_STORAGE = "v1.4.0"
_WRITES_SECONDS = 3600
"""What was written aside and is older than this belongs to no writer that is still at work."""


def warehouse(file: Path) -> Path:
    """The shop's warehouse in a file, made in some seconds where it is not there in this version.

    It is written aside and takes its name when it is whole: a crash leaves nothing but a file beside it, and of two
    writers the last one wins with the same content. Raises Unavailable where it cannot be written.
    """
    if _fits(file):
        return file
    aside = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _clear(file)
        _write(aside)
        with aside.open("rb") as stream:
            os.fsync(stream.fileno())
        aside.replace(file)
    except (OSError, duckdb.Error) as error:
        raise Unavailable(
            f"the example's warehouse cannot be written to {file.parent}", hint="It needs some 60 MB."
        ) from error
    finally:
        for left in (aside, aside.with_name(f"{aside.name}.wal")):
            with suppress(OSError):
                left.unlink(missing_ok=True)
    return file


def _fits(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        with duckdb.connect(str(file), read_only=True) as connection:
            found = connection.execute("SELECT version FROM warehouse").fetchone()
    except duckdb.Error:
        return False
    return found == (VERSION,)


def _clear(file: Path) -> None:
    """Takes away what writers that were killed have left, but for those that may be at work."""
    for left in file.parent.glob(f".{file.name}.*.part*"):
        with suppress(OSError):
            if left.stat().st_mtime < time.time() - _WRITES_SECONDS:
                left.unlink()


def _write(file: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET preserve_insertion_order = true")
        name = str(file).replace("'", "''")
        connection.execute(f"ATTACH '{name}' AS made (STORAGE_VERSION '{_STORAGE}')")
        connection.execute("USE made")
        for statement in _STATEMENTS.split("\n;\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute("CREATE TABLE warehouse AS SELECT ? AS version", [VERSION])
        connection.execute("CHECKPOINT made")
        connection.execute("USE memory")
        connection.execute("DETACH made")
