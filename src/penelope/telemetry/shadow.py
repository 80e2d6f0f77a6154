"""The shadow log: transitions, the gate's verdicts, routing decisions and errors, as records for the telemetry buffer."""

import logging
from collections.abc import Callable, Mapping

from penelope.domain.log import LogRecord, LogType, of_error
from penelope.domain.work import Entry
from penelope.errors import PenelopeError
from penelope.kit.canonical import Json
from penelope.telemetry.counting import items_of
from penelope.telemetry.metrics import Telemetry

Record = Callable[[LogRecord], bool]
"""The buffer's `record`: never blocks, and says whether there was room."""

_ROUTING = frozenset(
    {
        "TrafficShifted",
        "CanaryLooked",
        "RolloutPromoted",
        "RolloutRolledBack",
        "RolloutCancelled",
        "RolloutConcluded",
        "RolloutStuck",
    }
)


class Shadow:
    """Fulfils flow's Observer: counts entries as metrics and hands a record of each to the buffer."""

    def __init__(self, telemetry: Telemetry, record: Record) -> None:
        self._telemetry = telemetry
        self._record = record

    def entry_recorded(self, entry: Entry) -> None:
        self._telemetry.entry_recorded(entry)
        self._record(_of(entry))


class ErrorsToBuffer(logging.Handler):
    """Hands what is logged with an exception to the buffer, with its stack trace; messages of others' errors stay out,
    for they may hold what an adapter was given in confidence.
    """

    def __init__(self, record: Record) -> None:
        super().__init__(logging.WARNING)
        self._hand_over = record

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            told = getattr(error, "details", {}) if isinstance(error, PenelopeError) else {}
            details = {**told, "logger": record.name, "level": record.levelname}
            self._hand_over(of_error(error, details=details))


def _of(entry: Entry) -> LogRecord:
    kind, details = LogType.STATE_TRANSITION, _transition(entry)
    if entry.kind == "gate":
        kind, details = LogType.GUARDIAN_DECISION, {"verdicts": _rulings(entry)}
    elif entry.event in _ROUTING:
        kind, details = LogType.INTERACTION, dict(entry.details)
    return LogRecord(kind, entry.event, details, instance=entry.incident, unit=entry.unit)


def _rulings(entry: Entry) -> list[Json]:
    """What each rule said, without why: reasons name persons, and stay in history, from where they can be erased."""
    verdicts = items_of(entry.details, "verdicts")
    return [{name: verdict.get(name) for name in ("rule", "ruling")} for verdict in verdicts]


def _transition(entry: Entry) -> Mapping[str, Json]:
    return {
        "from": entry.status_before,
        "to": entry.status_after,
        "interaction_before": entry.interaction_before,
        "interaction_after": entry.interaction_after,
        "actor": entry.actor_id,
        "version": entry.version,
    }
