"""Whatever somebody asks: it is understood or refused, at once, and the same each time."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import assume, given
from hypothesis import strategies as st

from penelope.domain.access import Subject
from penelope.domain.concept import Ambiguous, Definition, DefinitionKind, Request, Resolution, Unresolved
from penelope.rooms.context.calendar import Calendar, Unit
from penelope.rooms.context.registry import Registry
from penelope.rooms.context.resolve import Rules, resolve
from penelope.rooms.context.time_phrases import time_said
from penelope.rooms.context.words import BadConcept, words_of, words_of_concept

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Cairo",
]
PIECES = [
    "last",
    "this",
    "next",
    "previous",
    "past",
    "3",
    "12",
    "fiscal",
    "quarter",
    "month",
    "months",
    "week",
    "year",
    "day",
    "days",
    "hour",
    "minutes",
    "half",
    "Q3",
    "FY26",
    "H1",
    "since",
    "until",
    "between",
    "and",
    "from",
    "to",
    "-",
    "vs",
    "same",
    "yoy",
    "yesterday",
    "today",
    "march",
    "may",
    "2026",
    "2025-02-30",
    "2026-03-29",
    "05/03/2026",
    "31",
    "9:00",
    "5pm",
    "monday",
    "ago",
    "to",
    "date",
    "ytd",
    "per",
    "by",
    "each",
    "monthly",
    "top",
    "revenue",
    "region",
    "EMEA",
    "without",
    "week",
    "53",
    "w54",
    "the",
    "of",
    "in",
    "before",
    "after",
    "24:00",
]

moments = st.datetimes(datetime(1975, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it
calendars = st.builds(
    Calendar,
    now=moments,
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    fiscal_month=st.integers(1, 12),
    named_by_start=st.booleans(),
)
phrases = st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join)
texts = st.one_of(
    phrases, st.text(max_size=520), st.text(alphabet="aäß-_./:+'0123456789 \u0301\ud800", max_size=520)
)

REGISTRY = Registry(
    [
        Definition(
            name="orders.revenue",
            kind=DefinitionKind.METRIC,
            title="Revenue",
            synonyms=("sales",),
            certified=True,
        ),
        Definition(
            name="orders.region",
            kind=DefinitionKind.DIMENSION,
            title="Region",
            values={"EMEA": ("europe",), "APAC": ()},
        ),
    ],
    times={"orders": "orders.created_at"},
)
RULES = Rules(zone="Europe/Berlin", fiscal_month=4)
ASKER = Subject(actor="ana", role="analyst")


@given(texts, moments)
def test_any_text_is_answered_or_refused_at_once(text, now) -> None:
    began = time.thread_time()
    answer = resolve(Request(concept=text, subject=ASKER, at=now), REGISTRY, RULES)
    assert time.thread_time() - began < 0.05
    assert isinstance(answer, Resolution | Ambiguous | Unresolved)
    assert answer == resolve(Request(concept=text, subject=ASKER, at=now), REGISTRY, RULES)


@given(phrases, calendars)
def test_a_period_begins_before_it_ends(text, calendar) -> None:
    try:
        said = time_said(words_of_concept(text), calendar)
    except BadConcept:
        return
    for period in (said.period, said.compared):
        if period is not None:
            assert period.start.astimezone(UTC) < period.end.astimezone(UTC)
            assert period.zone == calendar.zone.key


@given(calendars, st.sampled_from([unit for unit in Unit if unit not in {Unit.SECOND, Unit.MINUTE}]))
def test_units_follow_each_other_without_a_gap(calendar, unit) -> None:
    before, this, after = (calendar.unit(unit, offset) for offset in (-1, 0, 1))
    assert before.end.astimezone(UTC) == this.start.astimezone(UTC)
    assert this.end.astimezone(UTC) == after.start.astimezone(UTC)
    assert this.start.astimezone(UTC) <= calendar.now.astimezone(UTC) < this.end.astimezone(UTC)


@given(calendars, st.integers(1980, 2100), st.booleans())
def test_quarters_make_a_year(calendar, year, is_fiscal) -> None:
    quarter, half = (Unit.FISCAL_QUARTER, Unit.FISCAL_HALF) if is_fiscal else (Unit.QUARTER, Unit.HALF)
    quarters = [calendar.part(year, quarter, number) for number in range(1, 5)]
    halves = [calendar.part(year, half, number) for number in (1, 2)]
    assert [one.end for one in quarters[:3]] == [other.start for other in quarters[1:]]
    assert (halves[0].start, halves[0].end) == (quarters[0].start, quarters[1].end)
    assert (halves[1].start, halves[1].end) == (quarters[2].start, quarters[3].end)
    months = (quarters[3].end.year - quarters[0].start.year) * 12
    assert months + quarters[3].end.month - quarters[0].start.month == 12


@given(calendars, st.integers(1, 400), st.sampled_from(["seconds", "minutes", "hours"]))
def test_the_last_hours_are_true_hours(calendar, count, unit) -> None:
    said = time_said(words_of(f"last {count} {unit}"), calendar).period
    assert said is not None
    assert said.end.astimezone(UTC) == calendar.now.astimezone(UTC)
    assert said.end.astimezone(UTC) - said.start.astimezone(UTC) == timedelta(**{unit: count})


@given(calendars, st.dates(datetime(1971, 1, 1).date(), datetime(2190, 1, 1).date()))  # noqa: DTZ001 - days alone
def test_a_day_by_its_date_is_that_day(calendar, day) -> None:
    # Apia left out the 30th of December 2011.
    assume(not (calendar.zone.key == "Pacific/Apia" and day.isoformat() in {"2011-12-29", "2011-12-30"}))
    said = time_said(words_of(day.isoformat()), calendar).period
    assert said is not None
    assert said.start.date() == day
    assert said.end.date() == day + timedelta(days=1)
