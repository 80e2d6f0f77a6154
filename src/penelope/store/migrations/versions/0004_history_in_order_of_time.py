"""History in order of time, for exports; with the events, so that counting them reads no whole lines."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NAME = "ix_units_of_work_history_recorded_at"


def upgrade() -> None:
    op.create_index(_NAME, "units_of_work_history", ["recorded_at", "seq", "event"], unique=False)


def downgrade() -> None:
    op.drop_index(_NAME, "units_of_work_history")
