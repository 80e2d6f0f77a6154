"""The tables. Moments are RFC 3339 text in UTC with microseconds: equal on both databases, and sortable."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from penelope.store.passage_tables import documents, passages, passages_revision
from penelope.store.past_tables import case_vectors, past_cases, tallies
from penelope.store.schema import SEQUENCE, metadata

__all__ = [
    "case_vectors",
    "documents",
    "metadata",
    "passages",
    "passages_revision",
    "past_cases",
    "tallies",
]

instance_contexts = Table(
    "instance_contexts",
    metadata,
    Column("id", String, primary_key=True, comment="the incident that the run is about"),
    Column(
        "workflow", String, nullable=False, comment="the story that is told, with the version of its shape"
    ),
    Column("started_at", String, nullable=False),
    comment="one remediation run each",
)

local_actors = Table(
    "local_actors",
    metadata,
    Column("id", String, primary_key=True, comment="the pseudonym that the ledger uses"),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False, unique=True),
    Column("last_heartbeat_at", String, nullable=False),
    comment="who does things: engine, persons, agents, workers",
)

interactions = Table(
    "interactions",
    metadata,
    Column("id", String, primary_key=True),
    Column("meaning", String, nullable=False),
    comment="the places where a unit of work can rest",
)

units_of_work = Table(
    "units_of_work",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("incident", String, nullable=False, index=True),
    Column("status", String, nullable=False),
    Column("interaction", String, nullable=False, comment="where it rests"),
    Column("attributes", Text, nullable=False, comment="canonical JSON, the bytes that content_hash covers"),
    Column("content_hash", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("updated_at", String, nullable=False),
    Column("last_heartbeat_at", String, nullable=False),
    Column("head", String, nullable=False),
    sqlite_with_rowid=False,
)

STANDINGS = "kind = 'autonomy'"
"""Which units the index of standings holds: a few among very many."""

Index(
    "ix_units_of_work_standings",
    units_of_work.c.id,
    sqlite_where=text(STANDINGS),
    postgresql_where=text(STANDINGS),
)

units_of_work_history = Table(
    "units_of_work_history",
    metadata,
    Column("seq", SEQUENCE, Identity(always=True), primary_key=True),
    Column("tx", BigInteger, nullable=False, server_default="0", comment="PostgreSQL's transaction, else 0"),
    Column("unit", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("incident", String, nullable=False, index=True),
    Column("event", String, nullable=False),
    Column("actor_id", String, nullable=False),
    Column("status_before", String),
    Column("status_after", String, nullable=False),
    Column("state_before", String),
    Column("state_hash", String, nullable=False),
    Column("interaction_before", String),
    Column("interaction_after", String, nullable=False),
    Column("recorded_at", String, nullable=False),
    Column("previous_hash", String, nullable=False),
    Column("payload_hash", String, nullable=False),
    Column("body", Text, nullable=False, comment="canonical JSON, the bytes that hash covers"),
    Column("hash", String, nullable=False),
    UniqueConstraint("unit", "version"),
    Index("ix_units_of_work_history_tx", "tx", "seq"),
    Index("ix_units_of_work_history_recorded_at", "recorded_at", "seq", "event"),
    comment="append-only",
    sqlite_autoincrement=True,
)

history_payloads = Table(
    "history_payloads",
    metadata,
    Column("unit", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("salt", String, nullable=False, comment="hexadecimal"),
    Column("body", Text, nullable=False, comment="canonical JSON: actor, reason, details, patch"),
    comment="what may be erased once it was archived; never changed",
    sqlite_with_rowid=False,
)

interaction_logs = Table(
    "interaction_logs",
    metadata,
    Column("seq", SEQUENCE, Identity(always=True), primary_key=True),
    Column("recorded_at", String, nullable=False),
    Column("log_type", String, nullable=False),
    Column("instance", String, nullable=False, comment="an incident, or empty"),
    Column("unit", String, nullable=False, comment="a unit of work, or empty"),
    Column("event", String, nullable=False),
    Column("details", Text, nullable=False, comment="JSON"),
    Column("error", Text, comment="JSON: type, message, stack trace"),
    Index("ix_interaction_logs_type", "log_type", "seq"),
    Index("ix_interaction_logs_instance", "instance", "seq"),
    comment="append-only",
    sqlite_autoincrement=True,
)

log_batches = Table(
    "log_batches",
    metadata,
    Column("id", String, primary_key=True, comment="a batch of interaction logs that was written"),
    Column("written_at", String, nullable=False, index=True),
)

log_state = Table(
    "log_state",
    metadata,
    Column("id", Integer, primary_key=True, comment="always 1; its lock makes one sequencer of many"),
    Column("size", BigInteger, nullable=False, comment="leaves integrated"),
    Column("tx", BigInteger, nullable=False, comment="with seq: the last entry integrated"),
    Column("seq", BigInteger, nullable=False),
)

log_leaves = Table(
    "log_leaves",
    metadata,
    Column("index", SEQUENCE, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False, unique=True, comment="the line of history"),
    comment="append-only",
)

log_tiles = Table(
    "log_tiles",
    metadata,
    Column("level", Integer, primary_key=True),
    Column("index", BigInteger, primary_key=True),
    Column("data", LargeBinary, nullable=False, comment="1 to 256 hashes of 32 bytes (C2SP tlog-tiles)"),
    sqlite_with_rowid=False,
)

log_checkpoints = Table(
    "log_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", String, nullable=False, comment="hexadecimal"),
    Column("note", Text, nullable=False, comment="the signed note"),
    Column("signed_at", String, nullable=False),
    comment="append-only",
)

cosignatures = Table(
    "cosignatures",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("witness", String, primary_key=True, comment="its key: name and id"),
    Column("line", Text, nullable=False),
    Column("signed_at", String, nullable=False),
    comment="append-only",
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", String, ForeignKey("units_of_work.id"), primary_key=True),
    Column("service", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("opened_at", String, nullable=False, index=True),
    Column(
        "open_key", String, unique=True, comment="service and fingerprint while the incident takes signals in"
    ),
    Index("ix_incidents_problem", "service", "fingerprint", "opened_at"),
)

signals = Table(
    "signals",
    metadata,
    Column("source", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("incident", String, index=True),
    Column("received_at", String, nullable=False),
    Column("body", Text, nullable=False, comment="the signal as JSON"),
)

firing = Table(
    "firing",
    metadata,
    Column("incident", String, primary_key=True),
    Column("subject", String, primary_key=True, comment="what the source still watches burn"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("action", String, primary_key=True),
    Column("incident", String, nullable=False),
    Column("service", String, nullable=False),
    Column("started_at", String, nullable=False),
    Column("count", Integer, nullable=False),
    Index("ix_attempts_service", "service", "started_at"),
)

interventions = Table(
    "interventions",
    metadata,
    Column("incident", String, primary_key=True),
    Column("service", String, nullable=False),
    Column("playbook", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("actions", Integer, nullable=False, comment="how many its plan does, reserved in full"),
    Column("counted_from", String, nullable=False),
    Index("ix_interventions_counted_from", "counted_from"),
    comment="the plans that the gate let through",
)

leases = Table(
    "leases",
    metadata,
    Column("target", String, primary_key=True),
    Column("fence", BigInteger, nullable=False, comment="rises with each holder"),
    Column("holder", String, comment="an action; null while the target is free"),
    Column("incident", String, nullable=False, index=True),
    Column("since", String, nullable=False),
    Column("beat_at", String, nullable=False),
    comment="who may change a target: one action at a time",
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("incident", String, primary_key=True),
    Column("service", String, nullable=False),
    Column("playbook", String, nullable=False),
    Column("verified", Boolean, nullable=False),
    Column("ended_at", String, nullable=False),
    Index("ix_outcomes_service", "service", "ended_at"),
    comment="how the plans that acted ended",
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("scopes", String, nullable=False, comment="separated by spaces"),
    Column("digest", String, nullable=False, comment="HMAC-SHA256 of the secret under the pepper"),
    Column("created_at", String, nullable=False),
    Column("expires_at", String),
    Column("revoked_at", String),
    Column("owner", String, comment="whose votes it casts"),
)

notices = Table(
    "notices",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("about", String, nullable=False, comment="a unit of work"),
    Column("incident", String, nullable=False),
    Column("due_at", String, nullable=False),
    Column("channels", Text, nullable=False, comment="JSON: those still to be tried"),
    Column("attempts", Integer, nullable=False),
    Column("state", String, nullable=False),
    Index("ix_notices_due", "state", "due_at"),
    comment="what people are to be told, and whether they were",
)

spent_tokens = Table(
    "spent_tokens",
    metadata,
    Column("id", String, primary_key=True),
    Column("expires_at", String, nullable=False, index=True),
    comment="links and buttons that were taken, each good for one word",
)

decisions = Table(
    "decisions",
    metadata,
    Column(
        "id",
        SEQUENCE,
        primary_key=True,
        autoincrement=False,
        comment="microseconds since 1970 times 1,024, plus what tells decisions of one moment apart",
    ),
    Column("unit", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("incident", String, nullable=False),
    Column("service", String, nullable=False),
    Column("judgement", String, nullable=False),
    Column("risk", Double, nullable=False),
    Column("risk_band", Integer, nullable=False, comment="a twentieth of the scale, 0 to 19"),
    Column("confidence", Double, nullable=False),
    Column("playbook", String),
    Column("actor", String, nullable=False),
    Column("rationale", Text, nullable=False),
    Column("words", Text, nullable=False, comment="what a search for text finds, separated by spaces"),
    Column("precedents", Integer, nullable=False, comment="earlier uses of the playbook that were weighed"),
    Column("precedent_list", Text, nullable=False, comment="JSON"),
    Column("decided_at", String, nullable=False),
    Column(
        "broken",
        Integer,
        comment="articles that were weighed and not kept, a bit each; null where none was weighed",
    ),
    Column("overridden_by", String),
    Column("overridden_at", String),
    UniqueConstraint("unit", "version"),
    Index(
        "ix_decisions_time", "id", "judgement", "risk_band", "risk", "precedents", "overridden_at", "broken"
    ),
    Index(
        "ix_decisions_service",
        "service",
        "id",
        "judgement",
        "risk_band",
        "risk",
        "precedents",
        "overridden_at",
        "broken",
    ),
    Index("ix_decisions_service_judgement", "service", "judgement", "id"),
    Index("ix_decisions_judgement", "judgement", "id"),
    Index("ix_decisions_actor", "actor", "id"),
    Index("ix_decisions_playbook", "playbook", "id"),
    Index("ix_decisions_incident", "incident", "id"),
    Index("ix_decisions_risk", "risk", "id"),
    Index("ix_decisions_service_risk", "service", "risk", "id"),
    Index("ix_decisions_risk_band", "risk_band", "id", "risk"),
    Index("ix_decisions_service_risk_band", "service", "risk_band", "id", "risk"),
    comment="what the history says of decisions, in the form in which it is asked for",
)

Index("ix_outcomes_precedents", outcomes.c.service, outcomes.c.playbook, outcomes.c.ended_at)

BENCHMARKS = "kind = 'benchmark'"
BASELINES = "kind = 'baseline'"
MISSIONS = "kind = 'mission'"
DEPLOYMENTS = "kind = 'deployment'"
CORRECTIONS = "kind = 'correction'"
"""Which units an index holds, to the letter of the queries that use it."""

_BY_NAME = (units_of_work.c.id,)
_BY_TIME = (units_of_work.c.updated_at, units_of_work.c.id)
_BY_STATUS = (units_of_work.c.status, *_BY_TIME)

for _name, _which, _columns in (
    ("approval", "kind = 'approval'", _BY_STATUS),
    ("break_glass", "kind = 'break_glass'", _BY_STATUS),
    ("benchmarks", BENCHMARKS, _BY_TIME),
    ("baselines", BASELINES, _BY_NAME),
    ("missions", MISSIONS, _BY_STATUS),
    ("deployments", DEPLOYMENTS, _BY_STATUS),
    ("corrections", CORRECTIONS, _BY_TIME),
):
    _only = text(_which)
    Index(f"ix_units_of_work_{_name}", *_columns, sqlite_where=_only, postgresql_where=_only)
