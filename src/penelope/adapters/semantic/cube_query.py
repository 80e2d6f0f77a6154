"""Penelope's query in the words of Cube's REST API, refused before it is sent where Cube would take it for another one.

Cube reads ``{"or": []}`` as "everything", a date that it cannot read as "Invalid date", and leaves out an order that it does
not know: none of these may become a wider answer than was asked for.
"""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from penelope.domain.access import Masking
from penelope.domain.semantics import (
    AllOf,
    AnyOf,
    Condition,
    Filter,
    Member,
    MemberKind,
    Operator,
    SemanticQuery,
    TimeDimension,
)
from penelope.errors import InvalidQuery
from penelope.kit.canonical import Json

MOST_ROWS: Final = 50_000
"""As many as Cube gives at most where nobody changed it (``CUBEJS_DB_QUERY_LIMIT``)."""

_MOST_MEMBERS = 100
_MOST_CONDITIONS = 500
_MOST_VALUES = 1_000
_LONGEST_VALUE = 4_096
_DEEPEST = 16
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,3}", re.ASCII)
_WITHOUT_VALUES = frozenset({Operator.SET, Operator.NOT_SET})
_RANGES = frozenset({Operator.IN_DATE_RANGE, Operator.NOT_IN_DATE_RANGE})
_DATES = _RANGES | {
    Operator.BEFORE_DATE,
    Operator.BEFORE_OR_ON_DATE,
    Operator.AFTER_DATE,
    Operator.AFTER_OR_ON_DATE,
}
_SIZES = frozenset({Operator.GT, Operator.GTE, Operator.LT, Operator.LTE})


def columns(query: SemanticQuery) -> tuple[str, ...]:
    """The columns of the answer, in the order in which Cube selects them."""
    times = (f"{each.dimension}.{each.granularity}" for each in query.time_dimensions if each.granularity)
    return tuple(dict.fromkeys((*query.dimensions, *times, *query.measures)))


def to_cube(
    query: SemanticQuery, members: Mapping[str, Member], masks: Mapping[str, Masking]
) -> dict[str, Json]:
    """The body of ``/load``. `masks` are by the members of the query.

    Raises InvalidQuery for what is not in the model, is too large, or would show a masked member by its order or by what a
    filter leaves.
    """
    _check_size(query)
    _check_members(query, members)
    _check_masked(query, masks)
    filters = [_condition(each, members, 1) for each in query.filters]
    order = _order(query, masks)
    return {
        "measures": list(query.measures),
        "dimensions": list(query.dimensions),
        "timeDimensions": [_time_dimension(each) for each in query.time_dimensions],
        "filters": filters,
        "segments": list(query.segments),
        **({"order": order} if order else {}),
        "limit": query.limit,
        "offset": query.offset,
        "timezone": query.timezone,
        "responseFormat": "compact",
    }


def filtered(conditions: tuple[Condition, ...]) -> Iterator[Filter]:
    """All filters among conditions, however they are nested."""
    open_ones = list(conditions)
    while open_ones:
        each = open_ones.pop()
        if isinstance(each, Filter):
            yield each
        else:
            open_ones.extend(each.parts)


def _check_size(query: SemanticQuery) -> None:
    named = len(query.measures) + len(query.dimensions) + len(query.time_dimensions) + len(query.segments)
    if named + len(query.order) > _MOST_MEMBERS:
        raise InvalidQuery(f"the query names more than {_MOST_MEMBERS} members")
    if not 0 <= query.limit <= MOST_ROWS:
        raise InvalidQuery(f"the limit must be between 0 and {MOST_ROWS} rows")
    if not 0 <= query.offset <= 2**53:
        raise InvalidQuery("the offset must not be negative, nor beyond 2^53")
    if not _ZONE.fullmatch(query.timezone):
        raise InvalidQuery("the time zone must be one of IANA's, as Europe/Berlin")
    if not columns(query):
        raise InvalidQuery(
            "the query asks for nothing: name a measure, a dimension or a time with its granularity"
        )
    for count, _ in enumerate(filtered(query.filters)):
        if count >= _MOST_CONDITIONS:
            raise InvalidQuery(f"the query has more than {_MOST_CONDITIONS} filters")


def _check_members(query: SemanticQuery, members: Mapping[str, Member]) -> None:
    for name in query.measures:
        _known(name, members, MemberKind.MEASURE)
    for name in query.dimensions:
        _known(name, members, MemberKind.DIMENSION)
    for each in query.time_dimensions:
        if _known(each.dimension, members, MemberKind.DIMENSION).type != "time":
            raise InvalidQuery(f"{each.dimension} is no time")
    for name in query.segments:
        _known(name, members, MemberKind.SEGMENT)
    shown = {*columns(query), *(each.dimension for each in query.time_dimensions)}
    for name, _ in query.order:
        if name not in shown:
            raise InvalidQuery(f"cannot order by {_shown(name)}: the query does not ask for it")


def _known(name: str, members: Mapping[str, Member], *kinds: MemberKind) -> Member:
    member = members.get(name)
    if member is None or member.kind not in kinds:
        wanted = " or ".join(kinds)
        raise InvalidQuery(f"the model has no {wanted} {_shown(name)}")
    return member


def _check_masked(query: SemanticQuery, masks: Mapping[str, Masking]) -> None:
    for each in filtered(query.filters):
        if each.member in masks:
            raise InvalidQuery(f"{each.member} is masked: it cannot be filtered by")
    for name in query.segments:
        if name in masks:
            raise InvalidQuery(f"{name} is made from what is masked: it cannot be filtered by")
    for time in query.time_dimensions:
        if time.dimension in masks and time.date_range is not None:
            raise InvalidQuery(f"{time.dimension} is masked: it cannot be filtered by")
    for name, _ in query.order:
        if member_of(name) in masks:
            raise InvalidQuery(f"{name} is masked: it cannot be ordered by")


def member_of(column: str) -> str:
    """The member of a column: ``orders.created_at`` of ``orders.created_at.month``."""
    return ".".join(column.split(".")[:2])


def _order(query: SemanticQuery, masks: Mapping[str, Masking]) -> list[list[str]]:
    """Without an order the first of Cube's own is taken; what groups comes last, so that equal rows always stand in the
    same order. None of them may be the one of a masked member's values.
    """
    times = [each for each in query.time_dimensions if each.granularity]
    if query.order:
        order = [[name, "desc" if descends else "asc"] for name, descends in query.order]
    else:
        first = [[each.dimension, "asc"] for each in times]
        first += [[name, "desc"] for name in query.measures]
        first += [[name, "asc"] for name in query.dimensions]
        order = [each for each in first if each[0] not in masks][:1]
    groups = [*query.dimensions, *(f"{each.dimension}.{each.granularity}" for each in times)]
    named = {name for name, _ in order}
    return [
        *order,
        *([name, "asc"] for name in dict.fromkeys(groups) if not {name, member_of(name)} & {*named, *masks}),
    ]


def order_of(query: SemanticQuery) -> list[tuple[int, bool]]:
    """The places of the columns that the rows are ordered by, and whether they descend, as if nothing were masked."""
    placed = {name: at for at, name in enumerate(columns(query))}
    for each in query.time_dimensions:
        if each.granularity:
            placed.setdefault(each.dimension, placed[f"{each.dimension}.{each.granularity}"])
    return [(placed[name], direction == "desc") for name, direction in _order(query, {})]


def _time_dimension(given: TimeDimension) -> dict[str, Json]:
    made: dict[str, Json] = {"dimension": given.dimension}
    if given.granularity is not None:
        made["granularity"] = str(given.granularity)
    if given.date_range is not None:
        made["dateRange"] = [_moment(each) for each in given.date_range]
    return made


def _condition(given: Condition, members: Mapping[str, Member], depth: int) -> dict[str, Json]:
    if depth > _DEEPEST:
        raise InvalidQuery(f"the conditions are nested deeper than {_DEEPEST}")
    match given:
        case Filter():
            return _filter(given, members)
        case AllOf(parts=parts):
            key = "and"
        case AnyOf(parts=parts):
            key = "or"
    if not parts:
        raise InvalidQuery(f'a group of conditions ("{key}") is empty')
    return {key: [_condition(each, members, depth + 1) for each in parts]}


def _filter(given: Filter, members: Mapping[str, Member]) -> dict[str, Json]:
    member = _known(given.member, members, MemberKind.MEASURE, MemberKind.DIMENSION)
    made: dict[str, Json] = {"member": given.member, "operator": str(given.operator)}
    if given.operator in _WITHOUT_VALUES:
        return made
    _check_values(given)
    if given.operator in _DATES:
        return {**made, "values": [_moment(each) for each in given.values]}
    if given.operator in _SIZES or member.type == "number":
        for each in given.values:
            _check_number(given.member, each)
    return {**made, "values": list(given.values)}


def _check_values(given: Filter) -> None:
    count = len(given.values)
    if count == 0 or count > _MOST_VALUES:
        raise InvalidQuery(f"the filter on {given.member} needs between 1 and {_MOST_VALUES} values")
    if any(len(each) > _LONGEST_VALUE or "\0" in each for each in given.values):
        raise InvalidQuery(f"a value of the filter on {given.member} is too long, or has a null byte")
    if given.operator in _RANGES and count != 2:
        raise InvalidQuery(f"the filter on {given.member} needs a first and a last day")
    if (given.operator in _SIZES or given.operator in _DATES - _RANGES) and count != 1:
        raise InvalidQuery(f"the filter on {given.member} needs one value")


def _check_number(member: str, text: str) -> None:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in text:
        raise InvalidQuery(f"the filter on {member} needs numbers")


def _moment(text: str) -> str:
    try:
        if _MOMENT.fullmatch(text):
            datetime.fromisoformat(text)
            return text
    except ValueError:
        pass
    raise InvalidQuery("a date must be written as 2026-07-01 or 2026-07-01T12:00:00")


def _shown(name: str) -> str:
    return repr(name[:64])
