"""Reads the parts of an expression of time: numbers, units, years, times of day, and dates in figures."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from penelope.rooms.context.calendar import FIRST_YEAR, LAST_YEAR, Calendar, Stretch, Unit, fiscal
from penelope.rooms.context.time_names import COMING, FISCAL, NUMBERS, PAST, PRESENT, UNITS, WHOLE
from penelope.rooms.context.words import BadConcept, Word

NUMBER = re.compile(r"\d{1,5}")
_ORDINAL = re.compile(r"(\d{1,2})(?:st|nd|rd|th)")
_FIGURES = re.compile(r"\d{4}-\d{1,2}|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:t[\d:.]+(?:z|[-+][\d:]+)?)?")
_CLOCK = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?(am|pm)?")

Found = tuple[Stretch, int]
"""A stretch of time, and the index of the word after it."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the parts of expressions of time off words, at a place."""

    words: Sequence[Word]
    calendar: Calendar

    def text(self, at: int) -> str:
        return self.words[at].text if 0 <= at < len(self.words) else ""

    def stem(self, at: int) -> str:
        return self.words[at].stem if 0 <= at < len(self.words) else ""

    def skip(self, at: int, *texts: str) -> int:
        return at + 1 if self.text(at) in texts else at

    def number(self, at: int) -> tuple[int, int] | None:
        """A count in figures or words, with "a couple of"."""
        text = self.text(at)
        if NUMBER.fullmatch(text):
            return int(text), at + 1
        if text in {"a", "an"} and self.text(at + 1) == "couple":
            return self.number(at + 1)
        if text in NUMBERS:
            return NUMBERS[text], self.skip(at + 1, "of") if text == "couple" else at + 1
        return None

    def unit(self, at: int) -> tuple[Unit, int] | None:
        """A unit, with "fiscal", "calendar" or "full" before it."""
        place = at
        is_fiscal = False
        while self.text(place) in WHOLE or self.text(place) in FISCAL:
            is_fiscal = is_fiscal or self.text(place) in FISCAL
            place += 1
        unit = UNITS.get(self.stem(place))
        if unit is None:
            return None
        place += 1
        if unit is Unit.HALF:
            place = self.skip(place, "year", "years")
        return (fiscal(unit) if is_fiscal else unit), place

    def year(self, at: int) -> tuple[int, int] | None:
        """A calendar year of four figures, or one told by "last year"."""
        text = self.text(at)
        if len(text) == 4 and text.isascii() and text.isdigit() and FIRST_YEAR <= int(text) <= LAST_YEAR:
            return int(text), at + 1
        if self.text(at + 1) == "year":
            this = self.calendar.today.year
            if text in PAST:
                return this - 1, at + 2
            if text in PRESENT:
                return this, at + 2
            if text in COMING:
                return this + 1, at + 2
        return None

    def day_number(self, at: int) -> tuple[int, int] | None:
        text = self.text(at)
        if text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= 31:
            return int(text), at + 1
        match = _ORDINAL.fullmatch(text)
        return (int(match[1]), at + 1) if match and 1 <= int(match[1]) <= 31 else None

    def clock(self, at: int) -> tuple[timedelta, int] | None:
        """A time of day, as "9:00", "9am" or "3 pm"; a bare number is none."""
        text = self.text(at)
        if text in {"noon", "midnight"}:
            return timedelta(hours=12 if text == "noon" else 0), at + 1
        match = _CLOCK.fullmatch(text)
        if match is None:
            return None
        half, place = match[4], at + 1
        if half is None and self.text(place) in {"am", "pm"}:
            half, place = self.text(place), place + 1
        if half is None and match[2] is None:
            return None
        hour, minute, second = int(match[1]), int(match[2] or 0), int(match[3] or 0)
        if hour > (12 if half else 24) or minute > 59 or second > 59 or (half and hour == 0):
            raise BadConcept(f"“{text}” is no time of day")
        if half:
            hour = hour % 12 + (12 if half == "pm" else 0)
        return timedelta(hours=hour, minutes=minute, seconds=second), place

    def on_day(self, day: date, clock: timedelta) -> datetime:
        """A time of day on a day, by the clock on the wall."""
        wall = datetime(day.year, day.month, day.day) + clock  # noqa: DTZ001 - a clock face; the zone comes next
        return wall.replace(tzinfo=self.calendar.zone).astimezone(UTC).astimezone(self.calendar.zone)


def written(reader: Reader, at: int) -> Found | None:
    """A date in figures: ISO 8601, 2026/11/03, 3.11.2026, or 13/11/2026 where it can be read in one way only."""
    text = reader.text(at)
    if not _FIGURES.fullmatch(text):
        return None
    try:
        if "t" in text and text[4] == "-":
            moment = datetime.fromisoformat(text.replace("t", "T").replace("z", "+00:00"))
            zoned = moment if moment.tzinfo else moment.replace(tzinfo=reader.calendar.zone)
            return reader.calendar.between(zoned, zoned + timedelta(seconds=1), Unit.SECOND), at + 1
        parts = [int(part) for part in re.split(r"[-/.]", text)]
        if len(parts) == 2:
            return month_of(reader, parts[0], parts[1]), at + 1
        day = date(*parts) if parts[0] > 31 else _day_first(parts, text)
    except ValueError as error:
        if isinstance(error, BadConcept):
            raise
        raise BadConcept(f"“{text}” is no date") from None
    return clocked(reader, day, at + 1)


def _day_first(parts: list[int], text: str) -> date:
    first, second, year = parts
    if "/" in text and first <= 12 and second <= 12 and first != second:
        raise BadConcept(
            f"“{text}” can be read in two ways: write {year}-{first:02}-{second:02} or {year}-{second:02}-{first:02}"
        )
    return date(year, first, second) if second > 12 and "/" in text else date(year, second, first)


def clocked(reader: Reader, day: date, at: int) -> Found:
    """The day, or where a time of day follows, that minute or hour of it."""
    clock = reader.clock(reader.skip(at, "at"))
    if clock is None:
        return reader.calendar.days(day, reader.calendar.shift(day, Unit.DAY, 1), Unit.DAY), at
    moment = reader.on_day(day, clock[0]).astimezone(UTC)
    whole_hour = clock[0].seconds % 3600 == 0
    step = timedelta(hours=1) if whole_hour else timedelta(minutes=1)
    unit = Unit.HOUR if whole_hour else Unit.MINUTE
    return reader.calendar.between(moment, moment + step, unit), clock[1]


def month_of(reader: Reader, year: int, month: int) -> Stretch:
    first = date(year, month, 1)
    return reader.calendar.days(first, reader.calendar.shift(first, Unit.MONTH, 1), Unit.MONTH)


def by_name(reader: Reader, at: int) -> Found | None:
    """Today and its neighbours, with a time of day if one follows."""
    names = {"today": 0, "yesterday": -1, "tomorrow": 1}
    text, today = reader.text(at), reader.calendar.today
    if text in names:
        return clocked(reader, reader.calendar.shift(today, Unit.DAY, names[text]), at + 1)
    place = reader.skip(at, "the")
    if reader.text(place) == "day" and reader.text(place + 1) in {"before", "after"}:
        name = reader.text(place + 2)
        if (reader.text(place + 1), name) in {("before", "yesterday"), ("after", "tomorrow")}:
            return clocked(reader, reader.calendar.shift(today, Unit.DAY, 2 * names[name]), place + 3)
    return None


def part_of_day(reader: Reader, at: int) -> Found | None:
    hours = {"morning": (0, 12), "afternoon": (12, 18), "evening": (18, 24), "night": (18, 30)}
    text, what = reader.text(at), reader.text(at + 1)
    if text == "tonight":
        offset, what, after = 0, "night", at + 1
    elif what in hours and text in {"this", "yesterday", "last"} and (what == "night") == (text == "last"):
        offset, after = (0 if text == "this" else -1), at + 2
    else:
        return None
    day = reader.calendar.shift(reader.calendar.today, Unit.DAY, offset)
    first, last = (reader.on_day(day, timedelta(hours=hour)) for hour in hours[what])
    return reader.calendar.between(first, last, Unit.HOUR), after
