"""The tables. Moments are RFC 3339 text in UTC with microseconds: equal on both databases, and sortable."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")

units_of_work = Table(
    "units_of_work",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("incident", String, nullable=False, index=True),
    Column("status", String, nullable=False),
    Column("attributes", Text, nullable=False, comment="canonical JSON, the bytes that content_hash covers"),
    Column("content_hash", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("updated_at", String, nullable=False),
    Column("head", String, nullable=False),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("unit", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("incident", String, nullable=False, index=True),
    Column("event", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("status_before", String),
    Column("status_after", String, nullable=False),
    Column("state_hash", String, nullable=False),
    Column("details", Text, nullable=False, comment="canonical JSON"),
    Column("recorded_at", String, nullable=False),
    Column("previous_hash", String, nullable=False),
    Column("hash", String, nullable=False),
    UniqueConstraint("unit", "version"),
    sqlite_autoincrement=True,
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", String, ForeignKey("units_of_work.id"), primary_key=True),
    Column("service", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("opened_at", String, nullable=False, index=True),
    Column(
        "open_key", String, unique=True, comment="service and fingerprint while the incident takes signals in"
    ),
    Index("ix_incidents_problem", "service", "fingerprint", "opened_at"),
)

signals = Table(
    "signals",
    metadata,
    Column("source", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("incident", String, index=True),
    Column("received_at", String, nullable=False),
    Column("body", Text, nullable=False, comment="the signal as JSON"),
)

firing = Table(
    "firing",
    metadata,
    Column("incident", String, primary_key=True),
    Column("subject", String, primary_key=True, comment="what the source still watches burn"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("action", String, primary_key=True),
    Column("incident", String, nullable=False),
    Column("service", String, nullable=False),
    Column("started_at", String, nullable=False),
    Column("count", Integer, nullable=False),
    Index("ix_attempts_service", "service", "started_at"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("incident", String, primary_key=True),
    Column("service", String, nullable=False),
    Column("playbook", String, nullable=False),
    Column("verified", Boolean, nullable=False),
    Column("ended_at", String, nullable=False),
    Index("ix_outcomes_service", "service", "ended_at"),
    comment="how the plans that acted ended",
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("scopes", String, nullable=False, comment="separated by spaces"),
    Column("digest", String, nullable=False, comment="HMAC-SHA256 of the secret under the pepper"),
    Column("created_at", String, nullable=False),
    Column("expires_at", String),
    Column("revoked_at", String),
)
