"""Turns domain values into plain JSON values and back, strictly."""

from typing import Any, TypeVar

import msgspec

from penelope.kit.canonical import Json

Value = TypeVar("Value")


def to_data(value: Any) -> Json:
    """Dataclasses, enums, times and collections as a JSON value; times in RFC 3339, UTC."""
    return msgspec.to_builtins(value, str_keys=True)


def from_data(kind: type[Value], data: Json) -> Value:
    """The value that `to_data` was given. Raises ValueError naming the path of what does not fit."""
    try:
        return msgspec.convert(data, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
