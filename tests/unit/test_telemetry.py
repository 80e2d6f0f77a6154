"""Telemetry: what ledger entries count for, bounded labels, and logs without secrets."""

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Any

import pytest
import structlog

from penelope.domain.deployment import Course, Deployment
from penelope.domain.work import Entry
from penelope.flow.log import Lag
from penelope.ledger.buffer import Counts
from penelope.rooms.learn.compliance import Scale, Tally, comply
from penelope.telemetry import LOG_FIELDS, METRICS, MOST_LABEL_VALUES, Telemetry, configure_logging
from penelope.telemetry.counting import RULES, SPANS
from penelope.telemetry.names import LONGEST_LABEL_VALUE, REQUEST_ID

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
SIXTH = "geheim-6"
KEY = "pnl_4fzzzyTestOnly-key_1"


def entry(
    event: str,
    status: str = "",
    details: Mapping[str, Any] | None = None,
    *,
    unit: str = "u_1",
    incident: str = "inc_1",
    after: float = 0,
    kind: str = "incident",
) -> Entry:
    return Entry(
        unit=unit,
        version=1,
        kind=kind,
        incident=incident,
        event=event,
        actor_id="act_1",
        status_before=None,
        status_after=status,
        state_before=None,
        state_hash="",
        interaction_before=None,
        interaction_after="done",
        recorded_at=NOW + timedelta(seconds=after),
        previous_hash="",
        payload_hash="",
        body=b"",
        hash="",
        details=details or {},
    )


def samples(telemetry: Telemetry) -> dict[str, float]:
    """The lines of the page that Penelope's own metrics put there and that are not nought."""
    lines = [line for line in telemetry.render().decode().splitlines() if line.startswith("penelope_")]
    pairs = (line.rsplit(" ", 1) for line in lines if "_bucket{" not in line)
    return {name: float(value) for name, value in pairs if float(value)}


# --- metrics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "status", "details", "expected"),
    [
        ("IncidentOpened", "", {"service": "shop"}, {'penelope_incidents_opened_total{service="shop"}': 1}),
        (
            "DecisionMade",
            "",
            {"judgement": "intervene"},
            {'penelope_decisions_total{judgement="intervene"}': 1},
        ),
        (
            "GateAsked",
            "",
            {"verdicts": [{"rule": "halt", "ruling": "pass"}, {"rule": "approval", "ruling": "ask"}]},
            {
                'penelope_gate_verdicts_total{rule="halt",ruling="pass"}': 1,
                'penelope_gate_verdicts_total{rule="approval",ruling="ask"}': 1,
            },
        ),
        (
            "GateWaited",
            "",
            {"verdicts": [{"rule": "dependency", "ruling": "wait"}]},
            {'penelope_gate_verdicts_total{rule="dependency",ruling="wait"}': 1},
        ),
        (
            "ApprovalGiven",
            "approved",
            {"channel": "slack"},
            {
                'penelope_approvals_total{status="approved"}': 1,
                'penelope_approval_votes_total{channel="slack",status="approved"}': 1,
            },
        ),
        ("ApprovalExpired", "expired", {}, {'penelope_approvals_total{status="expired"}': 1}),
        ("ActionWaits", "waiting", {"adapter": "git"}, {'penelope_action_waits_total{adapter="git"}': 1}),
        ("ConditionJudged", "unseen", {}, {'penelope_conditions_total{status="unseen"}': 1}),
        (
            "PreviewFailed",
            "refused",
            {"outcome": "refused"},
            {'penelope_previews_total{outcome="refused"}': 1},
        ),
        (
            "PlanPreviewed",
            "partial",
            {"outcome": "partial"},
            {'penelope_previews_total{outcome="partial"}': 1},
        ),
        (
            "RehearsalFailed",
            "failed",
            {"outcome": "failed"},
            {'penelope_rehearsals_total{outcome="failed"}': 1},
        ),
        (
            "BenchmarkRun",
            "regressed",
            {"service": "shop", "suite": "smoke", "outcome": "regressed"},
            {'penelope_benchmark_runs_total{outcome="regressed",service="shop",suite="smoke"}': 1},
        ),
        ("MissionCreated", "open", {}, {'penelope_missions_total{status="open"}': 1}),
        (
            "ActionUnknown",
            "",
            {"adapter": "process", "operation": "restart"},
            {'penelope_actions_total{adapter="process",operation="restart",result="unknown"}': 1},
        ),
        (
            "CompensationFailed",
            "",
            {"adapter": "process"},
            {
                'penelope_actions_total{adapter="process",operation="unknown",result="compensation_failed"}': 1,
            },
        ),
        ("VerdictReached", "", {"passed": False}, {'penelope_verdicts_total{passed="false"}': 1}),
        ("CanaryLooked", "", {"step": "hold"}, {'penelope_rollout_looks_total{step="hold"}': 1}),
        (
            "OutcomeRecorded",
            "healed",
            {"service": "shop", "seconds": 12},
            {
                'penelope_incidents_total{outcome="healed",service="shop"}': 1,
                "penelope_heal_seconds_count": 1,
                "penelope_heal_seconds_sum": 12,
            },
        ),
        (
            "OutcomeRecorded",
            "escalated",
            {"service": "shop", "seconds": 12},
            {'penelope_incidents_total{outcome="escalated",service="shop"}': 1},
        ),
        ("PlanMade", "", {}, {}),
    ],
)
def test_an_entry_counts_for(
    event: str, status: str, details: dict[str, Any], expected: dict[str, float]
) -> None:
    telemetry = Telemetry()
    telemetry.entry_recorded(entry(event, status, details))
    assert samples(telemetry) == {f'penelope_ledger_entries_total{{event="{event}"}}': 1, **expected}


@pytest.mark.parametrize("seconds", ["soon", None, float("nan"), float("inf")])
def test_a_duration_that_is_no_number_is_left_out(seconds: Any) -> None:
    telemetry = Telemetry()
    telemetry.entry_recorded(entry("OutcomeRecorded", "healed", {"seconds": seconds}))
    assert not [name for name in samples(telemetry) if name.startswith("penelope_heal_seconds")]


def test_a_clock_that_was_set_back_takes_nothing_from_a_sum() -> None:
    telemetry = Telemetry()
    telemetry.entry_recorded(entry("ActionStarted", details={"adapter": "http"}))
    telemetry.entry_recorded(entry("ActionDone", details={"adapter": "http"}, after=-60))
    counted = samples(telemetry)
    assert counted['penelope_action_seconds_count{adapter="http"}'] == 1
    assert 'penelope_action_seconds_sum{adapter="http"}' not in counted


@pytest.mark.parametrize("verdicts", [None, 7, "pass", {"rule": "halt"}, [None, "pass", 7]])
def test_odd_details_are_no_trouble_and_count_for_nothing(verdicts: Any) -> None:
    telemetry = Telemetry()
    telemetry.entry_recorded(entry("GatePassed", details={"verdicts": verdicts}))
    assert samples(telemetry) == {'penelope_ledger_entries_total{event="GatePassed"}': 1}


def test_deciding_is_timed_from_the_opening_of_an_incident_to_its_first_decision() -> None:
    telemetry = Telemetry()
    telemetry.entry_recorded(entry("DecisionMade", unit="inc_0:decision", incident="inc_0"))
    telemetry.entry_recorded(entry("IncidentOpened", unit="inc_1", incident="inc_1"))
    for seconds in (0.25, 60):
        telemetry.entry_recorded(
            entry("DecisionMade", unit="inc_1:decision", incident="inc_1", after=seconds)
        )
    counted = samples(telemetry)
    assert counted["penelope_decide_seconds_count"] == 1
    assert counted["penelope_decide_seconds_sum"] == 0.25


def test_actions_are_timed_each_by_itself() -> None:
    telemetry = Telemetry()
    process, http = {"adapter": "process"}, {"adapter": "http"}
    telemetry.entry_recorded(entry("ActionStarted", details=process, unit="a"))
    telemetry.entry_recorded(entry("ActionStarted", details=http, unit="b", after=1))
    telemetry.entry_recorded(entry("ActionFailed", details=http, unit="b", after=3))
    telemetry.entry_recorded(entry("ActionDone", details=process, unit="a", after=4))
    counted = samples(telemetry)
    assert counted['penelope_action_seconds_sum{adapter="process"}'] == 4
    assert counted['penelope_action_seconds_sum{adapter="http"}'] == 2


def test_what_the_edge_tells_is_counted() -> None:
    telemetry = Telemetry()
    telemetry.signals_received("alertmanager", new=3, duplicates=1)
    telemetry.signal_refused("alertmanager", "invalid_signal")
    telemetry.request_answered("GET", "/api/v1/incidents/{id}", 404, 0.5)
    telemetry.problem_answered("unknown_incident")
    telemetry.incidents_counted({"received": 2, "healed": 7})
    assert samples(telemetry) == {
        'penelope_signals_total{outcome="new",source="alertmanager"}': 3,
        'penelope_signals_total{outcome="duplicate",source="alertmanager"}': 1,
        'penelope_signals_refused_total{code="invalid_signal",source="alertmanager"}': 1,
        'penelope_http_requests_total{method="GET",route="/api/v1/incidents/{id}",status="404"}': 1,
        'penelope_http_request_seconds_count{route="/api/v1/incidents/{id}"}': 1,
        'penelope_http_request_seconds_sum{route="/api/v1/incidents/{id}"}': 0.5,
        'penelope_problems_total{code="unknown_incident"}': 1,
        'penelope_incidents_open{state="received"}': 2,
    }


def test_what_the_log_and_the_buffer_tell_is_shown() -> None:
    telemetry = Telemetry()
    telemetry.log_looked_at(10, Lag(entries=3, xmin_age=7))
    telemetry.checkpoint_signed(12)
    telemetry.witness_asked("w.example/1", "cosigned")
    telemetry.witness_asked("w.example/1", "refused")
    telemetry.flushed(500, 0.25)
    telemetry.counted(Counts(accepted=9, flushed=1, lost=2, waiting=3, spilled=4, refused=5))
    telemetry.ledger_swept(6)
    assert samples(telemetry) == {
        "penelope_log_size": 12,
        "penelope_log_lag_entries": 3,
        "penelope_log_xmin_age": 7,
        "penelope_checkpoints_total": 1,
        'penelope_witness_requests_total{outcome="cosigned",witness="w.example/1"}': 1,
        'penelope_witness_requests_total{outcome="refused",witness="w.example/1"}': 1,
        "penelope_buffer_flush_seconds_count": 1,
        "penelope_buffer_flush_seconds_sum": 0.25,
        "penelope_buffer_batch_records_count": 1,
        "penelope_buffer_batch_records_sum": 500,
        "penelope_buffer_waiting": 7,
        "penelope_buffer_refused": 5,
        "penelope_buffer_lost": 2,
        "penelope_ledger_flaws": 6,
    }
    telemetry.log_looked_at(13, Lag(entries=0, xmin_age=0))
    telemetry.ledger_swept(0)
    shown = samples(telemetry)
    assert shown["penelope_log_size"] == 13
    assert not {"penelope_log_lag_entries", "penelope_log_xmin_age", "penelope_ledger_flaws"} & shown.keys()


def test_a_state_that_no_incident_is_in_any_more_goes_to_nought() -> None:
    telemetry = Telemetry()
    telemetry.incidents_counted({"acting": 1})
    telemetry.incidents_counted({})
    assert samples(telemetry) == {}


def test_breakers_that_are_told_no_more_leave_the_page_and_make_room_for_others() -> None:
    telemetry = Telemetry()
    telemetry.halts_seen({f"cause:{number}": "open" for number in range(MOST_LABEL_VALUES)})
    telemetry.halts_seen({"fleet": "open"})
    assert samples(telemetry) == {'penelope_halt_state{scope="fleet"}': 2}


def test_label_values_from_outside_are_bounded_in_number_and_length() -> None:
    telemetry = Telemetry()
    for number in range(MOST_LABEL_VALUES + 20):
        telemetry.signals_received(f"source-{number}", new=0, duplicates=1)
    telemetry.signals_received("source-0", new=0, duplicates=1)
    counted = samples(telemetry)
    assert len(counted) == MOST_LABEL_VALUES + 1
    assert counted['penelope_signals_total{outcome="duplicate",source="other"}'] == 20
    assert counted['penelope_signals_total{outcome="duplicate",source="source-0"}'] == 2

    other = Telemetry()
    other.signals_received("x" * 10_000, new=0, duplicates=1)
    assert list(samples(other)) == [
        f'penelope_signals_total{{outcome="duplicate",source="{"x" * LONGEST_LABEL_VALUE}"}}'
    ]


def test_spans_that_never_end_are_forgotten() -> None:
    """Incidents that are over before they are looked at are opened, and never decided about."""
    telemetry = Telemetry()
    for number in range(10_001):
        telemetry.entry_recorded(entry("IncidentOpened", unit=f"inc_{number}", incident=f"inc_{number}"))
    for number in (0, 1):
        telemetry.entry_recorded(entry("DecisionMade", incident=f"inc_{number}"))
    assert samples(telemetry)["penelope_decide_seconds_count"] == 1


def deployment(number: int = 1, service: str = "shop", weight: int = 10) -> Deployment:
    course = Course(canary="b", control="a")
    identifier = f"deployment_{number}"
    return Deployment(
        id=identifier, service=service, course=course, created_by="anna", created_at=NOW, weight=weight
    )


def test_deployments_are_counted_at_their_beginning_and_end() -> None:
    telemetry = Telemetry()
    for event, status, cause, seconds in (
        ("RolloutBegun", "progressing", None, None),
        ("RolloutRolledBack", "rolled_back", "worse", 90.0),
        ("RolloutPromoted", "promoted", None, 700.0),
        ("RolloutCancelled", "cancelled", None, 5.0),
    ):
        details = {"service": "shop", "cause": cause, "seconds": seconds}
        telemetry.entry_recorded(entry(event, status, details, kind="deployment"))
    counted = {name: value for name, value in samples(telemetry).items() if "_canary_" in name}
    total, timed = "penelope_canary_deployments_total", "penelope_canary_promotion_duration_seconds"
    assert counted == {
        f'{total}{{service="shop",status="progressing"}}': 1,
        f'{total}{{service="shop",status="rolled_back"}}': 1,
        f'{total}{{service="shop",status="promoted"}}': 1,
        f'{total}{{service="shop",status="cancelled"}}': 1,
        f'{timed}_count{{outcome="rolled_back",service="shop"}}': 1,
        f'{timed}_sum{{outcome="rolled_back",service="shop"}}': 90,
        f'{timed}_count{{outcome="promoted",service="shop"}}': 1,
        f'{timed}_sum{{outcome="promoted",service="shop"}}': 700,
        f'{timed}_count{{outcome="cancelled",service="shop"}}': 1,
        f'{timed}_sum{{outcome="cancelled",service="shop"}}': 5,
        'penelope_canary_rollback_total{reason="worse",service="shop"}': 1,
    }


def test_a_deployment_that_has_ended_leaves_the_page() -> None:
    telemetry = Telemetry()
    telemetry.deployments_seen(["shop", "bank"], [deployment(), deployment(2, "bank", 50)])
    assert samples(telemetry) == {
        'penelope_canary_active_deployments{service="shop"}': 1,
        'penelope_canary_active_deployments{service="bank"}': 1,
        'penelope_canary_traffic_percentage{deployment_id="deployment_1",service="shop"}': 10,
        'penelope_canary_traffic_percentage{deployment_id="deployment_2",service="bank"}': 50,
    }
    telemetry.deployments_seen(["shop", "bank"], [deployment(weight=25)])
    page = telemetry.render().decode()
    assert 'penelope_canary_active_deployments{service="bank"} 0.0' in page
    assert "deployment_2" not in page
    assert (
        samples(telemetry)['penelope_canary_traffic_percentage{deployment_id="deployment_1",service="shop"}']
        == 25
    )


def test_deployments_without_number_do_not_fill_the_page() -> None:
    telemetry = Telemetry()
    for begin in (0, 10_000):
        many = [deployment(begin + number) for number in range(MOST_LABEL_VALUES + 20)]
        telemetry.deployments_seen(["shop"], many)
    counted = samples(telemetry)
    assert len(counted) == MOST_LABEL_VALUES + 1
    assert counted['penelope_canary_active_deployments{service="shop"}'] == MOST_LABEL_VALUES + 20
    assert not any("other" in name for name in counted)


def test_many_halted_causes_hide_no_halt() -> None:
    telemetry = Telemetry()
    causes = {f"cause:{number}": "closed" for number in range(MOST_LABEL_VALUES)}
    telemetry.halts_seen({**causes, "cause:x": "open", "service:shop": "half_open", "fleet": "open"})
    assert samples(telemetry) == {
        'penelope_halt_state{scope="cause"}': 2,
        'penelope_halt_state{scope="service:shop"}': 1,
        'penelope_halt_state{scope="fleet"}': 2,
    }
    services = {f"service:{number}": "closed" for number in range(MOST_LABEL_VALUES)}
    telemetry.halts_seen({"service:shop": "closed", **services, "service:last": "open"})
    assert samples(telemetry) == {'penelope_halt_state{scope="other"}': 2}


def test_no_article_is_said_to_be_kept_once_nothing_is_weighed() -> None:
    telemetry = Telemetry()
    telemetry.constitution_scored(comply(Tally(decisions=1, weighed=1), Scale()))
    assert samples(telemetry)['penelope_constitution_share{article="Agape"}'] == 1
    telemetry.constitution_scored(comply(Tally(decisions=1), Scale()))
    shown = samples(telemetry)
    assert isnan(shown["penelope_constitution_score"])
    assert isnan(shown['penelope_constitution_share{article="Agape"}'])


def test_rules_and_spans_fit_the_metrics_that_they_name() -> None:
    labels = {metric.name: set(metric.labels) for metric in METRICS}
    for rule in [*(rule for rules in RULES.values() for rule in rules), *SPANS]:
        assert set(rule.labels) == labels[rule.metric]


def test_every_metric_is_on_the_page_with_its_help_and_none_is_nameless() -> None:
    page = Telemetry().render().decode()
    for metric in METRICS:
        assert f"# HELP {metric.name} {metric.help}" in page
        assert f"# TYPE {metric.name} {metric.kind}" in page
        assert (metric.kind == "histogram") == bool(metric.buckets)
    assert "process_resident_memory_bytes" in page
    assert "_created" not in page


# --- logs -------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = before


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_log_line_is_one_json_object_with_documented_fields() -> None:
    stream = io.StringIO()
    configure_logging("info", "auto", stream)
    with structlog.contextvars.bound_contextvars(**{REQUEST_ID: "req_1"}):
        structlog.get_logger("penelope.flow").info("Incident %s healed", 3, incident="inc_1\nforged")
    structlog.get_logger("penelope.flow").debug("not shown")
    (line,) = written(stream)
    moment = datetime.fromisoformat(line.pop("timestamp"))
    assert moment.utcoffset() is not None
    assert not moment.utcoffset()
    assert line == {
        "event": "Incident 3 healed",
        "incident": "inc_1\nforged",
        "level": "info",
        "logger": "penelope.flow",
        "request_id": "req_1",
    }
    assert set(line) <= set(LOG_FIELDS)


def test_libraries_speak_through_the_same_stream_and_only_when_it_matters() -> None:
    stream = io.StringIO()
    # What uvicorn and the engine do before and after Penelope gets a word in.
    logging.getLogger("uvicorn").handlers = [logging.StreamHandler(io.StringIO())]
    logging.getLogger("uvicorn").propagate = False
    configure_logging("info", "json", stream)
    logging.getLogger("uvicorn.error").info("started on %s", "127.0.0.1")
    logging.getLogger("dbos").info("chatter")
    logging.getLogger("sqlalchemy.engine").warning("slow")
    assert [(line["logger"], line["event"]) for line in written(stream)] == [
        ("uvicorn.error", "started on 127.0.0.1"),
        ("sqlalchemy.engine", "slow"),
    ]


def test_at_debug_level_libraries_say_everything() -> None:
    stream = io.StringIO()
    configure_logging("debug", "json", stream)
    logging.getLogger("dbos").debug("detail")
    assert [line["event"] for line in written(stream)] == ["detail"]


def test_the_engine_finds_its_logger_provided_for() -> None:
    from dbos._logger import init_logger  # noqa: PLC0415 - what the engine itself calls, slow to import

    stream = io.StringIO()
    configure_logging("info", "json", stream)
    init_logger()
    logging.getLogger("dbos").warning("recovering")
    assert [line["event"] for line in written(stream)] == ["recovering"]


def test_python_warnings_are_logged() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(False)
    (line,) = written(stream)
    assert line["logger"] == "py.warnings"
    assert "old way" in line["event"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_never_reach_the_stream(form: Any) -> None:
    stream = io.StringIO()
    configure_logging("info", form, stream)
    log = structlog.get_logger("penelope.entry")
    log.info(
        "key %s used",
        KEY,
        authorization="geheim-1",
        headers={"X-Api-Key": "geheim-2", "accept": ["Bearer geheim-3", 1, None, True]},
        pepper=b"geheim-4",
        db_passwd="geheim-7",
        credentials={"user": "geheim-8"},
        PRIVATE_KEY="geheim-9",
        passphrase="geheim-10",
        url="postgresql://user:geheim-5@host/database",
    )
    logging.getLogger("uvicorn.error").info("token is %s", KEY)
    try:
        _fail(SIXTH)
    except ValueError:
        log.exception("failed")
    text = stream.getvalue()
    assert "geheim" not in text
    assert KEY not in text
    assert text.count("[redacted]") == 12
    assert "ValueError" in text


def _fail(password: str) -> None:
    raise ValueError(f"cannot use {KEY}, nor {len(password)} characters")


def test_values_that_are_no_secrets_keep_their_form() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    structlog.get_logger("x").info("e", seconds=0.5, passed=True, none=None, items=(1, "a"), when=NOW)
    (line,) = written(stream)
    assert (line["seconds"], line["passed"], line["none"], line["items"]) == (0.5, True, None, [1, "a"])
    assert line["when"] == str(NOW)


def test_auto_is_coloured_on_a_terminal_which_obeys_no_text_from_outside() -> None:
    stream = Terminal()
    configure_logging("info", "auto", stream)
    structlog.get_logger("x").info("alert", service="shop\x1b[2J\r")
    text = stream.getvalue()
    assert "\x1b[" in text
    assert "shop\\x1b[2J\\x0d" in text
    assert "shop\x1b" not in text
    assert "\r" not in text


def test_console_without_a_terminal_has_no_colours() -> None:
    stream = io.StringIO()
    configure_logging("info", "console", stream)
    structlog.get_logger("x").info("alert", service="shop")
    assert "alert" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_configuring_again_replaces_what_was_there() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging("info", "json", first)
    configure_logging("error", "json", second)
    structlog.get_logger("x").warning("hidden")
    structlog.get_logger("x").error("shown")
    assert first.getvalue() == ""
    assert [line["event"] for line in written(second)] == ["shown"]
