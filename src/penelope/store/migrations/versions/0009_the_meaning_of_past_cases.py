"""Vectors of past cases, by which those of like meaning are found."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "case_vectors",
        sa.Column("incident", sa.String(), nullable=False, comment="a past case"),
        sa.Column(
            "model", sa.String(), nullable=False, comment="what made the vector; empty where nothing could"
        ),
        sa.Column("vector", sa.LargeBinary(), nullable=True, comment="32-bit floats, little-endian"),
        sa.Column("indexed_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("incident", name=op.f("pk_case_vectors")),
        comment="the meaning of past cases; can be made anew from them",
    )
    op.create_index("ix_case_vectors_indexed_at", "case_vectors", ["indexed_at", "incident"], unique=False)


def downgrade() -> None:
    op.drop_table("case_vectors")
