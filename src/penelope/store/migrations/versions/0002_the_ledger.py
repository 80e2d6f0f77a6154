"""History that only grows, the log over it, actors, logs; units of work say where they rest."""

import sqlalchemy as sa
from alembic import op

from penelope.domain.work import INTERACTIONS
from penelope.errors import BadSettings
from penelope.store import guards

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _refuse_old_history()
    for name in ("incidents", "ledger_entries", "units_of_work"):
        op.drop_table(name)
    _units()
    _history()
    _log()
    guards.install(op.get_bind())


def downgrade() -> None:
    guards.remove(op.get_bind())
    for name in _TABLES:
        op.drop_table(name)
    _first_tables()


_TABLES = (
    "incidents",
    "units_of_work",
    "cosignatures",
    "history_payloads",
    "instance_contexts",
    "interaction_logs",
    "interactions",
    "local_actors",
    "log_batches",
    "log_checkpoints",
    "log_leaves",
    "log_state",
    "log_tiles",
    "units_of_work_history",
)


def _refuse_old_history() -> None:
    """What was hashed in another way cannot be carried over without rewriting it."""
    if op.get_bind().scalar(sa.text("SELECT count(*) FROM ledger_entries")):
        raise BadSettings(
            "the database holds history of a version before the first release, whose form is another",
            hint="Keep that file as it is, and name a new one in database.url.",
        )


def _units() -> None:
    op.create_table(
        "units_of_work",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("incident", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("interaction", sa.String(), nullable=False, comment="where it rests"),
        sa.Column(
            "attributes",
            sa.Text(),
            nullable=False,
            comment="canonical JSON, the bytes that content_hash covers",
        ),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.String(), nullable=False),
        sa.Column("last_heartbeat_at", sa.String(), nullable=False),
        sa.Column("head", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_units_of_work")),
        sqlite_with_rowid=False,
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

    op.create_table(
        "instance_contexts",
        sa.Column("id", sa.String(), nullable=False, comment="the incident that the run is about"),
        sa.Column(
            "workflow",
            sa.String(),
            nullable=False,
            comment="the story that is told, with the version of its shape",
        ),
        sa.Column("started_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance_contexts")),
        comment="one remediation run each",
    )
    op.create_table(
        "local_actors",
        sa.Column("id", sa.String(), nullable=False, comment="the pseudonym that the ledger uses"),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("last_heartbeat_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_local_actors")),
        sa.UniqueConstraint("name", name=op.f("uq_local_actors_name")),
        comment="who does things: engine, persons, agents, workers",
    )
    made = op.create_table(
        "interactions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("meaning", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interactions")),
        comment="the places where a unit of work can rest",
    )
    op.bulk_insert(made, [{"id": name, "meaning": meaning} for name, meaning in INTERACTIONS.items()])


def _history() -> None:
    op.create_table(
        "units_of_work_history",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(always=True),
            nullable=False,
        ),
        sa.Column(
            "tx",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="PostgreSQL's transaction, else 0",
        ),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("incident", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("status_before", sa.String(), nullable=True),
        sa.Column("status_after", sa.String(), nullable=False),
        sa.Column("state_before", sa.String(), nullable=True),
        sa.Column("state_hash", sa.String(), nullable=False),
        sa.Column("interaction_before", sa.String(), nullable=True),
        sa.Column("interaction_after", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.String(), nullable=False),
        sa.Column("previous_hash", sa.String(), nullable=False),
        sa.Column("payload_hash", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="canonical JSON, the bytes that hash covers"),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_units_of_work_history")),
        sa.UniqueConstraint("unit", "version", name=op.f("uq_units_of_work_history_unit_version")),
        comment="append-only",
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_units_of_work_history_incident"), "units_of_work_history", ["incident"], unique=False
    )
    op.create_index("ix_units_of_work_history_tx", "units_of_work_history", ["tx", "seq"], unique=False)
    op.create_table(
        "history_payloads",
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("salt", sa.String(), nullable=False, comment="hexadecimal"),
        sa.Column("body", sa.Text(), nullable=False, comment="canonical JSON: actor, reason, details, patch"),
        sa.PrimaryKeyConstraint("unit", "version", name=op.f("pk_history_payloads")),
        comment="what may be erased once it was archived; never changed",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "interaction_logs",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(always=True),
            nullable=False,
        ),
        sa.Column("recorded_at", sa.String(), nullable=False),
        sa.Column("log_type", sa.String(), nullable=False),
        sa.Column("instance", sa.String(), nullable=False, comment="an incident, or empty"),
        sa.Column("unit", sa.String(), nullable=False, comment="a unit of work, or empty"),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("error", sa.Text(), nullable=True, comment="JSON: type, message, stack trace"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_interaction_logs")),
        comment="append-only",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_interaction_logs_instance", "interaction_logs", ["instance", "seq"], unique=False)
    op.create_index("ix_interaction_logs_type", "interaction_logs", ["log_type", "seq"], unique=False)
    op.create_table(
        "log_batches",
        sa.Column("id", sa.String(), nullable=False, comment="a batch of interaction logs that was written"),
        sa.Column("written_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_batches")),
    )
    op.create_index(op.f("ix_log_batches_written_at"), "log_batches", ["written_at"], unique=False)


def _log() -> None:
    state = op.create_table(
        "log_state",
        sa.Column(
            "id", sa.Integer(), nullable=False, comment="always 1; its lock makes one sequencer of many"
        ),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="leaves integrated"),
        sa.Column("tx", sa.BigInteger(), nullable=False, comment="with seq: the last entry integrated"),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_state")),
    )
    op.bulk_insert(state, [{"id": 1, "size": 0, "tx": 0, "seq": 0}])
    op.create_table(
        "log_leaves",
        sa.Column(
            "index", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="the line of history"),
        sa.PrimaryKeyConstraint("index", name=op.f("pk_log_leaves")),
        sa.UniqueConstraint("seq", name=op.f("uq_log_leaves_seq")),
        comment="append-only",
    )
    op.create_table(
        "log_tiles",
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column(
            "data", sa.LargeBinary(), nullable=False, comment="1 to 256 hashes of 32 bytes (C2SP tlog-tiles)"
        ),
        sa.PrimaryKeyConstraint("level", "index", name=op.f("pk_log_tiles")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "log_checkpoints",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.String(), nullable=False, comment="hexadecimal"),
        sa.Column("note", sa.Text(), nullable=False, comment="the signed note"),
        sa.Column("signed_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_log_checkpoints")),
        comment="append-only",
    )
    op.create_table(
        "cosignatures",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("witness", sa.String(), nullable=False, comment="its key: name and id"),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("size", "witness", name=op.f("pk_cosignatures")),
        comment="append-only",
    )


def _first_tables() -> None:
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
