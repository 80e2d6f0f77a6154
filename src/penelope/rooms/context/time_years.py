"""Quarters, halves, weeks and years, by the calendar and by the fiscal year."""

import re
from datetime import date

from penelope.rooms.context.calendar import Unit, fiscal
from penelope.rooms.context.time_names import FISCAL, ORDINALS
from penelope.rooms.context.time_reader import NUMBER, Found, Reader
from penelope.rooms.context.words import BadConcept

_PART = re.compile(r"(?:(\d{4})-?)?([qh])([1-4])(?:[-/](\d{4}))?")
_WEEK = re.compile(r"(?:(\d{4})-?)?(?:w|kw|cw|wk)(\d{1,2})")
_FISCAL_YEAR = re.compile(r"fy(\d{4}|\d{2})(?:/(\d{2}))?")


def part(reader: Reader, at: int) -> Found | None:
    """A quarter or half: "Q3", "2026-Q3", "third quarter of FY27", "fiscal H1"."""
    place = reader.skip(at, "the")
    is_fiscal = reader.text(place) in FISCAL
    place += is_fiscal
    named = _part_name(reader, place)
    if named is None:
        return None
    unit, number, year, place = named
    if is_fiscal or reader.text(place - 2) in FISCAL:
        unit = fiscal(unit)
    if year is None:
        place = reader.skip(place, "of", "in")
        told = _fiscal_year_name(reader, place)
        if told:
            return reader.calendar.part(told[0], fiscal(unit), number), told[1]
        plain = reader.year(place)
        if plain is None:
            after = place - 1 if reader.text(place - 1) in {"of", "in"} else place
            return reader.calendar.latest_part(unit, number), after
        year, place = plain
    return reader.calendar.part(year, unit, number), place


def _part_name(reader: Reader, at: int) -> tuple[Unit, int, int | None, int] | None:
    match = _PART.fullmatch(reader.text(at))
    if match:
        unit, number = (Unit.QUARTER if match[2] == "q" else Unit.HALF), int(match[3])
        if unit is Unit.HALF and number > 2:
            raise BadConcept("a year has two halves")
        year = match[1] or match[4]
        return unit, number, int(year) if year else None, at + 1
    ordinal = ORDINALS.get(reader.text(at))
    counted = reader.unit(at + 1) if ordinal else None
    if ordinal is None or counted is None:
        return None
    unit, after = counted
    plain = {Unit.FISCAL_QUARTER: Unit.QUARTER, Unit.FISCAL_HALF: Unit.HALF}.get(unit, unit)
    if plain not in {Unit.QUARTER, Unit.HALF} or (plain is Unit.HALF and ordinal > 2):
        return None
    return unit, ordinal, None, after


def _fiscal_year_name(reader: Reader, at: int) -> tuple[int, int] | None:
    """The name of a fiscal year: "FY26", "FY 2026", "fiscal year 2026", "last fiscal year"."""
    text = reader.text(at)
    match = _FISCAL_YEAR.fullmatch(text)
    if match:
        year = int(match[1]) + (2000 if len(match[1]) == 2 else 0)
        if match[2] is None:
            return year, at + 1
        if int(match[2]) != (year + 1) % 100:
            raise BadConcept(f"“{text}” is no fiscal year")
        return (year if reader.calendar.named_by_start else year + 1), at + 1
    if text == "fy" or text in FISCAL:
        number = reader.text(reader.skip(at + 1, "year"))
        if len(number) in {2, 4} and number.isascii() and number.isdigit():
            after = reader.skip(at + 1, "year") + 1
            return int(number) + (2000 if len(number) == 2 else 0), after
    return None


def fiscal_year(reader: Reader, at: int) -> Found | None:
    named = _fiscal_year_name(reader, at)
    if named is None:
        return None
    year, after = named
    part = _part_name(reader, after)
    if part and part[2] is None:
        return reader.calendar.part(year, fiscal(part[0]), part[1]), part[3]
    first = reader.calendar.fiscal_year(year)
    last = reader.calendar.shift(first, Unit.YEAR, 1)
    return reader.calendar.days(first, last, Unit.FISCAL_YEAR), after


def week(reader: Reader, at: int) -> Found | None:
    match = _WEEK.fullmatch(reader.text(at))
    if match:
        number, year, after = int(match[2]), int(match[1]) if match[1] else None, at + 1
    else:
        place = reader.skip(at, "calendar", "iso")
        digits = reader.text(place + 1)
        if reader.text(place) not in {"week", "kw", "cw"} or not NUMBER.fullmatch(digits) or len(digits) > 2:
            return None
        number, year, after = int(digits), None, place + 2
    if year is None:
        told = reader.year(reader.skip(after, "of", "in"))
        year, after = told or (None, after)
    return reader.calendar.iso_week(number, year), after


def year(reader: Reader, at: int) -> Found | None:
    text = reader.text(at)
    if not (text.isascii() and text.isdigit()):
        return None
    told = reader.year(at)
    if told is None:
        return None
    part = _part_name(reader, told[1])
    if part and part[2] is None:
        return reader.calendar.part(told[0], part[0], part[1]), part[3]
    first = date(told[0], 1, 1)
    return reader.calendar.days(first, reader.calendar.shift(first, Unit.YEAR, 1), Unit.YEAR), told[1]
