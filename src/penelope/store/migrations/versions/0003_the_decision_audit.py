"""Decisions in the form in which they are asked for, and the words in them."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OF_SQLITE = """\
CREATE VIRTUAL TABLE decisions_text
USING fts5(words, content='decisions', content_rowid='id', tokenize='ascii', detail=none);
CREATE TRIGGER decisions_text_insert AFTER INSERT ON decisions BEGIN
    INSERT INTO decisions_text (rowid, words) VALUES (NEW.id, NEW.words);
END"""
"""Each word as it is, since `words` was taken apart before; without places, which nobody asks for."""

_OF_POSTGRESQL = """\
CREATE INDEX decisions_text ON decisions USING gin (string_to_array(words, ' ')) WITH (fastupdate = off);
CREATE SEQUENCE decisions_tie MINVALUE 0 MAXVALUE 1023 CYCLE OWNED BY decisions.id"""
"""The sequence tells decisions of one microsecond apart."""


def upgrade() -> None:
    _decisions()
    for name, columns in _INDEXES.items():
        op.create_index(f"ix_decisions_{name}", "decisions", columns, unique=False)
    op.create_index("ix_outcomes_precedents", "outcomes", ["service", "playbook", "ended_at"], unique=False)
    text = _OF_SQLITE if op.get_bind().dialect.name == "sqlite" else _OF_POSTGRESQL
    for statement in re.split(r";\n(?=CREATE)", text):
        op.execute(sa.text(statement))


def downgrade() -> None:
    op.drop_index("ix_outcomes_precedents", "outcomes")
    op.drop_table("decisions")
    if op.get_bind().dialect.name == "sqlite":
        op.drop_table("decisions_text")


_COUNTED = ["id", "judgement", "risk_band", "risk", "precedents", "overridden_at"]

_INDEXES = {
    "time": _COUNTED,
    "service": ["service", *_COUNTED],
    "service_judgement": ["service", "judgement", "id"],
    "judgement": ["judgement", "id"],
    "actor": ["actor", "id"],
    "playbook": ["playbook", "id"],
    "incident": ["incident", "id"],
    "risk": ["risk", "id"],
    "service_risk": ["service", "risk", "id"],
    "risk_band": ["risk_band", "id", "risk"],
    "service_risk_band": ["service", "risk_band", "id", "risk"],
}


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="microseconds since 1970 times 1,024, plus what tells decisions of one moment apart",
        ),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("incident", sa.String(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("judgement", sa.String(), nullable=False),
        sa.Column("risk", sa.Double(), nullable=False),
        sa.Column("risk_band", sa.Integer(), nullable=False, comment="a twentieth of the scale, 0 to 19"),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("playbook", sa.String(), nullable=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=False),
        sa.Column(
            "words",
            sa.Text(),
            nullable=False,
            comment="what a search for text finds, separated by spaces",
        ),
        sa.Column(
            "precedents",
            sa.Integer(),
            nullable=False,
            comment="earlier uses of the playbook that were weighed",
        ),
        sa.Column("precedent_list", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("decided_at", sa.String(), nullable=False),
        sa.Column("overridden_by", sa.String(), nullable=True),
        sa.Column("overridden_at", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
        sa.UniqueConstraint("unit", "version", name=op.f("uq_decisions_unit_version")),
        comment="what the history says of decisions, in the form in which it is asked for",
    )
