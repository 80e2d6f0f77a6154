"""Any history verifies, and any single change of what is stored is found."""

import asyncio
import shutil
import tempfile
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from penelope.domain.work import Change, Entry, UnitOfWork
from penelope.kit.canonical import canonical
from penelope.ledger.chain import SALT_BYTES, Seal, advance, check, drifted_paths
from penelope.store import guards
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.tables import history_payloads, units_of_work, units_of_work_history
from penelope.store.transaction import SqlTransaction
from penelope.store.verification import DATABASE, SqlVerification

START = datetime(2026, 11, 21, 7, tzinfo=UTC)

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=3)
names = st.sampled_from(["u1", "u2", "u3"])
changes = st.builds(
    Change,
    unit=names,
    kind=st.sampled_from(["decision", "plan"]),
    incident=st.sampled_from(["inc_1", "inc_2"]),
    status=texts,
    attributes=objects,
    event=texts,
    actor=texts,
    reason=texts,
    details=objects,
)


salts = st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES).map(bytes.hex)


TABLES = [units_of_work, units_of_work_history, history_payloads]


def told(of: list[Change]) -> tuple[UnitOfWork, list[Entry]]:
    """The unit and its entries after these changes, a second apart."""
    unit, entries = None, []
    for number, change in enumerate(of):
        seal = Seal(START + timedelta(seconds=number), f"act_{number}", f"{number:064x}")
        unit, _, entry, _ = advance(unit, replace(change, unit="u1"), seal)
        entries += [] if entry is None else [entry]
    assert unit is not None
    return unit, entries


def state_of(change: Change) -> tuple[str, bytes]:
    """What must differ for an entry to be made."""
    return change.status, canonical(change.attributes)


histories = st.lists(changes, min_size=1, max_size=5)
moments = st.integers(-5, 5).map(lambda number: START + timedelta(seconds=number + 0.5))

OTHERS: dict[str, st.SearchStrategy[Any]] = {
    "version": st.integers(0, 9),
    "attributes": objects,
    "details": objects,
    "updated_at": moments,
    "recorded_at": moments,
    "status_before": st.none() | texts,
    "state_before": st.none() | texts,
    "interaction_before": st.none() | texts,
    "patch": st.lists(objects, max_size=2),
    "salt": salts,
    "body": texts.map(str.encode),
}
"""What else could stand in a field; text where nothing else is said."""

UNHASHED = {"seq", "tx", "last_heartbeat_at"}
"""An entry's place in the log is what checkpoints cover; a sign of life is no history."""


@given(history=histories)
def test_any_history_verifies(history: list[Change]) -> None:
    unit, entries = told(history)
    assert list(check(unit, entries)) == []
    assert [entry.version for entry in entries] == list(range(1, len(entries) + 1))
    assert len(entries) == len(list(groupby(map(state_of, history))))


@given(history=histories, data=st.data())
def test_any_history_verifies_whatever_was_erased(history: list[Change], data: st.DataObject) -> None:
    unit, entries = told(history)
    gone = data.draw(st.sets(st.integers(0, len(entries) - 1)), label="erased")
    left = [
        replace(entry, actor="", reason="", details={}, patch=(), salt="") if number in gone else entry
        for number, entry in enumerate(entries)
    ]
    assert list(check(unit, left)) == []
    assert drifted_paths(unit, left) == (None if gone else [])


@given(history=histories, data=st.data())
def test_any_altered_field_is_found(history: list[Change], data: st.DataObject) -> None:
    unit, entries = told(history)
    index = data.draw(st.integers(-1, len(entries) - 1), label="the unit (-1) or an entry")
    victim: UnitOfWork | Entry = unit if index == -1 else entries[index]
    # A unit's name is what its entries are found by: one of another name would be another unit.
    known = {field.name for field in fields(victim)} - UNHASHED - ({"id"} if index == -1 else set())
    name = data.draw(st.sampled_from(sorted(known)), label="field")
    value = data.draw(OTHERS.get(name, texts), label="value")
    assume(value != getattr(victim, name))
    if index == -1:
        unit = replace(unit, **{name: value})
    else:
        entries[index] = replace(entries[index], **{name: value})
    assert list(check(unit, entries)) != []


@given(history=st.lists(changes, min_size=2, max_size=5), data=st.data())
def test_any_dropped_or_displaced_entry_is_found(history: list[Change], data: st.DataObject) -> None:
    unit, entries = told(history)
    assume(len(entries) > 1)
    order = data.draw(
        st.permutations(range(len(entries))) | st.sets(st.integers(0, len(entries) - 1)).map(sorted),
        label="what is left, in which order",
    )
    assume(list(order) != list(range(len(entries))))
    assert list(check(unit, [entries[number] for number in order])) != []


def at_home(change: Change) -> Change:
    """A unit is of one kind and of one incident for good."""
    return replace(change, kind="decision", incident=f"incident of {change.unit}")


class StoredLedger(RuleBasedStateMachine):
    """Saves go into a real database, and now and then someone changes one field of one row behind its back."""

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="penelope-ledger-"))
        url = parse_url(f"sqlite:///{self.folder}/ledger.db")
        self.writer, self.reading = open_engine(url), open_reader(url)
        self.verification = SqlVerification(self.reading)
        self.now = START
        self.saved: dict[str, tuple[str, bytes]] = {}
        self.entries = 0
        self.runner.run(self._set_up())

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self._close())
            self.runner.close()
            shutil.rmtree(self.folder)

    async def _set_up(self) -> None:
        await migrate(self.writer)
        # The database itself would refuse most of what follows; here it is held against who owns it.
        async with self.writer.begin() as connection:
            await connection.run_sync(guards.remove)

    async def _close(self) -> None:
        await self.reading.dispose()
        await self.writer.dispose()

    @rule(batch=st.lists(changes.map(at_home), min_size=1, max_size=4))
    def save(self, batch: list[Change]) -> None:
        self.now += timedelta(seconds=1)

        async def run() -> None:
            async with self.writer.begin() as connection:
                await SqlTransaction(connection, self.now).save(*batch)

        self.runner.run(run())
        for change in batch:
            self.entries += self.saved.get(change.unit) != state_of(change)
            self.saved[change.unit] = state_of(change)

    @precondition(lambda self: self.saved)
    @rule(data=st.data())
    def tamper_and_put_back(self, data: st.DataObject) -> None:
        table = data.draw(st.sampled_from(TABLES), label="table")
        rows = self.runner.run(self._rows(select(table)))
        row = dict(data.draw(st.sampled_from(rows), label="row"))
        name = data.draw(st.sampled_from(sorted(set(row) - UNHASHED)), label="column")
        of = "payload" if (table is history_payloads and name == "body") else name
        value = data.draw(stored(of), label="value")
        assume(meaning(of, value) != meaning(of, row[name]))
        other = table.c[{"history_payloads": "salt", "units_of_work": "head"}.get(table.name, "hash")]
        key = [other] if name in table.primary_key else table.primary_key
        where = [column == row[column.name] for column in key]
        try:
            self.runner.run(self._execute(update(table).where(*where).values({name: value})))
        except IntegrityError:
            return  # the database itself knows better
        try:
            assert self.runner.run(self._flaws()) != []
        finally:
            self.runner.run(self._execute(update(table).where(*where).values({name: row[name]})))

    @precondition(lambda self: self.saved)
    @rule(data=st.data())
    def drop_and_put_back(self, data: st.DataObject) -> None:
        table = data.draw(st.sampled_from(TABLES), label="table")
        row = dict(data.draw(st.sampled_from(self.runner.run(self._rows(select(table)))), label="row"))
        where = [column == row[column.name] for column in table.primary_key]
        self.runner.run(self._execute(table.delete().where(*where)))
        assert self.runner.run(self._flaws()) != []
        self.runner.run(self._execute(insert(table), **row))

    @invariant()
    def it_verifies(self) -> None:
        if hasattr(self, "runner"):
            assert self.runner.run(self._flaws()) == []
            assert len(self.runner.run(self._rows(select(units_of_work_history)))) == self.entries

    async def _flaws(self) -> list[Any]:
        found = [flaw async for flaw in self.verification.flaws()]
        return [flaw for flaw in found if flaw.unit != DATABASE]

    async def _rows(self, query: Any) -> list[Any]:
        async with self.reading.connect() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def _execute(self, statement: Any, **values: Any) -> None:
        async with self.writer.begin() as connection:
            await connection.execute(statement, values)


def stored(name: str) -> st.SearchStrategy[Any]:
    """What someone could write into a column."""
    if name == "version":
        return st.integers(0, 9)
    if name in {"attributes", "payload"}:
        return objects.map(lambda value: orjson.dumps(value).decode()) | texts
    if name in {"updated_at", "recorded_at"}:
        return moments.map(datetime.isoformat) | texts
    if name == "salt":
        return salts
    return texts


def meaning(name: str, text: Any) -> Any:
    """Two texts of one payload, or of one moment, say the same; attributes are stored in their canonical form."""
    try:
        if name == "payload":
            return orjson.loads(text)
        if name in {"updated_at", "recorded_at"}:
            return datetime.fromisoformat(text)
    except ValueError:
        return ("nonsense", text)
    return text


TestStoredLedger = StoredLedger.TestCase
TestStoredLedger.settings = settings(max_examples=25, stateful_step_count=12)
