"""The tables of documents and their passages. What finds words and meanings in them is made by hand (migration 0015)."""

from sqlalchemy import Column, ForeignKey, Identity, Index, Integer, LargeBinary, String, Table, Text

from penelope.store.schema import SEQUENCE, metadata

documents = Table(
    "documents",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("source", Text, nullable=False, comment="where it was read"),
    Column("digest", String, nullable=False, comment="SHA-256 of its content"),
    Column("recipe", String, nullable=False, comment="how its passages were made of it"),
    Column("classification", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("services", Text, nullable=False, comment="JSON"),
    Column("changed_at", String),
    Column("passages", Integer, nullable=False, comment="how many it has"),
    Column("words", Integer, nullable=False, comment="how many they have together"),
    Index("ix_documents_classification", "classification", "passages", "words"),
    comment="what was indexed, to be searched",
)

passages = Table(
    "passages",
    metadata,
    Column("seq", SEQUENCE, Identity(always=True), primary_key=True),
    Column("document", String, ForeignKey("documents.id", ondelete="CASCADE"), nullable=False),
    Column("classification", String, nullable=False, comment="that of its document"),
    Column("heading", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("terms", Text, nullable=False, comment="the different words that it is found by"),
    Column("length", Integer, nullable=False, comment="how many words it has in all"),
    Column("model", String, nullable=False, comment="what made the vector; empty where nothing could"),
    Column("vector", LargeBinary, comment="32-bit floats, little-endian; on PostgreSQL in passages_text"),
    Index("ix_passages_document", "document"),
    Index("ix_passages_classification", "classification", "seq"),
    comment="the parts of documents",
    sqlite_autoincrement=True,
)

passages_revision = Table(
    "passages_revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", Integer, nullable=False),
    comment="grows with every change, so that whoever holds passages in memory sees it",
)
