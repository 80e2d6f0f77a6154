"""All that a concept says of time: its period, what that is held against, and what a series is cut into."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from penelope.domain.concept import Period
from penelope.domain.semantics import Granularity
from penelope.rooms.context.calendar import (
    EARLIEST,
    SECONDS,
    Calendar,
    Stretch,
    Unit,
    earlier,
    earlier_or_same,
    granularity_of,
)
from penelope.rooms.context.time_atoms import atom
from penelope.rooms.context.time_names import (
    EVERY,
    EVERY_MARKS,
    LEADING,
    MONTHS,
    OVER_UNIT,
    PAST,
    UNITS,
    VERSUS,
)
from penelope.rooms.context.time_reader import Found, Reader
from penelope.rooms.context.words import BadConcept, Word

_TO = frozenset({"to", "until", "till", "through", "thru", "-", "and"})
_UP_TO = frozenset({"until", "till", "through", "before"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSaid:
    """`used` are the indices of the words that it was said in."""

    period: Period | None = None
    compared: Period | None = None
    periodic: Granularity | None = None
    used: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Part:
    """Of the words from `first` to before `after`: a period, a comparison or a cut."""

    first: int
    after: int
    stretch: Stretch | None = None
    versus: bool = False
    back: tuple[Unit, int] | None = None
    every: Unit | None = None
    joined: bool = False


def time_said(words: Sequence[Word], calendar: Calendar, kept: Collection[int] = ()) -> TimeSaid:
    """What the words say of time; those at `kept` belong to names and are no time.

    Raises BadConcept for dates that there are none, and for two periods that do not go together.
    """
    reader = Reader([Word("", "") if at in kept else word for at, word in enumerate(words)], calendar)
    parts = list(_parts(reader))
    said = [part for part in parts if part.stretch is not None and not part.versus]
    against = [part for part in parts if part.versus]
    base = _joined(calendar, said) if said else None
    compared = None
    if against:
        base, compared = _held(calendar, base, against)
    every = next((part.every for part in parts if part.every is not None), None)
    used = frozenset(at for part in parts for at in range(part.first, part.after))
    return TimeSaid(
        period=calendar.period(base, _label(words, said or against)) if base else None,
        compared=calendar.period(compared, _label(words, against)) if compared else None,
        periodic=granularity_of(every) if every else None,
        used=used,
    )


def _label(words: Sequence[Word], parts: Sequence[_Part]) -> str:
    return " ".join(words[at].text for part in parts for at in range(part.first, part.after)).strip()


def _parts(reader: Reader) -> Iterator[_Part]:
    at = 0
    while at < len(reader.words):
        part = _versus(reader, at) or _every(reader, at) or _period(reader, at)
        if part is None:
            at += 1
        else:
            yield part
            at = part.after


# --- periods ------------------------------------------------------------------------------------------------


def _period(reader: Reader, at: int) -> _Part | None:
    first = at
    while reader.text(at) in LEADING:
        at += 1
    found = _range(reader, at) or _sided(reader, at) or atom(reader, at)
    if found is None:
        return None
    joined = reader.text(first - 1) in {"and", "or"}
    return _Part(first, found[1], stretch=found[0], joined=joined)


def _range(reader: Reader, at: int) -> Found | None:
    """From one time to another, the last one included."""
    opened = reader.text(at) in {"between", "from"}
    place = at + opened
    begin = _begin(reader, place)
    if begin is None:
        return None
    start, middle = begin
    separators = _TO if opened else _TO - {"and"}
    if reader.text(middle) not in separators:
        return None
    last = atom(reader, reader.skip(middle + 1, "the"))
    if last is None:
        return _to_bare_day(reader, start, middle + 1)
    end, after = last
    start, end = _years_agree(reader.calendar, start, end)
    start, end = _days_agree(reader, start, end)
    if not earlier(start.start, end.end):
        raise BadConcept("a period ends before it begins")
    # A time of day is a moment: "from 9:00 to 17:00" ends at 17:00, while "from March to May" ends with May.
    stop = end.start if end.unit in SECONDS else end.end
    return Stretch(start.start, stop, end.unit, clock=start.clock and end.clock), after


def _begin(reader: Reader, at: int) -> Found | None:
    """Where a range begins; a bare number is a day of the month that its end names."""
    day = reader.day_number(at)
    if day and reader.text(day[1]) in _TO:
        named = atom(reader, reader.skip(day[1] + 1, "the"))
        if named and named[0].unit is Unit.DAY and reader.day_number(reader.skip(day[1] + 1, "the")):
            try:
                first = named[0].start.date().replace(day=day[0])
            except ValueError:
                raise BadConcept(f"there is no day {day[0]} in that month") from None
            return reader.calendar.days(first, reader.calendar.shift(first, Unit.DAY, 1), Unit.DAY), day[1]
    return atom(reader, at)


def _to_bare_day(reader: Reader, start: Stretch, at: int) -> Found | None:
    """The end of "March 5 to 12"."""
    day = reader.day_number(at)
    if day is None or start.unit is not Unit.DAY:
        return None
    try:
        last = start.start.date().replace(day=day[0])
    except ValueError:
        raise BadConcept(f"there is no day {day[0]} in that month") from None
    after = reader.year(day[1])
    begin = start.start.date()
    if after:
        begin, last = begin.replace(year=after[0]), last.replace(year=after[0])
    if last < begin:
        raise BadConcept("a period ends before it begins")
    stretch = reader.calendar.days(begin, reader.calendar.shift(last, Unit.DAY, 1), Unit.DAY)
    return stretch, after[1] if after else day[1]


def _years_agree(calendar: Calendar, start: Stretch, end: Stretch) -> tuple[Stretch, Stretch]:
    """Gives a beginning without a year the year of its end, so that the range runs forwards."""
    if not start.open_year or start.clock or end.clock:
        return start, end
    unit = Unit.YEAR
    if not end.open_year:
        while earlier(start.start, end.start):
            start = calendar.moved(start, unit, 1)
        while earlier(end.start, start.start):
            start = calendar.moved(start, unit, -1)
        return start, end
    while not earlier(start.start, end.end):
        start = calendar.moved(start, unit, -1)
    return start, end


def _days_agree(reader: Reader, start: Stretch, end: Stretch) -> tuple[Stretch, Stretch]:
    """Puts times of day on one day: that of the other where it has one."""
    if end.clock and not start.clock and start.unit in SECONDS:
        end = _on(reader, end, start.start)
    elif start.clock and not end.clock and end.unit in SECONDS:
        start = _on(reader, start, end.start)
    elif start.clock and end.clock and not earlier(start.start, end.start):
        start = reader.calendar.moved(start, Unit.DAY, -1)
    return start, end


def _on(reader: Reader, clock: Stretch, moment: datetime) -> Stretch:
    face = timedelta(hours=clock.start.hour, minutes=clock.start.minute, seconds=clock.start.second)
    made = reader.on_day(moment.date(), face)
    return replace(clock, start=made, end=made + timedelta(seconds=clock.seconds))


def _sided(reader: Reader, at: int) -> Found | None:
    """Since, after, before or until a time."""
    word = reader.text(at)
    place = at + 1
    if word == "up" and reader.text(place) in {"to", "until"}:
        word, place = "until", place + 1
    elif word in {"starting", "beginning"}:
        word, place = "since", reader.skip(place, "in", "on", "from", "with")
    elif word == "prior" and reader.text(place) == "to":
        word, place = "before", place + 1
    elif word == "from" and _open_end(reader, place):
        word = "since"
    if word not in _UP_TO | {"since", "after"}:
        return None
    found = atom(reader, reader.skip(place, "the"))
    if found is None:
        return None
    stretch, after = found
    calendar = reader.calendar
    if word in {"since", "after"}:
        moment = word == "since" or stretch.unit in SECONDS
        start = stretch.start if moment else stretch.end
        if not earlier(start, calendar.moment):
            raise BadConcept("that begins in the future")
        return Stretch(start, calendar.moment, stretch.unit), _after_now(reader, after)
    included = word != "before" and stretch.unit not in SECONDS
    end = stretch.end if included else stretch.start
    return Stretch(calendar.midnight(EARLIEST), end, stretch.unit), after


def _open_end(reader: Reader, at: int) -> bool:
    found = atom(reader, at)
    return found is not None and (reader.text(found[1]), reader.text(found[1] + 1)) in {
        ("until", "now"),
        ("to", "now"),
        ("till", "now"),
        ("on", ""),
        ("onwards", ""),
        ("onward", ""),
    }


def _after_now(reader: Reader, at: int) -> int:
    if reader.text(at) in {"until", "to", "till"} and reader.text(at + 1) == "now":
        return at + 2
    return reader.skip(at, "onwards", "onward", "on") if not reader.text(at + 1) else at


def _joined(calendar: Calendar, parts: Sequence[_Part]) -> Stretch:
    """One period of all that were said: one within another narrows it, neighbours joined by "and" become one."""
    stretches = [(part.stretch, part.joined) for part in parts if part.stretch is not None]
    whole = stretches[0][0]
    for said, joined in stretches[1:]:
        moves = said.clock and whole.unit is Unit.DAY
        other = _moved_to(calendar, said, whole) if moves else said
        if whole.clock and other.unit is Unit.DAY:
            whole = _moved_to(calendar, whole, other)
        if whole.holds(other):
            whole = other
        elif other.holds(whole):
            continue
        elif joined and whole.end == other.start and whole.unit is other.unit:
            whole = replace(whole, end=other.end)
        else:
            raise BadConcept("two periods are said that do not go together; join them by “to” or “vs”")
    return whole


def _moved_to(calendar: Calendar, clock: Stretch, day: Stretch) -> Stretch:
    """Hours of a day, on that day."""
    return calendar.moved(clock, Unit.DAY, (day.start.date() - clock.start.date()).days)


# --- comparisons --------------------------------------------------------------------------------------------


def _versus(reader: Reader, at: int) -> _Part | None:
    text, following = reader.text(at), reader.text(at + 1)
    if text in OVER_UNIT:
        return _Part(at, at + 1, versus=True, back=(OVER_UNIT[text], 1))
    if following in {"over", "on"} and text in UNITS and reader.text(at + 2) == text:
        return _Part(at, at + 3, versus=True, back=(UNITS[text], 1))
    if text in VERSUS:
        place = at + 1
    elif (text in {"compared", "relative"} and following in {"to", "with"}) or (
        text == "in" and following == "comparison"
    ):
        place = at + 2 + (text == "in")
    else:
        return None
    place = reader.skip(place, "the", "that", "those")
    place = reader.skip(place, "of", "in", "for")
    told = _told_back(reader, reader.skip(place, "the"))
    if told:
        return _Part(at, told[1], versus=True, back=told[0])
    found = _range(reader, place) or atom(reader, place)
    return _Part(at, found[1], stretch=found[0], versus=True) if found else None


def _told_back(reader: Reader, at: int) -> tuple[tuple[Unit, int] | None, int] | None:
    """How far back: "the same quarter last year", "the year before"; None is by the length of the period itself."""
    if reader.text(at) == "same":
        return _same(reader, at + 1)
    if reader.text(at) in PAST and reader.text(at + 1) in {"period", "one"}:
        return None, at + 2
    if reader.text(at) == "period" and reader.text(at + 1) == "before":
        return None, at + 2
    if (unit := reader.unit(at)) and reader.text(unit[1]) in {"before", "earlier"}:
        return (unit[0], 1), unit[1] + 1
    return None


def _same(reader: Reader, at: int) -> tuple[tuple[Unit, int], int] | None:
    """What follows "the same": "quarter last year", "period a year ago"."""
    counted = reader.unit(at)
    place = counted[1] if counted else reader.skip(at, "period", "time")
    place = reader.skip(reader.skip(place, "of", "in", "a"), "the")
    if reader.text(place) in PAST and (unit := reader.unit(place + 1)):
        return (unit[0], 1), unit[1]
    if (unit := reader.unit(place)) and reader.text(unit[1]) in {"ago", "before", "earlier"}:
        return (unit[0], 1), unit[1] + 1
    return None


def _held(calendar: Calendar, base: Stretch | None, parts: Sequence[_Part]) -> tuple[Stretch, Stretch]:
    """The period and what it is held against; without a period it is the present unit of the other."""
    part = parts[0]
    if len(parts) > 1:
        raise BadConcept("only two periods can be compared")
    if base is None:
        unit = part.stretch.unit if part.stretch else part.back[0] if part.back else Unit.MONTH
        base = calendar.unit(unit)
    if part.stretch is None:
        if part.back is None:
            return base, _before(calendar, base)
        return base, calendar.moved(base, *(part.back[0], -part.back[1]))
    other = part.stretch
    if _days(other) > 1.5 * _days(base) and earlier_or_same(other.end, calendar.moment):
        # "October vs last year" means October of last year.
        years = base.start.year - other.start.year
        if other.unit in {Unit.YEAR, Unit.FISCAL_YEAR} and not other.holds(base) and years > 0:
            return base, calendar.moved(base, Unit.YEAR, -1 if years < 2 else -years)
        if not other.holds(base):
            return base, calendar.moved(base, other.unit, -1)
    if other.start == base.start and other.end == base.end:
        return base, _before(calendar, base)
    return base, other


def _days(stretch: Stretch) -> float:
    return stretch.seconds / 86_400


def _before(calendar: Calendar, base: Stretch) -> Stretch:
    """The period of the same length right before it."""
    for unit in (base.unit, Unit.MONTH, Unit.DAY):
        if unit in SECONDS:
            break
        for count in range(1, 25):
            moved = calendar.moved(base, unit, -count)
            if moved.end == base.start:
                return moved
    seconds = round(base.seconds)
    return calendar.moved(base, Unit.SECOND, -seconds)


# --- cuts ---------------------------------------------------------------------------------------------------


def _every(reader: Reader, at: int) -> _Part | None:
    text = reader.text(at)
    if text in EVERY:
        return _Part(at, at + 1, every=EVERY[text])
    place = at
    if text == "for" and reader.text(at + 1) in {"each", "every"}:
        place = at + 1
    if reader.text(place) not in EVERY_MARKS:
        return None
    place = reader.skip(place + 1, "each", "every")
    counted = reader.unit(place)
    if counted is None or (reader.text(counted[1] - 1) in MONTHS):
        return None
    return _Part(at, counted[1], every=counted[0])
