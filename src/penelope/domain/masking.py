"""What is left of a value that the asker may not see: one function for every tier, so that masks agree between them."""

import hmac
from hashlib import sha256

from penelope.domain.access import Masking
from penelope.kit.canonical import Json, canonical

HASH_CHARACTERS = 16
PARTIAL_CHARACTERS = 4
PARTIAL_SIGN = "***"
_PARTIAL_SHARE = 4


def mask(value: Json, masking: Masking, key: bytes) -> Json:
    """The masked value; what is not there (None) stays not there.

    A hash is HMAC-SHA256 by `key` over the UTF-8 text of the value, its first 16 hexadecimal digits: equal values stay
    equal, and nobody without the key can try out values. Numbers hash as their shortest digits, so that 7, 7.0 and
    ``"7"`` of different drivers are one. A part is ``***`` and the end: 4 characters, but at most a quarter of all, for
    the end of a short value is most of it; how long the value is cannot be seen.

    Raises ValueError for a hash without a key: whoever knows the values could make it too.
    """
    if value is None or masking is Masking.NULL:
        return None
    if masking is Masking.PARTIAL:
        text = _text(value)
        shown = min(PARTIAL_CHARACTERS, len(text) // _PARTIAL_SHARE)
        return PARTIAL_SIGN + text[len(text) - shown :]
    if not key:
        raise ValueError("a hash without a key can be made by anyone")
    return hmac.new(key, _text(value).encode("utf-8", "surrogatepass"), sha256).hexdigest()[:HASH_CHARACTERS]


def _text(value: Json) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() else repr(value)
        case _:
            return canonical(value).decode()
