"""Runs one statement that the catalogue names; a playbook only chooses it and gives its parameters."""

import re
from typing import Any, NoReturn

from penelope.adapters.actions.options import read_params
from penelope.adapters.actions.sql_deed import Deed, Job, State
from penelope.adapters.actions.sql_model import RunParams, Statement, check_value
from penelope.adapters.actions.sql_record import Record
from penelope.adapters.actions.sql_session import Refused
from penelope.domain.action import Difference, Effect, Preview, Progress
from penelope.errors import ActionFailed, CompensationFailed, InvalidCatalogue, InvalidPlaybook
from penelope.kit.canonical import Json, content_hash

_WRITES = re.compile(r"\s*(insert|update|delete|merge|replace|with)\b", re.IGNORECASE)
_HIDES_WRITES = re.compile(
    r"\bas\s*((not\s+)?materialized\s*)?\(\s*(insert|update|delete|merge)\b", re.IGNORECASE
)
_READS = re.compile(r"\s*(select|with|values)\b", re.IGNORECASE)
_MOST_LOOKED_AT = 10_000


class Run(Deed):
    """`run`. The table that records the keys of actions tells whether it happened, so the target must name one."""

    shape = RunParams

    def check(self, params: Json) -> None:
        for value in read_params(RunParams, params).params.values():
            check_value(value)

    def snapshot(self, job: Job) -> State:
        return {"statement": _name(job), "was": _seen(job)}

    def preview(self, job: Job, state: State) -> Preview:
        """Tried, and rolled back: so it shows how many rows it would change."""
        try:
            with job.session.transaction():
                _try(job)
        except _Tried as tried:
            return Preview(summary=f"{state['statement']} would change {tried.changed} rows")
        raise AssertionError("a trial ends by its exception")

    def probe(self, job: Job, state: State) -> Progress:  # noqa: ARG002 - the record tells
        entry = _record(job).look(job.action.key)
        return Progress.APPLIED if entry and not entry.undone else Progress.NOT_APPLIED

    def execute(self, job: Job, state: State) -> Effect:
        statement, params = _statement(job)
        record = _record(job)
        record.make()
        with job.session.transaction():
            if not record.claim(job.action.key):
                return Effect(summary=f"{state['statement']} had run already", repeated=True)
            changed = _guarded(job, statement.sql, statement, params)
            record.left(job.action.key, _seen(job) or "")
        return Effect(summary=f"{state['statement']} changed {changed} rows", details={"rows": changed})

    def compensate(self, job: Job, state: State) -> Effect:
        statement, params = _statement(job)
        record = _record(job)
        with job.session.transaction():
            entry = record.look(job.action.key, lock=True)
            if entry is None or entry.undone:
                return Effect(summary=f"{state['statement']} is not in effect", repeated=True)
            if statement.undo is None:
                raise CompensationFailed(f"the catalogue names no undo for {state['statement']!r}")
            if entry.effect and entry.effect != _seen(job):
                raise CompensationFailed(f"something else changed what {state['statement']!r} left")
            changed = _guarded(job, statement.undo, statement, params)
            if state["was"] is not None and _seen(job) != state["was"]:
                raise CompensationFailed(
                    f"the undo of {state['statement']!r} does not restore what was there"
                )
            record.undone(job.action.key)
        return Effect(summary=f"{state['statement']} is undone", details={"rows": changed})

    def differences(self, job: Job, state: State) -> list[Difference]:
        if state["was"] is not None:
            now = _seen(job)
            if now == state["was"]:
                return []
            return [
                Difference(subject=f"rows that {state['statement']} changes", before=state["was"], now=now)
            ]
        entry = _record(job).look(job.action.key)
        if entry is None or entry.undone:
            return []
        return [Difference(subject=str(state["statement"]), before="not run", now="run")]

    def observe(self, job: Job) -> dict[str, Json]:
        entry = _record(job).look(job.action.key)
        return {"in_effect": bool(entry and not entry.undone), "rows_hash": _seen(job)}


def _name(job: Job) -> str:
    return str(read_params(RunParams, job.action.params).statement)


def _record(job: Job) -> Record:
    if job.options.ledger_table is None:
        raise InvalidCatalogue(
            f"target {job.action.target.name!r} needs the option ledger_table to run statements"
        )
    return Record(job.session, job.options.ledger_table)


def _statement(job: Job) -> tuple[Statement, dict[str, Any]]:
    given = read_params(RunParams, job.action.params)
    statement = job.options.statements.get(given.statement)
    if statement is None:
        raise InvalidPlaybook(f"target {job.action.target.name!r} lists no such statement")
    if set(given.params) != set(statement.params):
        raise InvalidPlaybook(
            f"{given.statement!r} takes the parameters {', '.join(statement.params) or 'none'}"
        )
    writing = [sql for sql in (statement.sql, statement.undo) if sql is not None]
    if not all(_WRITES.match(sql) for sql in writing) or (
        statement.look and not _READS.match(statement.look)
    ):
        raise InvalidCatalogue(f"{given.statement!r} must insert, update or delete, and look by a SELECT")
    if any(_HIDES_WRITES.search(sql) for sql in writing):
        # Only the rows of the statement itself are counted, and held against max_rows.
        raise InvalidCatalogue(f"{given.statement!r} changes rows within a WITH, where nobody counts them")
    return statement, dict(given.params)


def _guarded(job: Job, sql: str, statement: Statement, params: dict[str, Any]) -> int:
    """Within a transaction that an error rolls back."""
    changed = job.session.run(job.session.named(sql, statement.params), params)
    if not 0 <= changed <= statement.max_rows:
        raise Refused(f"it would change {changed} rows, and at most {statement.max_rows} may be: none is")
    return changed


def _seen(job: Job) -> str | None:
    """A hash of the rows that the statement's look gives; None where it has none."""
    statement, params = _statement(job)
    if statement.look is None:
        return None
    sql = f"SELECT * FROM ({job.session.named(statement.look, statement.params)}) AS looked LIMIT {_MOST_LOOKED_AT + 1}"  # noqa: S608 - the catalogue's own
    rows = job.session.query(sql, params)
    if len(rows) > _MOST_LOOKED_AT:
        raise ActionFailed(f"the look of {_name(job)!r} gives more than {_MOST_LOOKED_AT} rows")
    # The order in which they are found is the database's own affair, unlike how often each is.
    return content_hash(sorted(content_hash([_plain(value) for value in row]) for row in rows))


def _plain(value: Any) -> Json:
    if value is None or isinstance(value, str):
        return value
    return f"{type(value).__name__}:{value.hex() if isinstance(value, bytes) else value}"


class _Tried(Exception):
    """Rolls a trial back."""

    def __init__(self, changed: int) -> None:
        super().__init__()
        self.changed = changed


def _try(job: Job) -> NoReturn:
    statement, params = _statement(job)
    raise _Tried(_guarded(job, statement.sql, statement, params))
