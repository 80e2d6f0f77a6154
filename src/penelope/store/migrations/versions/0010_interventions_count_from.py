"""An intervention counts from its last passage of the gate, no longer from its first."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_interventions_began_at", "interventions")
    op.execute("ALTER TABLE interventions RENAME COLUMN began_at TO counted_from")
    op.create_index("ix_interventions_counted_from", "interventions", ["counted_from"])


def downgrade() -> None:
    op.drop_index("ix_interventions_counted_from", "interventions")
    op.execute("ALTER TABLE interventions RENAME COLUMN counted_from TO began_at")
    op.create_index("ix_interventions_began_at", "interventions", ["began_at"])
