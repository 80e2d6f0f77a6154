"""The tree and its entries as files that never change, for anyone to fetch (C2SP tlog-tiles).

A tile holds up to 256 neighbouring hashes: leaves at level 0, above it the roots of full tiles of the level below.
Where tiles are passed as a mapping from `(level, index)` to their bytes, data may be longer than the tree that is
asked about needs: the fuller version of a partial tile serves as well.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from penelope.errors import ChainBroken, InvalidRequest
from penelope.ledger.merkle import (
    HASH_SIZE,
    Lookup,
    Subtree,
    complete,
    consistency_subtrees,
    hash_of,
    hashes_of,
    inclusion_subtrees,
    joined,
    parents,
    root_subtree,
)

HEIGHT = 8
"""Levels of the tree between a level of tiles and the next."""

WIDTH = 1 << HEIGHT
"""Hashes of a full tile, and entries of a full bundle."""

MAX_LEVEL = 63
MAX_SIZE = 1 << 63
"""No tree has as many leaves, so a tile beyond it does not exist."""

MAX_ENTRY = 0xFFFF
"""Bytes of the longest entry."""

_ENTRIES = "entries"
_PATH = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([0-9]{1,3}))?")

Tiles = Mapping[tuple[int, int], bytes]
"""The hashes of tiles, 32 bytes each, by level and index."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile; with a width below 256 it is a partial one."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it is served, such as `tile/0/x001/234.p/5`."""
        return _path(str(self.level), self.index, self.width)


def parse_path(text: str) -> Tile:
    """The tile at a path; raises InvalidRequest unless this is exactly the path that the tile has."""
    place, index, width = _parsed(text)
    if place == _ENTRIES:
        raise InvalidRequest("this is the path of entries, not of a tile")
    return Tile(int(place), index, width)


def bundle_path(index: int, width: int = WIDTH) -> str:
    """Where the entries beneath the tile `(0, index)` are served, such as `tile/entries/x001/234.p/5`."""
    return _path(_ENTRIES, index, width)


def parse_bundle_path(text: str) -> tuple[int, int]:
    """Index and width of the bundle at a path; raises InvalidRequest unless this is exactly its path."""
    place, index, width = _parsed(text)
    if place != _ENTRIES:
        raise InvalidRequest("this is the path of a tile, not of entries")
    return index, width


def _path(place: str, index: int, width: int) -> str:
    digits = f"{index % 1000:03}"
    while index := index // 1000:
        digits = f"x{index % 1000:03}/{digits}"
    suffix = "" if width == WIDTH else f".p/{width}"
    return f"tile/{place}/{digits}{suffix}"


def _parsed(text: str) -> tuple[str, int, int]:
    found = _PATH.fullmatch(text)
    if found is None:
        raise InvalidRequest("not the path of a tile", hint=_PATH_HINT)
    place, digits, partial = found.groups()
    index = int(re.sub("[x/]", "", digits))
    width = WIDTH if partial is None else int(partial)
    level = 0 if place == _ENTRIES else int(place)
    exists = level <= MAX_LEVEL and index << HEIGHT * (level + 1) < MAX_SIZE and 0 < width <= WIDTH
    # Every tile has one path, so that caches hold it once: no zeros before a number, no `.p` of a full one.
    if not exists or _path(str(level) if place != _ENTRIES else place, index, width) != text:
        raise InvalidRequest("no tile has this path", hint=_PATH_HINT)
    return place, index, width


_PATH_HINT = (
    "A path is tile/<level or `entries`>/<index, such as x001/234>, and .p/<width> if partial (1 to 255)."
)


def edge(size: int) -> list[Tile]:
    """The partial tiles of a tree: what must be at hand for it to grow."""
    levels = range(-(-size.bit_length() // HEIGHT))
    tiles = [_tile(level, size >> HEIGHT * (level + 1), size) for level in levels]
    return [tile for tile in tiles if tile.width]


def grow(size: int, tiles: Tiles, leaves: Sequence[bytes] | bytes) -> dict[tuple[int, int], bytes]:
    """The tiles, full or partial, that change when leaf hashes are appended to a tree of `size` leaves.

    `tiles` must hold the tree's `edge`. Raises ChainBroken when they do not, and ValueError if a leaf hash has not
    32 bytes.
    """
    changed: dict[tuple[int, int], bytes] = {}
    new, level = joined(leaves), 0
    while new:
        index, width = divmod(size >> HEIGHT * level, WIDTH)
        data = _hashes(tiles, level, index, range(width)) + new if width else new
        step = WIDTH * HASH_SIZE
        for number, start in enumerate(range(0, len(data), step), index):
            changed[level, number] = data[start : start + step]
        new, level = _above(data[: len(data) // step * step], HEIGHT), level + 1
    return changed


def tiles_of_root(size: int) -> set[Tile]:
    """The tiles that `root` needs."""
    return _tiles([root_subtree(size)], size)


def tiles_of_inclusion(index: int, size: int) -> set[Tile]:
    """The tiles that `inclusion` needs."""
    return _tiles(inclusion_subtrees(index, size), size)


def tiles_of_consistency(old: int, size: int) -> set[Tile]:
    """The tiles that `consistency` needs."""
    return _tiles(consistency_subtrees(old, size), size)


def root(tiles: Tiles, size: int) -> bytes:
    """The root of the tree of `size` leaves; ChainBroken when a tile that it needs is missing or too short."""
    return hash_of(root_subtree(size), size, _in(tiles))


def inclusion(tiles: Tiles, index: int, size: int) -> list[bytes]:
    """Proof that leaf `index` is in the tree of `size` leaves.

    Raises ValueError if it is not, and ChainBroken when a tile that the proof needs is missing or too short.
    """
    return hashes_of(inclusion_subtrees(index, size), size, _in(tiles))


def consistency(tiles: Tiles, old: int, size: int) -> list[bytes]:
    """Proof that the tree of `size` leaves continues that of `old`. Raises as `inclusion` does."""
    return hashes_of(consistency_subtrees(old, size), size, _in(tiles))


def bundle(entries: Iterable[bytes]) -> bytes:
    """Entries, each after its length as a big-endian 16-bit number.

    Raises ValueError for more than 256 of them, or for one of more than 65,535 bytes.
    """
    listed = list(entries)
    if len(listed) > WIDTH or any(len(entry) > MAX_ENTRY for entry in listed):
        raise ValueError(f"a bundle holds up to {WIDTH} entries of up to {MAX_ENTRY} bytes")
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in listed])


def entries_of(data: bytes) -> list[bytes]:
    """The entries of a bundle; InvalidRequest when it ends within one, or holds more than 256."""
    found, at = [], 0
    while at < len(data):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        found.append(data[start:at])
    if at != len(data) or len(found) > WIDTH:
        raise InvalidRequest(f"not a bundle of up to {WIDTH} whole entries")
    return found


def _tile(level: int, index: int, size: int) -> Tile:
    """A tile as it is when the tree has `size` leaves."""
    return Tile(level, index, min(WIDTH, (size >> HEIGHT * level) - index * WIDTH))


def _tiles(subtrees: Iterable[Subtree], size: int) -> set[Tile]:
    found = set()
    for subtree in subtrees:
        for height, index in complete(subtree, size):
            level, number, _ = _place(height, index)
            found.add(_tile(level, number, size))
    return found


def _place(height: int, index: int) -> tuple[int, int, range]:
    """Level and index of the tile that a complete subtree lies in, and which of its hashes the subtree spans."""
    level, rise = divmod(height, HEIGHT)
    number, start = divmod(index << rise, WIDTH)
    return level, number, range(start, start + (1 << rise))


def _in(tiles: Tiles) -> Lookup:
    def lookup(height: int, index: int) -> bytes:
        level, number, positions = _place(height, index)
        return _above(_hashes(tiles, level, number, positions), height % HEIGHT)

    return lookup


def _hashes(tiles: Tiles, level: int, index: int, positions: range) -> bytes:
    data = tiles.get((level, index), b"")[: positions.stop * HASH_SIZE]
    if len(data) < positions.stop * HASH_SIZE:
        raise ChainBroken(f"{Tile(level, index, positions.stop).path} is missing, or too short")
    return data[positions.start * HASH_SIZE :]


def _above(nodes: bytes, rise: int) -> bytes:
    """The nodes so many levels up."""
    for _ in range(rise):
        nodes = parents(nodes)
    return nodes
