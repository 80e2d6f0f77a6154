"""PostgreSQL as the operations on databases need it, through psycopg from the extra `postgres`."""

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from penelope.adapters.actions.sql_model import SqlOptions, check_table
from penelope.adapters.actions.sql_session import Cell, Column, Refused, Row, Session, Table, quoted
from penelope.errors import ActionFailed, InvalidCatalogue, Timeout, Unavailable

_CARRYING = {"c", "n", "d"}
_TRANSIENT = {"40001", "40P01"}
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO,YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "search_path": "public",
}
"""The texts that values are kept as are the same in every session."""

_TABLE = """
SELECT c.oid, n.nspname, c.relname, c.relkind IN ('r', 'p') AND NOT (c.relkind = 'r' AND c.relhassubclass),
  EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D')
  OR EXISTS (SELECT 1 FROM pg_rewrite r WHERE r.ev_class = c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)
"""
_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
_KEY = """
SELECT a.attname FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = %s AND i.indisprimary ORDER BY k.place
"""
_REFERENCES = """
SELECT f.confupdtype::text, f.confdeltype::text, a.attname FROM pg_constraint f
CROSS JOIN LATERAL unnest(f.confkey) AS k(attnum)
JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.attnum
WHERE f.confrelid = %s AND f.contype = 'f'
"""


class Postgres(Session):
    """A connection with limits on what a statement, and a lock, may take."""

    kind = "postgresql"
    mark = "%s"
    locking = " FOR UPDATE"
    inserting = " OVERRIDING SYSTEM VALUE"

    def __init__(self, options: SqlOptions, timeout_seconds: float) -> None:
        super().__init__()
        self._closing = threading.Lock()
        try:
            import psycopg  # noqa: PLC0415 - only an installation with the extra has it
            from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - as above
        except ImportError as error:
            raise Unavailable("psycopg is not installed: pip install 'penelope-ops[postgres]'") from error
        self._errors = psycopg.errors
        self._base: type[psycopg.Error] = psycopg.Error
        settings = {
            **_SETTINGS,
            "statement_timeout": str(max(1, int(timeout_seconds * 1000))),
            "lock_timeout": str(max(1, int(options.lock_timeout_seconds * 1000))),
            "idle_in_transaction_session_timeout": str(max(1000, int(timeout_seconds * 2000))),
        }
        try:
            given = {} if options.password is None else {"password": options.password}
            self._connection = psycopg.connect(
                make_conninfo(options.url, **given),
                autocommit=True,
                connect_timeout=max(2, int(min(timeout_seconds, 10))),
                application_name="penelope",
                prepare_threshold=None,
            )
        except psycopg.ProgrammingError:
            raise InvalidCatalogue("the url of a PostgreSQL target is no connection string") from None
        except psycopg.Error:
            raise Unavailable("the database does not answer, or does not let Penelope in") from None
        try:
            shown = ", ".join(["set_config(%s, %s, false)"] * len(settings))
            self.query(f"SELECT {shown}", [text for item in settings.items() for text in item])
        except BaseException:
            self._connection.close()
            raise

    def query(self, sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
        self.go_on()
        with self._said(), self._connection.cursor() as cursor:
            cursor.execute(sql.encode(), values)
            return list(cursor.fetchall()) if cursor.description else []

    def run(self, sql: str, values: Any = ()) -> int:
        self.go_on()
        with self._said(), self._connection.cursor() as cursor:
            cursor.execute(sql.encode(), values)
            # A query may change rows within a WITH: what it gives says nothing of how many.
            return -1 if (cursor.statusmessage or "").startswith("SELECT") else cursor.rowcount

    def copied(self, sql: str, values: Any, sink: Callable[[bytes], object]) -> int:
        """Hands the rows of a query over as COPY writes them; tells how many they were."""
        self.go_on()
        with self._said(), self._connection.cursor() as cursor:
            with cursor.copy(f"COPY ({sql}) TO STDOUT".encode(), values or None) as rows:
                for row in rows:
                    self.go_on()
                    sink(bytes(row))
            return cursor.rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._said(), self._connection.transaction():
            yield
            self.go_on()

    def allow_locks(self, seconds: float) -> None:
        """Waits for locks that long from now on."""
        self.query("SELECT set_config('lock_timeout', %s, false)", [str(max(1, int(seconds * 1000)))])

    def table(self, name: str) -> Table:
        schema, plain = check_table(name)
        full = f"{quoted(schema or 'public')}.{quoted(plain)}"
        found = self.query(_TABLE, [full])
        if not found or not found[0][3]:
            raise ActionFailed(f"{name} is no ordinary table")
        oid, triggers = found[0][0], found[0][4]
        key = tuple(each for (each,) in self.query(_KEY, [oid]))
        if not key:
            raise ActionFailed(f"{name} has no primary key")
        references = self.query(_REFERENCES, [oid])
        return Table(
            name=name,
            sql=full,
            columns=tuple(Column(each, kind) for each, kind in self.query(_COLUMNS, [oid])),
            key=key,
            triggers=triggers,
            carriers_on_update=frozenset(each for update, _, each in references if update in _CARRYING),
            carries_on_delete=any(delete in _CARRYING for _, delete, _ in references),
        )

    def settled(self, table: Table, values: dict[str, Any]) -> Row:
        columns = [table.column(name) for name in values]
        given = [self.entry(value) for value in values.values()]
        shown = ", ".join(
            f"CAST(CAST(%s AS {column.type}) AS text), CAST({self.given(column)} AS text)"
            for column in columns
        )
        (row,) = self.query(f"SELECT {shown}", [cell for cell in given for _ in range(2)])
        for column, fitted, whole in zip(columns, row[::2], row[1::2], strict=True):
            # A cast to a length cuts silently.
            if (
                column.type.startswith(("character", "bit"))
                and (fitted or "").rstrip() != (whole or "").rstrip()
            ):
                raise Refused(f"a value is too long for {column.name} of {table.name}")
        return {column.name: value for column, value in zip(columns, row[::2], strict=True)}

    def named(self, sql: str, params: Sequence[str]) -> str:
        names = set(re.findall(r"(?<!:):([A-Za-z_]\w*)", sql))
        if names - set(params):
            raise InvalidCatalogue("a statement names a parameter that it does not declare")
        return re.sub(r"(?<!:):([A-Za-z_]\w*)", r"%(\1)s", sql.replace("%", "%%"))

    def stop(self) -> None:
        try:
            self._connection.cancel_safe(timeout=2)
        except self._base:
            self._hang_up()

    def _hang_up(self) -> None:
        """A server that does not even hear a cancel may never answer: whoever waits for it is woken by the socket."""
        with self._closing:
            if self._connection.closed:
                return
            with (
                suppress(OSError, self._base),
                closing(socket.socket(fileno=os.dup(self._connection.fileno()))) as ours,
            ):
                ours.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._closing:
            self._connection.close()

    def shown(self, column: Column) -> str:
        return f"{quoted(column.name)}::text"

    def cell(self, value: Any) -> Cell:
        return None if value is None else str(value)

    def entry(self, value: Any) -> Cell:
        if value is None:
            return None
        return ("true" if value else "false") if isinstance(value, bool) else str(value)

    def bound(self, cell: Cell) -> Any:
        return cell

    def given(self, column: Column) -> str:
        """Without a length: a cast would cut, where an assignment refuses."""
        return f"CAST(%s AS {_lengthless(column.type)})"

    def same(self, column: Column, cell: Cell) -> tuple[str, list[Any]]:
        if cell is None:
            return f"{quoted(column.name)} IS NULL", []
        return f"{quoted(column.name)} = {self.given(column)}", [cell]

    def older(self, column: Column) -> str:
        return f"{quoted(column.name)} < now() - make_interval(secs => %s)"

    def has_table(self, name: str) -> bool:
        return bool(self.query("SELECT 1 WHERE to_regclass(%s) IS NOT NULL", [f"public.{quoted(name)}"]))

    @contextmanager
    def _said(self) -> Iterator[None]:
        """The driver's errors as ours, without their text: it may show values."""
        try:
            yield
        except self._errors.QueryCanceled:
            raise Timeout("a statement took longer than it may") from None
        except self._errors.LockNotAvailable:
            raise Timeout("a lock was not to be had in time: something else holds it") from None
        except self._base as error:
            state = error.sqlstate
            if state is None or state[:2] in {"08", "53", "57"} or state in _TRANSIENT:
                raise Unavailable(
                    f"the database did not carry it out ({state or 'connection lost'})"
                ) from None
            raise Refused(f"the database refused: {type(error).__name__} ({state})") from None


def _lengthless(kind: str) -> str:
    bare = re.sub(r"\([0-9, -]+\)", "", kind)
    return {"character": "pg_catalog.bpchar", "bit": 'pg_catalog."bit"'}.get(bare, bare)
