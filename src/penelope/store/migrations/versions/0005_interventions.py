"""The plans that the gate let through: what its budgets are counted from."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "interventions",
        sa.Column("incident", sa.String(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("playbook", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column(
            "actions", sa.Integer(), nullable=False, comment="how many its plan does, reserved in full"
        ),
        sa.Column("began_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("incident", name=op.f("pk_interventions")),
        comment="the plans that the gate let through",
    )
    op.create_index("ix_interventions_began_at", "interventions", ["began_at"])


def downgrade() -> None:
    op.drop_table("interventions")
