"""Log records: what happened beside the story itself (telemetry, errors, a guard's decisions), told once and never changed."""

import hashlib
import time
import traceback
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

import msgspec
import orjson

from penelope.errors import PenelopeError
from penelope.kit.canonical import Json

LONGEST_NAMES = 500
"""Characters that `instance`, `unit` and `event` may have together."""

LARGEST_BYTES = 16 * 1024
"""What details or an error may have as JSON; of more, only digest and size are kept."""

LONGEST_MESSAGE = 1_000
LONGEST_STACK = 8_000
"""Characters of an error's message, and of its stack trace, of which the end is kept."""

_LONGEST_EVENT = 100
_MOST_CAUSES = 5
_MOST_FRAMES = 20


class LogType(StrEnum):
    """What kind of thing a record tells."""

    INTERACTION = "INTERACTION"
    TELEMETRY = "TELEMETRY"
    ERROR = "ERROR"
    GUARDIAN_DECISION = "GUARDIAN_DECISION"
    STATE_TRANSITION = "STATE_TRANSITION"


# Plain texts, for a database driver may take a member of an enumeration for something else.
_WORDS = {each: each.value for each in LogType}


# Not a dataclass: this one is made in 0.2 us, a frozen dataclass in 1.5 us, and telemetry must cost almost nothing.
class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """One record, stamped with the time (ns since 1970, UTC) at which it was made.

    `instance` is an incident, `unit` a unit of work; empty where it is about none. `details` and `error` must
    not be changed afterwards: they are read when the record is written, which is later and in another thread.
    """

    log_type: LogType
    event: str
    details: Mapping[str, Json] = {}
    instance: str = ""
    unit: str = ""
    error: Mapping[str, Json] | None = None
    recorded_at_ns: int = msgspec.field(default_factory=time.time_ns)


class LogLine(NamedTuple):
    """A record as it is stored: bounded, and with `details` and `error` as JSON text."""

    recorded_at_ns: int
    log_type: str
    instance: str
    unit: str
    event: str
    details: str
    error: str | None


def line(record: LogRecord) -> LogLine:
    """The record as a line. Raises ValueError, TypeError or KeyError for one that cannot be written.

    NaN and infinities become null, as in the log of most programs.
    """
    names = f"{record.instance}{record.unit}{record.event}"
    if len(names) > LONGEST_NAMES or "\0" in names:
        raise ValueError("the names in the log record are too long, or have a zero byte")
    names.encode()
    error = None if record.error is None else _bounded(record.error)
    return LogLine(
        record.recorded_at_ns,
        _WORDS[record.log_type],
        record.instance,
        record.unit,
        record.event,
        _bounded(record.details),
        error,
    )


def _bounded(value: Mapping[str, Json]) -> str:
    text = orjson.dumps(value, default=dict, option=orjson.OPT_SORT_KEYS)
    if len(text) > LARGEST_BYTES:
        text = orjson.dumps({"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()})
    return text.decode()


def of_error(
    error: BaseException, *, details: Mapping[str, Json] | None = None, instance: str = "", unit: str = ""
) -> LogRecord:
    """An ERROR record whose event is the error's type, with type, message and stack trace.

    Only messages of our own errors are kept: those of others may hold what an adapter was given in confidence.
    """
    told = {
        "type": type(error).__qualname__,
        "message": _message(error),
        "stack": "\n".join(map(_stack, islice(_causes(error), _MOST_CAUSES)))[-LONGEST_STACK:],
    }
    name = type(error).__name__[:_LONGEST_EVENT]
    return LogRecord(LogType.ERROR, name, details or {}, instance, unit, told)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and beneath it those that led to it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _stack(error: BaseException) -> str:
    frames = "".join(traceback.format_tb(error.__traceback__, limit=-_MOST_FRAMES))
    return f"{type(error).__qualname__}: {_message(error)}\n{frames}"


def _message(error: BaseException) -> str:
    if not isinstance(error, PenelopeError):
        return ""
    # Names of files may hold lone surrogates, which are no JSON.
    return error.message.encode(errors="backslashreplace").decode()[:LONGEST_MESSAGE]
