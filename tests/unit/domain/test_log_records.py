"""Log records and the lines that they become."""

import time
from types import MappingProxyType

import orjson
import pytest

from penelope.domain.log import (
    LARGEST_BYTES,
    LONGEST_MESSAGE,
    LONGEST_NAMES,
    LONGEST_STACK,
    LogRecord,
    LogType,
    line,
    of_error,
)
from penelope.errors import Unavailable


def test_a_record_knows_when_it_was_made() -> None:
    before = time.time_ns()
    record = LogRecord(LogType.TELEMETRY, "routed")
    assert before <= record.recorded_at_ns <= time.time_ns()
    assert line(record).recorded_at_ns == record.recorded_at_ns


def test_a_line_holds_plain_texts() -> None:
    details = MappingProxyType({"b": 1, "a": [True, None]})
    record = LogRecord(LogType.GUARDIAN_DECISION, "guarded", details, "inc_1", "unit_1", {"type": "X"}, 7)
    written = line(record)
    assert written == (
        7,
        "GUARDIAN_DECISION",
        "inc_1",
        "unit_1",
        "guarded",
        '{"a":[true,null],"b":1}',
        '{"type":"X"}',
    )
    assert type(written.log_type) is str


def test_large_details_leave_only_their_digest() -> None:
    fits = {"text": "x" * (LARGEST_BYTES - len('{"text":""}'))}
    assert orjson.loads(line(LogRecord(LogType.TELEMETRY, "e", fits)).details) == fits
    left = orjson.loads(line(LogRecord(LogType.TELEMETRY, "e", {"text": fits["text"] + "x"})).details)
    assert left.keys() == {"bytes", "sha256"}
    assert left["bytes"] == LARGEST_BYTES + 1


@pytest.mark.parametrize(
    "record",
    [
        LogRecord(LogType.TELEMETRY, "x" * (LONGEST_NAMES + 1)),
        LogRecord(LogType.TELEMETRY, "zero\0"),
        LogRecord(LogType.TELEMETRY, "e", instance="\ud800"),
        LogRecord(LogType.TELEMETRY, "e", {"set": {1}}),
        LogRecord(LogType.TELEMETRY, "e", {"text": "\ud800"}),
        LogRecord(LogType.TELEMETRY, "e", {1: 2}),  # type: ignore[dict-item]  # what must not work
        LogRecord("NONSENSE", "e"),  # type: ignore[arg-type]  # what must not work
    ],
)
def test_what_cannot_be_written_says_so(record: LogRecord) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        line(record)


def fail(error: Exception, cause: Exception | None = None) -> LogRecord:
    try:
        raise error from cause
    except type(error) as caught:
        return of_error(caught, details={"step": 2}, instance="inc_1", unit="unit_1")


def test_an_error_brings_its_stack_and_its_causes_but_not_their_messages() -> None:
    record = fail(Unavailable("the shop is down"), KeyError("secret"))
    assert (record.log_type, record.event, record.instance, record.unit) == (
        "ERROR",
        "Unavailable",
        "inc_1",
        "unit_1",
    )
    assert record.error is not None
    assert (record.error["type"], record.error["message"]) == ("Unavailable", "the shop is down")
    stack = record.error["stack"]
    assert "in fail" in stack
    assert "KeyError" in stack
    assert "secret" not in str(record)


def test_errors_on_the_way_are_told_unless_suppressed() -> None:
    def caught(*, suppressed: bool) -> str:
        try:
            try:
                _ = {}["secret"]
            except KeyError:
                if suppressed:
                    raise Unavailable("down") from None
                raise Unavailable("down")  # noqa: B904 - the case in question
        except Unavailable as error:
            return str(of_error(error).error)

    assert "KeyError: " in caught(suppressed=False)
    assert "KeyError: " not in caught(suppressed=True)


def test_an_error_is_bounded_and_can_always_be_written() -> None:
    record = fail(Unavailable("\udcff" + "x" * 100_000))
    assert record.error is not None
    assert len(record.error["message"]) == LONGEST_MESSAGE
    assert record.error["message"].startswith("\\udcffx")
    assert len(record.error["stack"]) <= LONGEST_STACK
    assert "\\\\udcff" in (line(record).error or "")
