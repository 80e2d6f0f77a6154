"""Finds deployments among all units."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_DEPLOYMENTS = sa.text("kind = 'deployment'")


def upgrade() -> None:
    op.create_index(
        "ix_units_of_work_deployments",
        "units_of_work",
        ["status", "updated_at", "id"],
        unique=False,
        sqlite_where=_DEPLOYMENTS,
        postgresql_where=_DEPLOYMENTS,
    )


def downgrade() -> None:
    op.drop_index("ix_units_of_work_deployments", "units_of_work")
