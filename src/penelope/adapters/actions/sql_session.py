"""What the operations on databases need of one: tables, rows in a form that comes back exactly, transactions."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from penelope.errors import ActionFailed, Timeout

Cell = str | None
"""A value as a text from which the database makes exactly the same value again; None is NULL."""
Row = dict[str, Cell]
"""By column."""


class Refused(ActionFailed):
    """The database said no: the statement, and the transaction that it was in, had no effect."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that can be written; `type` is as the database itself writes it."""

    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """An ordinary table with a primary key. `carriers` are columns on which rows of other tables depend in such a way
    that the database changes those rows too.
    """

    name: str
    sql: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    triggers: bool = False
    carriers_on_update: frozenset[str] = frozenset()
    carries_on_delete: bool = False

    def column(self, name: str) -> Column:
        """Raises ActionFailed where the table has no such column that can be written."""
        for column in self.columns:
            if column.name == name:
                return column
        raise ActionFailed(f"{self.name} has no column {name!r} that can be written")


def quoted(name: str) -> str:
    """An identifier as SQL."""
    return '"' + name.replace('"', '""') + '"'


class Session(ABC):
    """One connection. Raises Unavailable, Timeout, and Refused for what the database does not accept."""

    kind: ClassVar[str]
    mark: ClassVar[str]
    """Stands for a value in a statement."""
    locking: ClassVar[str] = ""
    """Appended to a query whose rows must stay as they are until the transaction ends."""

    @abstractmethod
    def query(self, sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
        """`values` as a sequence, or by name; None says that there is not even a place for any."""

    @abstractmethod
    def run(self, sql: str, values: Any = ()) -> int:
        """How many rows it changed; -1 where the database cannot say."""

    @abstractmethod
    def transaction(self) -> Any:
        """A context: committed at its end, rolled back by an error."""

    @abstractmethod
    def table(self, name: str) -> Table:
        """Raises ActionFailed for one that is not there, is no ordinary table, or has no primary key."""

    @abstractmethod
    def settled(self, table: Table, values: dict[str, Any]) -> Row:
        """What the database would keep of such values. Raises Refused; changes nothing."""

    @abstractmethod
    def named(self, sql: str, params: Sequence[str]) -> str:
        """A statement with ``:name`` for its parameters, as the driver wants it."""

    @abstractmethod
    def stop(self) -> None:
        """Ends the statement that runs, from another thread."""

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def shown(self, column: Column) -> str:
        """SQL that gives what `cell` reads."""

    @abstractmethod
    def cell(self, value: Any) -> Cell:
        """What a query gave, as a cell."""

    @abstractmethod
    def entry(self, value: Any) -> Cell:
        """What a playbook or the catalogue gave, as a cell."""

    @abstractmethod
    def bound(self, cell: Cell) -> Any:
        """What is handed over for a value of `given`."""

    @abstractmethod
    def given(self, column: Column) -> str:
        """SQL that takes a cell, as the type of the column."""

    @abstractmethod
    def same(self, column: Column, cell: Cell) -> tuple[str, list[Any]]:
        """SQL, with its values, that holds where the column is the cell, NULL being equal to NULL."""

    @abstractmethod
    def older(self, column: Column) -> str:
        """SQL that holds where the time in a column is more than so many seconds ago."""

    @abstractmethod
    def has_table(self, name: str) -> bool: ...

    inserting: ClassVar[str] = ""
    """Lets an insert give values that the database would make by itself."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def interrupt(self) -> None:
        """Ends what runs, and refuses what comes; from another thread."""
        self._stopped.set()
        self.stop()

    def go_on(self) -> None:
        """Raises Timeout once it was interrupted. Asked before each statement and before a commit."""
        if self._stopped.is_set():
            raise Timeout("the work on the database was ended, for its time was up")

    def pause(self, seconds: float) -> None:
        """Raises Timeout where it is interrupted meanwhile."""
        self._stopped.wait(seconds)
        self.go_on()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, table: Table, key: Row, *, lock: bool = False) -> Row | None:
        """The row of that primary key."""
        found = self.select(table, *self._at(table, key), 1, lock=lock)
        return found[0] if found else None

    def _at(self, table: Table, key: Row) -> tuple[str, list[Any]]:
        parts = [self.same(table.column(name), key[name]) for name in table.key]
        return " AND ".join(sql for sql, _ in parts), [value for _, values in parts for value in values]

    def select(
        self, table: Table, conditions: str, values: Sequence[Any], limit: int, *, lock: bool = False
    ) -> list[Row]:
        shown = ", ".join(self.shown(column) for column in table.columns)
        order = ", ".join(quoted(name) for name in table.key)
        sql = f"SELECT {shown} FROM {table.sql} WHERE {conditions} ORDER BY {order} LIMIT {int(limit)}"  # noqa: S608 - quoted names, values apart
        names = [column.name for column in table.columns]
        rows = self.query(sql + (self.locking if lock else ""), values)
        return [dict(zip(names, map(self.cell, row), strict=True)) for row in rows]

    def size(self, table: Table, conditions: str, values: Sequence[Any], limit: int) -> int:
        """How long the texts of all cells of such rows are together, found out without fetching any."""
        lengths = " + ".join(f"coalesce(length({self.shown(column)}), 0)" for column in table.columns)
        found = f"SELECT {lengths} AS size FROM {table.sql} WHERE {conditions} LIMIT {int(limit)}"  # noqa: S608 - quoted names, values apart
        return int(self.query(f"SELECT coalesce(sum(size), 0) FROM ({found}) AS f", values)[0][0])  # noqa: S608 - as above

    def put(self, table: Table, key: Row, before: Row | None, after: Row | None) -> None:
        """Makes one row what it shall be, from what it is. Raises Refused where not exactly one row was changed."""
        at, where = self._at(table, key)
        if after is None:
            changed = self.run(f"DELETE FROM {table.sql} WHERE {at}", where)  # noqa: S608 - as above
        elif before is None:
            names = ", ".join(map(quoted, after))
            given = ", ".join(self.given(table.column(name)) for name in after)
            sql = f"INSERT INTO {table.sql} ({names}){self.inserting} VALUES ({given})"  # noqa: S608 - as above
            changed = self.run(sql, [self.bound(cell) for cell in after.values()])
        else:
            news = {name: cell for name, cell in after.items() if before.get(name) != cell}
            if not news:
                return
            sets = ", ".join(f"{quoted(name)} = {self.given(table.column(name))}" for name in news)
            sql = f"UPDATE {table.sql} SET {sets} WHERE {at}"  # noqa: S608 - as above
            changed = self.run(sql, [*(self.bound(cell) for cell in news.values()), *where])
        if changed != 1:
            raise Refused(f"{changed} rows of {table.name} would change where one must")
