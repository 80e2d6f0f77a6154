"""What the interface answers with about the ledger."""

from datetime import datetime
from typing import Any

from pydantic import ConfigDict

from penelope.entry.api.models import Entry
from penelope.kit.described import Described

_ROOT = "3d5f0c6e0a7c6f8f5b1f0e3a9d1a4b8c7e2f6a5d4c3b2a190817263544536271"
_NOTE = """\
localhost/penelope
214
PV8Mbgp8b49bHw46nRpLjH4val1MOyoZCBcmNURTYnE=

\u2014 localhost/penelope 1mbvvw...
"""
_LAST = {
    "size": 214,
    "signed_at": "2026-11-21T07:00:00.012345Z",
    "age_seconds": 0.8,
    "witnesses": ["witness.example.com/w1"],
}


def _with(**example: Any) -> ConfigDict:
    """Docstrings become descriptions, and the OpenAPI document shows an example."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class SignedCheckpoint(Described):
    """The whole log at one moment, signed."""

    model_config = _with(size=214, root=_ROOT, note=_NOTE)

    size: int
    """How many entries it covers."""
    root: str
    """The Merkle root over them (RFC 9162), in hexadecimal."""
    note: str
    """The same as a signed note (C2SP tlog-checkpoint), with the cosignatures of witnesses."""


class ProvenEntry(Described):
    """An entry with the proof that it is in the log."""

    index: int
    """Its place in the log, from 0."""
    header: str
    """Its canonical text, of which the leaf is the hash."""
    salt: str | None
    """The salt of the commitment to the payload; null where that was erased."""
    payload: str | None
    """Who did it, why, with which details, and what changed, as canonical text; null where it was erased."""
    proof: list[str]
    """The proof of inclusion (RFC 9162, 2.1.3), each hash in base64."""


class HistoryEntry(Entry):
    """One line of the history of a unit of work."""

    model_config = ConfigDict(json_schema_extra={})  # the example of the other lacks a field

    erased: bool
    """Whether its payload is gone for good: `actor`, `reason` and `details` are empty then, and say nothing."""


class Receipt(Described):
    """The whole story of one incident, which `penelope ledger check` verifies without a server."""

    format: str
    """Always `penelope.dev/receipt/v1`."""
    incident: str
    checkpoint: str
    """The signed note in whose tree all entries are, with the cosignatures of witnesses."""
    entries: list[ProvenEntry]


class LastCheckpoint(Described):
    """The newest checkpoint."""

    model_config = _with(**_LAST)

    size: int
    signed_at: datetime
    age_seconds: float
    witnesses: list[str]
    """Who has cosigned it."""


class Statistics(Described):
    """How much history there is, and how the log stands."""

    model_config = _with(
        entries=216,
        log_size=214,
        waiting=2,
        xmin_age=0,
        checkpoint=_LAST,
        oldest_at="2026-11-01T07:00:00.012345Z",
        payloads=200,
        removed=16,
        events={"DecisionMade": 20, "IncidentOpened": 20},
    )

    entries: int
    log_size: int
    """How many of them are in the log."""
    waiting: int
    """How many are not; counted up to 100,000."""
    xmin_age: int
    """On PostgreSQL how many transactions the oldest open one is behind: nothing after it is logged."""
    checkpoint: LastCheckpoint | None
    oldest_at: datetime | None
    payloads: int
    """Payloads in the database."""
    removed: int
    """Payloads that were taken from it: into the archive, or for good."""
    events: dict[str, int]
    """How many entries tell of each event."""
