"""The Merkle log in its tables: taking entries in, tiles, checkpoints and cosignatures."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Table, func, insert, select, text, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penelope.errors import ChainBroken
from penelope.flow.log import Integrated, Lag, SignedCheckpoint
from penelope.kit.clock import timestamp
from penelope.ledger.merkle import HASH_SIZE
from penelope.ledger.tiles import WIDTH, Tile, Tiles, edge, grow
from penelope.store import tables
from penelope.store.rows import chunks

_history, _leaves, _tiles = tables.units_of_work_history, tables.log_leaves, tables.log_tiles
_checkpoints, _cosignatures = tables.log_checkpoints, tables.cosignatures

_WAITING = {"sqlite": "seq > :seq", "postgresql": "(tx, seq) > (:tx, :seq)"}
# Only what no transaction still open can precede: a sequence number is taken before its row is committed, so that
# `seq > last` alone would pass by rows that become visible later.
_NEW = {
    "sqlite": _WAITING["sqlite"],
    "postgresql": f"{_WAITING['postgresql']} AND tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
}
_STATE = {
    "sqlite": "SELECT size, tx, seq, 1 AS next_tx FROM log_state WHERE id = 1",
    "postgresql": (
        "SELECT size, tx, seq, pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_tx "
        "FROM log_state WHERE id = 1 FOR UPDATE SKIP LOCKED"
    ),
}
_ORDER = {"sqlite": "seq", "postgresql": "tx, seq"}


class SqlLog:
    """Fulfils flow's LogStore.

    Reads `begin`, too: what `connect` begins ends only when the loop comes to it, and with the writing engine SQLite
    would be locked until then.
    """

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self._writer = writer
        self._reader = reader
        dialect = writer.dialect.name
        self._state = text(_STATE[dialect])
        self._number = text(
            'INSERT INTO log_leaves ("index", seq) '  # noqa: S608 - our own words
            f"SELECT :size - 1 + row_number() OVER (ORDER BY {_ORDER[dialect]}), seq FROM ("
            f"SELECT tx, seq FROM units_of_work_history WHERE {_NEW[dialect]} "
            f"ORDER BY {_ORDER[dialect]} LIMIT :limit) AS fresh"
        )
        self._waiting = text(
            f"SELECT count(*) FROM (SELECT 1 FROM units_of_work_history WHERE {_WAITING[dialect]} LIMIT :limit) AS fresh"  # noqa: S608 - our own words
        )

    async def integrate(self, limit: int) -> Integrated | None:
        async with self._writer.begin() as connection:
            # Who has this row locked is the sequencer; a process that dies lets it go.
            state = (await connection.execute(self._state)).mappings().first()
            if state is None:
                return None
            _check_server(state)
            values = {"size": state["size"], "tx": state["tx"], "seq": state["seq"], "limit": limit}
            if not (await connection.execute(self._number, values)).rowcount:
                return Integrated(added=0, size=state["size"])
            fresh = (await connection.execute(_FRESH, {"size": state["size"]})).all()
            leaves = _leaf_hashes([row[0] for row in fresh])
            held = await _tiles_in(connection, edge(state["size"]))
            changed = grow(state["size"], held, leaves)
            await connection.execute(
                _upsert_tiles(connection.dialect.name),
                [{"level": level, "index": index, "data": data} for (level, index), data in changed.items()],
            )
            size = state["size"] + len(fresh)
            moved = {"size": size, "tx": fresh[-1][1], "seq": fresh[-1][2]}
            await connection.execute(_MOVE, moved)
            return Integrated(added=len(fresh), size=size)

    async def size(self) -> int:
        async with self._reader.begin() as connection:
            return int(await connection.scalar(select(tables.log_state.c.size)) or 0)

    async def lag(self) -> Lag:
        async with self._reader.begin() as connection:
            state = tables.log_state.c
            row = (await connection.execute(select(state.tx, state.seq))).mappings().one()
            waiting = await connection.scalar(self._waiting, {**row, "limit": _MOST_COUNTED})
            age = 0
            if connection.dialect.name == "postgresql":
                age = await connection.scalar(_XMIN_AGE) or 0
            return Lag(entries=int(waiting or 0), xmin_age=int(age))

    async def tiles(self, wanted: Iterable[Tile]) -> Tiles:
        async with self._reader.begin() as connection:
            return await _tiles_in(connection, list(wanted))

    async def bundle(self, index: int, width: int) -> Sequence[bytes]:
        first = index * WIDTH
        query = (
            select(_history.c.body)
            .join(_leaves, _leaves.c.seq == _history.c.seq)
            .where(_leaves.c.index.between(first, first + width - 1))
            .order_by(_leaves.c.index)
        )
        async with self._reader.begin() as connection:
            return [body.encode() for body in (await connection.execute(query)).scalars()]

    async def latest(self) -> SignedCheckpoint | None:
        query = select(_checkpoints).order_by(_checkpoints.c.size.desc()).limit(1)
        async with self._reader.begin() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else checkpoint_from(row)

    async def add_checkpoint(self, checkpoint: SignedCheckpoint) -> None:
        values = {
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "note": checkpoint.note.decode(),
            "signed_at": timestamp(checkpoint.signed_at),
        }
        await self._add(_checkpoints, values)

    async def cosigned(self, witness: str) -> int:
        query = select(func.max(_cosignatures.c.size)).where(_cosignatures.c.witness == witness)
        async with self._reader.begin() as connection:
            return int(await connection.scalar(query) or 0)

    async def add_cosignature(self, size: int, witness: str, line: str, now: datetime) -> None:
        values = {"size": size, "witness": witness, "line": line, "signed_at": timestamp(now)}
        await self._add(_cosignatures, values)

    async def cosignatures(self, size: int) -> Sequence[str]:
        query = select(_cosignatures.c.line).where(_cosignatures.c.size == size)
        async with self._reader.begin() as connection:
            return list((await connection.execute(query.order_by(_cosignatures.c.witness))).scalars())

    async def _add(self, table: Table, values: Mapping[str, Any]) -> None:
        """Adds a row unless one with its key is there. Asked first: the guards refuse even an insert that would
        do nothing, and of two that come at once one may still be refused.
        """
        keys = [column == values[column.name] for column in table.primary_key.columns]
        try:
            async with self._writer.begin() as connection:
                if await connection.scalar(select(func.count()).select_from(table).where(*keys)):
                    return
                await connection.execute(insert(table).values(**values))
        except IntegrityError:
            return


_MOST_COUNTED = 100_000
"""A lag beyond it is told as so many: counting must not cost what it warns of."""

_FRESH = text(
    "SELECT entry.hash, entry.tx, entry.seq FROM log_leaves AS leaf "
    'JOIN units_of_work_history AS entry ON entry.seq = leaf.seq WHERE leaf."index" >= :size ORDER BY leaf."index"'
)
_MOVE = text("UPDATE log_state SET size = :size, tx = :tx, seq = :seq WHERE id = 1")
_XMIN_AGE = text(
    "SELECT pg_snapshot_xmax(snap)::text::bigint - pg_snapshot_xmin(snap)::text::bigint "
    "FROM (SELECT pg_current_snapshot() AS snap) AS here"
)


def _check_server(state: Mapping[Any, Any]) -> None:
    """Transactions are numbered by the server: what a younger one writes would never be found to be new."""
    if state["tx"] >= state["next_tx"]:
        message = (
            f"the log has come to transaction {state['tx']}, and this server to {state['next_tx']}: "
            "the database was moved to another one"
        )
        raise ChainBroken(
            message,
            hint="Restore a physical backup, which keeps the numbers, or raise them with pg_resetwal.",
        )


def _leaf_hashes(texts: Sequence[str]) -> bytes:
    """Raises ChainBroken where somebody has put something else there."""
    try:
        leaves = bytes.fromhex("".join(texts))
    except (TypeError, ValueError):
        leaves = b""
    if len(leaves) != HASH_SIZE * len(texts):
        raise ChainBroken("a line that the log should take in has no hash any more")
    return leaves


def checkpoint_from(row: Mapping[Any, Any]) -> SignedCheckpoint:
    """A checkpoint from its row."""
    return SignedCheckpoint(
        size=row["size"],
        root=bytes.fromhex(row["root"]),
        note=row["note"].encode(),
        signed_at=datetime.fromisoformat(row["signed_at"]),
    )


async def _tiles_in(connection: AsyncConnection, wanted: Sequence[Tile]) -> dict[tuple[int, int], bytes]:
    found: dict[tuple[int, int], bytes] = {}
    for chunk in chunks(wanted):
        places = [(tile.level, tile.index) for tile in chunk]
        query = select(_tiles).where(tuple_(_tiles.c.level, _tiles.c.index).in_(places))
        for level, index, data in (await connection.execute(query)).all():
            found[level, index] = data
    return found


@cache
def _upsert_tiles(dialect: str) -> Any:
    add = sqlite.insert(_tiles) if dialect == "sqlite" else postgresql.insert(_tiles)
    return add.on_conflict_do_update(index_elements=["level", "index"], set_={"data": add.excluded.data})
