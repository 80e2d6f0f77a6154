"""Reads JSON from strangers, and holds it against the shape that a source expects."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec
import orjson

from penelope.errors import InvalidRequest, InvalidSignal
from penelope.kit.canonical import Json

Shape = TypeVar("Shape")

_NUL = "\x00"
_YEARS = range(1970, 9999)

Key = Annotated[str, msgspec.Meta(max_length=256)]
Text = Annotated[str, msgspec.Meta(max_length=4096)]
Texts = Annotated[dict[Key, Text], msgspec.Meta(max_length=64)]
"""Labels or annotations."""
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time in RFC 3339, with its time zone."""


def parse(body: bytes, path: str = "the body") -> Json:
    """The JSON value of a body. Raises InvalidRequest for what only looks like JSON, or reads in two ways:
    other encodings, NaN, numbers beyond a double, deep nesting, duplicate keys, NUL in a text.
    """
    try:
        value = orjson.loads(body)
        # orjson is strict but keeps the last of two equal keys; this pass only looks for those.
        json.loads(body, object_pairs_hook=_unique)
        holds_nul = rb"\u0000" in body and _holds_nul(value)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidRequest(
            f"{path}: not JSON that can be used: {reason}",
            hint="Send one JSON document in UTF-8, without a byte order mark and without duplicate keys.",
        ) from error
    if holds_nul:
        raise InvalidRequest(
            f"{path}: a text holds the character U+0000", hint="Leave NUL characters out of all texts."
        )
    return value


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:64]!r} occurs twice in one object")
    return result


def _holds_nul(value: Json) -> bool:
    if isinstance(value, str):
        return _NUL in value
    if isinstance(value, dict):
        return any(_NUL in key or _holds_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))


def fit(value: Json, shape: type[Shape], path: str = "") -> Shape:
    """The value in the given shape. Raises InvalidRequest naming the path of what does not fit."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        inner = place.rpartition("$")[2].rstrip("`")
        where = f"{path}{inner}".lstrip(".") or "the body"
        raise InvalidRequest(
            f"{where}: {what}", hint="Compare the body with the documentation of the sender's format."
        ) from error


def utc(moment: datetime, path: str) -> datetime:
    """The moment in UTC. Raises InvalidSignal for years that no incident can lie in."""
    if moment.year not in _YEARS:
        raise InvalidSignal(f"{path}: the year {moment.year} cannot be right")
    return moment.astimezone(UTC)


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers by lower-case name."""
    return {name.lower(): value for name, value in headers.items()}
