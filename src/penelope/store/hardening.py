"""SQLite connections that cannot be talked into going round the guards, or into forgetting what they committed."""

import sqlite3
import sys
from collections.abc import Callable
from typing import Any

_HARMLESS = frozenset(
    {
        "foreign_key_check",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "optimize",
        "quick_check",
        "read_uncommitted",
        "table_info",
        "table_list",
        "table_xinfo",
        "wal_checkpoint",
    }
)
"""Pragmas that may be given a value. Others can unlock the schema (writable_schema) or a reader (query_only), and
switch off the journal, the waiting for the disk, or triggers' protection."""


def opener(*pragmas: str) -> Callable[..., sqlite3.Connection]:
    """A factory for `sqlite3.connect`: it runs these pragmas, and after them refuses all that change a setting.

    What is refused raises sqlite3.DatabaseError, "not authorized". SQLite asks when it compiles a statement, not
    when it runs one, and Python keeps those that it has compiled.
    """

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = sqlite3.Connection(*arguments, **options)
        if sys.version_info >= (3, 12):  # pragma: no cover - Python 3.11 has no setconfig
            connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        connection.set_authorizer(_authorize)
        return connection

    return connect


def _authorize(action: int, name: str | None, value: str | None, *_: str | None) -> int:
    if action == sqlite3.SQLITE_PRAGMA and value is not None and str(name).lower() not in _HARMLESS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
