"""The tables of what later decisions look back on."""

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from penelope.store.schema import metadata

past_cases = Table(
    "past_cases",
    metadata,
    Column("incident", String, primary_key=True),
    Column("service", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("name", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("labels", Text, nullable=False, comment="JSON"),
    Column("summary", Text, nullable=False),
    Column("playbook", String, comment="what acted"),
    Column("kind", String, nullable=False),
    Column("verified", Boolean),
    Column("alone_seconds", Double, nullable=False),
    Column("healed_itself", Boolean, nullable=False, comment="else alone_seconds is censored"),
    Column("stratum", String, nullable=False),
    Column("confidence", Double, comment="what was predicted when it was acted on"),
    Column("imported", Boolean, nullable=False),
    Column("opened_at", String, nullable=False),
    Column("ended_at", String, nullable=False),
    Index("ix_past_cases_problem", "service", "fingerprint", "ended_at"),
    Index("ix_past_cases_name", "name", "ended_at"),
    Index("ix_past_cases_ended_at", "ended_at"),
    comment="incidents that have ended, as decisions look back on them",
)

tallies = Table(
    "tallies",
    metadata,
    Column("stratum", String, primary_key=True),
    Column("playbook", String, primary_key=True, comment="empty for all of them together"),
    Column("service", String, primary_key=True, comment="empty for all of them together"),
    Column("traits", String, primary_key=True, comment="what services share; empty for all together"),
    Column("imported", Boolean, primary_key=True),
    Column("successes", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    comment="how the uses of playbooks ended, counted when they do",
    sqlite_with_rowid=False,
)

case_vectors = Table(
    "case_vectors",
    metadata,
    Column("incident", String, primary_key=True, comment="a past case"),
    Column("model", String, nullable=False, comment="what made the vector; empty where nothing could"),
    Column("vector", LargeBinary, comment="32-bit floats, little-endian"),
    Column("indexed_at", String, nullable=False),
    Index("ix_case_vectors_indexed_at", "indexed_at", "incident"),
    comment="the meaning of past cases; can be made anew from them",
)
