"""Changes of rows that are known by their primary keys: each row has what it was, and what it shall be."""

import json
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from penelope.adapters.actions.options import read_params
from penelope.adapters.actions.sql_deed import Deed, Job, State
from penelope.adapters.actions.sql_model import (
    MOST_BYTES,
    Condition,
    DeleteParams,
    InsertParams,
    UpdateParams,
    Where,
    check_table,
    check_values,
    check_where,
)
from penelope.adapters.actions.sql_record import record_of
from penelope.adapters.actions.sql_session import Refused, Row, Session, Table, quoted
from penelope.domain.action import Difference, Effect, Preview, Progress
from penelope.errors import ActionFailed, CompensationFailed, InvalidPlaybook
from penelope.kit.canonical import Json, content_hash

_SHOWN = 50
_MOST_COUNTED = 10_001


@dataclass(frozen=True, slots=True)
class Change:
    """None stands for no row. `after` holds the columns that are known beforehand: of an inserted row those given."""

    key: Row
    before: Row | None
    after: Row | None


class Rows(Deed):
    """What the three operations have in common. The rows may be about people: a snapshot names only their hash."""

    @abstractmethod
    def changes(self, job: Job, table: Table) -> list[Change]:
        """What would be done now. Raises ActionFailed where that is nothing, too much, or could not be taken back."""

    @abstractmethod
    def count(self, job: Job, table: Table) -> int:
        """How many rows are as the operation wants to find them."""

    def table_name(self, job: Job) -> str:
        return str(job.action.params["table"])

    def snapshot(self, job: Job) -> State:
        table = _table(job, self.table_name(job))
        changes = self.changes(job, table)
        if not changes:
            raise ActionFailed(f"no row of {table.name} is as {job.action.name!r} expects it")
        content = json.dumps([[each.key, each.before, each.after] for each in changes]).encode()
        if len(content) > MOST_BYTES:
            raise _too_large()
        return {"table": table.name, "rows": len(changes), "kept": job.keep.put(content)}

    def preview(self, job: Job, state: State) -> Preview:
        changes = _kept(job, state)
        columns = sorted({name for each in changes for name in _changed(each)})
        lines = "".join(f"-{name}: …\n+{name}: …\n" for name in columns)
        verb = job.action.operation.partition("_")[0]
        return Preview(summary=f"would {verb} {len(changes)} rows of {state['table']}", diff=lines)

    def probe(self, job: Job, state: State) -> Progress:
        if record := record_of(job.session, job.options.ledger_table):
            entry = record.look(job.action.key)
            return Progress.APPLIED if entry and not entry.undone else Progress.NOT_APPLIED
        compared = [
            (_fits(now, each.before, job), _fits(now, each.after, job)) for each, now in _present(job, state)
        ]
        if all(before for before, _ in compared):
            return Progress.NOT_APPLIED
        return Progress.APPLIED if all(after for _, after in compared) else Progress.UNKNOWN

    def execute(self, job: Job, state: State) -> Effect:
        record = record_of(job.session, job.options.ledger_table)
        if record:
            record.make()
        with job.session.transaction():
            if record and not record.claim(job.action.key):
                return Effect(summary=f"{job.action.name} had taken effect already", repeated=True)
            table = _table(job, str(state["table"]))
            present = _present(job, state, lock=True)
            if not record and all(_fits(now, each.after, job) for each, now in present):
                return Effect(summary=f"{job.action.name} had taken effect already", repeated=True)
            _require(present, [_fits(now, each.before, job) for each, now in present], table)
            for each, now in present:
                job.session.put(table, each.key, now, each.after and {**(now or {}), **each.after})
                if not _fits(job.session.find(table, each.key), each.after, job):
                    raise Refused(f"a row of {table.name} did not become what it should")
            if record:
                record.left(job.action.key, _image(_present(job, state), job))
        return Effect(summary=f"{len(present)} rows of {table.name} changed", details={"rows": len(present)})

    def compensate(self, job: Job, state: State) -> Effect:
        record = record_of(job.session, job.options.ledger_table)
        with job.session.transaction():
            present = _present(job, state, lock=True)
            entry = record.look(job.action.key, lock=True) if record else None
            if record:
                done = entry is not None and not entry.undone
            else:
                done = not all(_fits(now, each.before, job) for each, now in present)
            if not done:
                return Effect(summary=f"{job.action.name} is not in effect", repeated=True)
            table = _table(job, str(state["table"]))
            self._require_as_left(job, present, entry.effect if entry else "", table)
            # The last that went is the first to come back: rows may hang on each other.
            for each, now in reversed(present):
                self._back(job, table, each, now)
            if record:
                record.undone(job.action.key)
        return Effect(summary=f"{len(present)} rows of {table.name} are as before")

    def differences(self, job: Job, state: State) -> list[Difference]:
        found = []
        for place, (each, now) in enumerate(_present(job, state), start=1):
            if _fits(now, each.before, job):
                continue
            names = sorted(_differing(now, each.before, job))
            shown: Json = "not there" if now is None else "there" if each.before is None else names
            before: Json = "not there" if each.before is None else "there" if now is None else "other values"
            found.append(Difference(subject=f"row {place} of {state['table']}", before=before, now=shown))
        return found[:_SHOWN]

    def observe(self, job: Job) -> dict[str, Json]:
        return {"rows": self.count(job, _table(job, self.table_name(job)))}

    @staticmethod
    def _require_as_left(
        job: Job, present: Sequence[tuple[Change, Row | None]], effect: str, table: Table
    ) -> None:
        as_left = [_fits(now, each.after, job) for each, now in present]
        if effect and all(as_left):
            # Also what the action did not set must be as it left it: an inserted row has defaults.
            as_left = [effect == _image(present, job)]
        if not all(as_left):
            count = as_left.count(False)
            raise CompensationFailed(
                f"something else changed rows of {table.name} since ({count} of {len(present)} or more):"
                " nothing was put back"
            )

    @staticmethod
    def _back(job: Job, table: Table, each: Change, now: Row | None) -> None:
        before = each.before
        if before is not None and now is not None:
            before = {**now, **{name: before[name] for name in each.after or {}}}
        job.session.put(table, each.key, now, before)
        if not _fits(job.session.find(table, each.key), each.before, job):
            raise CompensationFailed(
                f"a row of {table.name} does not become what it was: nothing was put back",
                hint="Something in the database changes it, such as a trigger; restore the rows by hand.",
            )


class Update(Rows):
    """`update_rows`."""

    shape = UpdateParams

    def check(self, params: Json) -> None:
        given = read_params(UpdateParams, params)
        check_table(given.table)
        check_where(given.where)
        check_values(given.set)

    def changes(self, job: Job, table: Table) -> list[Change]:
        given = read_params(UpdateParams, job.action.params)
        if carried := set(given.set) & (set(table.key) | table.carriers_on_update):
            raise ActionFailed(f"{', '.join(sorted(carried))} of {table.name} identify rows: they stay")
        news = job.session.settled(table, given.set)
        where, values = conditions(job.session, table, given.where)
        same, same_values = zip(
            *(job.session.same(table.column(name), news[name]) for name in news), strict=True
        )
        where += f" AND ({' AND '.join(same)}) IS NOT TRUE"
        values += [value for each in same_values for value in each]
        return [
            Change(_key(table, row), row, {**row, **news})
            for row in _bounded(job.session, table, where, values, given.max_rows)
        ]

    def count(self, job: Job, table: Table) -> int:
        given = read_params(UpdateParams, job.action.params)
        return _count(job.session, table, given.where)


class Delete(Rows):
    """`delete_rows`."""

    shape = DeleteParams

    def check(self, params: Json) -> None:
        given = read_params(DeleteParams, params)
        check_table(given.table)
        check_where(given.where)

    def changes(self, job: Job, table: Table) -> list[Change]:
        given = read_params(DeleteParams, job.action.params)
        _require_no_followers(table)
        where, values = conditions(job.session, table, given.where)
        rows = _bounded(job.session, table, where, values, given.max_rows)
        return [Change(_key(table, row), row, None) for row in rows]

    def count(self, job: Job, table: Table) -> int:
        return _count(job.session, table, read_params(DeleteParams, job.action.params).where)


class Insert(Rows):
    """`insert_rows`. No row of the same primary key may be there."""

    shape = InsertParams

    def check(self, params: Json) -> None:
        given = read_params(InsertParams, params)
        check_table(given.table)
        for row in given.rows:
            check_values(row)

    def changes(self, job: Job, table: Table) -> list[Change]:
        found, keys = [], set()
        # Taken back, the rows are deleted, and others may have hung theirs on them by then.
        _require_no_followers(table)
        for row in self._rows(job, table):
            key = _key(table, row)
            if job.session.find(table, key) is not None:
                raise ActionFailed(f"{table.name} has a row of that primary key already")
            keys.add(content_hash(key))
            found.append(Change(key, None, row))
        if len(keys) != len(found):
            raise ActionFailed(f"two of the rows for {table.name} have the same primary key")
        return found

    def count(self, job: Job, table: Table) -> int:
        keys = [_key(table, row) for row in self._rows(job, table)]
        return sum(job.session.find(table, key) is not None for key in keys)

    @staticmethod
    def _rows(job: Job, table: Table) -> list[Row]:
        given = read_params(InsertParams, job.action.params).rows
        if any(row.get(name) is None for row in given for name in table.key):
            raise InvalidPlaybook(f"each row must name the whole primary key of {table.name}")
        return [job.session.settled(table, row) for row in given]


def _table(job: Job, name: str) -> Table:
    table = job.session.table(name)
    if table.triggers and not job.options.allow_triggers:
        raise ActionFailed(
            f"{table.name} has triggers, and what they do could not be taken back",
            hint="Where they are harmless, set the target's options allow_triggers and ignored_columns.",
        )
    return table


def _require_no_followers(table: Table) -> None:
    if table.carries_on_delete:
        raise ActionFailed(f"rows of other tables would go or change with those of {table.name}")


def _key(table: Table, row: Row) -> Row:
    return {name: row[name] for name in table.key}


def conditions(session: Session, table: Table, where: Where) -> tuple[str, list[Any]]:
    """SQL, with its values, that holds for the rows that fit. Raises ActionFailed for a column that is not there."""
    parts: list[str] = []
    values: list[Any] = []
    for name, wanted in where.items():
        sql, given = _condition(session, table, name, wanted)
        parts.append(sql)
        values += given
    return " AND ".join(parts), values


def _condition(session: Session, table: Table, name: str, wanted: Any) -> tuple[str, list[Any]]:
    column = table.column(name)
    if not isinstance(wanted, Condition):
        return session.same(column, session.entry(wanted))
    if wanted.one_of is not None:
        parts = [session.same(column, session.entry(value)) for value in wanted.one_of]
        return f"({' OR '.join(sql for sql, _ in parts)})", [value for _, each in parts for value in each]
    if wanted.older_than_seconds is not None:
        return session.older(column), [wanted.older_than_seconds]
    sign, bound = (">=", wanted.at_least) if wanted.at_least is not None else ("<=", wanted.at_most)
    return f"{quoted(name)} {sign} {session.given(column)}", [session.bound(session.entry(bound))]


def _bounded(session: Session, table: Table, where: str, values: list[Any], most: int) -> list[Row]:
    if session.size(table, where, values, most + 1) > MOST_BYTES:
        raise _too_large()
    rows = session.select(table, where, values, most + 1)
    if len(rows) > most:
        raise ActionFailed(f"more than {most} rows of {table.name} fit: none is touched")
    return rows


def _too_large() -> ActionFailed:
    return ActionFailed(f"the rows take more than {MOST_BYTES} bytes, which is the most that is kept")


def _count(session: Session, table: Table, where: Where) -> int:
    fits, values = conditions(session, table, where)
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {table.sql} WHERE {fits} LIMIT {_MOST_COUNTED}) AS f"  # noqa: S608 - quoted names, values apart
    return int(session.query(sql, values)[0][0])


def _kept(job: Job, state: State) -> list[Change]:
    content = job.keep.get(str(state["kept"]))
    return [Change(key, before, after) for key, before, after in json.loads(content)]


def _present(job: Job, state: State, *, lock: bool = False) -> list[tuple[Change, Row | None]]:
    table = job.session.table(str(state["table"]))
    return [(each, job.session.find(table, each.key, lock=lock)) for each in _kept(job, state)]


def _differing(now: Row | None, wanted: Row | None, job: Job) -> set[str]:
    ignored = set(job.options.ignored_columns)
    return {
        name for name in wanted or {} if name not in ignored and (now or {}).get(name) != (wanted or {})[name]
    }


def _fits(now: Row | None, wanted: Row | None, job: Job) -> bool:
    if now is None or wanted is None:
        return now is wanted
    return not _differing(now, wanted, job)


def _image(present: Iterable[tuple[Change, Row | None]], job: Job) -> str:
    ignored = set(job.options.ignored_columns)
    rows = [now and {name: now[name] for name in now if name not in ignored} for _, now in present]
    return content_hash(rows)


def _require(present: Sequence[Any], fitting: list[bool], table: Table) -> None:
    if not all(fitting):
        count = fitting.count(False)
        raise ActionFailed(f"{count} of {len(present)} rows of {table.name} changed since they were kept")


def _changed(change: Change) -> set[str]:
    before, after = change.before or {}, change.after or {}
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}
