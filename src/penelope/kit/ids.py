"""Identifiers: sortable random ones for new things, digests for things known by their content."""

import hashlib
import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARACTERS = 10
_RANDOM_CHARACTERS = 10


def _base32(number: int, length: int) -> str:
    characters: list[str] = []
    for _ in range(length):
        number, index = divmod(number, 32)
        characters.append(_ALPHABET[index])
    return "".join(reversed(characters))


def new_id(prefix: str) -> str:
    """A new identifier such as ``inc_01k9…``: sorts by creation time (ms), 50 random bits behind it."""
    moment = _base32(time.time_ns() // 1_000_000, _TIME_CHARACTERS)
    chance = _base32(int.from_bytes(os.urandom(8), "big"), _RANDOM_CHARACTERS)
    return f"{prefix}_{moment}{chance}"


def digest_id(*parts: str) -> str:
    """128 bits of SHA-256 in hexadecimal over the parts; the same parts always give the same text."""
    joined = "".join(f"{len(part)}:{part}" for part in parts)  # no two lists of parts join to the same text
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:32]
