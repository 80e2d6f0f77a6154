"""How domain values become rows, and rows domain values."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import orjson

from penelope.domain.incident import Incident
from penelope.domain.work import Entry, UnitOfWork
from penelope.kit.canonical import Json, canonical
from penelope.kit.clock import timestamp
from penelope.kit.codec import from_data

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


def unit_row(unit: UnitOfWork) -> dict[str, Any]:
    return {
        "id": unit.id,
        "kind": unit.kind,
        "incident": unit.incident,
        "status": unit.status,
        "attributes": as_text(unit.attributes),
        "content_hash": unit.content_hash,
        "version": unit.version,
        "updated_at": timestamp(unit.updated_at),
        "head": unit.head,
    }


def unit_from(row: Row) -> UnitOfWork:
    return UnitOfWork(
        **{
            **row,
            "attributes": orjson.loads(row["attributes"]),
            "updated_at": datetime.fromisoformat(row["updated_at"]),
        }
    )


def entry_row(entry: Entry) -> dict[str, Any]:
    names = ("unit", "version", "kind", "incident", "event", "actor", "reason", "status_before")
    more = ("status_after", "state_hash", "previous_hash", "hash")
    return {
        **{name: getattr(entry, name) for name in (*names, *more)},
        "details": as_text(entry.details),
        "recorded_at": timestamp(entry.recorded_at),
    }


def entry_from(row: Row) -> Entry:
    return Entry(
        **{
            **row,
            "details": orjson.loads(row["details"]),
            "recorded_at": datetime.fromisoformat(row["recorded_at"]),
        }
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
