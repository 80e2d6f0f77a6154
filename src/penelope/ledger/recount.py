"""Counts a stored log again: its entries against its tiles, tile against tile, and the whole against what was signed.

Every stored hash is held against what lies directly beneath it, and the stored one is then built upon. So one altered
hash does not make those above and beside it look altered, and cannot draw attention from others. What is found is
located

- to the entry where an entry and its tile disagree;
- to 256 entries (65,536 a level further up, and so on) where a tile disagrees with the one beneath;
- where entries and tiles were all rewritten so that they fit, to the entries between the greatest signed size whose
  root still fits and the first whose root does not. Beyond that roots say nothing more: whatever else was rewritten
  behind that point in the same way is not told apart. Nothing at all can be said of entries that no checkpoint covers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from penelope.ledger.merkle import HASH_SIZE, parents
from penelope.ledger.tiles import HEIGHT, WIDTH, Tile, Tiles, root

GONE = b""
"""Takes the place of the leaf hash of an entry that is not there any more."""

_UNKNOWN = bytes(HASH_SIZE)
_FULL = WIDTH * HASH_SIZE


@dataclass(frozen=True, slots=True)
class Fault:
    """Something about entries `first` to `last` of the log, both included and counted from 0."""

    first: int
    last: int
    problem: str


@dataclass(slots=True)
class _Level:
    count: int = 0
    held: bytearray = field(default_factory=bytearray)

    @property
    def place(self) -> tuple[int, int]:
        """Index of the tile that grows, and how many hashes it has."""
        return divmod(self.count, WIDTH)


class Recount:
    """Goes over a log from its first leaf to its last, and keeps no more of it than the tile that grows a level."""

    def __init__(self) -> None:
        self._levels = [_Level()]

    @property
    def size(self) -> int:
        """How many leaves were counted."""
        return self._levels[0].count

    def take(self, leaves: Sequence[bytes], tiles: Tiles) -> Iterator[Fault]:
        """The next leaf hashes, each 32 bytes or GONE, and the stored tiles that they and all above them lie in."""
        at = 0
        while at < len(leaves):
            room = WIDTH - self._levels[0].place[1]
            yield from self._add(0, leaves[at : at + room], tiles)
            at += room

    def root(self) -> bytes:
        """The root as the stored hashes have it."""
        held = {(height, level.place[0]): bytes(level.held) for height, level in enumerate(self._levels)}
        return root(held, self.size)

    def _add(self, height: int, found: Sequence[bytes], tiles: Tiles) -> Iterator[Fault]:
        """Adds what was found beneath to a level: at most as many hashes as its tile has room for."""
        if height == len(self._levels):
            self._levels.append(_Level())
        level = self._levels[height]
        index, position = level.place
        stored = tiles.get((height, index), b"")[position * HASH_SIZE : (position + len(found)) * HASH_SIZE]
        # One by one where one is gone: a tile cut short by just that hash would look whole.
        if GONE in found or stored != b"".join(found):
            yield from _differences(Tile(height, index), position, found, stored)
            stored = b"".join(_known(stored, number, each) for number, each in enumerate(found))
        level.held += stored
        level.count += len(found)
        if len(level.held) == _FULL:
            node = bytes(level.held)
            level.held.clear()
            for _ in range(HEIGHT):
                node = parents(node)
            yield from self._add(height + 1, [node], tiles)


def _hash(data: bytes, number: int) -> bytes:
    return data[number * HASH_SIZE : (number + 1) * HASH_SIZE]


def _known(stored: bytes, number: int, found: bytes) -> bytes:
    one = _hash(stored, number)
    return one if len(one) == HASH_SIZE else found or _UNKNOWN


def _differences(tile: Tile, position: int, found: Sequence[bytes], stored: bytes) -> Iterator[Fault]:
    """One fault for each run of hashes with the same problem."""
    problems = [_problem(tile, each, _hash(stored, number)) for number, each in enumerate(found)]
    at = tile.index * WIDTH + position
    for problem, run in groupby(problems):
        length = len(list(run))
        if problem:
            rise = HEIGHT * tile.level
            yield Fault(at << rise, (at + length << rise) - 1, problem)
        at += length


def _problem(tile: Tile, found: bytes, stored: bytes) -> str:
    if len(stored) < HASH_SIZE:
        return f"{tile.path} is missing, or too short"
    if found in {stored, GONE}:
        return ""
    if tile.level:
        return f"{tile.path} does not follow from the tile beneath it"
    return "not what the log took in: the tile holds another hash"


class Roots:
    """Holds the roots of a log that is counted against signed ones, in order of size."""

    def __init__(self) -> None:
        self._fits = 0
        self._broken: int | None = None

    def compare(self, size: int, *, fits: bool) -> Iterator[Fault]:
        """Takes note of whether the log had the root that was signed when it had `size` leaves."""
        if fits:
            yield from self._told(f"but at {size} entries the root fits")
            self._fits = size
        elif self._broken is None:
            self._broken = size

    def finish(self) -> Iterator[Fault]:
        """What is left to say after the last of them."""
        yield from self._told(f"which last fitted at {self._fits} entries")

    def _told(self, besides: str) -> Iterator[Fault]:
        if self._broken is None:
            return
        size, self._broken = self._broken, None
        first = min(self._fits, max(size - 1, 0))
        yield Fault(
            first, max(size - 1, 0), f"at {size} entries the root is not the one that was signed, {besides}"
        )
