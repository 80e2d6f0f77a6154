"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scopes", sa.String(), nullable=False, comment="separated by spaces"),
        sa.Column(
            "digest", sa.String(), nullable=False, comment="HMAC-SHA256 of the secret under the pepper"
        ),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.Column("expires_at", sa.String(), nullable=True),
        sa.Column("revoked_at", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.create_table(
        "attempts",
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("incident", sa.String(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("started_at", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("action", name=op.f("pk_attempts")),
    )
    op.create_index("ix_attempts_service", "attempts", ["service", "started_at"], unique=False)
    op.create_table(
        "firing",
        sa.Column("incident", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False, comment="what the source still watches burn"),
        sa.PrimaryKeyConstraint("incident", "subject", name=op.f("pk_firing")),
    )
    op.create_table(
        "ledger_entries",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("incident", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status_before", sa.String(), nullable=True),
        sa.Column("status_after", sa.String(), nullable=False),
        sa.Column("state_hash", sa.String(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False, comment="canonical JSON"),
        sa.Column("recorded_at", sa.String(), nullable=False),
        sa.Column("previous_hash", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ledger_entries")),
        sa.UniqueConstraint("unit", "version", name=op.f("uq_ledger_entries_unit_version")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_ledger_entries_incident"), "ledger_entries", ["incident"], unique=False)
    op.create_table(
        "outcomes",
        sa.Column("incident", sa.String(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("playbook", sa.String(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("ended_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("incident", name=op.f("pk_outcomes")),
        comment="how the plans that acted ended",
    )
    op.create_index("ix_outcomes_service", "outcomes", ["service", "ended_at"], unique=False)
    op.create_table(
        "signals",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("incident", sa.String(), nullable=True),
        sa.Column("received_at", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="the signal as JSON"),
        sa.PrimaryKeyConstraint("source", "id", name=op.f("pk_signals")),
    )
    op.create_index(op.f("ix_signals_incident"), "signals", ["incident"], unique=False)
    op.create_table(
        "units_of_work",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("incident", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column(
            "attributes",
            sa.Text(),
            nullable=False,
            comment="canonical JSON, the bytes that content_hash covers",
        ),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.String(), nullable=False),
        sa.Column("head", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_units_of_work")),
    )
    op.create_index(op.f("ix_units_of_work_incident"), "units_of_work", ["incident"], unique=False)
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_at", sa.String(), nullable=False),
        sa.Column(
            "open_key",
            sa.String(),
            nullable=True,
            comment="service and fingerprint while the incident takes signals in",
        ),
        sa.ForeignKeyConstraint(["id"], ["units_of_work.id"], name=op.f("fk_incidents_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
        sa.UniqueConstraint("open_key", name=op.f("uq_incidents_open_key")),
    )
    op.create_index(op.f("ix_incidents_opened_at"), "incidents", ["opened_at"], unique=False)
    op.create_index(
        "ix_incidents_problem", "incidents", ["service", "fingerprint", "opened_at"], unique=False
    )
    op.create_index(op.f("ix_incidents_state"), "incidents", ["state"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_incidents_state"), table_name="incidents")
    op.drop_index("ix_incidents_problem", table_name="incidents")
    op.drop_index(op.f("ix_incidents_opened_at"), table_name="incidents")
    op.drop_table("incidents")
    op.drop_index(op.f("ix_units_of_work_incident"), table_name="units_of_work")
    op.drop_table("units_of_work")
    op.drop_index(op.f("ix_signals_incident"), table_name="signals")
    op.drop_table("signals")
    op.drop_index("ix_outcomes_service", table_name="outcomes")
    op.drop_table("outcomes")
    op.drop_index(op.f("ix_ledger_entries_incident"), table_name="ledger_entries")
    op.drop_table("ledger_entries")
    op.drop_table("firing")
    op.drop_index("ix_attempts_service", table_name="attempts")
    op.drop_table("attempts")
    op.drop_table("api_keys")
