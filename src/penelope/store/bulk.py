"""Statements over many rows, in the form that each database takes fastest.

On SQLite that is executemany. On PostgreSQL all rows travel as one JSON text: the driver needs longer to write arrays
of text than the server needs to insert the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
from sqlalchemy import BigInteger, Integer, LargeBinary, Table

from penelope.store.tables import (
    history_payloads,
    incidents,
    instance_contexts,
    interaction_logs,
    local_actors,
    units_of_work,
    units_of_work_history,
)

Rows = Sequence[tuple[Any, ...]]

UNIT_COLUMNS = tuple(column.name for column in units_of_work.columns)
HISTORY_COLUMNS = tuple(
    column.name for column in units_of_work_history.columns if column.name not in {"seq", "tx"}
)
PAYLOAD_COLUMNS = tuple(column.name for column in history_payloads.columns)
LOADED = (
    f"{', '.join(f'units_of_work.{name}' for name in UNIT_COLUMNS)}, EXISTS ("  # noqa: S608 - our own names
    "SELECT 1 FROM units_of_work_history AS entry "
    "WHERE entry.unit = units_of_work.id AND entry.version = units_of_work.version "
    "AND entry.hash = head AND entry.state_hash = content_hash AND entry.status_after = units_of_work.status "
    "AND entry.kind = units_of_work.kind AND entry.incident = units_of_work.incident)"
)
"""What is read of a unit that is to be changed: its columns, and whether its history ends with what they say."""

LOG_COLUMNS = tuple(column.name for column in interaction_logs.columns if column.name != "seq")

_KEYS = tuple(map(str, range(32)))
"""Keys of the values of a row, by place."""

CHANGING = (
    "kind",
    "incident",
    "status",
    "interaction",
    "attributes",
    "content_hash",
    "version",
    "updated_at",
    "last_heartbeat_at",
    "head",
)
"""The columns of a unit that a save changes."""


@dataclass(frozen=True, slots=True)
class Statements:
    """SQL text for one database. Rows of `replace_units` are the changing columns, then id, version and
    content_hash as the writer saw them; rows of `move_incidents` are state, open_key and id.
    """

    insert_units: str
    insert_history: str
    insert_payloads: str
    replace_units: str
    load_unit: str
    load_units: str
    load_actors: str
    insert_actors: str
    insert_contexts: str
    insert_incidents: str
    move_incidents: str
    as_json: bool

    def parameters(self, rows: Rows) -> Any:
        """Rows as the statements take them."""
        if not self.as_json:
            return list(rows)
        return (orjson.dumps([dict(zip(_KEYS, row, strict=False)) for row in rows]).decode(),)


@cache
def statements(dialect: str) -> Statements:
    """The statements for `sqlite` or `postgresql`."""
    if dialect == "sqlite":
        return _sqlite()
    return _postgresql()


def insert(dialect: str, table: Table, columns: Sequence[str]) -> str:
    """An INSERT of many rows with these columns."""
    names = ", ".join(columns)
    if dialect == "sqlite":
        return f"INSERT INTO {table.name} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - our own names
    return f"INSERT INTO {table.name} ({names}) SELECT * FROM {_given(table, columns)}"  # noqa: S608 - our own names


def delete(dialect: str, table: Table, columns: Sequence[str]) -> str:
    """A DELETE of the rows that have, for each row given, its values in these columns."""
    if dialect == "sqlite":
        return f"DELETE FROM {table.name} WHERE {' AND '.join(f'{name} = ?' for name in columns)}"  # noqa: S608 - our own names
    same = " AND ".join(f"{table.name}.{name} = new.{name}" for name in columns)
    return f"DELETE FROM {table.name} USING {_given(table, columns)} WHERE {same}"  # noqa: S608 - our own names


def _sqlite() -> Statements:
    columns = ", ".join(f"{name} = ?" for name in CHANGING)
    return Statements(
        insert_units=insert("sqlite", units_of_work, UNIT_COLUMNS),
        insert_history=insert("sqlite", units_of_work_history, HISTORY_COLUMNS),
        insert_payloads=insert("sqlite", history_payloads, PAYLOAD_COLUMNS),
        replace_units=f"UPDATE units_of_work SET {columns} WHERE id = ? AND version = ? AND content_hash = ?",  # noqa: S608 - our own names
        load_unit=f"SELECT {LOADED} FROM units_of_work WHERE id = ?",  # noqa: S608 - our own names
        load_units=f"SELECT {LOADED} FROM units_of_work WHERE id IN (SELECT value FROM json_each(?))",  # noqa: S608 - our own names
        load_actors="SELECT name, id FROM local_actors WHERE name IN (SELECT value FROM json_each(?))",
        move_incidents="UPDATE incidents SET state = ?, open_key = ? WHERE id = ?",
        **_projections("sqlite"),
        as_json=False,
    )


def _postgresql() -> Statements:
    changed = ", ".join(f"{name} = new.{name}" for name in CHANGING)
    given = (*CHANGING, "id", "version", "content_hash")
    names = (*CHANGING, "old_id", "old_version", "old_hash")
    return Statements(
        insert_units=insert("postgresql", units_of_work, UNIT_COLUMNS),
        insert_history=insert("postgresql", units_of_work_history, HISTORY_COLUMNS),
        insert_payloads=insert("postgresql", history_payloads, PAYLOAD_COLUMNS),
        replace_units=(
            f"UPDATE units_of_work AS unit SET {changed} FROM {_given(units_of_work, given, names)} "  # noqa: S608 - our own names
            "WHERE unit.id = old_id AND unit.version = old_version AND unit.content_hash = old_hash"
        ),
        load_unit=f"SELECT {LOADED} FROM units_of_work WHERE id = %s FOR UPDATE",  # noqa: S608 - our own names
        load_units=f"SELECT {LOADED} FROM units_of_work WHERE id = ANY(%s) ORDER BY id FOR UPDATE",  # noqa: S608 - our own names
        load_actors="SELECT name, id FROM local_actors WHERE name = ANY(%s)",
        move_incidents=(
            "UPDATE incidents SET state = new.state, open_key = new.open_key "  # noqa: S608 - our own names
            f"FROM {_given(incidents, ('state', 'open_key', 'id'))} "
            "WHERE incidents.id = new.id"
        ),
        **_projections("postgresql"),
        as_json=True,
    )


def _projections(dialect: str) -> dict[str, str]:
    actors = insert(dialect, local_actors, tuple(local_actors.columns.keys()))
    return {
        "insert_actors": f"{actors} ON CONFLICT (name) DO NOTHING",
        "insert_contexts": insert(dialect, instance_contexts, tuple(instance_contexts.columns.keys())),
        "insert_incidents": insert(dialect, incidents, tuple(incidents.columns.keys())),
    }


def _given(table: Table, columns: Sequence[str], names: Sequence[str] | None = None) -> str:
    """The rows of the parameter, typed as columns of a table, as `new`."""
    return given([_type(table, name) for name in columns], names or columns)


def given(types: Sequence[str], names: Sequence[str]) -> str:
    """The rows of the parameter as the relation `new` with these names, in PostgreSQL's words."""
    places = ", ".join(f'"{key}" {kind}' for key, kind in zip(_KEYS, types, strict=False))
    chosen = ", ".join(f'"{key}" AS {name}' for key, name in zip(_KEYS, names, strict=False))
    return f"(SELECT {chosen} FROM json_to_recordset(%s::json) AS given({places})) AS new"  # noqa: S608 - our own names


def _type(table: Table, name: str) -> str:
    kind = table.columns[name].type
    if isinstance(kind, BigInteger):
        return "bigint"
    if isinstance(kind, Integer):
        return "integer"
    return "bytea" if isinstance(kind, LargeBinary) else "text"


def is_bad_data(error: BaseException) -> bool:
    """Whether a database or its driver said that a column can never hold a value.

    Told by the name that PEP 249 gives such errors: not everybody has PostgreSQL's driver installed.
    """
    return any(kind.__name__ == "DataError" for kind in type(error).__mro__)
