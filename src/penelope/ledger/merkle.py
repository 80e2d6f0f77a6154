"""The root over all entries, in the tree that transparency logs use (RFC 9162, section 2.1.1)."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The log at one moment: how many entries, and the root (hexadecimal) over their hashes in log order."""

    size: int
    root: str


def checkpoint(hashes: Iterable[str]) -> Checkpoint:
    """The checkpoint of a log with these entry hashes (hexadecimal), in log order.

    Keeps one node a level, so that memory grows with the logarithm of the size. A leaf is
    SHA-256(0x00 || entry hash), a node SHA-256(0x01 || left || right); the empty tree is SHA-256("").
    """
    peaks: list[tuple[int, bytes]] = []
    size = 0
    for text in hashes:
        size += 1
        level, node = 0, hashlib.sha256(b"\x00" + bytes.fromhex(text)).digest()
        while peaks and peaks[-1][0] == level:
            node = hashlib.sha256(b"\x01" + peaks.pop()[1] + node).digest()
            level += 1
        peaks.append((level, node))
    if not peaks:
        return Checkpoint(size=0, root=hashlib.sha256(b"").hexdigest())
    root = peaks.pop()[1]
    while peaks:
        root = hashlib.sha256(b"\x01" + peaks.pop()[1] + root).digest()
    return Checkpoint(size=size, root=root.hex())
