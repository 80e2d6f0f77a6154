"""What a save will write, worked out before anything is written."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from penelope.domain.work import ActorKind, Change, Entry, UnitOfWork, interaction
from penelope.flow.engine import WORKFLOW
from penelope.kit.clock import timestamp
from penelope.kit.ids import new_id
from penelope.ledger.chain import SALT_BYTES, Seal, advance
from penelope.store import decisions
from penelope.store.bulk import HISTORY_COLUMNS, Rows, Statements
from penelope.store.rows import incident_row


class Write(NamedTuple):
    """A statement of `bulk`, its rows, and whether it must touch each of them exactly once."""

    sql: str
    rows: Rows
    exact: bool = False


@dataclass(slots=True)
class Draft:
    """Units as they will be, and the rows that say so."""

    before: Mapping[str, UnitOfWork]
    after: dict[str, UnitOfWork] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    history: list[tuple[Any, ...]] = field(default_factory=list)
    payloads: list[tuple[Any, ...]] = field(default_factory=list)
    _attributes: dict[str, str] = field(default_factory=dict)

    def add(self, changes: Sequence[Change], actors: Mapping[str, str], now: datetime) -> None:
        """Takes changes in, in order; a unit changed twice gets two entries. Raises AppendConflict, EntryTooLarge.

        After an error the draft is as it was.
        """
        salts = os.urandom(SALT_BYTES * len(changes)).hex()
        moment, step = timestamp(now), 2 * SALT_BYTES
        after: dict[str, UnitOfWork] = {}
        texts: dict[str, str] = {}
        made: list[tuple[Entry, bytes]] = []
        for number, change in enumerate(changes):
            seen = after.get(change.unit) or self.after.get(change.unit) or self.before.get(change.unit)
            salt = salts[number * step : (number + 1) * step]
            advanced = advance(seen, change, Seal(now, actors[change.actor], salt))
            if advanced.entry is None:
                continue
            after[change.unit] = advanced.unit
            texts[change.unit] = advanced.attributes.decode()
            made.append((advanced.entry, advanced.payload))
        self.after |= after
        self._attributes |= texts
        for entry, payload in made:
            self.entries.append(entry)
            self.history.append(_history_row(entry, moment))
            self.payloads.append((entry.unit, entry.version, entry.salt, payload.decode()))

    def writes(self, sql: Statements) -> list[Write]:
        """What is to be run, in this order; incidents' own table, by which they are found, is kept in step."""
        incidents = [unit for unit in self.after.values() if unit.kind == "incident"]
        moved = [unit for unit in incidents if unit.id in self.before]
        opened = [unit for unit in incidents if unit.id not in self.before]
        writes = [
            Write(sql.insert_units, self.new_units()),
            Write(sql.replace_units, self.changed_units(), exact=True),
            Write(sql.insert_history, self.history),
            Write(sql.insert_payloads, self.payloads),
            # Keys are given up before they are taken, so that a problem can pass from one incident to the next.
            Write(sql.move_incidents, [_moved_row(unit) for unit in moved]),
            Write(sql.insert_contexts, [(unit.id, WORKFLOW, timestamp(unit.updated_at)) for unit in opened]),
            Write(sql.insert_incidents, [tuple(incident_row(unit).values()) for unit in opened]),
            *(Write(*decided) for decided in decisions.written(self.entries, as_json=sql.as_json)),
        ]
        return [write for write in writes if write.rows]

    def new_units(self) -> list[tuple[Any, ...]]:
        """Rows of units that were not there."""
        fresh = sorted(self.after.keys() - self.before.keys())
        return [self._row(name, _new_row) for name in fresh]

    def changed_units(self) -> list[tuple[Any, ...]]:
        """Rows for units that were there, in order of their names, so that two writers never wait crosswise."""
        changed = sorted(self.after.keys() & self.before.keys())
        seen = ((name, self.before[name]) for name in changed)
        return [
            (*self._row(name, _changing_row), name, unit.version, unit.content_hash) for name, unit in seen
        ]

    def _row(self, name: str, columns: Callable[..., tuple[Any, ...]]) -> tuple[Any, ...]:
        unit, moment = self.after[name], timestamp(self.after[name].updated_at)
        rest = interaction(unit.kind, unit.status)
        return columns(unit, rest, self._attributes[name], moment)


def _new_row(unit: UnitOfWork, rest: str, attributes: str, moment: str) -> tuple[Any, ...]:
    """In the order of UNIT_COLUMNS."""
    return (unit.id, *_changing_row(unit, rest, attributes, moment))


def _changing_row(unit: UnitOfWork, rest: str, attributes: str, moment: str) -> tuple[Any, ...]:
    """In the order of CHANGING."""
    return (
        unit.kind,
        unit.incident,
        unit.status,
        rest,
        attributes,
        unit.content_hash,
        unit.version,
        moment,
        moment,
        unit.head,
    )


def is_lasting(name: str) -> bool:
    """Whether an actor's pseudonym can be remembered: a person can be erased, and is somebody else after that."""
    return ActorKind.of(name) is not ActorKind.PERSON


def actor_row(name: str, now: datetime) -> tuple[str, ...]:
    """The row of an actor who was not known before, under a pseudonym of its own."""
    return new_id("act"), ActorKind.of(name).value, name, timestamp(now)


_FIRST = attrgetter(*HISTORY_COLUMNS[: HISTORY_COLUMNS.index("recorded_at")])


def _history_row(entry: Entry, moment: str) -> tuple[Any, ...]:
    """In the order of HISTORY_COLUMNS; getters, since this is the hottest path of a save."""
    last = (entry.previous_hash, entry.payload_hash, entry.body.decode(), entry.hash)
    return (*_FIRST(entry), moment, *last)


def _moved_row(unit: UnitOfWork) -> tuple[Any, ...]:
    row = incident_row(unit)
    return row["state"], row["open_key"], unit.id
