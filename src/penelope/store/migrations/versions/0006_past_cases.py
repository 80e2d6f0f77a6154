"""Incidents that have ended, as decisions look back on them, and how the uses of playbooks went."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "past_cases",
        sa.Column("incident", sa.String(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("playbook", sa.String(), nullable=True, comment="what acted"),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=True),
        sa.Column("alone_seconds", sa.Double(), nullable=False),
        sa.Column("healed_itself", sa.Boolean(), nullable=False, comment="else alone_seconds is censored"),
        sa.Column("stratum", sa.String(), nullable=False),
        sa.Column(
            "confidence", sa.Double(), nullable=True, comment="what was predicted when it was acted on"
        ),
        sa.Column("imported", sa.Boolean(), nullable=False),
        sa.Column("opened_at", sa.String(), nullable=False),
        sa.Column("ended_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("incident", name=op.f("pk_past_cases")),
        comment="incidents that have ended, as decisions look back on them",
    )
    problem = ["service", "fingerprint", "ended_at"]
    op.create_index("ix_past_cases_problem", "past_cases", problem, unique=False)
    op.create_index("ix_past_cases_name", "past_cases", ["name", "ended_at"], unique=False)
    op.create_index("ix_past_cases_ended_at", "past_cases", ["ended_at"], unique=False)
    together = "empty for all of them together"
    op.create_table(
        "tallies",
        sa.Column("stratum", sa.String(), nullable=False),
        sa.Column("playbook", sa.String(), nullable=False, comment=together),
        sa.Column("service", sa.String(), nullable=False, comment=together),
        sa.Column(
            "traits", sa.String(), nullable=False, comment="what services share; empty for all together"
        ),
        sa.Column("imported", sa.Boolean(), nullable=False),
        sa.Column("successes", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(
            "stratum", "playbook", "service", "traits", "imported", name=op.f("pk_tallies")
        ),
        comment="how the uses of playbooks ended, counted when they do",
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("tallies")
    op.drop_table("past_cases")
