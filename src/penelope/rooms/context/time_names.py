"""The words that English has for time."""

from penelope.rooms.context.calendar import Unit

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan",
            "february feb",
            "march mar",
            "april apr",
            "may",
            "june jun",
            "july jul",
            "august aug",
            "september sep sept",
            "october oct",
            "november nov",
            "december dec",
        ),
        start=1,
    )
    for name in names.split()
}

WEEKDAYS = {
    name: number
    for number, names in enumerate(
        (
            "monday",
            "tuesday tue tues",
            "wednesday wed",
            "thursday thu thur thurs",
            "friday fri",
            "saturday",
            "sunday",
        )
    )
    for name in names.split()
}

UNITS = {
    name: unit
    for unit, names in {
        Unit.SECOND: "second sec",
        Unit.MINUTE: "minute min",
        Unit.HOUR: "hour hr",
        Unit.DAY: "day",
        Unit.WEEK: "week wk",
        Unit.MONTH: "month mth",
        Unit.QUARTER: "quarter qtr",
        Unit.HALF: "half",
        Unit.YEAR: "year yr",
    }.items()
    for name in names.split()
}

SHORT_UNITS = {
    "s": Unit.SECOND,
    "m": Unit.MINUTE,
    "h": Unit.HOUR,
    "d": Unit.DAY,
    "w": Unit.WEEK,
    "mo": Unit.MONTH,
    "q": Unit.QUARTER,
    "y": Unit.YEAR,
} | UNITS

NUMBERS = {
    name: number
    for number, name in enumerate(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
        start=1,
    )
} | {"a": 1, "an": 1, "couple": 2, "dozen": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "sixty": 60}

ORDINALS = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4}

EVERY = {
    "hourly": Unit.HOUR,
    "daily": Unit.DAY,
    "weekly": Unit.WEEK,
    "monthly": Unit.MONTH,
    "quarterly": Unit.QUARTER,
    "yearly": Unit.YEAR,
    "annually": Unit.YEAR,
    "annual": Unit.YEAR,
}

TO_DATE = {"wtd": Unit.WEEK, "mtd": Unit.MONTH, "qtd": Unit.QUARTER, "ytd": Unit.YEAR}

FISCAL_TO_DATE = {"fytd": Unit.FISCAL_YEAR, "fqtd": Unit.FISCAL_QUARTER}

OVER_UNIT = {"yoy": Unit.YEAR, "qoq": Unit.QUARTER, "mom": Unit.MONTH, "wow": Unit.WEEK, "dod": Unit.DAY}

FISCAL = frozenset({"fiscal", "financial"})
PAST = frozenset({"last", "previous", "prior", "past", "preceding"})
ROLLING = PAST | {"trailing", "rolling"}
PRESENT = frozenset({"this", "current"})
COMING = frozenset({"next", "coming", "following", "upcoming"})
WHOLE = frozenset({"full", "complete", "completed", "entire", "whole", "calendar"})
VERSUS = frozenset({"vs", "v", "versus", "against"})
EVERY_MARKS = frozenset({"per", "by", "each", "every"})
LEADING = frozenset({"in", "on", "during", "of", "for", "over", "within", "the", "at", "as", "throughout"})
"""What may stand before a time, and belongs to it then."""
