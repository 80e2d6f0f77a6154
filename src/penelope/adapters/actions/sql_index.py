"""Makes an index while the table stays in use, and leaves no half-made one behind."""

import contextlib
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from penelope.adapters.actions.options import read_params
from penelope.adapters.actions.sql_deed import Deed, Job, State
from penelope.adapters.actions.sql_model import IndexParams, check_identifier, check_table
from penelope.adapters.actions.sql_postgres import Postgres
from penelope.adapters.actions.sql_session import Refused, quoted
from penelope.domain.action import Difference, Effect, Preview, Progress
from penelope.errors import ActionFailed, CompensationFailed, DependencyError, Timeout
from penelope.kit.canonical import Json

_POLL_SECONDS = 0.1
_POSTGRES_LOOK = """
SELECT i.indisvalid AND i.indisready AND i.indislive,
  i.indrelid = to_regclass(%s) AND am.amname = %s AND NOT i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT i.indisexclusion AND i.indnatts = i.indnkeyatts,
  array(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY k.place)
FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_am am ON am.oid = c.relam
WHERE c.oid = to_regclass(%s)
"""
_BUILDING = """
SELECT 1 FROM pg_stat_progress_create_index
WHERE relid = to_regclass(%s) AND pid <> pg_backend_pid() AND command LIKE 'CREATE INDEX%%'
"""


class Found(StrEnum):
    """What there is under the index's name. OTHER is something else, which is never touched."""

    ABSENT = "absent"
    INVALID = "invalid"
    VALID = "valid"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    table: str
    columns: list[str]
    method: str
    sql: str
    """The index's name in SQL."""
    schema: str | None


class CreateIndex(Deed):
    """`create_index`. An index that was there already is not ours, and stays."""

    shape = IndexParams

    def check(self, params: Json) -> None:
        given = read_params(IndexParams, params)
        check_table(given.table)
        for name in (given.name, *given.columns):
            check_identifier(name)

    def snapshot(self, job: Job) -> State:
        wanted = _wanted(job)
        found = _look(job, wanted)
        if found is Found.OTHER:
            raise ActionFailed(f"there is something else under the name {wanted.name!r}")
        return {"index": wanted.name, "was": found.value}

    def preview(self, job: Job, state: State) -> Preview:
        wanted = _wanted(job)
        if state["was"] == Found.VALID:
            return Preview(summary=f"the index {wanted.name} is there already")
        line = f"+{wanted.name} on {wanted.table} ({', '.join(wanted.columns)})\n"
        return Preview(summary=f"the index {wanted.name} would be made", diff=line)

    def probe(self, job: Job, state: State) -> Progress:
        match _look(job, _wanted(job)):
            case Found.VALID:
                return Progress.APPLIED
            case Found.INVALID if state["was"] == Found.ABSENT:
                return Progress.PARTIAL
            case Found.OTHER:
                return Progress.UNKNOWN
            case _:
                return Progress.NOT_APPLIED

    def execute(self, job: Job, state: State) -> Effect:
        wanted, deadline = _wanted(job), time.monotonic() + job.action.timeout_seconds
        _settle(job, wanted, deadline)
        found = _look(job, wanted)
        if found is Found.VALID:
            return Effect(summary=f"the index {wanted.name} is there already", repeated=True)
        if found is Found.OTHER:
            raise ActionFailed(f"there is something else under the name {wanted.name!r}")
        if found is Found.INVALID:
            _drop(job, wanted)
        self._make(job, wanted, state)
        if _look(job, wanted) is not Found.VALID:
            raise Timeout(f"the index {wanted.name} is not valid yet")
        return Effect(summary=f"the index {wanted.name} is made", details={"index": wanted.name})

    def compensate(self, job: Job, state: State) -> Effect:
        wanted = _wanted(job)
        if state["was"] == Found.VALID:
            return Effect(summary=f"the index {wanted.name} was there before, and stays", repeated=True)
        _settle(job, wanted, time.monotonic() + job.action.timeout_seconds)
        found = _look(job, wanted)
        if found is Found.OTHER:
            raise CompensationFailed(f"there is something else now under the name {wanted.name!r}")
        if found is Found.ABSENT:
            return Effect(summary=f"there is no index {wanted.name}", repeated=True)
        _drop(job, wanted)
        return Effect(summary=f"the index {wanted.name} is gone again")

    def differences(self, job: Job, state: State) -> list[Difference]:
        """One that was invalid served nobody: it is the same as none."""
        now, before = _look(job, _wanted(job)), Found(str(state["was"]))
        usable = {each: each.value if each in {Found.VALID, Found.OTHER} else "none" for each in Found}
        if usable[now] == usable[before]:
            return []
        return [Difference(subject=f"index {state['index']}", before=usable[before], now=usable[now])]

    def observe(self, job: Job) -> dict[str, Json]:
        return {"index": _look(job, _wanted(job)).value}

    @staticmethod
    def _make(job: Job, wanted: _Wanted, state: State) -> None:
        table = job.session.table(wanted.table)
        columns = ", ".join(quoted(table.column(name).name) for name in wanted.columns)
        if not isinstance(job.session, Postgres):
            with job.session.transaction():
                bare = quoted(table.name)
                job.session.run(f"CREATE INDEX IF NOT EXISTS {wanted.sql} ON {bare} ({columns})")
            return
        # It waits for every transaction that is older than itself: the action's own time bounds that, not the lock's.
        job.session.allow_locks(job.action.timeout_seconds)
        try:
            job.session.run(
                f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {quoted(wanted.name)} ON {table.sql}"
                f" USING {wanted.method} ({columns})",
                None,
            )
        except (Refused, DependencyError):
            # What it leaves behind is invalid and costs every write. Where this fails too, a probe shows it.
            if state["was"] != Found.VALID:
                with contextlib.suppress(Refused, DependencyError):
                    # Somebody else may have made another under the name meanwhile.
                    if _look(job, wanted) is Found.INVALID:
                        _drop(job, wanted)
            raise


def _wanted(job: Job) -> _Wanted:
    given: Any = read_params(IndexParams, job.action.params)
    schema, _ = check_table(given.table)
    schema = schema or ("public" if job.session.kind == "postgresql" else "main")
    if job.session.kind == "sqlite" and given.method != "btree":
        raise ActionFailed("SQLite knows btree indexes only")
    return _Wanted(
        name=given.name,
        table=given.table,
        columns=given.columns,
        method=given.method,
        sql=f"{quoted(schema)}.{quoted(given.name)}",
        schema=schema,
    )


def _look(job: Job, wanted: _Wanted) -> Found:
    if isinstance(job.session, Postgres):
        table = f"{quoted(wanted.schema or 'public')}.{quoted(check_table(wanted.table)[1])}"
        found = job.session.query(_POSTGRES_LOOK, [table, wanted.method, wanted.sql])
        if not found:
            taken = job.session.query("SELECT 1 WHERE to_regclass(%s) IS NOT NULL", [wanted.sql])
            return Found.OTHER if taken else Found.ABSENT
        valid, alike, columns = found[0]
        if not alike or list(columns) != wanted.columns:
            return Found.OTHER
        return Found.VALID if valid else Found.INVALID
    return _look_sqlite(job, wanted)


def _look_sqlite(job: Job, wanted: _Wanted) -> Found:
    named = job.session.query(
        "SELECT type, tbl_name FROM sqlite_schema WHERE name = ? COLLATE NOCASE", [wanted.name]
    )
    if not named:
        return Found.ABSENT
    shape = job.session.query(
        'SELECT "unique", partial FROM pragma_index_list(?) WHERE name = ? COLLATE NOCASE',
        [check_table(wanted.table)[1], wanted.name],
    )
    columns = job.session.query("SELECT name FROM pragma_index_info(?) ORDER BY seqno", [wanted.name])
    if shape != [(0, 0)] or [name for (name,) in columns] != wanted.columns:
        return Found.OTHER
    return Found.VALID


def _settle(job: Job, wanted: _Wanted, deadline: float) -> None:
    """Waits until no other session makes an index of the table: after a crash that may be ours, still at work."""
    if not isinstance(job.session, Postgres):
        return
    table = f"{quoted(wanted.schema or 'public')}.{quoted(check_table(wanted.table)[1])}"
    while job.session.query(_BUILDING, [table]):
        if time.monotonic() > deadline:
            raise Timeout(f"another session is still making an index of {wanted.table}")
        job.session.pause(_POLL_SECONDS)


def _drop(job: Job, wanted: _Wanted) -> None:
    if isinstance(job.session, Postgres):
        job.session.allow_locks(job.action.timeout_seconds)
        job.session.run(f"DROP INDEX CONCURRENTLY IF EXISTS {wanted.sql}", None)
        return
    with job.session.transaction():
        job.session.run(f"DROP INDEX IF EXISTS {wanted.sql}")
