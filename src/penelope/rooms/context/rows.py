"""Whether a row meets a condition, as far as that can be seen from the row alone."""

from collections.abc import Callable, Mapping

from penelope.domain.semantics import AllOf, Condition, Filter, Operator
from penelope.kit.canonical import Json


def meets(row: Mapping[str, Json], condition: Condition) -> bool | None:
    """None where it cannot be seen: its column is not there, or it asks about a time, which depends on a time zone."""
    if isinstance(condition, Filter):
        return _holds(row[condition.member], condition) if condition.member in row else None
    told = [meets(row, part) for part in condition.parts]
    decisive = not isinstance(condition, AllOf)
    if decisive in told:
        return decisive
    return None if None in told else not decisive


def _holds(cell: Json, condition: Filter) -> bool | None:
    operator, values = condition.operator, condition.values
    if operator is Operator.SET:
        return cell is not None
    if operator is Operator.NOT_SET:
        return cell is None
    if operator in _EITHER:
        test, negated = _EITHER[operator]
        # What is not there differs from everything, and is like nothing.
        found = cell is not None and any(test(cell, value) for value in values)
        return found is not negated
    if operator in _ORDERED:
        number, limit = _number(cell), _number(values[0]) if values else None
        return None if number is None or limit is None else _ORDERED[operator](number, limit)
    return None


def _number(value: Json) -> float | None:
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _text(cell: Json) -> str:
    return ("true" if cell else "false") if isinstance(cell, bool) else str(cell)


def _equal(cell: Json, value: str) -> bool:
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return _number(value) == float(cell)
    return _text(cell) == value


def _inside(cell: Json, value: str) -> bool:
    return value.casefold() in _text(cell).casefold()


def _begins(cell: Json, value: str) -> bool:
    return _text(cell).casefold().startswith(value.casefold())


def _ends(cell: Json, value: str) -> bool:
    return _text(cell).casefold().endswith(value.casefold())


_EITHER: Mapping[Operator, tuple[Callable[[Json, str], bool], bool]] = {
    Operator.EQUALS: (_equal, False),
    Operator.NOT_EQUALS: (_equal, True),
    Operator.CONTAINS: (_inside, False),
    Operator.NOT_CONTAINS: (_inside, True),
    Operator.STARTS_WITH: (_begins, False),
    Operator.NOT_STARTS_WITH: (_begins, True),
    Operator.ENDS_WITH: (_ends, False),
    Operator.NOT_ENDS_WITH: (_ends, True),
}
"""The test of one value, any of which is enough, and whether the operator is its opposite."""

_ORDERED: Mapping[Operator, Callable[[float, float], bool]] = {
    Operator.GT: float.__gt__,
    Operator.GTE: float.__ge__,
    Operator.LT: float.__lt__,
    Operator.LTE: float.__le__,
}
