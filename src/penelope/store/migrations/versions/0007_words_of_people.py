"""Words of people: notices that wait, tokens that were spent, who owns a key, and what is asked at this moment."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("about", sa.String(), nullable=False, comment="a unit of work"),
        sa.Column("incident", sa.String(), nullable=False),
        sa.Column("due_at", sa.String(), nullable=False),
        sa.Column("channels", sa.Text(), nullable=False, comment="JSON: those still to be tried"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        comment="what people are to be told, and whether they were",
    )
    op.create_index("ix_notices_due", "notices", ["state", "due_at"], unique=False)
    op.create_table(
        "spent_tokens",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("expires_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spent_tokens")),
        comment="links and buttons that were taken, each good for one word",
    )
    op.create_index("ix_spent_tokens_expires_at", "spent_tokens", ["expires_at"], unique=False)
    op.add_column("api_keys", sa.Column("owner", sa.String(), nullable=True, comment="whose votes it casts"))
    for kind in ("approval", "break_glass"):
        only = sa.text(f"kind = '{kind}'")
        op.create_index(
            f"ix_units_of_work_{kind}",
            "units_of_work",
            ["status", "updated_at", "id"],
            unique=False,
            sqlite_where=only,
            postgresql_where=only,
        )


def downgrade() -> None:
    for kind in ("approval", "break_glass"):
        op.drop_index(f"ix_units_of_work_{kind}", "units_of_work")
    op.drop_column("api_keys", "owner")
    op.drop_table("spent_tokens")
    op.drop_table("notices")
