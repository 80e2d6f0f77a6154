"""Documents, their passages, and what finds words and meanings in them."""

import sqlalchemy as sa
from alembic import op

from penelope.store.pgvector import lay

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_OF_SQLITE = """\
CREATE VIRTUAL TABLE passages_text USING fts5(
    public, internal, confidential, restricted, pii, content='', tokenize='ascii', detail=column
)"""
"""A column a classification: so a question's own condition says which passages it may find. Contentless, for `passages`
has the terms."""

_OF_POSTGRESQL = (
    """\
CREATE TABLE passages_text (
    seq bigint PRIMARY KEY REFERENCES passages (seq) ON DELETE CASCADE,
    document varchar NOT NULL,
    classification varchar NOT NULL,
    length integer NOT NULL,
    words tsvector NOT NULL
)""",
    "CREATE INDEX passages_text_words ON passages_text USING gin (words) WITH (fastupdate = off)",
)


def upgrade() -> None:
    _documents()
    _passages()
    op.create_table(
        "passages_revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passages_revision")),
        comment="grows with every change, so that whoever holds passages in memory sees it",
    )
    op.execute(sa.text("INSERT INTO passages_revision (id, revision) VALUES (1, 0)"))
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        op.execute(sa.text(_OF_SQLITE))
        return
    for statement in _OF_POSTGRESQL:
        op.execute(sa.text(statement))
    lay(connection)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # The extension stays: others may use it.
        op.execute(sa.text("DROP TABLE IF EXISTS passages_text_meaning"))
    op.drop_table("passages_text")
    op.drop_table("passages_revision")
    op.drop_table("passages")
    op.drop_table("documents")


def _documents() -> None:
    op.create_table(
        "documents",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="where it was read"),
        sa.Column("digest", sa.String(), nullable=False, comment="SHA-256 of its content"),
        sa.Column("recipe", sa.String(), nullable=False, comment="how its passages were made of it"),
        sa.Column("classification", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("services", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("changed_at", sa.String(), nullable=True),
        sa.Column("passages", sa.Integer(), nullable=False, comment="how many it has"),
        sa.Column("words", sa.Integer(), nullable=False, comment="how many they have together"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
        comment="what was indexed, to be searched",
    )
    columns = ["classification", "passages", "words"]
    op.create_index("ix_documents_classification", "documents", columns, unique=False)


def _passages() -> None:
    op.create_table(
        "passages",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(always=True),
            nullable=False,
        ),
        sa.Column("document", sa.String(), nullable=False),
        sa.Column("classification", sa.String(), nullable=False, comment="that of its document"),
        sa.Column("heading", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False, comment="the different words that it is found by"),
        sa.Column("length", sa.Integer(), nullable=False, comment="how many words it has in all"),
        sa.Column(
            "model", sa.String(), nullable=False, comment="what made the vector; empty where nothing could"
        ),
        sa.Column(
            "vector",
            sa.LargeBinary(),
            nullable=True,
            comment="32-bit floats, little-endian; on PostgreSQL in passages_text",
        ),
        sa.ForeignKeyConstraint(
            ["document"],
            ["documents.id"],
            name=op.f("fk_passages_document"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_passages")),
        comment="the parts of documents",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_passages_document", "passages", ["document"], unique=False)
    op.create_index("ix_passages_classification", "passages", ["classification", "seq"], unique=False)
