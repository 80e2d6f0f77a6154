"""The form of a token: three parts, and no name twice in any of them (RFC 7515, 7.1; RFC 8725, 2.4)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc.util import urlsafe_b64decode

LONGEST: Final = 16 * 1024
"""Characters of a token; what is longer is not looked at."""

LONGEST_HEADER: Final = 4 * 1024
_LONGEST_SIGNATURE = 2 * 1024
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Malformed(Exception):
    """What is no token of this form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A token that was taken apart, and not yet believed. `segments` are what was signed, and the signature."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    payload: bytes
    segments: tuple[bytes, bytes, bytes]


def parts_of(text: str) -> Parts:
    """Raises Malformed."""
    if len(text) > LONGEST or not _FORM.fullmatch(text):
        raise Malformed
    head, body, signature = text.encode("ascii").split(b".")
    if len(head) > LONGEST_HEADER or len(signature) > _LONGEST_SIGNATURE:
        raise Malformed
    try:
        header, payload = _object(urlsafe_b64decode(head)), urlsafe_b64decode(body)
        claims = _object(payload)
    except (ValueError, TypeError, RecursionError):
        raise Malformed from None
    return Parts(header=header, claims=claims, payload=payload, segments=(head, body, signature))


def _object(text: bytes) -> dict[str, Any]:
    found = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refused)
    if not isinstance(found, dict):
        raise TypeError
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    # Whoever reads the first of two and whoever reads the last would see two tokens.
    if len(found) < len(pairs):
        raise ValueError
    return found


def _refused(_: str) -> Any:
    raise ValueError
