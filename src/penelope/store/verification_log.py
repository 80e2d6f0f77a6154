"""Walks the stored log: leaves, tiles, checkpoints and cosignatures."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penelope.errors import ChainBroken, SignatureInvalid
from penelope.ledger.chain import Flaw
from penelope.ledger.merkle import HASH_SIZE, leaf_hash
from penelope.ledger.notes import Checkpoint, Note, Signature, open_checkpoint
from penelope.ledger.ports import Verifier
from penelope.ledger.recount import GONE, Fault, Recount, Roots
from penelope.ledger.tiles import HEIGHT, WIDTH, root, tiles_of_root
from penelope.store.damage import in_parts

LOG = "log"
"""What a flaw names as its unit when it is about the log and not about one unit."""

STRETCH = 4096
"""Leaves in memory at once: a power of two, so that a stretch touches one tile a level above the lowest."""

_ENTRY = "entry"
_MOST_TOLD = 100
"""Flaws of one kind that the first look tells at most."""

Row = Mapping[str, Any]
Place = tuple[int, int]


class Evidence(NamedTuple):
    """A root that the log must have had at a size; `signed` unless nobody could check that it was."""

    size: int
    root: bytes
    signed: bool


class Moment(NamedTuple):
    """How much of a log there is to walk, and what was seen at once."""

    size: int
    flaws: list[Flaw]


class _Stretch(NamedTuple):
    start: int
    end: int
    rows: dict[int, Row]
    tiles: dict[Place, bytes]
    checkpoints: list[Row]
    cosignatures: list[Row]
    lost: list[tuple[str, Any, str]]
    """What could not be read: of what kind, its key, and why."""


def _flaw(problem: str, row: Row | None = None) -> Flaw:
    if row is None or row["unit"] is None:
        return Flaw(unit=LOG, version=0, problem=problem, seq=0 if row is None else row["leaf_seq"])
    return Flaw(unit=row["unit"], version=row["version"], problem=problem, seq=row["leaf_seq"])


def _named(first: int, last: int | None = None) -> str:
    return f"entry {first} of the log" if last in {None, first} else f"entries {first} to {last} of the log"


# --- the first look ---------------------------------------------------------------------------------------


async def first_look(connection: AsyncConnection) -> Moment:
    """The size of the log at one moment, and what of its bookkeeping does not add up then."""
    states = (await connection.execute(text("SELECT id, size, tx, seq FROM log_state"))).mappings().all()
    leaves = int(await connection.scalar(text("SELECT count(*) FROM log_leaves")) or 0)
    counted = await connection.execute(_LEVELS)
    levels = {level: (number, int(length)) for level, number, length in counted}
    told = min((row["size"] for row in states), default=0)
    # What bounds the walk is what is stored: a size that somebody has written down may be any number.
    size = max(leaves, min(told, levels.get(0, (0, 0))[1] // HASH_SIZE))
    flaws = [_flaw(problem) for problem in _miscounts(size, leaves, levels)]
    flaws += [_flaw(problem) for problem in await _state_problems(connection, states, size)]
    flaws += await _strays(connection, states, size)
    return Moment(size, flaws)


_LEVELS = text("SELECT level, count(*), sum(length(data)) FROM log_tiles GROUP BY level ORDER BY level")


def _miscounts(size: int, leaves: int, levels: Mapping[int, tuple[int, int]]) -> Iterator[str]:
    if leaves != size:
        yield f"of {size} leaves, {leaves} are there"
    due: dict[int, tuple[int, int]] = {}
    while width := size >> HEIGHT * len(due):
        due[len(due)] = -(-width // WIDTH), width * HASH_SIZE
    for level in sorted(due.keys() | levels.keys(), key=str):
        there, wanted = levels.get(level, (0, 0)), due.get(level, (0, 0))
        if there != wanted:
            yield (
                f"on level {level} are {there[0]} tiles of {there[1]} bytes together; a log of {size} entries "
                f"has {wanted[0]} of {wanted[1]}"
            )


async def _state_problems(connection: AsyncConnection, states: Sequence[Any], size: int) -> list[str]:
    if [row["id"] for row in states] != [1]:
        return [f"the sequencer has {len(states)} states instead of one"]
    query = text(
        "SELECT entry.tx, leaf.seq FROM log_leaves leaf JOIN units_of_work_history entry ON entry.seq = leaf.seq "
        'WHERE leaf."index" = :last'
    )
    last = (await connection.execute(query, {"last": size - 1})).first()
    here = tuple(states[0][name] for name in ("size", "tx", "seq"))
    there = (size, *(last or (0, 0)))
    return [] if here == there else [f"the sequencer stands at {here}, but the log ends at {there}"]


async def _strays(connection: AsyncConnection, states: Sequence[Any], size: int) -> list[Flaw]:
    """Rows that belong to nothing, at most 100 of a kind."""
    cursor = max(((row["tx"], row["seq"]) for row in states), default=(0, 0))
    values = {"size": size, "tx": cursor[0], "seq": cursor[1], "most": _MOST_TOLD}
    flaws: list[Flaw] = []
    for query, problem in (
        (_UNTAKEN[connection.dialect.name], "stands before what the log took in last, but is not in the log"),
        (_BEYOND, "a leaf is numbered {place}, which no log of {size} entries has"),
        (_AHEAD, f"{CUT}: it has {{size}} entries, and a stored checkpoint is over {{signed}}"),
        (_LONELY, "{witness} has cosigned a checkpoint over {signed} entries that is not there"),
    ):
        wanted = {name: values[name] for name in values if f":{name}" in query}
        found = (await connection.execute(text(query), wanted)).mappings()
        flaws += [_flaw(problem.format(**row, size=size), dict(row)) for row in found]
    return flaws


CUT = "the log was cut, or is an older copy"

_UNTAKEN = {
    dialect: (
        "SELECT entry.unit, entry.version, entry.seq AS leaf_seq FROM units_of_work_history entry "  # noqa: S608 - our own words
        f"WHERE {before} AND NOT EXISTS (SELECT 1 FROM log_leaves leaf WHERE leaf.seq = entry.seq) "
        "ORDER BY entry.seq LIMIT :most"
    )
    for dialect, before in {
        "sqlite": "entry.seq <= :seq",
        "postgresql": "(entry.tx, entry.seq) <= (:tx, :seq)",
    }.items()
}
_BEYOND = (
    'SELECT NULL AS unit, leaf."index" AS place, leaf.seq AS leaf_seq FROM log_leaves leaf '
    'WHERE leaf."index" < 0 OR leaf."index" >= :size ORDER BY leaf."index" LIMIT :most'
)
_AHEAD = (
    "SELECT NULL AS unit, 0 AS leaf_seq, size AS signed FROM log_checkpoints "
    "WHERE size > :size OR size < 0 ORDER BY size LIMIT :most"
)
_LONELY = (
    "SELECT NULL AS unit, 0 AS leaf_seq, size AS signed, witness FROM cosignatures other WHERE NOT EXISTS "
    "(SELECT 1 FROM log_checkpoints signed WHERE signed.size = other.size) ORDER BY size LIMIT :most"
)


# --- the walk ---------------------------------------------------------------------------------------------


class LogWalk:
    """One walk over the log, of which the database may take in more meanwhile."""

    def __init__(
        self, engine: AsyncEngine, outside: Sequence[Checkpoint], verifiers: Sequence[Verifier]
    ) -> None:
        self._engine = engine
        self._outside = sorted(
            (Evidence(each.size, each.root, signed=True) for each in outside), key=lambda each: each.size
        )
        self._verifiers = verifiers
        self._names = {each.name for each in verifiers}
        self._recount = Recount()
        # What nobody could check must not narrow down what was signed.
        self._roots = {signed: Roots() for signed in (True, False)}
        self._has_transactions = engine.dialect.name == "postgresql"
        self._last: tuple[int, int] = (-1, -1)

    async def flaws(self, size: int) -> AsyncIterator[Flaw]:
        """Goes over the first `size` leaves."""
        for start in range(0, max(size, 1), STRETCH):
            stretch = await self._load(start, min(start + STRETCH, size))
            # In a thread, because this is work and others want to be served.
            for flaw in await asyncio.to_thread(lambda part: list(self._check(part)), stretch):
                yield flaw
        for roots in self._roots.values():
            for fault in roots.finish():
                yield _told(fault, None)
        for each in self._outside:
            if each.size > size:
                yield _flaw(
                    f"{CUT}: it has {size} entries, and a checkpoint kept elsewhere is over {each.size}"
                )

    async def _load(self, start: int, end: int) -> _Stretch:
        lost: list[tuple[str, Any, str]] = []

        async def read(keys: Sequence[Any], load: Any, name: str) -> list[Row]:
            rows: list[Row] = []
            async for part in in_parts(self._engine, keys, load):
                rows += part.found or ()
                if part.found is None:
                    lost.append((name, part.keys[0], part.problem))
            return rows

        sizes = range(start + 1 if start else 0, end + 1)
        return _Stretch(
            start=start,
            end=end,
            rows={row["place"]: row for row in await read(range(start, end), _between(_LEAVES), _ENTRY)},
            tiles={
                (row["level"], row["index"]): row["data"]
                for row in await read(_places(start, end), _tiles, "the tile")
                if isinstance(row["data"], bytes)
            },
            checkpoints=await read(sizes, _between(_CHECKPOINTS), "the checkpoint over"),
            cosignatures=await read(sizes, _between(_COSIGNATURES), "a cosignature over"),
            lost=lost,
        )

    def _check(self, stretch: _Stretch) -> Iterator[Flaw]:
        for name, key, problem in stretch.lost:
            yield _flaw(f"{name} {key} {problem}")
        yield from self._missing(stretch)
        yield from self._order(stretch)
        evidence = [each for each in self._outside if each.size in _sizes(stretch)]
        notes: dict[int, Note] = {}
        for row in stretch.checkpoints:
            try:
                notes[row["size"]] = note = Note.parse(row["note"].encode())
                evidence.append(self._evidence(row, note))
            except (AttributeError, TypeError, ValueError, SignatureInvalid) as error:
                yield _flaw(f"the checkpoint over {row['size']} entries cannot be trusted: {error}")
        for row in stretch.cosignatures:
            problem = _cosignature_problem(row, notes.get(row["size"]), self._verifiers)
            if problem:
                yield _flaw(f"the cosignature of {row['witness']} over {row['size']} entries {problem}")
        yield from self._count(stretch, sorted(evidence, key=lambda each: each.size))

    def _missing(self, stretch: _Stretch) -> Iterator[Flaw]:
        known = stretch.rows.keys() | {key for name, key, _ in stretch.lost if name == _ENTRY}
        places = range(stretch.start, stretch.end)
        for gone, run in groupby(places, key=lambda place: place not in known):
            if gone:
                first, *others = run
                yield _flaw(f"{_named(first, others[-1] if others else first)}: the leaf is gone")
        for place, row in stretch.rows.items():
            if row["body"] is None:
                yield _flaw(f"{_named(place)}: line {row['leaf_seq']} of history is gone", row)

    def _order(self, stretch: _Stretch) -> Iterator[Flaw]:
        for place, row in stretch.rows.items():
            if row["body"] is None:
                continue
            here = row["tx"], row["leaf_seq"]
            if not isinstance(row["tx"], int) or (row["tx"] and not self._has_transactions):
                yield _flaw(f"{_named(place)} bears a transaction that it cannot be of", row)
                continue
            if here <= self._last:
                yield _flaw(f"{_named(place)} was written before the one that precedes it", row)
            self._last = here

    def _evidence(self, row: Row, note: Note) -> Evidence:
        """What a stored checkpoint says, as far as it may be believed. Raises SignatureInvalid or ValueError."""
        checkpoint = Checkpoint.parse(note.text)
        signed = self._is_ours(checkpoint, note)
        if signed:
            open_checkpoint(row["note"].encode(), self._verifiers)
        if (checkpoint.size, checkpoint.root.hex()) != (row["size"], row["root"]):
            raise ValueError("its columns say something else than its note")
        return Evidence(checkpoint.size, checkpoint.root, signed=signed)

    def _is_ours(self, checkpoint: Checkpoint, note: Note) -> bool:
        """Whether a known key must have signed it. What names none of them, neither as the log nor below, is of a
        log that had another name: nobody here can check who signed it, but its root must fit all the same.
        """
        return not self._names.isdisjoint((checkpoint.origin, *(each.name for each in note.signatures)))

    def _count(self, stretch: _Stretch, evidence: Sequence[Evidence]) -> Iterator[Flaw]:
        leaves = [_leaf(stretch.rows.get(place)) for place in range(stretch.start, stretch.end)]
        for size, signed in groupby(evidence, key=lambda each: each.size):
            until = size - stretch.start
            yield from self._take(leaves[self._recount.size - stretch.start : until], stretch)
            root = self._recount.root()
            for each in signed:
                for fault in self._roots[each.signed].compare(size, fits=each.root == root):
                    yield _told(fault, None)
        yield from self._take(leaves[self._recount.size - stretch.start :], stretch)

    def _take(self, leaves: Sequence[bytes], stretch: _Stretch) -> Iterator[Flaw]:
        for fault in self._recount.take(leaves, stretch.tiles):
            # Above the lowest level a fault is about more than its first entry.
            yield _told(fault, stretch.rows.get(fault.first))


def _told(fault: Fault, row: Row | None) -> Flaw:
    return _flaw(f"{_named(fault.first, fault.last)}: {fault.problem}", row)


def _sizes(stretch: _Stretch) -> range:
    """The sizes of checkpoints that a stretch holds."""
    return range(stretch.start + 1 if stretch.start else 0, stretch.end + 1)


def _leaf(row: Row | None) -> bytes:
    if row is None or row["body"] is None:
        return GONE
    return leaf_hash(str(row["body"]).encode())


def _cosignature_problem(row: Row, note: Note | None, verifiers: Sequence[Verifier]) -> str:
    try:
        signature = Signature.parse(row["line"])
    except (AttributeError, SignatureInvalid):
        return "is malformed"
    if row["witness"] != signature.name:
        return f"is by {signature.name}"
    for key in verifiers:
        if (key.name, key.key_id) == (signature.name, signature.key_id) and note is not None:
            return "" if key.verify(note.text.encode(), signature.data) else "does not fit"
    return ""


# --- reading a stretch ------------------------------------------------------------------------------------

_LEAVES = text(
    'SELECT leaf."index" AS place, leaf.seq AS leaf_seq, entry.tx, entry.unit, entry.version, entry.body '
    "FROM log_leaves leaf LEFT JOIN units_of_work_history entry ON entry.seq = leaf.seq "
    'WHERE leaf."index" BETWEEN :low AND :high ORDER BY leaf."index"'
)
_CHECKPOINTS = text(
    "SELECT size, root, note FROM log_checkpoints WHERE size BETWEEN :low AND :high ORDER BY size"
)
_COSIGNATURES = text(
    "SELECT size, witness, line FROM cosignatures WHERE size BETWEEN :low AND :high ORDER BY size, witness"
)
# As text, because it passes on what is there: the type that a column should have could not be trusted.
_TILE = text(
    'SELECT level, "index", data FROM log_tiles WHERE level = :level AND "index" BETWEEN :low AND :high'
)


def _between(query: TextClause) -> Callable[[AsyncConnection, Sequence[int]], Awaitable[list[Row]]]:
    async def load(connection: AsyncConnection, keys: Sequence[int]) -> list[Row]:
        found = await connection.execute(query, {"low": keys[0], "high": keys[-1]})
        return [dict(row) for row in found.mappings()]

    return load


def _places(start: int, end: int) -> list[Place]:
    """Level and index of the tiles that these leaves, and the roots of what they complete, lie in."""
    lowest = [(0, index) for index in range(start >> HEIGHT, (end - 1 >> HEIGHT) + 1)]
    levels = range(1, -(-end.bit_length() // HEIGHT))
    return lowest + [(level, start >> HEIGHT * (level + 1)) for level in levels]


async def _tiles(connection: AsyncConnection, places: Sequence[Place]) -> list[Row]:
    rows: list[Row] = []
    for level, run in groupby(places, key=lambda place: place[0]):
        indexes = [index for _, index in run]
        values = {"level": level, "low": indexes[0], "high": indexes[-1]}
        rows += [dict(row) for row in (await connection.execute(_TILE, values)).mappings()]
    return rows


async def head(connection: AsyncConnection) -> tuple[int, bytes]:
    """Size and root of the log. Raises ChainBroken where a tile that the root needs is not there."""
    size = await connection.scalar(text("SELECT size FROM log_state WHERE id = 1")) or 0
    if not isinstance(size, int) or size < 0:
        raise ChainBroken(f"the log cannot have {size!r} entries")
    places = [(tile.level, tile.index) for tile in sorted(tiles_of_root(size), key=lambda tile: tile.level)]
    rows = await _tiles(connection, places)
    return size, root({(row["level"], row["index"]): row["data"] for row in rows}, size)
