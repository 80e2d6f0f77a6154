"""A question to the semantic layer in Cube's terms, what its model holds, and the table that answers a question.

Terms and meanings are those of Cube's REST API: https://cube.dev/docs/product/apis-integrations/rest-api/query-format.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from penelope.kit.canonical import Json


class Granularity(StrEnum):
    """What a moment is rounded down to; weeks begin on Monday."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Operator(StrEnum):
    """How a filter holds a member against its values."""

    EQUALS = "equals"
    NOT_EQUALS = "notEquals"
    CONTAINS = "contains"
    NOT_CONTAINS = "notContains"
    STARTS_WITH = "startsWith"
    NOT_STARTS_WITH = "notStartsWith"
    ENDS_WITH = "endsWith"
    NOT_ENDS_WITH = "notEndsWith"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    SET = "set"
    NOT_SET = "notSet"
    IN_DATE_RANGE = "inDateRange"
    NOT_IN_DATE_RANGE = "notInDateRange"
    BEFORE_DATE = "beforeDate"
    BEFORE_OR_ON_DATE = "beforeOrOnDate"
    AFTER_DATE = "afterDate"
    AFTER_OR_ON_DATE = "afterOrOnDate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """`member` is ``cube.name``; `values` are text, as Cube takes them."""

    member: str
    operator: Operator
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf:
    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    parts: tuple["Condition", ...]


Condition = Filter | AllOf | AnyOf


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeDimension:
    """`date_range` is first and last day (``2026-07-01``) or moment, both included, in the query's time zone."""

    dimension: str
    granularity: Granularity | None = None
    date_range: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticQuery:
    """Members are ``cube.name`` or ``view.name``. `order` is of member and whether it descends."""

    measures: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    time_dimensions: tuple[TimeDimension, ...] = ()
    filters: tuple[Condition, ...] = ()
    segments: tuple[str, ...] = ()
    order: tuple[tuple[str, bool], ...] = ()
    limit: int = 10_000
    offset: int = 0
    timezone: str = "UTC"


class MemberKind(StrEnum):
    MEASURE = "measure"
    DIMENSION = "dimension"
    SEGMENT = "segment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What a model offers under ``cube.name``. `type` is Cube's (``number``, ``string``, ``time``, ``boolean``; of a
    measure also ``count``, ``sum``…); `meta` is the model's own ``meta`` of it: synonyms, owner, unit, classification.
    """

    name: str
    kind: MemberKind
    type: str
    title: str
    description: str = ""
    public: bool = True
    meta: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """All cubes and views with their members; `joins` are from a cube to those it joins directly.

    `reads` names, for measures and segments, the dimensions that their formulas are made from; of one that is not in it
    nothing is known. `behind` is, for each member of a view, the member of a cube that it shows.
    """

    members: tuple[Member, ...]
    views: frozenset[str] = frozenset()
    behind: Mapping[str, str] = field(default_factory=dict)
    joins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reads: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns are members (a time with its granularity as ``orders.created_at.month``); cells are numbers, text, booleans
    or None, times as ``2026-07-01T00:00:00.000``. `as_of` is when the data was last renewed, None where nobody knows.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Json, ...], ...]
    query: str
    as_of: datetime | None = None
