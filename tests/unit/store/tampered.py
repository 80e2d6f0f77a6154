"""A log of 600 entries on either database, copied for each test, and what somebody who owns the database can do to it."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from penelope.adapters.signers.ed25519 import Ed25519Signer, verifier
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.signal import Severity
from penelope.domain.work import Change
from penelope.flow.log import SignedCheckpoint
from penelope.flow.records import of_incident
from penelope.kit.canonical import canonical
from penelope.ledger.chain import GENESIS, Flaw, header, leaf_hash
from penelope.ledger.notes import (
    COSIGNATURE,
    Checkpoint,
    Signature,
    VerifierKey,
    cosigned_message,
    open_checkpoint,
    sign_checkpoint,
)
from penelope.ledger.ports import Verifier
from penelope.ledger.tiles import grow
from penelope.store import guards, rows
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.log import SqlLog
from penelope.store.reader import HISTORY
from penelope.store.transaction import SqlTransaction
from penelope.store.verification import SqlVerification

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
ORIGIN = "log.example/penelope"
SIGNER = Ed25519Signer.generate(ORIGIN)
WITNESS = Ed25519PrivateKey.generate()
WITNESS_KEY = VerifierKey("witness.example/w", COSIGNATURE, WITNESS.public_key().public_bytes_raw())
KEYS: list[Verifier] = [verifier(SIGNER.vkey), verifier(WITNESS_KEY.text)]

UNITS, ROUNDS = 40, 15
SIZE = UNITS * ROUNDS
SIGNED = (160, 320, 480, 600)
"""The sizes at which checkpoints were signed; the last is also kept outside."""


@dataclass(frozen=True)
class Copy:
    """A copy of the log that a test may spoil."""

    url: str
    writer: AsyncEngine
    reading: AsyncEngine
    outside: Checkpoint
    guarded: bool

    async def change(self, statement: str, **values: Any) -> None:
        """As the owner of the database; something must come of it."""
        async with self.writer.begin() as connection:
            assert (await connection.execute(text(statement), values)).rowcount > 0

    async def row(self, statement: str, **values: Any) -> Any:
        async with self.reading.connect() as connection:
            return (await connection.execute(text(statement), values)).mappings().one()

    async def entry(self, index: int) -> Any:
        """The line at a place in the log."""
        return await self.row(
            "SELECT entry.* FROM units_of_work_history entry JOIN log_leaves leaf ON leaf.seq = entry.seq "
            'WHERE leaf."index" = :index',
            index=index,
        )

    async def flaws(self, *, keys: Sequence[Verifier] = KEYS, **known: Any) -> list[Flaw]:
        """What is found from the one checkpoint kept outside, but for the guards where they were dropped."""
        walk = SqlVerification(self.reading).flaws([self.outside], keys, **known)
        return [flaw async for flaw in walk if self.guarded or "is not in force" not in flaw.problem]


Scene = Callable[[Copy], Awaitable[None]]


class Seed:
    """The log as it was before anybody touched it."""

    def __init__(self, folder: Path, server: str | None) -> None:
        self._folder, self._server, self._copies = folder, server, 0
        self._admin("CREATE DATABASE seed")
        # The older copy is the same log, as it was when half of it was written.
        self._note = asyncio.run(_lay_down(self._url("seed"), lambda: self._copy("seed", "older")))

    def _url(self, name: str) -> str:
        if self._server is None:
            return f"sqlite:///{self._folder}/{name}.db"
        url = parse_url(self._server).set(drivername="postgresql", database=name)
        return url.render_as_string(hide_password=False)

    def _admin(self, statement: str) -> None:
        if self._server is not None:
            with psycopg.connect(self._server, autocommit=True) as connection:
                connection.execute(statement.encode())

    @property
    def on_postgresql(self) -> bool:
        return self._server is not None

    @property
    def file(self) -> Path:
        return self._folder / "seed.db"

    def drop(self) -> None:
        for name in ("older", "seed"):
            self._admin(f"DROP DATABASE {name} WITH (FORCE)")

    def _copy(self, old: str, new: str) -> None:
        if self._server is None:
            shutil.copy(self._folder / f"{old}.db", self._folder / f"{new}.db")
            return
        self._admin(f"DROP DATABASE IF EXISTS {new}")
        self._admin(f"CREATE DATABASE {new} TEMPLATE {old}")

    def run(self, scene: Scene, alter: Callable[[Path], None] | None = None, *, of: str = "seed") -> None:
        """Runs a scene on a fresh copy of `seed` or `older`; `alter` may change SQLite's file before it is opened."""
        self._copies += 1
        name = f"copy_{self._copies}"
        self._copy(of, name)
        if alter is not None:
            alter(self._folder / f"{name}.db")
        try:
            asyncio.run(self._run(scene, self._url(name), guarded=alter is not None))
        finally:
            self._admin(f"DROP DATABASE {name} WITH (FORCE)")
            for left in self._folder.glob(f"{name}.*"):
                left.unlink()

    async def _run(self, scene: Scene, url: str, *, guarded: bool) -> None:
        # An attacker's own connection: none of our PRAGMAs holds it back.
        writer, reading = create_async_engine(parse_url(url)), open_reader(parse_url(url))
        try:
            if not guarded:
                async with writer.begin() as connection:
                    await connection.run_sync(_unlock)
            await scene(Copy(url, writer, reading, open_checkpoint(self._note, KEYS), guarded))
        finally:
            await reading.dispose()
            await writer.dispose()


def _unlock(connection: Any) -> None:
    guards.remove(connection)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ALTER TABLE units_of_work_history ALTER seq SET GENERATED BY DEFAULT")
        connection.exec_driver_sql("ALTER TABLE incidents DROP CONSTRAINT fk_incidents_id")


# --- the log before ---------------------------------------------------------------------------------------


def _change(unit: int, number: int) -> Change:
    moment = NOW + timedelta(seconds=number)
    if unit == 0:
        incident = Incident(
            id="inc_0",
            service="shop",
            fingerprint="problem",
            name="Broken",
            severity=Severity.ERROR,
            state=IncidentState.OBSERVING,
            opened_at=NOW,
            updated_at=moment,
            signal_count=number + 1,
        )
        return of_incident(incident, "Moved", "because")
    return Change(
        unit=f"inc_0:unit-{unit:02}",
        kind="decision",
        incident="inc_0",
        status=f"made-{number}",
        attributes={"number": number, "of": {"unit": unit}},
        event="DecisionMade",
        actor="key:ada" if unit % 2 else "penelope",
        reason=f"for reason {number}",
        details={"number": number},
    )


async def _lay_down(url: str, half_way: Callable[[], None]) -> bytes:
    """Writes the log, and keeps a copy of it at the second checkpoint; returns the note that is kept outside."""
    half = SIGNED[1] // UNITS
    await _write(url, range(half))
    half_way()
    return await _write(url, range(half, ROUNDS))


async def _write(url: str, numbers: Iterable[int]) -> bytes:
    writer, reading = open_engine(parse_url(url)), open_reader(parse_url(url))
    try:
        await migrate(writer)
        log, note = SqlLog(writer, reading, ORIGIN), b""
        for number in numbers:
            async with writer.begin() as connection:
                transaction = SqlTransaction(connection, NOW + timedelta(seconds=number))
                await transaction.save(*(_change(unit, number) for unit in range(UNITS)))
            await log.integrate(512)
            if await log.size() in SIGNED:
                note = await _sign(log, SqlVerification(reading))
        return note
    finally:
        await reading.dispose()
        await writer.dispose()


async def _sign(log: SqlLog, verification: SqlVerification) -> bytes:
    head = await verification.head()
    checkpoint = Checkpoint(ORIGIN, head.size, bytes.fromhex(head.root))
    note = await sign_checkpoint(checkpoint, [SIGNER])
    await log.add_checkpoint(SignedCheckpoint(size=head.size, root=checkpoint.root, note=note, signed_at=NOW))
    time = int(NOW.timestamp())
    data = time.to_bytes(8, "big") + WITNESS.sign(cosigned_message(time, checkpoint.text.encode()))
    line = Signature(WITNESS_KEY.name, WITNESS_KEY.key_id, data).line
    await log.add_cosignature(head.size, WITNESS_KEY.name, line, NOW)
    return note


# --- what an attacker computes again ----------------------------------------------------------------------


async def rewrite(copy: Copy, index: int, *, follow: bool = True) -> None:
    """Makes an entry say another event, with its hash; and, if `follow`, the chain and state after it."""
    victim = await copy.entry(index)
    async with copy.writer.begin() as connection:
        query = HISTORY.where(HISTORY.selected_columns.unit == victim["unit"]).order_by(
            HISTORY.selected_columns.version
        )
        found = [rows.entry_from(dict(row)) for row in (await connection.execute(query)).mappings()]
        previous = GENESIS
        for entry in found:
            event = "NothingHappened" if entry.version == victim["version"] else entry.event
            if entry.version < victim["version"]:
                previous = entry.hash
                continue
            if entry.version > victim["version"] and not follow:
                break
            draft = replace(entry, event=event, previous_hash=previous)
            body = canonical(header(draft))
            previous = leaf_hash(body)
            await connection.execute(
                text(
                    "UPDATE units_of_work_history SET event = :event, previous_hash = :link, body = :body, "
                    "hash = :hash WHERE seq = :seq"
                ),
                {
                    "event": event,
                    "link": draft.previous_hash,
                    "body": body.decode(),
                    "hash": previous,
                    "seq": entry.seq,
                },
            )
        if follow:
            await connection.execute(
                text("UPDATE units_of_work SET head = :head WHERE id = :unit"),
                {"head": previous, "unit": victim["unit"]},
            )


async def rebuild_tiles(copy: Copy) -> None:
    """Makes the tiles those of what history says now, and the log as long as its leaves."""
    async with copy.writer.begin() as connection:
        bodies = await connection.execute(
            text(
                "SELECT entry.body, entry.tx, entry.seq FROM log_leaves leaf "
                'JOIN units_of_work_history entry ON entry.seq = leaf.seq ORDER BY leaf."index"'
            )
        )
        found = bodies.all()
        await put_tiles(connection, [bytes.fromhex(leaf_hash(row[0].encode())) for row in found])
        await connection.execute(
            text("UPDATE log_state SET size = :size, tx = :tx, seq = :seq"),
            {"size": len(found), "tx": found[-1][1], "seq": found[-1][2]},
        )


async def put_tiles(connection: AsyncConnection, leaves: Sequence[bytes]) -> None:
    await connection.execute(text("DELETE FROM log_tiles"))
    for (level, index), data in grow(0, {}, leaves).items():
        await connection.execute(
            text('INSERT INTO log_tiles (level, "index", data) VALUES (:level, :index, :data)'),
            {"level": level, "index": index, "data": data},
        )
