"""Finds missions among all units."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_MISSIONS = sa.text("kind = 'mission'")


def upgrade() -> None:
    op.create_index(
        "ix_units_of_work_missions",
        "units_of_work",
        ["status", "updated_at", "id"],
        unique=False,
        sqlite_where=_MISSIONS,
        postgresql_where=_MISSIONS,
    )


def downgrade() -> None:
    op.drop_index("ix_units_of_work_missions", "units_of_work")
