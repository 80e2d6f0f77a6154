"""The shadow log: every entry and every error becomes a record, and nothing that was told in confidence does."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from penelope.domain.log import LogRecord, LogType
from penelope.domain.work import Entry
from penelope.errors import Unavailable
from penelope.telemetry import ErrorsToBuffer, Shadow, Telemetry

SECRET = "hunter2"


def entry(event: str, kind: str = "incident", **changes: Any) -> Entry:
    given = {
        "unit": "inc_1:u",
        "version": 3,
        "incident": "inc_1",
        "actor_id": "act_1",
        "status_before": "received",
        "status_after": "acting",
        "state_before": None,
        "state_hash": "",
        "interaction_before": "intake",
        "interaction_after": "act",
        "recorded_at": datetime(2026, 11, 21, 7, tzinfo=UTC),
        "previous_hash": "",
        "payload_hash": "",
        "body": b"",
        "hash": "",
        "reason": f"because of {SECRET}",
        **changes,
    }
    return Entry(event=event, kind=kind, **given)


def keeping(found: list[LogRecord]) -> Callable[[LogRecord], bool]:
    def record(item: LogRecord) -> bool:
        found.append(item)
        return True

    return record


def recorded(of: Entry) -> LogRecord:
    """The one record that is made of an entry."""
    found: list[LogRecord] = []
    telemetry = Telemetry()
    Shadow(telemetry, keeping(found)).entry_recorded(of)
    counted = f'penelope_ledger_entries_total{{event="{of.event}"}} 1.0'
    assert counted in telemetry.render().decode()
    (record,) = found
    assert (record.instance, record.unit, record.event) == ("inc_1", "inc_1:u", of.event)
    return record


def test_an_entry_is_a_transition() -> None:
    record = recorded(entry("IncidentMoved", details={"password": SECRET}))
    assert record.log_type is LogType.STATE_TRANSITION
    assert record.details == {
        "from": "received",
        "to": "acting",
        "interaction_before": "intake",
        "interaction_after": "act",
        "actor": "act_1",
        "version": 3,
    }


@pytest.mark.parametrize("rulings", [[{"rule": "approval", "ruling": "pass"}], []])
def test_the_gates_verdicts_are_a_guardians_decision_without_reasons(rulings: list[dict[str, str]]) -> None:
    verdicts = [{**each, "reason": "key:ada approved this plan"} for each in rulings]
    record = recorded(entry("GatePassed", kind="gate", details={"verdicts": verdicts}))
    assert record.log_type is LogType.GUARDIAN_DECISION
    assert record.details == {"verdicts": rulings}


@pytest.mark.parametrize(
    ("verdicts", "kept"), [(None, []), ([7], []), ([{"rule": "halt"}], [{"rule": "halt", "ruling": None}])]
)
def test_odd_verdicts_are_no_trouble(verdicts: Any, kept: list[Any]) -> None:
    record = recorded(entry("GatePassed", kind="gate", details={"verdicts": verdicts}))
    assert record.details == {"verdicts": kept}


def test_an_entry_whose_payload_was_erased_has_no_verdicts() -> None:
    assert recorded(entry("GatePassed", kind="gate", details={})).details == {"verdicts": []}


@pytest.mark.parametrize(
    "event", ["TrafficShifted", "CanaryLooked", "RolloutPromoted", "RolloutRolledBack", "RolloutStuck"]
)
def test_what_routes_traffic_is_an_interaction(event: str) -> None:
    record = recorded(entry(event, kind="rollout", details={"share": 10}))
    assert (record.log_type, record.details) == (LogType.INTERACTION, {"share": 10})


def test_a_full_buffer_stops_nothing() -> None:
    telemetry = Telemetry()
    Shadow(telemetry, lambda _: False).entry_recorded(entry("PlanMade"))
    assert 'penelope_ledger_entries_total{event="PlanMade"} 1.0' in telemetry.render().decode()


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, list[LogRecord]]]:
    found: list[LogRecord] = []
    logger = logging.getLogger("penelope.test-shadow")
    handler = ErrorsToBuffer(keeping(found))
    logger.addHandler(handler)
    yield logger, found
    logger.removeHandler(handler)


def fail(error: Exception) -> None:
    raise error


def test_an_error_is_recorded_with_its_stack_and_without_what_others_say(
    log: tuple[logging.Logger, list[LogRecord]],
) -> None:
    logger, found = log
    try:
        try:
            fail(ValueError(f"the password is {SECRET}"))
        except ValueError as error:
            raise Unavailable("the store does not answer") from error
    except Unavailable:
        logger.exception("told with %s", SECRET)
    (record,) = found
    assert (record.log_type, record.event) == (LogType.ERROR, "Unavailable")
    assert record.details == {"logger": "penelope.test-shadow", "level": "ERROR"}
    assert record.error is not None
    assert record.error["message"] == "the store does not answer"
    assert "ValueError" in record.error["stack"]
    assert "in fail" in record.error["stack"]
    assert SECRET not in str(record)


def test_only_warnings_and_errors_with_an_exception_are_recorded(
    log: tuple[logging.Logger, list[LogRecord]], caplog: pytest.LogCaptureFixture
) -> None:
    logger, found = log
    error = ValueError("odd")
    with caplog.at_level(logging.DEBUG, logger.name):
        logger.info("seen", exc_info=error)
        logger.error("bad, but no exception")
        logger.error("none at all", exc_info=True)  # noqa: LOG014 - as others do by mistake
        logger.warning("odd", exc_info=error)
    assert [(record.event, record.details["level"]) for record in found] == [("ValueError", "WARNING")]
