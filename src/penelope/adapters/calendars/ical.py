"""Turns iCalendar text into the times that it covers, and believes nothing that it does not fully understand."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icalendar import Calendar

MAX_BYTES = 1024 * 1024
MOST_EVENTS = 500
MOST_TIMES = 5000
"""Events of one calendar, and times that they make within the horizon."""

MOST_A_DAY = 24
"""Times that one rule may make a day."""

MOST_TRIED = 1_000_000
"""Times that all rules of a calendar may make from their starts on; that many take some seconds to go through."""

MOST_SEARCHED = 50
"""Rules of a calendar that pick days of a month or year. One whose days never come is tried up to the year 9999."""

LONGEST_TITLE = 200
_MONTHS = 12

_FREQUENCIES = frozenset({"DAILY", "WEEKLY", "MONTHLY", "YEARLY"})
_PICKING = frozenset({"BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS"})


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """One time that a calendar covers, in UTC; the end is not part of it."""

    start: datetime
    end: datetime
    title: str


def parsed(text: bytes) -> "Calendar":
    """The calendar. Raises ValueError for text that is too long, malformed, or that could mean several things."""
    from icalendar import Calendar  # noqa: PLC0415 - loaded late on purpose: a server without calendars starts sooner

    if len(text) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES // 1024} KiB")
    try:
        calendar = Calendar.from_ical(text)
        whole = calendar.name == "VCALENDAR"
    except Exception as error:  # whatever a stranger's text makes the library raise
        raise ValueError("it is not one whole iCalendar object") from error
    if not whole:
        raise ValueError("it is not one whole iCalendar object")
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


def spans(calendar: "Calendar", zone: tzinfo, start: datetime, end: datetime) -> list[Span]:
    """The times that its events cover between two moments, in order. Raises ValueError where there are too many, or
    where too many had to be tried to tell.
    """
    import recurring_ical_events  # noqa: PLC0415 - loaded late on purpose, see above

    day = timedelta(days=1)
    _expect_bounded(calendar, zone, end + day)
    try:
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
    for name in ("DTSTART", "DTEND", "RDATE", "EXDATE", "RECURRENCE-ID"):
        for known in _all(event, name):
            moments = [item.dt for item in known.dts] if hasattr(known, "dts") else [known.dt]
            if "TZID" in known.params and any(getattr(item, "tzinfo", None) is None for item in moments):
                yield f"is in an unknown time zone ({known.params['TZID']})"
    for rule in _all(event, "RRULE"):
        yield from _unbounded(rule)


def _unbounded(rule: Any) -> Iterator[str]:
    """A rule may go on for ever, but must not make more than a few times a day."""
    frequency = str(rule.get("FREQ", [""])[0])
    if frequency not in _FREQUENCIES:
        yield "recurs more often than daily"
    if frequency in {"DAILY", "WEEKLY"} and any(name in rule for name in _PICKING):
        yield f"picks days of a month or year, but recurs {frequency.lower()}"
    if not all(1 <= int(month) <= _MONTHS for month in rule.get("BYMONTH", ())):
        yield "recurs in a month that there is not"
    if any(interval < 1 for interval in rule.get("INTERVAL", ())):
        yield "recurs without going on"
    if _a_day(rule) > MOST_A_DAY:
        yield f"recurs more than {MOST_A_DAY} times a day"


def _expect_bounded(calendar: "Calendar", zone: tzinfo, last: datetime) -> None:
    """Raises ValueError for rules that would have to be tried too often to tell when they come true, if ever."""
    tried = searched = 0
    events: list[Any] = calendar.walk("VEVENT")
    for event in events:
        for rule in _all(event, "RRULE"):
            tried += max(0, (last - _moment(event.start, zone)).days) * _a_day(rule)
            searched += _searches(rule)
    if tried > MOST_TRIED:
        raise ValueError(f"its rules make more than {MOST_TRIED} times since they began")
    if searched > MOST_SEARCHED:
        raise ValueError(f"it has more than {MOST_SEARCHED} rules that pick days of a month or year")


def _searches(rule: Any) -> bool:
    """Whether a rule picks days that there may never be, such as the 30th of February."""
    picked = any(str(day).lstrip("+-")[:1].isdigit() for day in rule.get("BYDAY", ()))
    return picked or any(name in rule for name in _PICKING)


def _a_day(rule: Any) -> int:
    return prod(max(1, len(rule.get(name, ()))) for name in ("BYHOUR", "BYMINUTE", "BYSECOND"))


def _all(event: Any, name: str) -> list[Any]:
    """A property that may be there once, several times or not at all."""
    found = event.get(name)
    if found is None:
        return []
    return found if isinstance(found, list) else [found]
