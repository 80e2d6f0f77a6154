"""Makes the entries of a unit of work, and checks that stored ones still fit together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from penelope.domain.work import Change, Entry, UnitOfWork
from penelope.errors import AppendConflict
from penelope.kit.canonical import Json, content_hash
from penelope.kit.clock import timestamp

GENESIS = "0" * 64
"""The `previous_hash` of a unit's first entry."""


def hash_entry(entry: Entry) -> str:
    """SHA-256 over the canonical form of everything in the entry but its hash and its place in the log."""
    content: dict[str, Json] = {
        "unit": entry.unit,
        "version": entry.version,
        "kind": entry.kind,
        "incident": entry.incident,
        "event": entry.event,
        "actor": entry.actor,
        "reason": entry.reason,
        "status_before": entry.status_before,
        "status_after": entry.status_after,
        "state_hash": entry.state_hash,
        "details": entry.details,
        "recorded_at": timestamp(entry.recorded_at),
        "previous_hash": entry.previous_hash,
    }
    return content_hash(content)


def advance(before: UnitOfWork | None, change: Change, now: datetime) -> tuple[UnitOfWork, Entry]:
    """The unit after a change, and the entry that says so.

    Raises AppendConflict when the writer had seen another version than the one that is there.
    """
    version = 0 if before is None else before.version
    if change.version is not None and change.version != version:
        message = f"{change.unit} is at version {version}, not {change.version}"
        raise AppendConflict(message)
    state_hash = content_hash(change.attributes)
    entry = Entry(
        unit=change.unit,
        version=version + 1,
        kind=change.kind,
        incident=change.incident,
        event=change.event,
        actor=change.actor,
        reason=change.reason,
        status_before=None if before is None else before.status,
        status_after=change.status,
        state_hash=state_hash,
        details=change.details,
        recorded_at=now,
        previous_hash=GENESIS if before is None else before.head,
        hash="",
    )
    entry = replace(entry, hash=hash_entry(entry))
    unit = UnitOfWork(
        id=change.unit,
        kind=change.kind,
        incident=change.incident,
        status=change.status,
        attributes=change.attributes,
        content_hash=state_hash,
        version=entry.version,
        updated_at=now,
        head=entry.hash,
    )
    return unit, entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Something about stored history that does not fit."""

    unit: str
    version: int
    problem: str


def check(unit: UnitOfWork | None, entries: Iterable[Entry]) -> Iterator[Flaw]:
    """Every flaw in one unit's stored state and its entries, which come in order of version."""
    head, last = GENESIS, None
    for number, entry in enumerate(entries, start=1):
        if entry.version != number:
            yield Flaw(
                unit=entry.unit, version=number, problem=f"is missing: the next one is {entry.version}"
            )
            return
        if entry.previous_hash != head:
            yield Flaw(unit=entry.unit, version=number, problem="does not follow the entry before it")
        if hash_entry(entry) != entry.hash:
            yield Flaw(unit=entry.unit, version=number, problem="was altered: its hash differs")
        if last is not None and entry.status_before != last.status_after:
            yield Flaw(unit=entry.unit, version=number, problem="starts from another status than was left")
        head, last = entry.hash, entry
    if unit is None:
        if last is not None:
            yield Flaw(unit=last.unit, version=last.version, problem="has history but no state")
        return
    yield from _check_state(unit, last)


def _check_state(unit: UnitOfWork, last: Entry | None) -> Iterator[Flaw]:
    if last is None:
        yield Flaw(unit=unit.id, version=unit.version, problem="has state but no history")
        return
    if unit.version != last.version or unit.head != last.hash:
        yield Flaw(unit=unit.id, version=unit.version, problem="its state is not that of its last entry")
    if content_hash(unit.attributes) != last.state_hash or unit.content_hash != last.state_hash:
        yield Flaw(unit=unit.id, version=unit.version, problem="its attributes were altered")
    if unit.status != last.status_after:
        yield Flaw(unit=unit.id, version=unit.version, problem="its status was altered")
    if (unit.kind, unit.incident, unit.updated_at) != (last.kind, last.incident, last.recorded_at):
        yield Flaw(unit=unit.id, version=unit.version, problem="its kind, incident or time was altered")
