"""The shop's SQLite database, which both instances share: orders, and the operations that were carried out."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SHARED = "database"
"""The scope of an operation on what all instances share; any other scope is the name of one instance."""

_SCHEMA_1 = (
    """CREATE TABLE orders (
        id INTEGER PRIMARY KEY, product TEXT NOT NULL, quantity INTEGER NOT NULL,
        cents INTEGER NOT NULL, at TEXT NOT NULL
    )""",
    """CREATE TABLE operations (
        key TEXT NOT NULL, scope TEXT NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL, result TEXT NOT NULL,
        PRIMARY KEY (key, scope)
    )""",
    "PRAGMA user_version = 1",
)
_TO_SCHEMA_2 = (
    "ALTER TABLE orders ADD COLUMN coupon TEXT",
    "PRAGMA user_version = 2",
)


class AlreadyMigrated(Exception):
    """Another key's migration came first."""


class Database:
    """One connection, for all threads of a process: what each does is short."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._lock = threading.Lock()
        with self._transaction() as connection:
            if _version(connection) == 0:
                for statement in _SCHEMA_1:
                    connection.execute(statement)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def schema_version(self) -> int:
        with self._lock:
            return _version(self._connection)

    def order(self, product: str, quantity: int, cents: int, coupon: str | None) -> int:
        """Keeps an order and returns its number. Raises sqlite3.OperationalError for a coupon at schema 1."""
        values: dict[str, Any] = {"product": product, "quantity": quantity, "cents": cents, "at": _now()}
        if coupon is not None:
            values["coupon"] = coupon
        columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        with self._transaction() as connection:
            cursor = connection.execute(f"INSERT INTO orders ({columns}) VALUES ({marks})", values)
        return cursor.lastrowid or 0

    def migrate(self, key: str) -> dict[str, Any]:
        """From schema 1 to 2, once a key. Raises AlreadyMigrated where another key did it."""

        def to_schema_2(connection: sqlite3.Connection) -> dict[str, Any]:
            if _version(connection) >= 2:
                raise AlreadyMigrated
            for statement in _TO_SCHEMA_2:
                connection.execute(statement)
            return {"schema_version": 2}

        return self._once(key, SHARED, "migrate", to_schema_2)

    def record(self, key: str, scope: str, kind: str, result: dict[str, Any]) -> dict[str, Any]:
        """Keeps the result of an operation under its key; a key that is known gives what was kept first."""
        return self._once(key, scope, kind, lambda _: result)

    def _once(
        self, key: str, scope: str, kind: str, work: Callable[[sqlite3.Connection], dict[str, Any]]
    ) -> dict[str, Any]:
        with self._transaction() as connection:
            known = _operation(connection, key, scope)
            if known is not None:
                return {**known, "repeated": True}
            result, at = work(connection), _now()
            connection.execute(
                "INSERT INTO operations (key, scope, kind, at, result) VALUES (?, ?, ?, ?, ?)",
                (key, scope, kind, at, json.dumps(result)),
            )
        return {"key": key, "scope": scope, "kind": kind, "at": at, **result, "repeated": False}

    def operation(self, key: str, scope: str) -> dict[str, Any] | None:
        """What was recorded under the key, if anything."""
        with self._lock:
            return _operation(self._connection, key, scope)

    def operations(self) -> list[dict[str, Any]]:
        """All that was recorded, oldest first."""
        with self._lock:
            rows = self._connection.execute("SELECT * FROM operations ORDER BY at, rowid").fetchall()
        return [_as_dict(row) for row in rows]


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _operation(connection: sqlite3.Connection, key: str, scope: str) -> dict[str, Any] | None:
    row = connection.execute("SELECT * FROM operations WHERE key = ? AND scope = ?", (key, scope)).fetchone()
    return None if row is None else _as_dict(row)


def _as_dict(row: sqlite3.Row) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(row["result"])
    return {name: row[name] for name in ("key", "scope", "kind", "at")} | result


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
