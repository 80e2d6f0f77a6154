"""Section 2.1 of RFC 9162 as it stands there: slow, and independent of the ledger.

Entry number n is the text of n in decimal; D[low:high] is written as the two numbers.
"""

from functools import cache, lru_cache
from hashlib import sha256

Proof = tuple[bytes, ...]


def split(low: int, high: int) -> int:
    """The middle that leaves the largest power of two smaller than the number of entries on the left."""
    width = 1
    while width * 2 < high - low:
        width *= 2
    return low + width


@cache
def mth(low: int, high: int) -> bytes:
    """2.1.1: MTH(D[low:high])."""
    if low == high:
        return sha256(b"").digest()
    if high - low == 1:
        return sha256(b"\x00" + str(low).encode()).digest()
    middle = split(low, high)
    return sha256(b"\x01" + mth(low, middle) + mth(middle, high)).digest()


@lru_cache(maxsize=50_000)
def path(index: int, low: int, high: int) -> Proof:
    """2.1.3.1: PATH(index - low, D[low:high])."""
    if high - low == 1:
        return ()
    middle = split(low, high)
    if index < middle:
        return (*path(index, low, middle), mth(middle, high))
    return (*path(index, middle, high), mth(low, middle))


@lru_cache(maxsize=50_000)
def subproof(old: int, low: int, high: int, *, whole: bool) -> Proof:
    """2.1.4.1: SUBPROOF(old - low, D[low:high], whole)."""
    if old == high:
        return () if whole else (mth(low, high),)
    middle = split(low, high)
    if old <= middle:
        return (*subproof(old, low, middle, whole=whole), mth(middle, high))
    return (*subproof(old, middle, high, whole=False), mth(low, middle))
