"""Canonical JSON (RFC 8785): the one byte form of a value that hashes are taken over."""

import hashlib
from typing import Any

import orjson
import rfc8785

_SAFE_INTEGER = 2**53 - 1
_LARGEST_IN_DIGITS = 10**21

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict with text keys."""


def canonical(value: Json) -> bytes:
    """The RFC 8785 bytes of a JSON value.

    orjson with sorted keys gives the same bytes, and is many times faster, as long as keys are ASCII and numbers
    are of a kind that both write alike (stack.md); everything else goes through the reference implementation.

    Raises ValueError for NaN, infinities and integers beyond 2^53 - 1 that are no float's digits, TypeError for
    other types.
    """
    try:
        return orjson.dumps(_alike(value), option=orjson.OPT_SORT_KEYS)
    except _Unlike:
        pass
    try:
        return rfc8785.dumps(_floats_again(value))
    except rfc8785.CanonicalizationError as error:
        raise ValueError(str(error)) from error


class _Unlike(Exception):
    """A value that orjson does not write as RFC 8785 wants it."""


def _floats_again(value: Json) -> Json:
    """Large whole floats as floats: canonical JSON writes 1e20 in digits, and reading it makes an int of it."""
    if type(value) is int and not -_SAFE_INTEGER <= value <= _SAFE_INTEGER:
        near = float(value) if abs(value) < _LARGEST_IN_DIGITS else None
        return near if near is not None and rfc8785.dumps(near) == str(value).encode() else value
    if type(value) is dict:
        return {key: _floats_again(item) for key, item in value.items()}
    if type(value) is list:
        return [_floats_again(item) for item in value]
    return value


def _alike(value: Json) -> Json:
    """The value in a form that both write alike: whole floats become integers. Raises _Unlike where there is none."""
    kind = type(value)
    if kind is str:
        if value.isascii() or _has_no_surrogate(value):
            return value
    elif kind is bool or value is None or (kind is int and -_SAFE_INTEGER <= value <= _SAFE_INTEGER):
        return value
    elif kind is dict:
        if all(type(key) is str and key.isascii() for key in value):
            return {key: _alike(item) for key, item in value.items()}
    elif kind is list:
        return [_alike(item) for item in value]
    elif kind is float:
        if value.is_integer() and -_SAFE_INTEGER <= value <= _SAFE_INTEGER:
            return int(value)
        if 1e-4 <= abs(value) < 1e15:  # where both write plain decimals, and neither an exponent
            return value
    raise _Unlike


def _has_no_surrogate(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def content_hash(value: Json) -> str:
    """SHA-256 over the canonical bytes, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()
