"""What expressions of time mean, by table: asked on Friday 2026-11-20 at 10:30 in Berlin, fiscal year from April."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from penelope.rooms.context.calendar import Calendar
from penelope.rooms.context.time_phrases import TimeSaid, time_said
from penelope.rooms.context.words import BadConcept, words_of_concept

BERLIN = ZoneInfo("Europe/Berlin")
CALENDAR = Calendar(now=datetime(2026, 11, 20, 9, 30, tzinfo=UTC), zone=BERLIN, fiscal_month=4)

PERIODS = """
today | 2026-11-20 | 2026-11-21
yesterday | 2026-11-19 | 2026-11-20
tomorrow | 2026-11-21 | 2026-11-22
the day before yesterday | 2026-11-18 | 2026-11-19
the day after tomorrow | 2026-11-22 | 2026-11-23
this week | 2026-11-16 | 2026-11-23
last week | 2026-11-09 | 2026-11-16
next week | 2026-11-23 | 2026-11-30
this month | 2026-11-01 | 2026-12-01
current month | 2026-11-01 | 2026-12-01
last month | 2026-10-01 | 2026-11-01
previous month | 2026-10-01 | 2026-11-01
last full month | 2026-10-01 | 2026-11-01
next month | 2026-12-01 | 2027-01-01
this quarter | 2026-10-01 | 2027-01-01
last quarter | 2026-07-01 | 2026-10-01
prior quarter | 2026-07-01 | 2026-10-01
next quarter | 2027-01-01 | 2027-04-01
last calendar quarter | 2026-07-01 | 2026-10-01
this year | 2026-01-01 | 2027-01-01
last year | 2025-01-01 | 2026-01-01
next year | 2027-01-01 | 2028-01-01
last half | 2026-01-01 | 2026-07-01
last half year | 2026-01-01 | 2026-07-01
this half | 2026-07-01 | 2027-01-01
this fiscal year | 2026-04-01 | 2027-04-01
last fiscal year | 2025-04-01 | 2026-04-01
last financial year | 2025-04-01 | 2026-04-01
next fiscal year | 2027-04-01 | 2028-04-01
this fiscal quarter | 2026-10-01 | 2027-01-01
last fiscal half | 2026-04-01 | 2026-10-01
last weekend | 2026-11-14 | 2026-11-16
this weekend | 2026-11-21 | 2026-11-23
last hour | 2026-11-20T09:30 | 2026-11-20T10:30
this hour | 2026-11-20T10:00 | 2026-11-20T11:00
last minute | 2026-11-20T10:29 | 2026-11-20T10:30
last 15 minutes | 2026-11-20T10:15 | 2026-11-20T10:30
the past 15 mins | 2026-11-20T10:15 | 2026-11-20T10:30
last 15m | 2026-11-20T10:15 | 2026-11-20T10:30
last 24 hours | 2026-11-19T10:30 | 2026-11-20T10:30
past 24h | 2026-11-19T10:30 | 2026-11-20T10:30
last 90 seconds | 2026-11-20T10:28:30 | 2026-11-20T10:30
next 2 hours | 2026-11-20T10:30 | 2026-11-20T12:30
last 7 days | 2026-11-13 | 2026-11-20
last seven days | 2026-11-13 | 2026-11-20
over the last 30 days | 2026-10-21 | 2026-11-20
last 30d | 2026-10-21 | 2026-11-20
rolling 90 days | 2026-08-22 | 2026-11-20
next 3 days | 2026-11-21 | 2026-11-24
last two weeks | 2026-11-02 | 2026-11-16
last couple of weeks | 2026-11-02 | 2026-11-16
past 3 months | 2026-08-01 | 2026-11-01
last 6 full months | 2026-05-01 | 2026-11-01
trailing twelve months | 2025-11-01 | 2026-11-01
previous 3 quarters | 2026-01-01 | 2026-10-01
last 2 fiscal years | 2024-04-01 | 2026-04-01
last 5 years | 2021-01-01 | 2026-01-01
3 days ago | 2026-11-17 | 2026-11-18
two weeks ago | 2026-11-02 | 2026-11-09
three months ago | 2026-08-01 | 2026-09-01
a year ago | 2025-01-01 | 2026-01-01
2 hours ago | 2026-11-20T08:30 | 2026-11-20T09:30
mtd | 2026-11-01 | 2026-11-20T10:30
month to date | 2026-11-01 | 2026-11-20T10:30
month-to-date | 2026-11-01 | 2026-11-20T10:30
QTD | 2026-10-01 | 2026-11-20T10:30
YTD | 2026-01-01 | 2026-11-20T10:30
week to date | 2026-11-16 | 2026-11-20T10:30
year to date | 2026-01-01 | 2026-11-20T10:30
fiscal ytd | 2026-04-01 | 2026-11-20T10:30
fiscal year to date | 2026-04-01 | 2026-11-20T10:30
FYTD | 2026-04-01 | 2026-11-20T10:30
so far this year | 2026-01-01 | 2026-11-20T10:30
this month so far | 2026-11-01 | 2026-11-20T10:30
friday | 2026-11-20 | 2026-11-21
on Monday | 2026-11-16 | 2026-11-17
last friday | 2026-11-13 | 2026-11-14
last Monday | 2026-11-16 | 2026-11-17
this Saturday | 2026-11-21 | 2026-11-22
next monday | 2026-11-23 | 2026-11-24
in March | 2026-03-01 | 2026-04-01
in December | 2025-12-01 | 2026-01-01
November | 2026-11-01 | 2026-12-01
last November | 2025-11-01 | 2025-12-01
last March | 2026-03-01 | 2026-04-01
next March | 2027-03-01 | 2027-04-01
in May | 2026-05-01 | 2026-06-01
March 2025 | 2025-03-01 | 2025-04-01
Sept. 2025 | 2025-09-01 | 2025-10-01
March last year | 2025-03-01 | 2025-04-01
March of this year | 2026-03-01 | 2026-04-01
2026-03 | 2026-03-01 | 2026-04-01
2026-03-05 | 2026-03-05 | 2026-03-06
2026/03/05 | 2026-03-05 | 2026-03-06
5.3.2026 | 2026-03-05 | 2026-03-06
13/03/2026 | 2026-03-13 | 2026-03-14
03/13/2026 | 2026-03-13 | 2026-03-14
5 March 2026 | 2026-03-05 | 2026-03-06
March 5, 2026 | 2026-03-05 | 2026-03-06
Mar 5th | 2026-03-05 | 2026-03-06
the 5th of March | 2026-03-05 | 2026-03-06
24 December | 2025-12-24 | 2025-12-25
29 February 2024 | 2024-02-29 | 2024-03-01
Q3 | 2026-07-01 | 2026-10-01
q1 2025 | 2025-01-01 | 2025-04-01
2025-Q1 | 2025-01-01 | 2025-04-01
2025Q1 | 2025-01-01 | 2025-04-01
Q1/2025 | 2025-01-01 | 2025-04-01
2025 Q1 | 2025-01-01 | 2025-04-01
the third quarter of 2025 | 2025-07-01 | 2025-10-01
Q4 last year | 2025-10-01 | 2026-01-01
fiscal Q1 | 2026-04-01 | 2026-07-01
fiscal Q4 | 2026-01-01 | 2026-04-01
Q2 FY26 | 2025-07-01 | 2025-10-01
FY26 Q2 | 2025-07-01 | 2025-10-01
second quarter of fiscal 2026 | 2025-07-01 | 2025-10-01
H1 2026 | 2026-01-01 | 2026-07-01
h2 | 2026-07-01 | 2027-01-01
first half of 2025 | 2025-01-01 | 2025-07-01
fiscal H1 | 2026-04-01 | 2026-10-01
FY26 | 2025-04-01 | 2026-04-01
FY2026 | 2025-04-01 | 2026-04-01
FY 26 | 2025-04-01 | 2026-04-01
fiscal year 2026 | 2025-04-01 | 2026-04-01
fiscal 2026 | 2025-04-01 | 2026-04-01
FY2025/26 | 2025-04-01 | 2026-04-01
week 45 | 2026-11-02 | 2026-11-09
calendar week 45 | 2026-11-02 | 2026-11-09
KW45 | 2026-11-02 | 2026-11-09
week 53 of 2026 | 2026-12-28 | 2027-01-04
2026-W01 | 2025-12-29 | 2026-01-05
week 50 | 2025-12-08 | 2025-12-15
2025 | 2025-01-01 | 2026-01-01
in 2024 | 2024-01-01 | 2025-01-01
since March | 2026-03-01 | 2026-11-20T10:30
since 2026-03-05 | 2026-03-05 | 2026-11-20T10:30
since yesterday | 2026-11-19 | 2026-11-20T10:30
since 9:00 | 2026-11-20T09:00 | 2026-11-20T10:30
since 11pm | 2026-11-19T23:00 | 2026-11-20T10:30
starting in October | 2026-10-01 | 2026-11-20T10:30
from October until now | 2026-10-01 | 2026-11-20T10:30
after March 2026 | 2026-04-01 | 2026-11-20T10:30
before 2025 | 1970-01-01 | 2025-01-01
until June 2026 | 1970-01-01 | 2026-07-01
up to yesterday | 1970-01-01 | 2026-11-20
between 1 and 15 March 2026 | 2026-03-01 | 2026-03-16
between March 1 and March 15, 2026 | 2026-03-01 | 2026-03-16
1-15 March 2026 | 2026-03-01 | 2026-03-16
March 5 to 12 2026 | 2026-03-05 | 2026-03-13
from January to March | 2026-01-01 | 2026-04-01
Jan-Mar 2025 | 2025-01-01 | 2025-04-01
from November to February 2026 | 2025-11-01 | 2026-03-01
from October to February | 2025-10-01 | 2026-03-01
from 2026-01-01 to 2026-06-30 | 2026-01-01 | 2026-07-01
2026-01-01..2026-06-30 | 2026-01-01 | 2026-07-01
2024-2025 | 2024-01-01 | 2026-01-01
Q1 to Q3 2026 | 2026-01-01 | 2026-10-01
March and April 2026 | 2026-03-01 | 2026-05-01
between 9:00 and 10:00 | 2026-11-20T09:00 | 2026-11-20T10:00
from 9am to 5pm on 2026-11-03 | 2026-11-03T09:00 | 2026-11-03T17:00
yesterday 14:00 to 15:30 | 2026-11-19T14:00 | 2026-11-19T15:30
yesterday between 14:00 and 15:00 | 2026-11-19T14:00 | 2026-11-19T15:00
yesterday at 3pm | 2026-11-19T15:00 | 2026-11-19T16:00
2026-11-03T10:00 | 2026-11-03T10:00 | 2026-11-03T10:00:01
this morning | 2026-11-20T00:00 | 2026-11-20T12:00
last night | 2026-11-19T18:00 | 2026-11-20T06:00
yesterday evening | 2026-11-19T18:00 | 2026-11-20T00:00
"""

COMPARISONS = """
last quarter vs last year | 2026-07-01 | 2025-07-01 | 2025-10-01
last quarter vs the same quarter last year | 2026-07-01 | 2025-07-01 | 2025-10-01
this month compared to last month | 2026-11-01 | 2026-10-01 | 2026-11-01
last month vs previous month | 2026-10-01 | 2026-09-01 | 2026-10-01
last month yoy | 2026-10-01 | 2025-10-01 | 2025-11-01
last month year over year | 2026-10-01 | 2025-10-01 | 2025-11-01
last month month-over-month | 2026-10-01 | 2026-09-01 | 2026-10-01
Q3 2026 versus Q3 2025 | 2026-07-01 | 2025-07-01 | 2025-10-01
October vs the year before | 2026-10-01 | 2025-10-01 | 2025-11-01
last 7 days vs the previous period | 2026-11-13 | 2026-11-06 | 2026-11-13
yesterday against a week earlier | 2026-11-19 | 2026-11-12 | 2026-11-13
2026 vs 2025 | 2026-01-01 | 2025-01-01 | 2026-01-01
vs last month | 2026-11-01 | 2026-10-01 | 2026-11-01
last hour vs yesterday | 2026-11-20T09:30 | 2026-11-19T09:30 | 2026-11-19T10:30
"""

CUTS = """
per month | month
by week | week
each day | day
for every quarter | quarter
monthly | month
daily | day
per hour | hour
by fiscal year | year
annual | year
"""

NO_TIME = "may I see revenue|second hand goods|the quarterback|top 5|half of it|5|24/7|a b c|w|fy"

REFUSED = [
    ("2026-02-30", "is no date"),
    ("31 February", "no date"),
    ("05/03/2026", "two ways"),
    ("week 54 of 2026", "no week 54"),
    ("H3 2026", "two halves"),
    ("last 99999 days", "1 to 10000"),
    ("last 9000 years", "can be asked"),
    ("between March 15 2026 and March 1 2026", "ends before"),
    ("since tomorrow", "future"),
    ("last month yesterday in 2020", "do not go together"),
    ("1000-01-01", "can be asked"),
    ("25:00 yesterday", "no time of day"),
    ("yesterday vs 2025 vs 2024", "only two"),
]


def said(text: str, calendar: Calendar = CALENDAR) -> TimeSaid:
    return time_said(words_of_concept(text), calendar)


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(("text", "start", "end"), rows(PERIODS))
def test_a_phrase_means_its_period(text: str, start: str, end: str) -> None:
    period = said(text).period
    assert period is not None
    assert (period.start, period.end) == (local(start), local(end))
    assert period.zone == "Europe/Berlin"


@pytest.mark.parametrize(("text", "start", "end"), rows(PERIODS))
def test_a_phrase_is_found_within_a_question(text: str, start: str, end: str) -> None:
    period = said(f"revenue of shoes {text}").period
    assert period is not None
    assert (period.start, period.end) == (local(start), local(end))


@pytest.mark.parametrize(("text", "start", "first", "last"), rows(COMPARISONS))
def test_a_comparison_has_two_periods(text: str, start: str, first: str, last: str) -> None:
    told = said(text)
    assert told.period is not None
    assert told.compared is not None
    assert told.period.start == local(start)
    assert (told.compared.start, told.compared.end) == (local(first), local(last))


@pytest.mark.parametrize(("text", "unit"), rows(CUTS))
def test_a_series_is_cut(text: str, unit: str) -> None:
    told = said(f"revenue {text}")
    assert told.periodic == unit
    assert told.period is None


@pytest.mark.parametrize("text", NO_TIME.split("|"))
def test_what_is_no_time_is_left_alone(text: str) -> None:
    assert said(text) == TimeSaid()


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_times_that_cannot_be_are_refused(text: str, why: str) -> None:
    with pytest.raises(BadConcept, match=why):
        said(text)


def test_words_that_belong_to_a_name_are_no_time() -> None:
    words = words_of_concept("daily active users last week")
    told = time_said(words, CALENDAR, kept={0, 1, 2})
    assert told.periodic is None
    assert told.used == {3, 4}
    assert time_said(words, CALENDAR).periodic == "day"


def test_days_have_23_and_25_hours_where_clocks_change() -> None:
    spring, autumn = said("2026-03-29").period, said("2026-10-25").period
    assert spring is not None
    assert autumn is not None
    assert (spring.end.astimezone(UTC) - spring.start.astimezone(UTC)).total_seconds() == 23 * 3600
    assert (autumn.end.astimezone(UTC) - autumn.start.astimezone(UTC)).total_seconds() == 25 * 3600


def test_hours_are_true_hours_while_clocks_go_back() -> None:
    # 02:15 for the second time that night.
    calendar = Calendar(now=datetime(2026, 10, 25, 1, 15, tzinfo=UTC), zone=BERLIN)
    period = said("last hour", calendar).period
    assert period is not None
    assert period.start.astimezone(UTC) == datetime(2026, 10, 25, 0, 15, tzinfo=UTC)
    assert (period.start.hour, period.start.fold, period.end.hour, period.end.fold) == (2, 0, 2, 1)


def test_a_day_without_midnight_begins_where_it_begins() -> None:
    # Clocks in Santiago go from 24:00 to 01:00 in spring.
    zone = ZoneInfo("America/Santiago")
    period = said("2026-09-06", Calendar(now=CALENDAR.now, zone=zone)).period
    assert period is not None
    assert period.start.hour == 1
    assert period.start.astimezone(UTC) == datetime(2026, 9, 6, 4, tzinfo=UTC)


def test_today_is_the_askers_today() -> None:
    late = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    tokyo = said("today", Calendar(now=late, zone=ZoneInfo("Asia/Tokyo"))).period
    lima = said("today", Calendar(now=late, zone=ZoneInfo("America/Lima"))).period
    assert tokyo is not None
    assert lima is not None
    assert (tokyo.start.day, lima.start.day) == (21, 20)


def test_a_fiscal_year_may_be_named_by_its_start() -> None:
    calendar = Calendar(now=CALENDAR.now, zone=BERLIN, fiscal_month=4, named_by_start=True)
    period = said("FY26", calendar).period
    assert period is not None
    assert period.start == local("2026-04-01")


def test_a_fiscal_year_from_january_is_the_calendar_year() -> None:
    calendar = Calendar(now=CALENDAR.now, zone=BERLIN)
    assert said("FY26", calendar).period.start == said("2026", calendar).period.start  # type: ignore[union-attr]  # both have one
