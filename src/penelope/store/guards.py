"""Triggers that let history only grow, on both databases.

They stop slips, injected SQL and a service's own role. Whoever owns the tables or the file can drop them: that, the log
reveals (docs/database.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

APPEND_ONLY: Sequence[str] = (
    "units_of_work_history",
    "interaction_logs",
    "log_leaves",
    "log_checkpoints",
    "cosignatures",
)
"""Tables whose rows are never changed and never deleted."""

ERASABLE: Sequence[str] = ("history_payloads",)
"""Tables whose rows are never changed, but may be deleted once they were archived."""

_KEYS: Mapping[str, str] = {
    "units_of_work_history": "seq = NEW.seq OR (unit = NEW.unit AND version = NEW.version)",
    "interaction_logs": "seq = NEW.seq",
    "log_leaves": '"index" = NEW."index" OR seq = NEW.seq',
    "log_checkpoints": "rowid = NEW.rowid OR size = NEW.size",
    "cosignatures": "rowid = NEW.rowid OR (size = NEW.size AND witness = NEW.witness)",
    "history_payloads": "unit = NEW.unit AND version = NEW.version",
}
"""By what a row would replace another: on SQLite INSERT OR REPLACE deletes without asking the DELETE trigger.

A number that SQLite is yet to choose reads as -1 there, which no row bears.
"""

NUMBERED: Sequence[str] = ("units_of_work_history", "interaction_logs")
"""Tables whose rows the database numbers by itself, whatever an INSERT says."""

_STAMPED: Sequence[str] = ("units_of_work_history",)
"""Tables whose rows bear the transaction that wrote them: PostgreSQL's, on SQLite always 0."""

_SEARCH_PATH = "search_path=pg_catalog, pg_temp"
"""Of the functions: no session can put operators of its own before those that they use."""

_ROW, _BEFORE = 1, 2
_EVENTS: Mapping[str, int] = {"insert": 4, "delete": 8, "update": 16, "truncate": 32}
"""The bits of pg_trigger.tgtype (catalog/pg_trigger.h)."""


class _Guard(NamedTuple):
    """A trigger. On PostgreSQL `kind` is its tgtype and `body` the source of its function; on SQLite all is in `sql`."""

    name: str
    table: str
    sql: str
    kind: int = 0
    body: str = ""


def install(connection: Connection) -> None:
    """Creates all guards; none of them may be there yet."""
    if connection.dialect.name == "sqlite":
        for guard in _on_sqlite():
            connection.exec_driver_sql(guard.sql)
        return
    for name, body in _bodies().items():
        sql = f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET {_SEARCH_PATH} AS $${body}$$"
        connection.exec_driver_sql(sql.replace("%", "%%"))
    for guard in _on_postgresql():
        connection.exec_driver_sql(guard.sql)
        # ALWAYS: also for sessions that call themselves replicas.
        connection.exec_driver_sql(f"ALTER TABLE {guard.table} ENABLE ALWAYS TRIGGER {guard.name}")


def remove(connection: Connection) -> None:
    """Drops the guards that are there."""
    if connection.dialect.name == "sqlite":
        for guard in _on_sqlite():
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {guard.name}")
        return
    for guard in _on_postgresql():
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {guard.name} ON {guard.table}")
    for name in _bodies():
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {name}()")


def missing(connection: Connection) -> list[str]:
    """The names of guards that are not in force: dropped, disabled, moved or no longer what `install` made."""
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        there = {(name, sql) for name, sql in found}
        return [guard.name for guard in _on_sqlite() if (guard.name, guard.sql) not in there]
    in_force = set(map(tuple, connection.exec_driver_sql(_IN_FORCE)))
    return [
        guard.name
        for guard in _on_postgresql()
        if (guard.name, guard.table, guard.kind, guard.body) not in in_force
    ]


_IN_FORCE = f"""\
SELECT tgname, relname, tgtype, prosrc
FROM pg_trigger
JOIN pg_class ON pg_class.oid = tgrelid
JOIN pg_proc ON pg_proc.oid = tgfoid
JOIN pg_language ON pg_language.oid = prolang
WHERE relnamespace = current_schema()::regnamespace
    AND tgenabled = 'A' AND tgqual IS NULL AND tgattr::text = ''
    AND lanname = 'plpgsql' AND proconfig = ARRAY['{_SEARCH_PATH}']"""  # noqa: S608 - our own words
"""Triggers that fire in every session, whatever the row and the columns."""


def _on_sqlite() -> Iterator[_Guard]:
    for table in (*APPEND_ONLY, *ERASABLE):
        for event in ("update",) if table in ERASABLE else ("update", "delete"):
            yield _sqlite_guard(table, event, f"BEFORE {event.upper()}", "")
        duplicate = f"EXISTS (SELECT 1 FROM {table} WHERE {_KEYS[table]})"  # noqa: S608 - our own names
        yield _sqlite_guard(table, "insert", "BEFORE INSERT", duplicate)
    for table in NUMBERED:
        # Afterwards, for only then the number is known. With no gap ever, one before the last is taken already.
        gap = f"NEW.seq < 1 OR (NEW.seq > 1 AND NOT EXISTS (SELECT 1 FROM {table} WHERE seq = NEW.seq - 1))"  # noqa: S608 - our own names
        wrong = f"{gap} OR NEW.tx <> 0" if table in _STAMPED else gap
        yield _sqlite_guard(table, "number", "AFTER INSERT", wrong)


def _sqlite_guard(table: str, event: str, moment: str, when: str) -> _Guard:
    name = f"guard_{table}_{event}"
    condition = f"WHEN {when} " if when else ""
    # SQLite reports it as an IntegrityError, as it does a duplicate key.
    refusal = f"SELECT RAISE(ABORT, '{table} only grows')"
    return _Guard(name, table, f"CREATE TRIGGER {name} {moment} ON {table} {condition}BEGIN {refusal}; END")


def _on_postgresql() -> Iterator[_Guard]:
    for table in (*APPEND_ONLY, *ERASABLE):
        for event in ("update",) if table in ERASABLE else ("update", "delete"):
            yield _postgresql_guard(table, event, "ROW", "guard_refuse")
        yield _postgresql_guard(table, "truncate", "STATEMENT", "guard_refuse")
        if table in NUMBERED:
            yield _postgresql_guard(table, "insert", "ROW", f"guard_number_{table}")


def _postgresql_guard(table: str, event: str, level: str, function: str) -> _Guard:
    name = f"guard_{table}_{event}"
    sql = f"CREATE TRIGGER {name} BEFORE {event.upper()} ON {table} FOR EACH {level} EXECUTE FUNCTION {function}()"
    kind = _BEFORE | _EVENTS[event] | (_ROW if level == "ROW" else 0)
    return _Guard(name, table, sql, kind, _bodies()[function])


def _bodies() -> Mapping[str, str]:
    """The functions on PostgreSQL: their names and what they do."""
    return {"guard_refuse": _REFUSE} | {f"guard_number_{table}": _number(table) for table in NUMBERED}


_REFUSE = """
BEGIN
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END """


def _number(table: str) -> str:
    stamp = "NEW.tx := pg_current_xact_id()::text::bigint;" if table in _STAMPED else ""
    return f"""
BEGIN
    IF NEW.seq IS DISTINCT FROM currval((quote_ident(TG_TABLE_SCHEMA) || '.{table}_seq_seq')::regclass) THEN
        RAISE EXCEPTION '% numbers its rows by itself', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END IF;
    {stamp}
    RETURN NEW;
END """
