"""What a clause of a playbook file may expect: bounds, changes and patterns, or one parameter in their place."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from penelope.kit.canonical import Json
from penelope.kit.pattern import LONGEST_PATTERN, BadPattern, pattern

_WHOLE_PLACEHOLDER = r"\$\{[a-z][a-z0-9_]*\}"
_CHANGE = r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?%?"


def _bound(value: Json) -> Json:
    if isinstance(value, str) and re.fullmatch(_WHOLE_PLACEHOLDER, value):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("bound", "must be a number, or one parameter such as ${limit}")
    return value


def _bounds(value: Json) -> Json:
    if not isinstance(value, list) or len(value) != 2:
        raise PydanticCustomError("between", "must be two bounds, such as [1, 5]")
    low, high = map(_bound, value)
    if not isinstance(low, str) and not isinstance(high, str) and not low <= high:
        raise PydanticCustomError("between", "must begin with the lower bound")
    return value


def _change(value: Json) -> Json:
    if isinstance(value, str) and re.fullmatch(_CHANGE, value, re.ASCII):
        return value
    if isinstance(value, str) and not re.fullmatch(_WHOLE_PLACEHOLDER, value):
        raise PydanticCustomError(
            "change", "must be how far it may move: 5, -5, '10%' of what was there before, '+10%' or '-10%'"
        )
    return _bound(value)


def _pattern(value: str) -> str:
    if "${" not in value:  # what a parameter stands in is known only when it is bound
        try:
            pattern(value)
        except BadPattern as error:
            why = {"why": str(error)}
            raise PydanticCustomError("pattern", "is no regular expression (RE2): {why}", why) from error
    return value


_BOUND_SCHEMA = {"type": ["number", "string"], "pattern": f"^{_WHOLE_PLACEHOLDER}$"}

Bound = Annotated[Any, BeforeValidator(_bound), WithJsonSchema(_BOUND_SCHEMA)]

Bounds = Annotated[
    Any,
    BeforeValidator(_bounds),
    WithJsonSchema({"type": "array", "items": _BOUND_SCHEMA, "minItems": 2, "maxItems": 2}),
]

Change = Annotated[
    Any,
    BeforeValidator(_change),
    WithJsonSchema({"type": ["number", "string"], "pattern": f"^(?:{_CHANGE}|{_WHOLE_PLACEHOLDER})$"}),
]

MatchingPattern = Annotated[str, Field(min_length=1, max_length=LONGEST_PATTERN), AfterValidator(_pattern)]
