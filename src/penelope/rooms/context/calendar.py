"""Periods of the calendar and of the fiscal year, in a time zone."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from penelope.domain.concept import Period
from penelope.domain.semantics import Granularity
from penelope.rooms.context.words import BadConcept

FIRST_YEAR, LAST_YEAR = 1970, 2199
"""Years that can be asked about."""

EARLIEST = date(FIRST_YEAR, 1, 1)
"""Where periods begin that have no beginning."""


class Unit(StrEnum):
    """What people count time in."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    HALF = "half"
    YEAR = "year"
    FISCAL_QUARTER = "fiscal quarter"
    FISCAL_HALF = "fiscal half"
    FISCAL_YEAR = "fiscal year"


SECONDS = {Unit.SECOND: 1, Unit.MINUTE: 60, Unit.HOUR: 3600}
_MONTHS = {
    Unit.MONTH: 1,
    Unit.QUARTER: 3,
    Unit.HALF: 6,
    Unit.YEAR: 12,
    Unit.FISCAL_QUARTER: 3,
    Unit.FISCAL_HALF: 6,
    Unit.FISCAL_YEAR: 12,
}
_FISCAL = {
    Unit.QUARTER: Unit.FISCAL_QUARTER,
    Unit.HALF: Unit.FISCAL_HALF,
    Unit.YEAR: Unit.FISCAL_YEAR,
}
_GRANULARITY = {
    Unit.HALF: Granularity.QUARTER,
    Unit.FISCAL_QUARTER: Granularity.QUARTER,
    Unit.FISCAL_HALF: Granularity.QUARTER,
    Unit.FISCAL_YEAR: Granularity.YEAR,
}


def fiscal(unit: Unit) -> Unit:
    """The fiscal unit of that size; days, weeks and months are the same in both."""
    return _FISCAL.get(unit, unit)


def granularity_of(unit: Unit) -> Granularity:
    """What a series in such a unit is cut into; halves are cut into quarters."""
    return _GRANULARITY.get(unit) or Granularity(unit.value)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time from `start` to before `end`, counted in `unit`.

    `open_year` says that its year was not said but taken to be the latest; `clock` that it is an hour of the day.
    """

    start: datetime
    end: datetime
    unit: Unit
    open_year: bool = False
    clock: bool = False

    @property
    def seconds(self) -> float:
        return (self.end.astimezone(UTC) - self.start.astimezone(UTC)).total_seconds()

    def holds(self, other: "Stretch") -> bool:
        return earlier_or_same(self.start, other.start) and earlier_or_same(other.end, self.end)


def earlier(one: datetime, other: datetime) -> bool:
    """Whether it is truly earlier: Python compares clock faces within one zone, which fold twice a year."""
    return one.astimezone(UTC) < other.astimezone(UTC)


def earlier_or_same(one: datetime, other: datetime) -> bool:
    return not earlier(other, one)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Where and when somebody asks. `fiscal_month` is the first of the fiscal year, 1…12; the fiscal year has the name of
    the calendar year in which it ends, or begins where `named_by_start`. Weeks are those of ISO 8601.
    """

    now: datetime
    zone: ZoneInfo
    fiscal_month: int = 1
    named_by_start: bool = False

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise ValueError("now must have a zone")
        if not 1 <= self.fiscal_month <= 12:
            raise ValueError("the first month of the fiscal year must be 1 to 12")

    @property
    def moment(self) -> datetime:
        """Now, on the asker's clock."""
        return self.now.astimezone(self.zone)

    @property
    def today(self) -> date:
        return self.moment.date()

    def midnight(self, day: date) -> datetime:
        """Where a day begins; on days whose midnight is skipped, the moment of the skip."""
        made = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        return made.astimezone(UTC).astimezone(self.zone)

    def days(self, first: date, after: date, unit: Unit, *, open_year: bool = False) -> Stretch:
        return Stretch(self.midnight(first), self.midnight(after), unit, open_year)

    def floor(self, day: date, unit: Unit) -> date:
        """The first day of the unit that holds the day."""
        if unit is Unit.WEEK:
            return day - timedelta(days=day.weekday())
        if unit not in _MONTHS:
            return day
        size = _MONTHS[unit]
        offset = self.fiscal_month - 1 if unit.value.startswith("fiscal") else 0
        months = day.year * 12 + day.month - 1 - offset
        return _month(months - months % size + offset)

    def shift(self, day: date, unit: Unit, count: int) -> date:
        """The day so many units later; in a shorter month its last day."""
        try:
            if unit is Unit.DAY:
                return day + timedelta(days=count)
            if unit is Unit.WEEK:
                return day + timedelta(weeks=count)
            first = _month(day.year * 12 + day.month - 1 + count * _MONTHS[unit])
            return first.replace(day=min(day.day, _month_days(first)))
        except OverflowError:
            raise BadConcept("that is too far away in time") from None

    def unit(self, unit: Unit, offset: int = 0, count: int = 1) -> Stretch:
        """`count` whole units, of which the first lies `offset` units after the present one."""
        if unit in SECONDS:
            step = SECONDS[unit]
            floor = datetime.fromtimestamp(self.now.timestamp() // step * step, UTC)
            begin = floor + _span(step * offset)
            return self.between(begin, begin + _span(step * count), unit)
        first = self.shift(self.floor(self.today, unit), unit, offset)
        return self.days(first, self.shift(first, unit, count), unit)

    def rolling(self, unit: Unit, count: int) -> Stretch:
        """So many seconds, minutes or hours up to now."""
        now = self.now.astimezone(UTC)
        return self.between(now - _span(SECONDS[unit] * count), now, unit)

    def between(self, start: datetime, end: datetime, unit: Unit) -> Stretch:
        return Stretch(start.astimezone(self.zone), end.astimezone(self.zone), unit)

    def to_date(self, unit: Unit) -> Stretch:
        """From where the present unit began until now."""
        return Stretch(self.midnight(self.floor(self.today, unit)), self.moment, unit)

    def fiscal_year(self, name: int) -> date:
        """The first day of the fiscal year of that name."""
        begins = name if self.named_by_start or self.fiscal_month == 1 else name - 1
        return date(_checked(begins), self.fiscal_month, 1)

    def part(self, year: int, unit: Unit, number: int) -> Stretch:
        """The quarter or half of that number in a year, fiscal by its unit."""
        first = self.fiscal_year(year) if unit.value.startswith("fiscal") else date(_checked(year), 1, 1)
        begin = self.shift(first, unit, number - 1)
        return self.days(begin, self.shift(begin, unit, 1), unit)

    def latest_part(self, unit: Unit, number: int) -> Stretch:
        """The latest quarter or half of that number that has begun."""
        year = Unit.FISCAL_YEAR if unit.value.startswith("fiscal") else Unit.YEAR
        begin = self.shift(self.floor(self.today, year), unit, number - 1)
        if begin > self.today:
            begin = self.shift(begin, year, -1)
        return replace(self.days(begin, self.shift(begin, unit, 1), unit), open_year=True)

    def iso_week(self, number: int, year: int | None) -> Stretch:
        """A week by its ISO number; without a year the latest that has begun. Raises BadConcept where there is none."""
        wanted = year or self.today.isocalendar().year
        try:
            first = date.fromisocalendar(_checked(wanted), number, 1)
            if year is None and first > self.today:
                first = date.fromisocalendar(wanted - 1, number, 1)
        except ValueError:
            raise BadConcept(f"{wanted} has no week {number}") from None
        return self.days(first, first + timedelta(weeks=1), Unit.WEEK, open_year=year is None)

    def moved(self, stretch: Stretch, unit: Unit, count: int) -> Stretch:
        """The stretch so many units away; whole days stay whole days."""
        if unit in SECONDS:
            step = _span(SECONDS[unit] * count)
            return self.between(
                stretch.start.astimezone(UTC) + step, stretch.end.astimezone(UTC) + step, stretch.unit
            )
        start = self._moved(stretch.start, unit, count)
        end = self._moved(stretch.end, unit, count)
        return replace(stretch, start=start, end=end)

    def _moved(self, moment: datetime, unit: Unit, count: int) -> datetime:
        day = self.shift(moment.date(), unit, count)
        made = datetime.combine(day, moment.timetz().replace(tzinfo=self.zone))
        return made.astimezone(UTC).astimezone(self.zone)

    def period(self, stretch: Stretch, label: str) -> Period:
        """The stretch as others see it. Raises BadConcept where it is empty, or outside of the years that can be asked."""
        if not earlier(stretch.start, stretch.end):
            raise BadConcept(f"“{label}” ends before it begins")
        _checked(stretch.start.year)
        _checked((stretch.end - timedelta(days=1)).year if stretch.end.year > FIRST_YEAR else FIRST_YEAR)
        return Period(
            start=stretch.start,
            end=stretch.end,
            zone=self.zone.key,
            label=label,
            granularity=granularity_of(stretch.unit),
        )


def _checked(year: int) -> int:
    if not FIRST_YEAR - 1 <= year <= LAST_YEAR:
        raise BadConcept(f"only the years {FIRST_YEAR} to {LAST_YEAR} can be asked about")
    return year


def _month(months: int) -> date:
    """The first day of a month, by how many months passed since the year 0."""
    return date(_checked(months // 12), months % 12 + 1, 1)


def _month_days(first: date) -> int:
    return ((first.replace(day=28) + timedelta(days=4)).replace(day=1) - first).days


def _span(seconds: int) -> timedelta:
    if abs(seconds) > 40 * 366 * 86_400:
        raise BadConcept("that is too far away in time")
    return timedelta(seconds=seconds)
