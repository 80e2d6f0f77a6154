"""Conditions of a query as SQL. Every value becomes a parameter."""

import math
import re
from collections.abc import Callable
from zoneinfo import ZoneInfo

from penelope.adapters.semantic.render import Parameters
from penelope.adapters.semantic.times import bound
from penelope.domain.semantics import AnyOf, Condition, Filter, Operator
from penelope.errors import InvalidQuery

MOST_FILTERS = 200
MOST_VALUES = 1_000
_LONGEST_VALUE = 2_000
_DEEPEST = 16
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
_NUMERIC = frozenset(
    {"number", "count", "count_distinct", "count_distinct_approx", "sum", "avg", "min", "max"}
)

_LIKE = {
    Operator.CONTAINS: ("%", "%"),
    Operator.NOT_CONTAINS: ("%", "%"),
    Operator.STARTS_WITH: ("", "%"),
    Operator.NOT_STARTS_WITH: ("", "%"),
    Operator.ENDS_WITH: ("%", ""),
    Operator.NOT_ENDS_WITH: ("%", ""),
}
_UNLIKE = frozenset({Operator.NOT_CONTAINS, Operator.NOT_STARTS_WITH, Operator.NOT_ENDS_WITH})
_COMPARE = {Operator.GT: ">", Operator.GTE: ">=", Operator.LT: "<", Operator.LTE: "<="}
# The sign, and whether a day counts by its end.
_ONE_DATE = {
    Operator.BEFORE_DATE: ("<", False),
    Operator.BEFORE_OR_ON_DATE: ("<=", True),
    Operator.AFTER_DATE: (">", True),
    Operator.AFTER_OR_ON_DATE: (">=", False),
}
_NO_VALUE = frozenset({Operator.SET, Operator.NOT_SET})


def leaves(condition: Condition) -> list[Filter]:
    """All filters of a condition. Raises InvalidQuery where it is too large, or a group is empty."""
    found: list[Filter] = []
    waiting: list[tuple[Condition, int]] = [(condition, 1)]
    while waiting:
        part, depth = waiting.pop()
        if isinstance(part, Filter):
            found.append(part)
        elif not part.parts:
            # Cube reads an empty "or" as true; as a row filter that would let everything through.
            raise InvalidQuery("a group of filters is empty")
        elif depth >= _DEEPEST:
            raise InvalidQuery(f"filters are nested more than {_DEEPEST} deep")
        else:
            waiting += [(each, depth + 1) for each in part.parts]
        if len(found) > MOST_FILTERS:
            raise InvalidQuery(f"a query has at most {MOST_FILTERS} filters")
    return found


class Conditions:
    """Writes conditions; `operand` gives the SQL and the type of a member."""

    def __init__(
        self, parameters: Parameters, where: ZoneInfo, operand: Callable[[str], tuple[str, str]]
    ) -> None:
        self._parameters = parameters
        self._where = where
        self._operand = operand

    def sql(self, condition: Condition) -> str:
        if isinstance(condition, Filter):
            return self._one(condition)
        word = " OR " if isinstance(condition, AnyOf) else " AND "
        return word.join(f"({self.sql(part)})" for part in condition.parts)

    def between(self, sql: str, first: str, last: str) -> str:
        """Both ends included."""
        lower = self._moment(first, end=False)
        upper = self._moment(last, end=True)
        return f"CAST({sql} AS TIMESTAMP) >= {lower} AND CAST({sql} AS TIMESTAMP) <= {upper}"

    def _one(self, item: Filter) -> str:
        sql, kind = self._operand(item.member)
        operator, values = item.operator, item.values
        _check(item)
        if operator in _NO_VALUE:
            return f"{sql} IS {'NOT ' if operator is Operator.SET else ''}NULL"
        if operator in _LIKE:
            return self._like(item, sql, kind)
        if operator in {Operator.EQUALS, Operator.NOT_EQUALS}:
            return self._equal(item, sql, kind)
        if operator in _COMPARE:
            if kind == "boolean":
                raise _misfit(item)
            return f"{self._cast(sql, kind)} {_COMPARE[operator]} {self._value(item, kind, values[0])}"
        return self._date(item, sql, kind)

    def _date(self, item: Filter, sql: str, kind: str) -> str:
        operator, values = item.operator, item.values
        if kind != "time":
            raise _misfit(item)
        if operator in _ONE_DATE:
            sign, end = _ONE_DATE[operator]
            return f"CAST({sql} AS TIMESTAMP) {sign} {self._moment(values[0], end=end)}"
        first, last = values[0], values[-1]
        if operator is Operator.IN_DATE_RANGE:
            return self.between(sql, first, last)
        lower, upper = self._moment(first, end=False), self._moment(last, end=True)
        return f"CAST({sql} AS TIMESTAMP) < {lower} OR CAST({sql} AS TIMESTAMP) > {upper}"

    def _equal(self, item: Filter, sql: str, kind: str) -> str:
        cast = self._cast(sql, kind)
        values = ", ".join(self._value(item, kind, value) for value in item.values)
        if item.operator is Operator.EQUALS:
            return f"{cast} IN ({values})"
        return f"{cast} NOT IN ({values}) OR {sql} IS NULL"

    def _like(self, item: Filter, sql: str, kind: str) -> str:
        if kind != "string":
            raise _misfit(item)
        before, after = _LIKE[item.operator]
        unlike = item.operator in _UNLIKE
        patterns = [
            self._parameters.add(before + re.sub(r"([\\%_])", r"\\\1", value) + after)
            for value in item.values
        ]
        word = "NOT ILIKE" if unlike else "ILIKE"
        text = self._cast(sql, kind)
        parts = (" AND " if unlike else " OR ").join(
            f"{text} {word} {pattern} ESCAPE '\\'" for pattern in patterns
        )
        return f"({parts}) OR {sql} IS NULL" if unlike else parts

    def _cast(self, sql: str, kind: str) -> str:
        if kind == "time":
            return f"CAST({sql} AS TIMESTAMP)"
        return f"CAST({sql} AS VARCHAR)" if kind == "string" else f"({sql})"

    def _value(self, item: Filter, kind: str, text: str) -> str:
        if kind in _NUMERIC:
            if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
                raise InvalidQuery(f"a filter of {item.member} needs a number")
            return self._parameters.add(float(text))
        if kind == "boolean":
            if text not in {"true", "false"}:
                raise InvalidQuery(f"a filter of {item.member} needs true or false")
            return self._parameters.add(text == "true")
        if kind == "time":
            return f"CAST({self._parameters.add(bound(text, ZoneInfo('UTC')))} AS TIMESTAMP)"
        return self._parameters.add(text)

    def _moment(self, text: str, *, end: bool) -> str:
        return f"CAST({self._parameters.add(bound(text, self._where, end=end))} AS TIMESTAMP)"


def _check(item: Filter) -> None:
    if item.operator in _NO_VALUE:
        return
    most = MOST_VALUES
    if item.operator in _COMPARE or item.operator in _ONE_DATE:
        most = 1
    elif item.operator in {Operator.IN_DATE_RANGE, Operator.NOT_IN_DATE_RANGE}:
        most = 2
    if not 1 <= len(item.values) <= most:
        raise InvalidQuery(f"'{item.operator}' of {item.member} takes 1 to {most} values")
    if any(len(value) > _LONGEST_VALUE or "\x00" in value for value in item.values):
        raise InvalidQuery(f"a value of {item.member} is too long, or holds a NUL")
    try:
        "".join(item.values).encode()
    except UnicodeEncodeError:
        raise InvalidQuery(f"a value of {item.member} is no Unicode text") from None


def _misfit(item: Filter) -> InvalidQuery:
    return InvalidQuery(f"'{item.operator}' does not fit the type of {item.member}")
