"""The names of metrics and log fields: from this one list the objects are made and the reference is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# Fields of log lines; request_id is bound by the API (structlog.contextvars) and so stands in every line below it.
REQUEST_ID = "request_id"
INCIDENT = "incident"
SERVICE = "service"
ACTION = "action"
CODE = "code"
SECONDS = "seconds"

LOG_FIELDS: Mapping[str, str] = {
    "timestamp": "When, in UTC (RFC 3339).",
    "level": "`debug`, `info`, `warning` or `error`.",
    "logger": "The part that speaks.",
    "event": "What happened.",
    "exception": "The traceback, where there is one.",
    REQUEST_ID: "The HTTP request on whose behalf it happened; the answer's `X-Request-Id` header has it too.",
    INCIDENT: "The incident that it is about.",
    SERVICE: "The service that it is about.",
    ACTION: "The idempotency key of the action that it is about.",
    CODE: "The code of an error, see [errors](errors.md).",
    SECONDS: "How long it took.",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; `buckets` are the upper bounds of a histogram in seconds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCHES = (1, 10, 50, 100, 250, 500, 1000, 2500, 10000)
SLOW = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

DAYS = (60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800)

APPROVALS = (
    Metric("penelope_approvals_pending", "gauge", (), "Requests for approval that wait for an answer."),
    Metric(
        "penelope_approval_wait_seconds",
        "histogram",
        ("status",),
        "Time from a request for approval to its end.",
        DAYS,
    ),
    Metric("penelope_approval_votes_total", "counter", ("channel", "status"), "Votes, by how they came."),
    Metric("penelope_notices_total", "counter", ("channel", "result"), "Notices: sent, failed, lost."),
    Metric("penelope_glass_broken_total", "counter", ("service",), "Plans run over refusals by a person."),
    Metric("penelope_reviews_open", "gauge", (), "Broken glasses that two people have not reviewed yet."),
    Metric("penelope_reviews_overdue", "gauge", (), "Open reviews whose time is over."),
)

DEPLOYMENTS = (
    Metric(
        "penelope_canary_deployments_total",
        "counter",
        ("service", "status"),
        "Deployments: progressing when begun, then how they ended: promoted, rolled_back, cancelled, concluded.",
    ),
    Metric(
        "penelope_canary_active_deployments",
        "gauge",
        ("service",),
        "Deployments that have not ended, by service with a router.",
    ),
    Metric(
        "penelope_canary_traffic_percentage",
        "gauge",
        ("service", "deployment_id"),
        "Percent of the traffic that was last seen to go to the changed arm, of deployments that have not ended.",
    ),
    Metric(
        "penelope_canary_promotion_duration_seconds",
        "histogram",
        ("service", "outcome"),
        "Time from a deployment's beginning to its end.",
        DAYS,
    ),
    Metric(
        "penelope_canary_rollback_total",
        "counter",
        ("service", "reason"),
        "Deployments rolled back: for being worse, silence, undecided, the router, a halt, a person.",
    ),
)

RESOLVED = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.06, 0.1, 0.25, 0.5, 1, 2.5, 5)
TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)

CONTEXT = (
    Metric(
        "ecp_resolve_requests_total",
        "counter",
        ("outcome",),
        "Concepts asked for: resolved, ambiguous, unresolved, denied; failed where one was cut off or an answer withheld.",
    ),
    Metric(
        "ecp_resolve_duration_seconds",
        "histogram",
        (),
        "Time to resolve a concept, value included.",
        RESOLVED,
    ),
    Metric(
        "ecp_store_query_duration_seconds",
        "histogram",
        ("store",),
        "Time of one question to a store, whether it answered or failed; one that is left alone is not asked.",
        RESOLVED,
    ),
    Metric("ecp_resolve_confidence", "histogram", (), "Confidence of resolved concepts, 0 to 1.", TENTHS),
    Metric(
        "ecp_degraded_answers_total",
        "counter",
        ("store", "mode"),
        "Answers that had to do without a store, and how.",
    ),
    Metric(
        "ecp_cache_requests_total",
        "counter",
        ("cache", "result"),
        "Look-ups, hit or miss: the data model, the registry of somebody's role, decisions of the embedded policy, and the last "
        "known value where a store fails.",
    ),
    Metric(
        "ecp_policy_decisions_total",
        "counter",
        ("outcome",),
        "Questions of access: allowed, masked (with masks or row filters), denied, failed (and so denied).",
    ),
    Metric(
        "ecp_breaker_state",
        "gauge",
        ("store",),
        "How the call breaker of a store stands: 0 closed, 1 half open, 2 open.",
    ),
    Metric(
        "ecp_degradation",
        "gauge",
        ("store", "mode"),
        "1 for the way in which answers do without a store at this moment, full where they do not.",
    ),
)

METRICS: tuple[Metric, ...] = (
    Metric("penelope_signals_total", "counter", ("source", "outcome"), "Signals accepted: new or duplicate."),
    Metric(
        "penelope_signals_refused_total", "counter", ("source", "code"), "Signals refused, by error code."
    ),
    Metric("penelope_incidents_open", "gauge", ("state",), "Incidents that have not ended, by state."),
    Metric("penelope_incidents_opened_total", "counter", ("service",), "Incidents opened."),
    Metric(
        "penelope_incidents_total",
        "counter",
        ("service", "outcome"),
        "Incidents ended: healed, resolved or escalated.",
    ),
    Metric("penelope_heal_seconds", "histogram", (), "Time from an incident's opening to its healing.", SLOW),
    Metric(
        "penelope_precedents_total",
        "counter",
        ("agrees",),
        "Past cases that decisions leaned on: whether what came of them spoke for the plan (`true`, `false`, or "
        "`unknown`).",
    ),
    Metric(
        "penelope_decisions_total", "counter", ("judgement",), "Judgements: observe, intervene, escalate."
    ),
    Metric(
        "penelope_articles_total",
        "counter",
        ("article", "kept"),
        "Decisions weighed by each article of the constitution: kept, true or false.",
    ),
    Metric(
        "penelope_decide_seconds",
        "histogram",
        (),
        "Time from an incident's opening to its first decision.",
        FAST,
    ),
    Metric(
        "penelope_gate_verdicts_total",
        "counter",
        ("rule", "ruling"),
        "What each rule of the gate said: pass, refuse, wait, ask.",
    ),
    Metric(
        "penelope_autonomy_changes_total",
        "counter",
        ("playbook", "level"),
        "Changes of earned autonomy, by the level that they led to.",
    ),
    Metric("penelope_human_actions_total", "counter", ("comparison",), "Reports of what people did."),
    Metric("penelope_constitution_score", "gauge", (), "How well decisions keep the constitution, 0 to 100."),
    Metric("penelope_constitution_share", "gauge", ("article",), "How well each article is kept, 0 to 1."),
    Metric(
        "penelope_halt_state",
        "gauge",
        ("scope",),
        "How a breaker (fleet, service:NAME, playbook:NAME, or the worst of all causes) stands: 0 closed, 1 half open, 2 open, 3 cannot be read (and so stops all).",
    ),
    Metric(
        "penelope_halts_opened_total",
        "counter",
        ("kind", "by"),
        "Breakers opened, by kind of what they stop: by failures, or by a person.",
    ),
    Metric(
        "penelope_approvals_total",
        "counter",
        ("status",),
        "Requests for approval: pending when made, then how they ended.",
    ),
    *APPROVALS,
    Metric(
        "penelope_actions_total",
        "counter",
        ("adapter", "operation", "result"),
        "Actions: done, failed, unknown, halted, compensated, compensation_failed.",
    ),
    Metric(
        "penelope_action_waits_total",
        "counter",
        ("adapter",),
        "Actions that waited for others on their target.",
    ),
    Metric("penelope_action_seconds", "histogram", ("adapter",), "Time that an action took.", SLOW),
    Metric(
        "penelope_conditions_total",
        "counter",
        ("status",),
        "Conditions in plans: holds, does_not_hold, unseen (and so decided nothing).",
    ),
    Metric(
        "penelope_previews_total",
        "counter",
        ("outcome",),
        "Plans whose actions were dry-run: complete, partial, none (of which nobody knows what they change), refused.",
    ),
    Metric(
        "penelope_rehearsals_total",
        "counter",
        ("outcome",),
        "Plans tried on the twin: passed, failed, not_possible.",
    ),
    Metric(
        "penelope_benchmark_runs_total",
        "counter",
        ("service", "suite", "outcome"),
        "Runs of benchmarks: passed, regressed, or unknown where nothing could be compared.",
    ),
    Metric(
        "penelope_missions_total", "counter", ("status",), "Missions: open when made, closed at their end."
    ),
    Metric("penelope_verdicts_total", "counter", ("passed",), "Verdicts over contracts: true or false."),
    Metric(
        "penelope_rollout_looks_total",
        "counter",
        ("step",),
        "Looks at canaries, by answer: promote, hold, rollback.",
    ),
    *DEPLOYMENTS,
    *CONTEXT,
    Metric(
        "penelope_calibration_outcomes",
        "gauge",
        (),
        "Playbooks that acted in the last 30 days with a confidence that can be held against what came of it.",
    ),
    Metric(
        "penelope_calibration_brier",
        "gauge",
        (),
        "Brier score of those: 0 is perfect, 0.25 what always saying one half gives.",
    ),
    Metric(
        "penelope_calibration_error",
        "gauge",
        (),
        "Expected calibration error of those: how far confidence and success lie apart on average.",
    ),
    Metric("penelope_ledger_entries_total", "counter", ("event",), "Entries appended to the ledger."),
    Metric("penelope_log_size", "gauge", (), "Entries that were taken into the Merkle log."),
    Metric("penelope_log_lag_entries", "gauge", (), "Entries that the log has not taken in yet."),
    Metric(
        "penelope_log_xmin_age",
        "gauge",
        (),
        "Transactions that PostgreSQL began since its oldest open one, which the log has to wait for.",
    ),
    Metric("penelope_checkpoints_total", "counter", (), "Checkpoints signed."),
    Metric(
        "penelope_witness_requests_total",
        "counter",
        ("witness", "outcome"),
        "Witnesses asked: cosigned, refused, unavailable.",
    ),
    Metric("penelope_ledger_flaws", "gauge", (), "What the last sweep over stored history found."),
    Metric("penelope_buffer_waiting", "gauge", (), "Telemetry records that wait to be written."),
    Metric("penelope_buffer_refused", "gauge", (), "Telemetry records refused since the start: it was full."),
    Metric(
        "penelope_buffer_lost", "gauge", (), "Telemetry records lost since the start, after being accepted."
    ),
    Metric("penelope_buffer_flush_seconds", "histogram", (), "Time to write a batch of telemetry.", FAST),
    Metric("penelope_buffer_batch_records", "histogram", (), "Records in a batch of telemetry.", BATCHES),
    Metric(
        "penelope_http_requests_total", "counter", ("method", "route", "status"), "HTTP requests answered."
    ),
    Metric("penelope_http_request_seconds", "histogram", ("route",), "Time to answer a request.", FAST),
    Metric("penelope_problems_total", "counter", ("code",), "Problem details answered, by error code."),
    Metric(
        "penelope_tokens_total",
        "counter",
        ("issuer", "outcome"),
        "Access tokens looked at, by the name of their issuer (empty where it is not trusted): good; unavailable, where its keys are "
        "not to be had; or what was wrong: form, issuer, type, algorithm, key, signature, expired, early, audience, name.",
    ),
    Metric(
        "penelope_issuer_requests_total",
        "counter",
        ("issuer", "outcome"),
        "Requests for the keys of an issuer of access tokens: good or failed.",
    ),
)

# Some labels come from outside; each different value costs memory for as long as the process lives.
MOST_LABEL_VALUES = 300
LONGEST_LABEL_VALUE = 120
