"""How an observation is held against what is expected of it. Nothing here raises, whatever the values are."""

import math
import re
from collections.abc import Mapping
from enum import StrEnum

from penelope.kit.canonical import Json
from penelope.kit.pattern import BadPattern, pattern

_CHANGE = re.compile(r"([+-]?)([0-9]{1,15}(?:\.[0-9]{1,15})?)(%?)", re.ASCII)
_LARGEST = 2.0**53
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "nothing": type(None),
    "boolean": bool,  # before number: in Python it is one
    "number": (int, float),
    "text": str,
    "list": (list, tuple),
    "mapping": Mapping,
}


class Comparator(StrEnum):
    """How an observation is held against what is expected.

    Kinds never mix: a boolean is no number, a text is no number, and what is of another kind than expected does not
    hold, not even NOT_EQUALS. Numbers that are not finite hold nowhere.
    """

    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    AT_MOST = "at_most"
    AT_LEAST = "at_least"
    BETWEEN = "between"
    """From the first to the second of two numbers, both included."""
    ONE_OF = "one_of"
    MATCHES = "matches"
    """A text that a regular expression (RE2) matches in full."""
    CONTAINS = "contains"
    """A text that holds a text, or a list that holds a value."""
    CHANGES_AT_MOST = "changes_at_most"
    """Against what was seen before the change: see `Margin`."""
    CHANGES_AT_LEAST = "changes_at_least"

    @property
    def relative(self) -> bool:
        """Whether it needs to know what was there before."""
        return self in {Comparator.CHANGES_AT_MOST, Comparator.CHANGES_AT_LEAST}


class Margin:
    """How far a figure may, or must, move: ``5`` or ``"10%"`` either way, ``"+10%"`` up, ``-5`` or ``"-10%"`` down.

    A percentage is of what was there before.
    """

    def __init__(self, sign: int, size: float, *, percent: bool) -> None:
        self._sign = sign
        self._size = size
        self._percent = percent

    @classmethod
    def of(cls, expected: Json) -> "Margin | None":
        """None for what is no margin."""
        if isinstance(expected, str):
            found = _CHANGE.fullmatch(expected)
            if found is None:
                return None
            sign = {"+": 1, "-": -1}.get(found[1], 0)
            return cls(sign, float(found[2]), percent=bool(found[3]))
        number = _number(expected)
        return None if number is None else cls(-1 if number < 0 else 0, abs(number), percent=False)

    def kept(self, before: float, now: float) -> bool:
        """Whether a figure moved no further than this. One with a sign says nothing of the other direction."""
        return self._moved(before, now) <= self._limit(before)

    def reached(self, before: float, now: float) -> bool:
        """Whether a figure moved at least so far. No share of nothing is a move."""
        moved = self._moved(before, now)
        return moved >= self._limit(before) and not (self._percent and before == 0 and moved == 0)

    def _moved(self, before: float, now: float) -> float:
        return (now - before) * self._sign if self._sign else abs(now - before)

    def _limit(self, before: float) -> float:
        return abs(before) * self._size / 100 if self._percent else self._size


def holds(comparator: Comparator, expected: Json, actual: Json, before: Json = None) -> bool:
    """Whether what was seen is as expected; `before` is what was seen before the change."""
    try:
        return _holds(comparator, expected, actual, before)
    except (BadPattern, RecursionError, ValueError, TypeError):
        return False


def _holds(comparator: Comparator, expected: Json, actual: Json, before: Json) -> bool:
    match comparator:
        case Comparator.EQUALS:
            return same(actual, expected)
        case Comparator.NOT_EQUALS:
            return _kind(actual) == _kind(expected) and same(actual, actual) and not same(actual, expected)
        case Comparator.ONE_OF:
            return isinstance(expected, list | tuple) and any(same(actual, item) for item in expected)
        case Comparator.MATCHES:
            texts = isinstance(expected, str) and isinstance(actual, str)
            return texts and pattern(expected).matches(actual)
        case Comparator.CONTAINS:
            return _contains(actual, expected)
        case _:
            return _within(comparator, expected, actual, before)


def _contains(actual: Json, expected: Json) -> bool:
    if isinstance(actual, str):
        return isinstance(expected, str) and expected in actual
    return isinstance(actual, list | tuple) and any(same(item, expected) for item in actual)


def _within(comparator: Comparator, expected: Json, actual: Json, before: Json) -> bool:
    figure = _number(actual)
    if figure is None:
        return False
    match comparator:
        case Comparator.BETWEEN:
            low, high = map(_number, expected)
            return low is not None and high is not None and low <= figure <= high
        case Comparator.CHANGES_AT_MOST | Comparator.CHANGES_AT_LEAST:
            margin, start = Margin.of(expected), _number(before)
            if margin is None or start is None:
                return False
            most = comparator is Comparator.CHANGES_AT_MOST
            return margin.kept(start, figure) if most else margin.reached(start, figure)
        case _:
            limit = _number(expected)
            if limit is None:
                return False
            return figure <= limit if comparator is Comparator.AT_MOST else figure >= limit


def same(one: Json, other: Json) -> bool:
    """Whether two values are one and the same JSON: 1 is 1.0, but true is not 1; NaN is nothing."""
    kind = _kind(one)
    if kind != _kind(other):
        return False
    if kind == "list":
        return len(one) == len(other) and all(map(same, one, other))
    if kind == "mapping":
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def _kind(value: Json) -> str:
    return next((name for name, types in _KINDS.items() if isinstance(value, types)), "none of JSON")


def _number(value: Json) -> float | None:
    """The value as a number that can be compared, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return float(value) if abs(value) <= _LARGEST else None
    return value if math.isfinite(value) else None
