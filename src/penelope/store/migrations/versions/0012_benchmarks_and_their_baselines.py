"""Finds benchmark runs and baselines among all units."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_units_of_work_benchmarks": (["updated_at", "id"], sa.text("kind = 'benchmark'")),
    "ix_units_of_work_baselines": (["id"], sa.text("kind = 'baseline'")),
}


def upgrade() -> None:
    for name, (columns, only) in _INDEXES.items():
        op.create_index(
            name, "units_of_work", columns, unique=False, sqlite_where=only, postgresql_where=only
        )


def downgrade() -> None:
    for name in _INDEXES:
        op.drop_index(name, "units_of_work")
