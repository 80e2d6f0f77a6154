"""SQLite as the operations on databases need it."""

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from penelope.adapters.actions.sql_model import SqlOptions, check_table
from penelope.adapters.actions.sql_session import Cell, Column, Refused, Row, Session, Table, quoted
from penelope.errors import ActionFailed, InvalidCatalogue, Timeout, Unavailable

_BUSY = {5, 6, 9}
_OUT_OF_REACH = {8, 10, 11, 13, 14, 26}
_CARRYING = {"CASCADE", "SET NULL", "SET DEFAULT"}


class Sqlite(Session):
    """A connection to a file, which must be there already."""

    kind = "sqlite"
    mark = "?"

    def __init__(self, options: SqlOptions, timeout_seconds: float) -> None:
        super().__init__()
        path = unquote(options.url.removeprefix("sqlite://"))
        if not path.startswith("//") or "\x00" in path:
            raise InvalidCatalogue("the url of an SQLite target is sqlite:////absolute/path")
        busy = min(options.lock_timeout_seconds, timeout_seconds)
        with _said():
            if not Path(path[1:]).is_file():
                raise Unavailable("the database's file is not there")
            self._connection = sqlite3.connect(
                f"file:{quote(path[1:])}?mode=rw",
                uri=True,
                timeout=busy,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._connection.execute("PRAGMA foreign_keys = ON")
                self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            except sqlite3.Error:
                self._connection.close()
                raise

    def query(self, sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
        self.go_on()
        with _said(), closing(self._connection.execute(sql, values)) as cursor:
            return cursor.fetchall()

    def run(self, sql: str, values: Any = ()) -> int:
        self.go_on()
        with _said(), closing(self._connection.execute(sql, values)) as cursor:
            cursor.fetchall()
            return cursor.rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                with _said():
                    self._connection.execute("ROLLBACK")
            raise

    def table(self, name: str) -> Table:
        schema, plain = check_table(name)
        if schema not in {None, "main"}:
            raise ActionFailed(f"there is no schema {schema!r}")
        found = self.query("SELECT type FROM sqlite_schema WHERE name = ? COLLATE NOCASE", [plain])
        if found != [("table",)] or plain.lower().startswith("sqlite_"):
            raise ActionFailed(f"{name} is no ordinary table")
        shape = self.query("SELECT name, type, pk, hidden FROM pragma_table_xinfo(?)", [plain])
        if any(hidden == 1 for *_, hidden in shape):
            raise ActionFailed(f"{name} is a virtual table")
        key = tuple(each for each, _, pk, _ in sorted(shape, key=lambda item: item[2]) if pk)
        if not key:
            raise ActionFailed(f"{name} has no primary key")
        carriers, carries = self._references(plain, key)
        return Table(
            name=plain,
            sql=f"main.{quoted(plain)}",
            columns=tuple(Column(each, kind) for each, kind, _, hidden in shape if not hidden),
            key=key,
            triggers=bool(
                self.query(
                    "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE",
                    [plain],
                )
            ),
            carriers_on_update=carriers,
            carries_on_delete=carries,
        )

    def _references(self, table: str, key: tuple[str, ...]) -> tuple[frozenset[str], bool]:
        found = self.query(
            'SELECT f."to", f.on_update, f.on_delete FROM sqlite_schema AS s, pragma_foreign_key_list(s.name) AS f'
            " WHERE s.type = 'table' AND f.\"table\" = ? COLLATE NOCASE",
            [table],
        )
        carriers: set[str] = set()
        for column, on_update, _ in found:
            if on_update in _CARRYING:
                carriers.update([column] if column else key)
        return frozenset(carriers), any(on_delete in _CARRYING for *_, on_delete in found)

    def settled(self, table: Table, values: dict[str, Any]) -> Row:
        """In a table in memory: only SQLite knows how it converts a value for a column."""
        columns = [table.column(name) for name in values]
        names = ", ".join(f"c{place} {column.type}" for place, column in enumerate(columns))
        with _said(), closing(sqlite3.connect(":memory:")) as aside:
            aside.execute(f"CREATE TABLE settled ({names})")
            marks = ", ".join("?" * len(columns))
            aside.execute(f"INSERT INTO settled VALUES ({marks})", list(values.values()))  # noqa: S608 - marks only
            (row,) = aside.execute("SELECT * FROM settled").fetchall()
        return {column.name: self.cell(value) for column, value in zip(columns, row, strict=True)}

    def named(self, sql: str, params: Sequence[str]) -> str:
        if set(re.findall(r"(?<!:):([A-Za-z_]\w*)", sql)) - set(params):
            raise InvalidCatalogue("a statement names a parameter that it does not declare")
        return sql

    def stop(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()

    def shown(self, column: Column) -> str:
        return quoted(column.name)

    def cell(self, value: Any) -> Cell:
        match value:
            case None:
                return None
            case bool() | int():
                return f"i:{int(value)}"
            case float():
                return f"r:{value!r}"
            case bytes():
                return f"b:{value.hex()}"
            case _:
                return f"t:{value}"

    def entry(self, value: Any) -> Cell:
        return self.cell(value)

    def bound(self, cell: Cell) -> Any:
        if cell is None:
            return None
        kind, _, text = cell.partition(":")
        kinds: dict[str, Callable[[str], Any]] = {"i": int, "r": float, "b": bytes.fromhex, "t": str}
        return kinds[kind](text)

    def given(self, column: Column) -> str:  # noqa: ARG002 - any column takes any value
        return "?"

    def same(self, column: Column, cell: Cell) -> tuple[str, list[Any]]:
        return f"{quoted(column.name)} IS ?", [self.bound(cell)]

    def older(self, column: Column) -> str:
        name = quoted(column.name)
        return (
            f"CASE typeof({name}) WHEN 'text' THEN julianday({name}) WHEN 'null' THEN NULL"
            f" ELSE julianday({name}, 'unixepoch') END < julianday('now') - ? / 86400.0"
        )

    def has_table(self, name: str) -> bool:
        return bool(self.query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", [name]))


@contextmanager
def _said() -> Iterator[None]:
    """SQLite's errors as ours, without their text: it may show values."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 1) & 0xFF
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        if code in _BUSY:
            raise Timeout(f"the database is busy ({name})") from None
        if code in _OUT_OF_REACH:
            raise Unavailable(f"the database cannot be used ({name})") from None
        raise Refused(f"the database refused ({name})") from None
    except OverflowError:
        raise Refused("the database refused a number that is too large") from None
