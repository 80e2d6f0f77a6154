"""How domain values become rows, and rows domain values."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import orjson

from penelope.domain.incident import Incident
from penelope.domain.work import Entry, UnitOfWork
from penelope.errors import ChainBroken
from penelope.kit.canonical import Json, canonical
from penelope.kit.clock import timestamp
from penelope.kit.codec import from_data
from penelope.store.bulk import HISTORY_COLUMNS

Item = TypeVar("Item")
Row = Mapping[str, Any]

_CHUNK = 500
"""Values in one IN list: below SQLite's limit of host parameters for two columns, large enough to matter."""


def chunks(items: Sequence[Item]) -> Iterator[list[Item]]:
    """The items in lists short enough for one statement."""
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def as_text(value: Json) -> str:
    """Canonical JSON text."""
    return canonical(value).decode()


def unit_from(row: Row) -> UnitOfWork:
    return UnitOfWork(
        id=row["id"],
        kind=row["kind"],
        incident=row["incident"],
        status=row["status"],
        attributes=orjson.loads(row["attributes"]),
        content_hash=row["content_hash"],
        version=row["version"],
        updated_at=datetime.fromisoformat(row["updated_at"]),
        head=row["head"],
    )


def sound_unit_from(row: Row) -> UnitOfWork:
    """A unit that is about to be changed. Raises ChainBroken where its stored attributes are not those that were
    saved: nothing may build on what somebody has put there.
    """
    found = hashlib.sha256(row["attributes"].encode()).hexdigest()
    if found != row["content_hash"]:
        message = f"the attributes of {row['id']} were changed by something else than Penelope"
        raise ChainBroken(message, hint=f"Run `penelope ledger state {row['id']}`: it names what differs.")
    return unit_from(row)


_HEADER = tuple(name for name in HISTORY_COLUMNS if name not in {"recorded_at", "body"})


def entry_from(row: Row) -> Entry:
    """An entry from its line of history, joined with its payload's `salt` and `payload`, both null once erased."""
    header = {name: row[name] for name in _HEADER}
    payload = {} if row["salt"] is None else {"salt": row["salt"], **orjson.loads(row["payload"])}
    return Entry(
        **header,
        **payload,
        recorded_at=datetime.fromisoformat(row["recorded_at"]),
        body=row["body"].encode(),
        seq=row["seq"],
    )


def incident_row(unit: UnitOfWork) -> dict[str, Any]:
    """The columns by which incidents are found; the rest is in the unit's attributes."""
    incident = from_data(Incident, unit.attributes)
    return {
        "id": incident.id,
        "service": incident.service,
        "fingerprint": incident.fingerprint,
        "state": incident.state.value,
        "opened_at": timestamp(incident.opened_at),
        "open_key": open_key(incident),
    }


def open_key(incident: Incident) -> str | None:
    """What makes two open incidents about one problem impossible."""
    return f"{incident.service}|{incident.fingerprint}" if incident.takes_signals else None
