"""Finds the standings of playbooks among all units, and counts the articles that decisions broke."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_STANDINGS = sa.text("kind = 'autonomy'")
_COUNTED = ["id", "judgement", "risk_band", "risk", "precedents", "overridden_at"]
_INDEXES = {"ix_decisions_time": _COUNTED, "ix_decisions_service": ["service", *_COUNTED]}


def upgrade() -> None:
    op.create_index(
        "ix_units_of_work_standings",
        "units_of_work",
        ["id"],
        unique=False,
        sqlite_where=_STANDINGS,
        postgresql_where=_STANDINGS,
    )
    op.add_column("decisions", sa.Column("broken", sa.Integer(), nullable=True, comment=_COMMENT))
    for name, columns in _INDEXES.items():
        op.drop_index(name, "decisions")
        op.create_index(name, "decisions", [*columns, "broken"], unique=False)


def downgrade() -> None:
    for name, columns in _INDEXES.items():
        op.drop_index(name, "decisions")
        op.create_index(name, "decisions", columns, unique=False)
    op.drop_column("decisions", "broken")
    op.drop_index("ix_units_of_work_standings", "units_of_work")


_COMMENT = "articles that were weighed and not kept, a bit each; null where none was weighed"
