"""Finds the corrections of people among all units."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_CORRECTIONS = sa.text("kind = 'correction'")


def upgrade() -> None:
    op.create_index(
        "ix_units_of_work_corrections",
        "units_of_work",
        ["updated_at", "id"],
        unique=False,
        sqlite_where=_CORRECTIONS,
        postgresql_where=_CORRECTIONS,
    )


def downgrade() -> None:
    op.drop_index("ix_units_of_work_corrections", "units_of_work")
