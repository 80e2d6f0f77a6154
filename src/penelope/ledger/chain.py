"""Makes the entries of a unit of work, and checks that stored ones still fit together."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from penelope.domain.work import Change, Entry, UnitOfWork, interaction
from penelope.errors import AppendConflict, EntryTooLarge
from penelope.kit.canonical import Json, canonical
from penelope.kit.clock import timestamp
from penelope.ledger.patch import apply, changed_paths, diff

SCHEMA = 1
"""The version of the header's form; it stands in every header."""

GENESIS = "0" * 64
"""The `previous_hash` of a unit's first entry."""

LARGEST_ENTRY = 65_535
"""Bytes of a header: what an entry bundle of C2SP tlog-tiles can hold."""

SALT_BYTES = 32


def leaf_hash(body: bytes) -> str:
    """SHA-256(0x00 || body) in hexadecimal: the hash of a leaf (RFC 9162, section 2.1.1)."""
    return hashlib.sha256(b"\x00" + body).hexdigest()


def commit(salt: str, payload: bytes) -> str:
    """The salted commitment (HMAC-SHA256, hexadecimal) to the canonical bytes of a payload."""
    return hmac.digest(bytes.fromhex(salt), payload, "sha256").hex()


def header(entry: Entry) -> dict[str, Json]:
    """What an entry's hash covers."""
    return {
        "schema": SCHEMA,
        "unit": entry.unit,
        "version": entry.version,
        "kind": entry.kind,
        "incident": entry.incident,
        "event": entry.event,
        "actor": entry.actor_id,
        "status_before": entry.status_before,
        "status_after": entry.status_after,
        "state_before": entry.state_before,
        "state_hash": entry.state_hash,
        "interaction_before": entry.interaction_before,
        "interaction_after": entry.interaction_after,
        "recorded_at": timestamp(entry.recorded_at),
        "previous_hash": entry.previous_hash,
        "payload_hash": entry.payload_hash,
    }


def payload(entry: Entry) -> bytes:
    """The canonical bytes that `payload_hash` commits to."""
    return canonical(
        {
            "actor": entry.actor,
            "reason": entry.reason,
            "details": entry.details,
            "patch": list(entry.patch),
        }
    )


class Seal(NamedTuple):
    """What the store adds to a change: when, under which pseudonym, and the salt of the commitment (hexadecimal)."""

    now: datetime
    actor_id: str
    salt: str


class Advance(NamedTuple):
    """A unit after a change, its entry, and the canonical bytes to be stored; `entry` is None where nothing changed."""

    unit: UnitOfWork
    attributes: bytes
    entry: Entry | None
    payload: bytes


def advance(before: UnitOfWork | None, change: Change, seal: Seal) -> Advance:
    """The unit after a change, and the entry that says so: there is one only if status or content changed.

    Raises AppendConflict when the writer had seen another version than the one that is there, EntryTooLarge for
    a header beyond what a log can hold.
    """
    version = 0 if before is None else before.version
    if change.version is not None and change.version != version:
        message = f"{change.unit} is at version {version}, not {change.version}"
        raise AppendConflict(message)
    attributes = canonical(change.attributes)
    state_hash = hashlib.sha256(attributes).hexdigest()
    if before is not None and (before.status, before.content_hash) == (change.status, state_hash):
        return Advance(before, attributes, None, b"")
    content: dict[str, Json] = {
        "actor": change.actor,
        "reason": change.reason,
        "details": change.details,
        "patch": _patch(before, change.attributes),
    }
    secret = canonical(content)
    entry = _entry(_line(before, change, seal, state_hash, commit(seal.salt, secret)), content, seal)
    return Advance(_unit(change, entry), attributes, entry, secret)


def _line(
    before: UnitOfWork | None, change: Change, seal: Seal, state_hash: str, payload_hash: str
) -> dict[str, Json]:
    """The header of the next entry."""
    return {
        "schema": SCHEMA,
        "unit": change.unit,
        "version": 1 if before is None else before.version + 1,
        "kind": change.kind,
        "incident": change.incident,
        "event": change.event,
        "actor": seal.actor_id,
        "status_before": None if before is None else before.status,
        "status_after": change.status,
        "state_before": None if before is None else before.content_hash,
        "state_hash": state_hash,
        "interaction_before": None if before is None else interaction(before.kind, before.status),
        "interaction_after": interaction(change.kind, change.status),
        "recorded_at": timestamp(seal.now),
        "previous_hash": GENESIS if before is None else before.head,
        "payload_hash": payload_hash,
    }


def _entry(line: Mapping[str, Json], content: Mapping[str, Json], seal: Seal) -> Entry:
    body = canonical(line)
    if len(body) > LARGEST_ENTRY:
        message = (
            f"an entry about {line['unit'][:80]} has {len(body)} bytes; at most {LARGEST_ENTRY} can be logged"
        )
        raise EntryTooLarge(message)
    return Entry(
        **{name: line[name] for name in _SHARED},
        **content,
        actor_id=seal.actor_id,
        salt=seal.salt,
        recorded_at=seal.now,
        body=body,
        hash=leaf_hash(body),
    )


def _unit(change: Change, entry: Entry) -> UnitOfWork:
    return UnitOfWork(
        id=change.unit,
        kind=change.kind,
        incident=change.incident,
        status=change.status,
        attributes=change.attributes,
        content_hash=entry.state_hash,
        version=entry.version,
        updated_at=entry.recorded_at,
        head=entry.hash,
    )


_SHARED = (
    "unit",
    "version",
    "kind",
    "incident",
    "event",
    "status_before",
    "status_after",
    "state_before",
    "state_hash",
    "interaction_before",
    "interaction_after",
    "previous_hash",
    "payload_hash",
)
"""Fields that have the same name and form in the header and in an Entry."""


def _patch(before: UnitOfWork | None, after: Mapping[str, Json]) -> list[dict[str, Json]]:
    if before is None:
        return [{"op": "add", "path": "", "value": after}]
    return diff(before.attributes, after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Something about stored history that does not fit; `seq` is the entry's place in the store, if it is about one."""

    unit: str
    version: int
    problem: str
    seq: int = 0


def check(unit: UnitOfWork | None, entries: Iterable[Entry]) -> Iterator[Flaw]:
    """Every flaw in one unit's stored state and its entries, which come in order of version."""
    head, last = GENESIS, None
    for number, entry in enumerate(entries, start=1):
        if entry.version != number:
            problem = f"is missing: the next one is {entry.version}"
            yield Flaw(unit=entry.unit, version=number, problem=problem, seq=entry.seq)
            return
        for problem in _problems(entry, last, head):
            yield Flaw(unit=entry.unit, version=number, problem=problem, seq=entry.seq)
        head, last = entry.hash, entry
    if unit is None:
        if last is not None:
            yield Flaw(unit=last.unit, version=last.version, problem="has history but no state")
        return
    yield from _check_state(unit, last)


def _problems(entry: Entry, last: Entry | None, head: str) -> Iterator[str]:
    yield from altered(entry)
    if entry.previous_hash != head:
        yield "does not follow the entry before it"
    left = (None, None) if last is None else (last.status_after, last.state_hash)
    if (entry.status_before, entry.state_before) != left:
        yield "starts from another state than was left"


def altered(entry: Entry) -> Iterator[str]:
    """What of an entry no longer hashes to what was recorded, whatever stands around it."""
    if leaf_hash(entry.body) != entry.hash:
        yield "was altered: its hash differs"
    if canonical(header(entry)) != entry.body:
        yield "was altered: its columns say something else than its recorded text"
    if _has_other_payload(entry):
        yield "was altered: its actor, reason, details or patch are not those that were recorded"


def _has_other_payload(entry: Entry) -> bool:
    if entry.erased:  # then nothing may be told that nothing vouches for
        return bool(entry.actor or entry.reason or entry.details or entry.patch)
    return commit(entry.salt, payload(entry)) != entry.payload_hash


def _check_state(unit: UnitOfWork, last: Entry | None) -> Iterator[Flaw]:
    if last is None:
        yield Flaw(unit=unit.id, version=unit.version, problem="has state but no history")
        return
    if unit.version != last.version or unit.head != last.hash:
        yield Flaw(unit=unit.id, version=unit.version, problem="its state is not that of its last entry")
    attributes = hashlib.sha256(canonical(unit.attributes)).hexdigest()
    if attributes != last.state_hash or unit.content_hash != last.state_hash:
        yield Flaw(unit=unit.id, version=unit.version, problem="its attributes were altered")
    if unit.status != last.status_after:
        yield Flaw(unit=unit.id, version=unit.version, problem="its status was altered")
    if (unit.kind, unit.incident, unit.updated_at) != (last.kind, last.incident, last.recorded_at):
        yield Flaw(unit=unit.id, version=unit.version, problem="its kind, incident or time was altered")


def drifted_paths(unit: UnitOfWork, entries: Iterable[Entry]) -> list[str] | None:
    """The paths (JSON pointers) at which a unit's attributes differ from what its history made of them.

    None where a payload was erased, so that history can no longer be followed, or where it leads nowhere.
    """
    recorded: Json = None
    for entry in entries:
        if entry.erased:
            return None
        try:
            recorded = apply(recorded, entry.patch)
        except ValueError:
            return None
    return changed_paths(recorded, unit.attributes)
