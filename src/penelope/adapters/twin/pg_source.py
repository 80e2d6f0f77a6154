"""What a twin of a PostgreSQL database is made from: its schema, and the rows that the catalogue lets be copied.

All is read in one transaction that may not write, as of one moment. Nothing of the database runs here: what it gives is
kept in files, and only ever loaded in a sandbox.
"""

import asyncio
import os
import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from penelope.adapters.actions.options import read_params
from penelope.adapters.actions.sql_model import DeleteParams, SqlOptions, UpdateParams, check_table
from penelope.adapters.actions.sql_postgres import Postgres
from penelope.adapters.actions.sql_rows import conditions
from penelope.adapters.actions.sql_session import Table, quoted
from penelope.adapters.twin.copies import Bounds, CannotCopy
from penelope.adapters.twin.pg_programs import Programs
from penelope.domain.action import Action
from penelope.errors import InvalidCatalogue

DUMP = "schema.dump"
_CHOOSING: Mapping[str, type[UpdateParams | DeleteParams]] = {
    "update_rows": UpdateParams,
    "delete_rows": DeleteParams,
}
_CHUNK = 1 << 16
_MOST_SAID = 300
_LOCK_MILLISECONDS = 3000
_END_SECONDS = 5.0
_SNAPSHOT = re.compile(r"[0-9A-Fa-f-]{1,64}")
_KEPT = ("HOME", "KRB5CCNAME", "KRB5_CONFIG", "LANG", "LD_LIBRARY_PATH", "PATH", "USER")
_ONLY_READS = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
# Where rows would be left out for want of a right, the query is to fail.
_WHOLE = "SET LOCAL row_security = off"
_ROLES = "SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_' LIMIT 10000"
_SEQUENCES = """
SELECT pg_catalog.quote_ident(s.schemaname) || '.' || pg_catalog.quote_ident(s.sequencename), s.last_value
FROM pg_catalog.pg_sequences s JOIN pg_catalog.pg_namespace n ON n.nspname = s.schemaname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = s.sequencename
WHERE s.last_value IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
LIMIT 10000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dumped:
    """What was read, beside the files: JSON for `serving.py`, and what people are told."""

    roles: Sequence[str]
    sequences: Sequence[tuple[str, int]]
    rows: Sequence[Mapping[str, str]]
    notes: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class _Reading:
    """One reading under way; `stop` may come from another thread."""

    options: SqlOptions
    actions: Sequence[Action]
    programs: Programs
    place: Path
    bounds: Bounds
    seconds: float
    left: int = 0
    session: Postgres | None = None
    process: "subprocess.Popen[bytes] | None" = None
    ended: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        self.ended.set()
        if self.session is not None:
            self.session.interrupt()
        if self.process is not None:
            self.process.kill()

    def take(self, size: int) -> None:
        """Counts what is kept. Raises CannotCopy beyond what may be."""
        self.left -= size
        if self.left < 0:
            raise CannotCopy(f"it holds more than {self.bounds.size} bytes (setting twin.copy_mib)")


async def dumped(
    options: SqlOptions,
    actions: Sequence[Action],
    programs: Programs,
    place: Path,
    bounds: Bounds,
    seconds: float,
) -> Dumped:
    """Reads schema and samples into files below `place`. `actions` are those on the target: rows that they choose come
    first into the samples. Raises CannotCopy, PenelopeError, OSError; ends its work also when it is cancelled.
    """
    reading = _Reading(
        options=options, actions=actions, programs=programs, place=place, bounds=bounds, seconds=seconds
    )
    reading.left = bounds.size
    running = asyncio.ensure_future(asyncio.to_thread(_read, reading))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.to_thread(reading.stop)
        await asyncio.wait({running}, timeout=_END_SECONDS)
        if running.done():
            running.exception()
        raise


def chosen(action: Action) -> str | None:
    """The table, as ``schema.table``, of whose rows an action chooses some; None where it chooses none."""
    if action.operation not in _CHOOSING:
        return None
    schema, plain = check_table(str(action.params.get("table")))
    return f"{schema or 'public'}.{plain}"


def sampled(options: SqlOptions) -> dict[str, int]:
    """The tables that may be copied, as ``schema.table``, each with its most rows. Raises InvalidPlaybook."""
    rows = options.twin.rows if options.twin else {}
    named = {check_table(name): most for name, most in rows.items()}
    return {f"{schema or 'public'}.{plain}": most for (schema, plain), most in named.items()}


def _read(reading: _Reading) -> Dumped:
    with Postgres(reading.options, reading.seconds) as session:
        reading.session = session
        if reading.ended.is_set():
            session.interrupt()
        with session.transaction():
            session.run(_ONLY_READS)
            session.run(_WHOLE)
            major = int(session.query("SHOW server_version_num")[0][0]) // 10_000
            if major > reading.programs.major:
                raise CannotCopy(
                    f"the server is PostgreSQL {major}, and the newest programs here are of {reading.programs.major}"
                )
            ((snapshot,),) = session.query("SELECT pg_catalog.pg_export_snapshot()")
            _dump(reading, str(snapshot))
            rows, notes = [], []
            for number, (name, most) in enumerate(sampled(reading.options).items()):
                row, whole = _sample(reading, session, f"rows-{number}", session.table(name), most)
                rows.append(row)
                notes.append(f"of {name} {row['count']} rows were copied{'' if whole else ', not all'}")
            return Dumped(
                roles=[name for (name,) in session.query(_ROLES)],
                sequences=[(str(name), int(value)) for name, value in session.query(_SEQUENCES)],
                rows=rows,
                notes=tuple(notes or ["no rows were copied, only the schema"]),
            )


# --- the schema -------------------------------------------------------------------------------------------


def _dump(reading: _Reading, snapshot: str) -> None:
    """Into a file. `pg_dump` reads in a transaction of its own that may not write, as of the same moment."""
    if _SNAPSHOT.fullmatch(snapshot) is None:
        raise CannotCopy("the server gives its snapshot a strange name")
    environment, rest = connection(reading.options)
    argv = [
        str(reading.programs.folder / "pg_dump"), "--format=custom", "--compress=0", "--schema-only", "--no-owner",
        "--no-privileges", "--no-comments", "--no-publications", "--no-subscriptions", "--no-security-labels",
        "--no-tablespaces", "--encoding=UTF8", "--no-password", f"--lock-wait-timeout={_LOCK_MILLISECONDS}",
        f"--snapshot={snapshot}", f"--dbname={rest}",
    ]  # fmt: skip
    with (reading.place / DUMP).open("xb") as sink:
        process = subprocess.Popen(  # noqa: S603 - a program that was found; nothing of a plan is among its arguments
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
        )
        reading.process = process
        assert process.stdout is not None  # noqa: S101 - it was asked for
        assert process.stderr is not None  # noqa: S101 - it was asked for
        said = bytearray()
        listening = threading.Thread(target=_listen, args=(process.stderr, said), daemon=True)
        listening.start()
        try:
            if reading.ended.is_set():
                process.kill()
            _drain(reading, process.stdout, sink)
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            listening.join()
            process.stdout.close()
            process.stderr.close()
    if code:
        lines = said.decode("utf-8", "replace").splitlines()
        why = next((line for line in lines if "error: " in line), "")
        raise CannotCopy(f"the schema cannot be dumped (pg_dump ends with {code}): {plain(why)}")


def plain(text: str) -> str:
    """What something untrusted said, for people."""
    return "".join(character if character.isprintable() else " " for character in text)[:_MOST_SAID]


def _listen(stream: IO[bytes], said: bytearray) -> None:
    """To the end, for who is not listened to waits; keeps the beginning."""
    while chunk := stream.read(_CHUNK):
        said += chunk[: _CHUNK - len(said)]


def _drain(reading: _Reading, stream: IO[bytes], sink: IO[bytes]) -> None:
    while chunk := stream.read(_CHUNK):
        reading.take(len(chunk))
        sink.write(chunk)


def connection(
    options: SqlOptions, surroundings: Mapping[str, str] | None = None
) -> tuple[dict[str, str], str]:
    """How a program reaches the database that the options name: an environment for secrets, for arguments are seen by
    everybody on the machine, and all the rest as an argument, for that goes before any variable and service file.
    Raises CannotCopy, InvalidCatalogue, Unavailable.
    """
    from psycopg import ProgrammingError, pq  # noqa: PLC0415 - only an installation with the extra has it
    from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415 - as above

    around = os.environ if surroundings is None else surroundings
    environment = {name: value for name, value in around.items() if name in _KEPT or name.startswith("PG")}
    try:
        given = {
            name: str(value) for name, value in conninfo_to_dict(options.url).items() if value is not None
        }
    except ProgrammingError:
        raise InvalidCatalogue("the url of a PostgreSQL target is no connection string") from None
    if options.password is not None:
        given["password"] = options.password
    known = {each.keyword.decode(): each for each in pq.Conninfo.get_defaults()}
    rest = {}
    for name, value in given.items():
        about = known[name]
        if not about.dispchar:
            rest[name] = value
        elif about.envvar is not None:
            environment[about.envvar.decode()] = value
        else:
            raise CannotCopy(f"the url's {name} cannot be handed to pg_dump but where everybody would see it")
    return environment, make_conninfo("", **rest)


# --- rows -------------------------------------------------------------------------------------------------


def _sample(
    reading: _Reading, session: Postgres, file: str, table: Table, most: int
) -> tuple[dict[str, str], bool]:
    """Rows into a file as COPY writes them, those first that actions choose; and whether they are all."""
    where, values, wanted = _wanted(reading, session, table)
    columns = ", ".join(quoted(column.name) for column in table.columns)
    counted, whole = 0, True
    with (reading.place / file).open("xb") as sink:

        def kept(chunk: bytes) -> None:
            reading.take(len(chunk))
            sink.write(chunk)

        # One more than is kept tells whether there are more.
        for condition, given, limit in (
            (where, values, wanted),
            (f"NOT coalesce({where}, false)", values, most),
        ):
            if limit:
                source = f"SELECT {columns} FROM {table.sql} WHERE {condition}"  # noqa: S608 - quoted names, values apart
                count = session.copied(f"{source} LIMIT {limit}", given, kept)
                more = count == limit and session.query(f"{source} LIMIT 1 OFFSET {limit}", given)
                counted, whole = counted + count, whole and not more
    sql = f"COPY {table.sql} ({columns}) FROM STDIN"
    return {"file": file, "sql": sql, "table": table.name, "count": str(counted)}, whole


def _wanted(reading: _Reading, session: Postgres, table: Table) -> tuple[str, list[Any], int]:
    """What the actions on a table choose together, and how many rows that may be: one more than each may change, so that
    one that would change too many does so on the twin as well.
    """
    parts, values, most = [], [], 0
    for action in reading.actions:
        if chosen(action) == table.name:
            given = read_params(_CHOOSING[action.operation], action.params)
            sql, bound = conditions(session, table, given.where)
            parts.append(f"({sql})")
            values += bound
            most += given.max_rows + 1
    return (" OR ".join(parts) or "false"), values, most
