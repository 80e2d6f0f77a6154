"""Canonical JSON (RFC 8785): the one byte form of a value that hashes are taken over."""

import hashlib
import re
from typing import Any

import orjson
import rfc8785

_SAFE_INTEGER = 2**53 - 1
_LARGEST_IN_DIGITS = 10**21
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_NOT_ASTRAL = bytes(range(0xF0))
_POINT_ZERO = re.compile(rb"\.0(?=[,}\]])")

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict with text keys."""


def canonical(value: Json) -> bytes:
    """The RFC 8785 bytes of a JSON value.

    orjson with sorted keys gives the same bytes, and is many times faster, as long as keys and numbers are of a kind
    that both write alike; everything else goes through the reference implementation.

    Raises ValueError for NaN, infinities, lone surrogates, nesting beyond reason and integers beyond 2^53 - 1 that are
    no float's digits, TypeError for other types.
    """
    try:
        text = orjson.dumps(value, option=_OPTIONS)
    except TypeError:  # among others for what nests deeply or in itself, which must not be walked below
        return _reference(value)
    whole = _whole_floats(value)
    # Keys sorted by UTF-8 differ from keys sorted by UTF-16 only where one has a character beyond U+FFFF.
    if whole is None or not (text.isascii() or not text.translate(None, _NOT_ASTRAL)):
        return _reference(value)
    if not whole:
        return text
    text, removed = _POINT_ZERO.subn(b"", text)
    # Each whole float lost its ".0". If more was lost, a text held what looks like one.
    return text if removed == whole else _reference(value)


def content_hash(value: Json) -> str:
    """SHA-256 over the canonical bytes, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _whole_floats(value: Json) -> int | None:
    """How many floats orjson ends in ".0" where RFC 8785 does not; None if it may write anything else otherwise.

    Not a recursion, and texts first: this walk is most of what canonical JSON costs more than orjson alone.
    """
    whole = 0
    values = [value]
    for item in values:
        kind = type(item)
        if kind is str:
            continue
        if kind is float:
            # Here both write plain decimals and no exponent; a NaN and -0.0 are outside.
            if not (1e-4 <= item < 1e15 or -1e15 < item <= -1e-4 or repr(item) == "0.0"):
                return None
            if not item % 1:
                whole += 1
        elif kind is dict:
            values += item.values()
        elif kind is list or kind is tuple:
            values += item
        elif not (kind is int or kind is bool or item is None):
            return None
    return whole


def _reference(value: Json) -> bytes:
    try:
        return rfc8785.dumps(_plain(value))
    except rfc8785.CanonicalizationError as error:
        raise ValueError(str(error)) from error
    except RecursionError:
        raise ValueError("the value is nested too deeply for canonical JSON") from None


def _plain(value: Json) -> Json:
    """The value with large whole floats as floats again. Raises TypeError for what is no JSON.

    Canonical JSON writes 1e20 in digits, and reading it makes an int of it.
    """
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("keys of canonical JSON are texts")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if type(value) is int and _SAFE_INTEGER < abs(value) < _LARGEST_IN_DIGITS:
        near = float(value)
        return near if rfc8785.dumps(near) == str(value).encode() else value
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"canonical JSON has no form for {type(value).__name__}")
