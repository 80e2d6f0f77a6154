"""Cube's REST query in JSON, as people and scripts write it."""

from typing import Any

import msgspec

from penelope.domain.semantics import (
    AllOf,
    AnyOf,
    Condition,
    Filter,
    Granularity,
    Operator,
    SemanticQuery,
    TimeDimension,
)
from penelope.errors import InvalidQuery

MOST_BYTES = 256 * 1024
_DEEPEST = 16


class _Time(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    dimension: str
    granularity: Granularity | None = None
    date_range: str | list[str] | None = None


class _Condition(msgspec.Struct, forbid_unknown_fields=True, rename={"all_of": "and", "any_of": "or"}):
    member: str | None = None
    dimension: str | None = None
    operator: Operator | None = None
    values: list[str | int | float | bool] | None = None
    all_of: list["_Condition"] | None = None
    any_of: list["_Condition"] | None = None


class _Query(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    measures: list[str] = []
    dimensions: list[str] = []
    time_dimensions: list[_Time] = []
    filters: list[_Condition] = []
    segments: list[str] = []
    order: dict[str, str] | list[tuple[str, str]] = {}
    limit: int = 10_000
    offset: int = 0
    timezone: str = "UTC"


def question(text: bytes | str) -> SemanticQuery:
    """The query of a JSON text. Raises InvalidQuery."""
    if len(text) > MOST_BYTES:
        raise InvalidQuery(f"a query is at most {MOST_BYTES // 1024} KiB")
    try:
        return _query(msgspec.json.decode(text, type=_Query))
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InvalidQuery(f"not a query of Cube's: {_said(error)}") from None


def question_of(data: Any) -> SemanticQuery:
    """The query of what JSON or YAML came to. Raises InvalidQuery."""
    try:
        return _query(msgspec.convert(data, type=_Query))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidQuery(f"not a query of Cube's: {_said(error)}") from None


def _said(error: Exception) -> str:
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)


def _query(given: _Query) -> SemanticQuery:
    order = list(given.order.items()) if isinstance(given.order, dict) else given.order
    if any(direction not in {"asc", "desc"} for _, direction in order):
        raise InvalidQuery("order is asc or desc")
    return SemanticQuery(
        measures=tuple(given.measures),
        dimensions=tuple(given.dimensions),
        time_dimensions=tuple(map(_time, given.time_dimensions)),
        filters=tuple(_condition(item, 1) for item in given.filters),
        segments=tuple(given.segments),
        order=tuple((name, direction == "desc") for name, direction in order),
        limit=given.limit,
        offset=given.offset,
        timezone=given.timezone,
    )


def _time(item: _Time) -> TimeDimension:
    dates = item.date_range
    if isinstance(dates, str):
        dates = [dates]
    if dates is not None and len(dates) not in {1, 2}:
        raise InvalidQuery("dateRange is a first and a last day")
    return TimeDimension(
        dimension=item.dimension,
        granularity=item.granularity,
        date_range=(dates[0], dates[-1]) if dates else None,
    )


def _condition(item: _Condition, depth: int) -> Condition:
    if depth > _DEEPEST:
        raise InvalidQuery(f"filters are nested more than {_DEEPEST} deep")
    member = item.member or item.dimension
    groups = [parts for parts in (item.all_of, item.any_of) if parts is not None]
    if (member is None) != (item.operator is None) or len(groups) + (member is not None) != 1:
        raise InvalidQuery("a filter is a member with its operator, or one of 'and' and 'or'")
    if item.all_of is not None:
        return AllOf(parts=tuple(_condition(part, depth + 1) for part in item.all_of))
    if item.any_of is not None:
        return AnyOf(parts=tuple(_condition(part, depth + 1) for part in item.any_of))
    if member is None or item.operator is None:
        raise InvalidQuery("a filter is a member with its operator")
    return Filter(
        member=member, operator=item.operator, values=tuple(_text(value) for value in item.values or ())
    )


def _text(value: str | float | bool) -> str:  # noqa: FBT001 - a value of JSON
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)
