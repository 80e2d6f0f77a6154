"""Single expressions of time: a day, a month, a quarter, the last so many hours."""

import re
from collections.abc import Callable
from datetime import date

from penelope.rooms.context.calendar import SECONDS, Calendar, Stretch, Unit, earlier, fiscal
from penelope.rooms.context.time_names import (
    COMING,
    FISCAL,
    FISCAL_TO_DATE,
    MONTHS,
    PAST,
    PRESENT,
    ROLLING,
    SHORT_UNITS,
    TO_DATE,
    WEEKDAYS,
)
from penelope.rooms.context.time_reader import (
    Found,
    Reader,
    by_name,
    clocked,
    month_of,
    part_of_day,
    written,
)
from penelope.rooms.context.time_years import fiscal_year, part, week, year
from penelope.rooms.context.words import BadConcept

MOST_UNITS = 10_000
"""How many units "the last N" may span."""

_AMOUNT = re.compile(r"(\d{1,5})([a-z]{1,8})")


def atom(reader: Reader, at: int) -> Found | None:
    """The longest single expression that begins with that word. Raises BadConcept for a date that there is none."""
    found = [item for read in _READERS if (item := read(reader, at)) is not None]
    return max(found, key=lambda item: item[1]) if found else None


def _to_date(reader: Reader, at: int) -> Found | None:
    """From where a unit began until now: "MTD", "fiscal year to date", "so far this year"."""
    is_fiscal = reader.text(at) in FISCAL
    name = reader.text(at + is_fiscal)
    if name in TO_DATE:
        unit = TO_DATE[name]
        return reader.calendar.to_date(fiscal(unit) if is_fiscal else unit), at + is_fiscal + 1
    if name in FISCAL_TO_DATE:
        return reader.calendar.to_date(FISCAL_TO_DATE[name]), at + 1
    return _so_far(reader, at)


def _so_far(reader: Reader, at: int) -> Found | None:
    leads = (reader.text(at), reader.text(at + 1)) == ("so", "far") and reader.text(at + 2) in PRESENT
    counted = reader.unit(at + 3 if leads else reader.skip(at, "this", "current"))
    if counted is None or counted[0] in SECONDS:
        return None
    unit, place = counted
    trails = (reader.text(place), reader.text(place + 1)) in {("to", "date"), ("so", "far")}
    return (reader.calendar.to_date(unit), place + 2 * trails) if leads or trails else None


def _relative(reader: Reader, at: int) -> Found | None:
    """A unit, weekend, weekday or month that is told by "this", "last" or "next"."""
    text = reader.text(at)
    offset = 0 if text in PRESENT else -1 if text in PAST else 1 if text in COMING else None
    if offset is None:
        return None
    calendar = reader.calendar
    named = _named(reader, at + 1, offset)
    counted = reader.unit(at + 1)
    if named or counted is None:
        return named
    unit, after = counted
    rolls = unit in SECONDS and offset < 0
    return calendar.rolling(unit, 1) if rolls else calendar.unit(unit, offset), after


def _named(reader: Reader, at: int, offset: int) -> Found | None:
    calendar, name = reader.calendar, reader.text(at)
    if name == "weekend":
        monday = calendar.shift(calendar.floor(calendar.today, Unit.WEEK), Unit.WEEK, offset)
        first = calendar.shift(monday, Unit.DAY, 5)
        return calendar.days(first, calendar.shift(first, Unit.DAY, 2), Unit.DAY), at + 1
    if name in WEEKDAYS:
        return clocked(reader, _weekday(calendar, WEEKDAYS[name], offset), at + 1)
    if name in MONTHS:
        return month_of(reader, _year_of(calendar, MONTHS[name], offset), MONTHS[name]), at + 1
    return None


def _weekday(calendar: Calendar, number: int, offset: int) -> date:
    """Last Friday is the latest before today, next Friday the first after it, this Friday that of this week."""
    behind = (calendar.today.weekday() - number) % 7
    if offset == 0:
        return calendar.shift(calendar.floor(calendar.today, Unit.WEEK), Unit.DAY, number)
    return calendar.shift(calendar.today, Unit.DAY, -(behind or 7) if offset < 0 else 7 - behind)


def _year_of(calendar: Calendar, month: int, offset: int) -> int:
    """Last March is the latest that is over, next March the first to come."""
    year, this = calendar.today.year, calendar.today.month
    if offset < 0:
        return year if month < this else year - 1
    return year + 1 if offset > 0 and month <= this else year


def _bare_weekday(reader: Reader, at: int) -> Found | None:
    number = WEEKDAYS.get(reader.text(at))
    if number is None:
        return None
    today = reader.calendar.today
    return clocked(reader, reader.calendar.shift(today, Unit.DAY, -((today.weekday() - number) % 7)), at + 1)


def _counted(reader: Reader, at: int) -> Found | None:
    """The last or next so many units. Days and longer ones are whole units without the present one, as in Cube."""
    place = reader.skip(at, "the")
    text = reader.text(place)
    if text not in ROLLING and text not in COMING:
        return None
    coming = text in COMING
    amount = _amount(reader, place + 1)
    if amount is None:
        return None
    count, unit, after = amount
    if unit in SECONDS:
        if coming:
            return reader.calendar.moved(reader.calendar.rolling(unit, count), unit, count), after
        return reader.calendar.rolling(unit, count), after
    return reader.calendar.unit(unit, 1 if coming else -count, count), after


def _amount(reader: Reader, at: int) -> tuple[int, Unit, int] | None:
    match = _AMOUNT.fullmatch(reader.text(at))
    if match and (unit := SHORT_UNITS.get(match[2]) or SHORT_UNITS.get(match[2].rstrip("s"))):
        return _checked(int(match[1])), unit, at + 1
    number = reader.number(at)
    counted = reader.unit(number[1]) if number else None
    if number is None or counted is None:
        return None
    return _checked(number[0]), counted[0], counted[1]


def _checked(count: int) -> int:
    if not 1 <= count <= MOST_UNITS:
        raise BadConcept(f"a period spans 1 to {MOST_UNITS} units")
    return count


def _ago(reader: Reader, at: int) -> Found | None:
    """The unit that was so many units ago."""
    amount = _amount(reader, at)
    if amount is None or reader.text(amount[2]) not in {"ago", "earlier"}:
        return None
    count, unit, after = amount
    if unit in SECONDS:
        return reader.calendar.moved(reader.calendar.rolling(unit, 1), unit, 1 - count), after + 1
    return reader.calendar.unit(unit, -count), after + 1


def _named_month(reader: Reader, at: int) -> Found | None:
    """A month, or a day of one, in either order, with or without its year."""
    place = reader.skip(at, "the")
    day = reader.day_number(place)
    if day:
        after = reader.skip(day[1], "of")
        month = MONTHS.get(reader.text(after))
        return _dated(reader, day[0], month, after + 1) if month else None
    month = MONTHS.get(reader.text(at))
    if month is None or (reader.text(at) == "may" and not _may_is_a_month(reader, at)):
        return None
    after = at + 1
    day = reader.day_number(reader.skip(after, "the"))
    if day and reader.unit(day[1]) is None:
        return _dated(reader, day[0], month, day[1])
    year = reader.year(reader.skip(after, "of", "in"))
    if year:
        return month_of(reader, year[0], month), year[1]
    calendar = reader.calendar
    latest = calendar.today.year - (month > calendar.today.month)
    found = month_of(reader, latest, month)
    return Stretch(found.start, found.end, found.unit, open_year=True), after


def _may_is_a_month(reader: Reader, at: int) -> bool:
    before = {
        "in",
        "of",
        "since",
        "from",
        "to",
        "until",
        "till",
        "and",
        "between",
        "before",
        "after",
        "for",
        "-",
    }
    alone = at == 0 and reader.text(1) in {"", "to", "-", "and", "vs", "versus"}
    return alone or reader.text(at - 1) in before or reader.year(at + 1) is not None


def _dated(reader: Reader, day: int, month: int, at: int) -> Found:
    """A day of a month; without a year the latest that has come."""
    year = reader.year(reader.skip(at, "of", "in"))
    today = reader.calendar.today
    try:
        if year:
            return clocked(reader, date(year[0], month, day), year[1])
        latest = date(today.year, month, day)
        if latest > today:
            latest = date(today.year - 1, month, day)
    except ValueError:
        raise BadConcept(f"day {day} of month {month} is no date there") from None
    found, after = clocked(reader, latest, at)
    return Stretch(found.start, found.end, found.unit, open_year=True), after


def _time_of_day(reader: Reader, at: int) -> Found | None:
    """An hour or minute of today, or of yesterday where it is still to come."""
    clock = reader.clock(at)
    if clock is None:
        return None
    day = reader.calendar.today
    if earlier(reader.calendar.moment, reader.on_day(day, clock[0])):
        day = reader.calendar.shift(day, Unit.DAY, -1)
    found, after = clocked(reader, day, at)
    return Stretch(found.start, found.end, found.unit, open_year=True, clock=True), after


_READERS: tuple[Callable[[Reader, int], Found | None], ...] = (
    written,
    by_name,
    part_of_day,
    _to_date,
    _relative,
    _bare_weekday,
    _counted,
    _ago,
    _named_month,
    part,
    fiscal_year,
    week,
    year,
    _time_of_day,
)
