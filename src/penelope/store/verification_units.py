"""Checks units of work against their history: state, chain, payloads, actors, and how incidents are filed."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from penelope.domain.work import ActorKind, Entry, UnitOfWork, interaction
from penelope.errors import ChainBroken
from penelope.kit.canonical import canonical
from penelope.kit.clock import timestamp
from penelope.ledger.chain import Flaw, altered, check
from penelope.ledger.erasures import ARCHIVE, ERASURE, Erasures
from penelope.ledger.segment import Secret, is_committed
from penelope.store import rows, tables
from penelope.store.decisions import differs, is_decision
from penelope.store.reader import HISTORY

_units, _entries, _incidents = tables.units_of_work, tables.units_of_work_history, tables.incidents
_payloads, _actors, _decisions = tables.history_payloads, tables.local_actors, tables.decisions

UNITS_A_STRETCH = 200
"""Units whose history is held in memory at once."""

Row = Mapping[str, Any]

_ANY_TIME = "0001-01-01T00:00:00Z"


class Stored(NamedTuple):
    """Everything that is stored about one unit."""

    name: str
    state: Row | None
    lines: Sequence[Row]
    filed: Row | None
    payloads: Sequence[int]
    """The versions of payloads that no line of history has."""
    decided: Mapping[Any, Row]
    """What the decision audit says of it, by version."""
    actors: Mapping[str, Row]
    erasures: Erasures


async def names_after(connection: AsyncConnection, last: str) -> list[str]:
    """The next names by which anything is stored, in the database's order."""
    columns = (_units.c.id, _entries.c.unit, _payloads.c.unit, _incidents.c.id, _decisions.c.unit)
    parts = [
        select(
            select(column.label("name"))
            .where(column > last)
            .distinct()
            .order_by(column)
            .limit(UNITS_A_STRETCH)
            .subquery()
        )
        for column in columns
    ]
    # Sorted and cut by the database, which may have another order than Python: a name that comes before the last one
    # only here would be passed by.
    names = union(*parts).subquery().c.name
    found = (await connection.execute(select(names).order_by(names).limit(UNITS_A_STRETCH))).scalars()
    return list(filter(None, map(_text, found)))


def _text(name: Any) -> str:
    """A name; one that is no text any more is missed where it was, and found by nobody."""
    return name if isinstance(name, str) else ""


async def stored(connection: AsyncConnection, names: Sequence[str]) -> list[Stored]:
    """What is stored under these names."""
    states = await _by(connection, select(_units).where(_units.c.id.in_(names)), "id")
    filed = await _by(connection, select(_incidents).where(_incidents.c.id.in_(names)), "id")
    history = HISTORY.where(_entries.c.unit.in_(names)).order_by(_entries.c.unit, _entries.c.version)
    lines = await _by(connection, history, "unit")
    lonely = (
        select(_payloads.c.unit, _payloads.c.version)
        .outerjoin(
            _entries, (_entries.c.unit == _payloads.c.unit) & (_entries.c.version == _payloads.c.version)
        )
        .where(_payloads.c.unit.in_(names), _entries.c.seq.is_(None))
        .order_by(_payloads.c.unit, _payloads.c.version)
    )
    payloads = await _by(connection, lonely, "unit")
    audited = select(_decisions).where(_decisions.c.unit.in_(names)).order_by(_decisions.c.unit)
    decided = await _by(connection, audited, "unit")
    actors: dict[str, Row] = {}
    for chunk in rows.chunks(sorted({row["actor_id"] for chain in lines.values() for row in chain}, key=str)):
        known = await _by(connection, select(_actors).where(_actors.c.id.in_(chunk)), "id")
        actors |= {name: one for name, (one,) in known.items()}
    gone = any(row["salt"] is None for chain in lines.values() for row in chain)
    erasures = await _erasures(connection) if gone else Erasures(())
    return [
        Stored(
            name=name,
            state=next(iter(states.get(name, ())), None),
            lines=lines.get(name, ()),
            filed=next(iter(filed.get(name, ())), None),
            payloads=[row["version"] for row in payloads.get(name, ())],
            decided={row["version"]: row for row in decided.get(name, ())},
            actors=actors,
            erasures=erasures,
        )
        for name in names
    ]


async def _erasures(connection: AsyncConnection) -> Erasures:
    """What the ledger says was taken away; a unit that is not as it was saved tells nothing, and is a flaw itself."""
    found = await connection.execute(select(_units).where(_units.c.incident.in_([ARCHIVE, ERASURE])))
    units = []
    for row in found.mappings():
        with suppress(ChainBroken, TypeError, ValueError):
            unit = rows.sound_unit_from(dict(row))
            Erasures([unit])
            units.append(unit)
    return Erasures(units)


async def _by(connection: AsyncConnection, query: Any, name: str) -> dict[Any, list[Row]]:
    """Rows in order, by a column."""
    found = [dict(row) for row in (await connection.execute(query)).mappings()]
    return {key: list(group) for key, group in groupby(found, key=lambda row: row[name])}


# --- checks -----------------------------------------------------------------------------------------------


def flaws_in(unit: Stored) -> Iterator[Flaw]:
    """What does not fit."""
    try:
        state, entries, found = _checked(unit, rows.unit_from, rows.entry_from)
    except Exception:  # noqa: BLE001 - whatever a broken row does, it is a flaw and no error of ours
        state, entries, found = _checked(unit, unit_in, entry_in)
    for flaw in found:
        yield replace(flaw, unit=unit.name, version=_number(flaw.version))
    for row, entry in zip(unit.lines, entries, strict=True):
        for problem in _line_problems(row, entry, unit):
            yield Flaw(unit=unit.name, version=_number(row["version"]), problem=problem, seq=row["seq"])
    for version in unit.payloads:
        yield Flaw(unit=unit.name, version=_number(version), problem="has a payload but no line of history")
    yield from _audit_flaws(unit, entries)
    for problem in _state_problems(unit, state):
        version = 0 if state is None else _number(state.version)
        yield Flaw(unit=unit.name, version=version, problem=problem)


def _checked(
    unit: Stored, read_unit: Callable[[Row], UnitOfWork], read_entry: Callable[[Row], Entry | None]
) -> tuple[UnitOfWork | None, list[Entry | None], list[Flaw]]:
    state = None if unit.state is None else read_unit(unit.state)
    entries = [read_entry(row) for row in unit.lines]
    return state, entries, list(check(state, [entry for entry in entries if entry is not None]))


def _number(version: Any) -> int:
    return version if isinstance(version, int) else 0


def _line_problems(row: Row, entry: Entry | None, unit: Stored) -> Iterator[str]:
    if entry is None:
        yield "cannot be read any more"
        return
    if row["salt"] is None and row["seq"] not in unit.erasures:
        yield "its payload is gone though retention did not take it"
    if row["salt"] is not None and entry.erased:
        yield "was altered: its payload cannot be read any more"
    if not entry.erased and not _is_verbatim(row) and not any(altered(entry)):
        yield "was altered: the stored text of its payload is not the one that was recorded"
    if row["recorded_at"] != timestamp(entry.recorded_at):
        yield "was altered: the stored text of its time is not the one that was recorded"
    actor = unit.actors.get(row["actor_id"])
    if actor is None:
        yield "its actor is not known any more"
        return
    if actor["kind"] != ActorKind.of(actor["name"]):
        yield "its actor is listed as something that it is not"
    if not entry.erased and actor["name"] != entry.actor:
        yield "its actor bears another name than was recorded"


_UNLISTED = "is a decision that the audit does not list"
_UNTOLD = "is listed by the audit and in no history"
_MISTOLD = "is listed by the audit as something that it is not"


def _audit_flaws(unit: Stored, entries: Sequence[Entry | None]) -> Iterator[Flaw]:
    """Where the decision audit differs from history; a decision whose payload was erased is told by its row alone."""
    told = {entry.version: entry for entry in entries if entry is not None}
    for version in unit.decided.keys() - told.keys():
        yield Flaw(unit=unit.name, version=_number(version), problem=_UNTOLD)
    for version, entry in told.items():
        row = unit.decided.get(version)
        if entry.erased:
            continue
        if row is None and is_decision(entry):
            yield Flaw(unit=unit.name, version=version, problem=_UNLISTED, seq=entry.seq)
        if row is not None and _is_misreported(row, entry):
            yield Flaw(unit=unit.name, version=version, problem=_MISTOLD, seq=entry.seq)


def _is_misreported(row: Row, entry: Entry) -> bool:
    try:
        return not is_decision(entry) or differs(row, entry)
    except (TypeError, ValueError):
        return True


def _is_verbatim(row: Row) -> bool:
    """Whether the commitment holds for what is stored letter by letter, and not only for what it is read as."""
    salt, payload = row["salt"], row["payload"]
    if not isinstance(salt, str) or not isinstance(payload, str):
        return False
    return is_committed(Secret(salt, payload), row["payload_hash"])


def _state_problems(unit: Stored, state: UnitOfWork | None) -> Iterator[str]:
    if unit.state is None or state is None:
        if unit.filed is not None:
            yield "is filed as an incident that does not exist"
        return
    if hashlib.sha256(str(unit.state["attributes"]).encode()).hexdigest() != unit.state["content_hash"]:
        yield "its attributes were altered: their stored text is not the one that was saved"
    if unit.state["updated_at"] != timestamp(state.updated_at):
        yield "its time was altered: the stored text is not the one that was saved"
    if unit.state["interaction"] != interaction(state.kind, state.status):
        yield "rests somewhere else than its status says"
    if unit.filed != _filed(state):
        yield "is filed as something that it is not"


def _filed(unit: UnitOfWork) -> Row | None:
    if unit.kind != "incident":
        return None
    try:
        return rows.incident_row(unit)
    except (TypeError, ValueError):
        return {}


# --- reading what may be broken ---------------------------------------------------------------------------
# A column that no longer holds what it should gives way to one that certainly was not recorded, so that the checks
# name it like any other that was altered.


def unit_in(row: Row) -> UnitOfWork:
    """A unit from its row, whatever stands there."""
    time, attributes = {"updated_at": _ANY_TIME}, {"attributes": "null"}
    for other in ({}, attributes, time):
        try:
            unit = rows.unit_from({**row, **other})
            canonical(unit.attributes)
        except Exception:  # noqa: BLE001, S112 - whatever a broken row does, it is a flaw and no error of ours
            continue
        return unit
    return rows.unit_from({**row, **time, **attributes})


def entry_in(row: Row) -> Entry | None:
    """An entry from its row; without its payload where that is broken, None where nothing can be made of it."""
    bare = {"salt": None, "payload": None}
    plain = {name: value for name, value in row.items() if not isinstance(value, str | int)}
    for other in (
        {},
        bare,
        {**bare, "recorded_at": _ANY_TIME},
        {**bare, **dict.fromkeys(plain, ""), "recorded_at": _ANY_TIME},
    ):
        try:
            entry = rows.entry_from({**row, **other})
            list(altered(entry))
        except Exception:  # noqa: BLE001, S112 - whatever a broken row does, it is a flaw and no error of ours
            continue
        return entry
    return None
