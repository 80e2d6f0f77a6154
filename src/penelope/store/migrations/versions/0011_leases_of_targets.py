"""Who may change a target: one action at a time."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False, comment="rises with each holder"),
        sa.Column("holder", sa.String(), comment="an action; null while the target is free"),
        sa.Column("incident", sa.String(), nullable=False),
        sa.Column("since", sa.String(), nullable=False),
        sa.Column("beat_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("target", name=op.f("pk_leases")),
        comment="who may change a target: one action at a time",
    )
    op.create_index("ix_leases_incident", "leases", ["incident"])


def downgrade() -> None:
    op.drop_table("leases")
