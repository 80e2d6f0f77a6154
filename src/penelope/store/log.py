"""The Merkle log in its tables: taking entries in, tiles, checkpoints and cosignatures."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Table, exists, func, insert, not_, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penelope.errors import ChainBroken
from penelope.flow.log import Integrated, Lag, SignedCheckpoint
from penelope.kit.clock import timestamp
from penelope.ledger.merkle import HASH_SIZE
from penelope.ledger.tiles import WIDTH, Tile, Tiles, edge, grow
from penelope.store import tables
from penelope.store.session import as_json, session_on

_history, _leaves, _tiles = tables.units_of_work_history, tables.log_leaves, tables.log_tiles
_checkpoints, _cosignatures = tables.log_checkpoints, tables.cosignatures


class _Statements(NamedTuple):
    """SQL text for one database.

    `take` takes size, tx, seq and limit, and adds the leaves that are new. It returns them in parts, or, where there is
    a `taken`, that does so, which takes size. Of each part: its hashes, how many they are, tx and seq of the last.
    `move` takes size, tx and seq. `waiting` takes tx, seq and limit, `tiles` a JSON list of levels and indexes.
    """

    state: str
    next_tx: str
    take: str
    taken: str
    move: str
    waiting: str
    tiles: str


_SQLITE = _Statements(
    state="SELECT size, tx, seq FROM log_state WHERE id = 1",
    next_tx="SELECT 1",
    take=(
        'INSERT INTO log_leaves ("index", seq) SELECT ?1 - 1 + row_number() OVER (ORDER BY seq), seq '
        "FROM units_of_work_history WHERE ?2 = 0 AND seq > ?3 ORDER BY seq LIMIT ?4"
    ),
    taken=(
        "SELECT entry.hash, 1, entry.tx, entry.seq FROM log_leaves AS leaf "
        'JOIN units_of_work_history AS entry ON entry.seq = leaf.seq WHERE leaf."index" >= ? ORDER BY leaf."index"'
    ),
    move="UPDATE log_state SET size = ?, tx = ?, seq = ? WHERE id = 1",
    waiting=(
        "SELECT count(*) FROM (SELECT 1 FROM units_of_work_history WHERE :tx = 0 AND seq > :seq LIMIT :limit) AS fresh"
    ),
    # CROSS: so that it begins with what is given.
    tiles=(
        'SELECT level, "index", data FROM json_each(:places) AS place CROSS JOIN log_tiles '
        """WHERE level = json_extract(place.value, '$[0]') AND "index" = json_extract(place.value, '$[1]')"""
    ),
)

_POSTGRESQL = _Statements(
    state="SELECT size, tx, seq FROM log_state WHERE id = 1 FOR UPDATE SKIP LOCKED",
    next_tx="SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint",
    # Only what no transaction still open can precede: a sequence number is taken before its row is committed, so that
    # `seq > last` alone would pass by rows that become visible later. All in one row: to carry each by itself
    # costs more than to find it.
    take=(
        "WITH fresh AS MATERIALIZED (SELECT %s - 1 + row_number() OVER (ORDER BY tx, seq) AS index, tx, seq, hash "
        "FROM (SELECT tx, seq, hash FROM units_of_work_history WHERE (tx, seq) > (%s, %s) "
        "AND tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint ORDER BY tx, seq LIMIT %s) AS entry), "
        'taken AS (INSERT INTO log_leaves ("index", seq) SELECT index, seq FROM fresh) '
        "SELECT string_agg(hash, '' ORDER BY index), count(*), max(tx), "
        "(array_agg(seq ORDER BY index DESC))[1] FROM fresh HAVING count(*) > 0"
    ),
    taken="",
    move="UPDATE log_state SET size = %s, tx = %s, seq = %s WHERE id = 1",
    waiting=(
        "SELECT count(*) FROM (SELECT 1 FROM units_of_work_history WHERE (tx, seq) > (:tx, :seq) LIMIT :limit) AS fresh"
    ),
    tiles=(
        'SELECT level, "index", data FROM json_array_elements(CAST(:places AS json)) AS place(value) '
        'JOIN log_tiles ON level = (place.value->>0)::integer AND "index" = (place.value->>1)::bigint'
    ),
)


class SqlLog:
    """Fulfils flow's LogStore, for the log that is called `origin`.

    Reads `begin`, too: what `connect` begins ends only when the loop comes to it, and with the writing engine SQLite
    would be locked until then.
    """

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine, origin: str) -> None:
        self._writer = writer
        self._reader = reader
        first_line = f"{origin}\n"
        # Not LIKE: on SQLite that takes capitals and small letters for the same.
        self._is_own = func.substr(_checkpoints.c.note, 1, len(first_line)) == first_line
        self._sql = _SQLITE if writer.dialect.name == "sqlite" else _POSTGRESQL
        self._waiting = text(self._sql.waiting)
        self._tiles = text(self._sql.tiles)

    async def integrate(self, limit: int) -> Integrated | None:
        async with self._writer.begin() as connection:
            session = session_on(connection)
            # Who has this row locked is the sequencer; a process that dies lets it go.
            state = await session.rows(self._sql.state)
            if not state:
                return None
            ((size, tx, seq),) = state
            # Asked when the row is locked: what is asked with it may be older than what another has just left there.
            ((next_tx,),) = await session.rows(self._sql.next_tx)
            _check_server(tx, next_tx)
            fresh = await session.rows(self._sql.take, size, tx, seq, limit)
            if self._sql.taken:
                fresh = await session.rows(self._sql.taken, size)
            if not fresh:
                return Integrated(added=0, size=size)
            added, (*_, tx, seq) = sum(part[1] for part in fresh), fresh[-1]
            leaves = _leaf_hashes([part[0] for part in fresh], added)
            changed = grow(size, await self._tiles_in(connection, edge(size)), leaves)
            await connection.execute(
                _upsert_tiles(connection.dialect.name),
                [{"level": level, "index": index, "data": data} for (level, index), data in changed.items()],
            )
            await session.rows(self._sql.move, size + added, tx, seq)
            return Integrated(added=added, size=size + added)

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
            return await self._tiles_in(connection, wanted)

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
        query = select(_checkpoints).where(self._is_own).order_by(_checkpoints.c.size.desc()).limit(1)
        async with self._reader.begin() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else checkpoint_from(row)

    async def taken(self, size: int) -> bool:
        query = select(func.count()).select_from(_checkpoints).where(_checkpoints.c.size == size)
        async with self._reader.begin() as connection:
            return bool(await connection.scalar(query))

    async def add_checkpoint(self, checkpoint: SignedCheckpoint) -> None:
        values = {
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "note": checkpoint.note.decode(),
            "signed_at": timestamp(checkpoint.signed_at),
        }
        await self._add(_checkpoints, values)

    async def cosigned(self, witness: str) -> int:
        of_a_former_log = exists().where(_checkpoints.c.size == _cosignatures.c.size, not_(self._is_own))
        query = select(func.max(_cosignatures.c.size)).where(
            _cosignatures.c.witness == witness, not_(of_a_former_log)
        )
        async with self._reader.begin() as connection:
            return int(await connection.scalar(query) or 0)

    async def add_cosignature(self, size: int, witness: str, line: str, now: datetime) -> None:
        values = {"size": size, "witness": witness, "line": line, "signed_at": timestamp(now)}
        await self._add(_cosignatures, values)

    async def cosignatures(self, size: int) -> Sequence[str]:
        query = select(_cosignatures.c.line).where(_cosignatures.c.size == size)
        async with self._reader.begin() as connection:
            return list((await connection.execute(query.order_by(_cosignatures.c.witness))).scalars())

    async def _tiles_in(
        self, connection: AsyncConnection, wanted: Iterable[Tile]
    ) -> dict[tuple[int, int], bytes]:
        places = as_json([(tile.level, tile.index) for tile in wanted])
        found = (await connection.execute(self._tiles, {"places": places})).all()
        return {(level, index): data for level, index, data in found}

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

_XMIN_AGE = text(
    "SELECT pg_snapshot_xmax(snap)::text::bigint - pg_snapshot_xmin(snap)::text::bigint "
    "FROM (SELECT pg_current_snapshot() AS snap) AS here"
)


def _check_server(tx: int, next_tx: int) -> None:
    """Transactions are numbered by the server: what a younger one writes would never be found to be new."""
    if tx >= next_tx:
        message = (
            f"the log has come to transaction {tx}, and this server to {next_tx}: "
            "the database was moved to another one"
        )
        raise ChainBroken(
            message,
            hint="Restore a physical backup, which keeps the numbers, or raise them with pg_resetwal.",
        )


def _leaf_hashes(texts: Sequence[str], count: int) -> bytes:
    """Raises ChainBroken where somebody has put something else there."""
    try:
        leaves = bytes.fromhex("".join(texts))
    except (TypeError, ValueError):
        leaves = b""
    if len(leaves) != HASH_SIZE * count:
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


@cache
def _upsert_tiles(dialect: str) -> Any:
    add = sqlite.insert(_tiles) if dialect == "sqlite" else postgresql.insert(_tiles)
    return add.on_conflict_do_update(index_elements=["level", "index"], set_={"data": add.excluded.data})
