"""Turns iCalendar text into the times that it covers, and believes nothing that it does not fully understand."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

import recurring_ical_events
from icalendar import Calendar

MAX_BYTES = 1024 * 1024
MOST_EVENTS = 500
MOST_TIMES = 5000
"""Events of one calendar, and times that they make within the horizon."""

MOST_A_DAY = 24
"""Times that one rule may make a day."""

LONGEST_TITLE = 200

_FREQUENCIES = frozenset({"DAILY", "WEEKLY", "MONTHLY", "YEARLY"})


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """One time that a calendar covers, in UTC; the end is not part of it."""

    start: datetime
    end: datetime
    title: str


def parsed(text: bytes) -> Calendar:
    """The calendar. Raises ValueError for text that is too long, malformed, or that could mean several things."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES // 1024} KiB")
    try:
        calendar = Calendar.from_ical(text)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError("it is not one whole iCalendar object") from error
    events = calendar.walk("VEVENT")
    if len(events) > MOST_EVENTS:
        raise ValueError(f"it has more than {MOST_EVENTS} events")
    for event in events:
        for problem in _problems(event):
            raise ValueError(f"the event {str(event.get('SUMMARY', event.get('UID', '?')))[:80]!r} {problem}")
    # What the library leaves out of an event is then surely nothing that the event says.
    if any(part.errors for part in calendar.walk()):
        raise ValueError("a part of it cannot be read")
    return calendar


def spans(calendar: Calendar, zone: tzinfo, start: datetime, end: datetime) -> list[Span]:
    """The times that its events cover between two moments, in order. Raises ValueError where there are too many."""
    try:
        day = timedelta(days=1)
        events = recurring_ical_events.of(calendar).between(start - day, end + day)
    except Exception as error:  # whatever a stranger's calendar makes the library raise
        raise ValueError("its times cannot be worked out") from error
    found: list[Span] = []
    for event in events:
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        title = str(event.get("SUMMARY", "a pause"))[:LONGEST_TITLE]
        found.append(Span(_moment(event.start, zone), _moment(event.end, zone), title))
        if len(found) > MOST_TIMES:
            raise ValueError(f"it covers more than {MOST_TIMES} times within the horizon")
    return sorted(found)


def _moment(value: date, zone: tzinfo) -> datetime:
    """A time in UTC. In the hour that clocks skip it is what they would have shown; in the repeated one, the first."""
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)


def _problems(event: Any) -> Iterator[str]:
    if event.errors:
        yield "cannot be read whole"
        return
    if "DTSTART" not in event:
        yield "has no start"
        return
    if "DTEND" not in event and "DURATION" not in event and isinstance(event["DTSTART"].dt, datetime):
        yield "has no end"
        return
    try:
        if event.end <= event.start:
            yield "ends before it begins"
    except (ValueError, TypeError):
        yield "has a start and an end of different kinds"
    for name in ("DTSTART", "DTEND"):
        known = event.get(name)
        if known is not None and "TZID" in known.params and known.dt.tzinfo is None:
            yield f"is in an unknown time zone ({known.params['TZID']})"
    rules = event.get("RRULE") or []
    for rule in rules if isinstance(rules, list) else [rules]:
        yield from _unbounded(rule)


def _unbounded(rule: Any) -> Iterator[str]:
    """A rule may go on for ever, but must not make more than a few times a day."""
    if str(rule.get("FREQ", [""])[0]) not in _FREQUENCIES:
        yield "recurs more often than daily"
    a_day = 1
    for name in ("BYHOUR", "BYMINUTE", "BYSECOND"):
        a_day *= max(1, len(rule.get(name, ())))
    if a_day > MOST_A_DAY:
        yield f"recurs more than {MOST_A_DAY} times a day"
