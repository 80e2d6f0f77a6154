"""The sequencer: what it signs follows from all that was signed before, and witnesses are asked for it."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.adapters.signers.ed25519 import verifier
from penelope.adapters.signers.keyfolder import load
from penelope.adapters.signers.logkeys import FolderKeys
from penelope.adapters.witnesses.http import HttpWitness
from penelope.domain.work import Change
from penelope.errors import ChainBroken, SignatureInvalid, Unavailable, WitnessRefused
from penelope.flow import sequencing
from penelope.flow.cosigning import Cosigner
from penelope.flow.log import Lag, SignedCheckpoint
from penelope.flow.sequencing import LogParts, Sequencer
from penelope.kit.clock import SystemClock
from penelope.ledger.merkle import Tree, check_consistency
from penelope.ledger.notes import Note, add_signatures, open_checkpoint, verify
from penelope.ledger.ports import Witness
from penelope.store import guards, tables
from penelope.store.database import migrate, open_engine, parse_url
from penelope.store.log import SqlLog
from penelope.store.transaction import SqlTransaction
from penelope.testing.witness import FakeWitness

ORIGIN = "log.example/penelope"
NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


@dataclass
class Seen:
    """An observer that remembers."""

    looks: list[tuple[int, int]] = field(default_factory=list)
    signed: list[int] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def log_looked_at(self, size: int, lag: Lag) -> None:
        self.looks.append((size, lag.entries))

    def checkpoint_signed(self, size: int) -> None:
        self.signed.append(size)

    def witness_asked(self, witness: str, outcome: str) -> None:
        self.asked.append((witness, outcome))


@dataclass
class World:
    """A log in a database that can be put back, with its keys in a folder beside it."""

    url: str
    folder: Path
    writer: AsyncEngine
    seen: Seen = field(default_factory=Seen)
    written: int = 0

    def __post_init__(self) -> None:
        self.store = SqlLog(self.writer, self.writer, ORIGIN)
        self.keys = FolderKeys(self.folder / "keys", ORIGIN, SystemClock())

    def sequencer(self, *witnesses: Witness, store: Any = None) -> Sequencer:
        return Sequencer(
            LogParts(
                store=store or self.store,
                keys=self.keys,
                witnesses=witnesses,
                observer=self.seen,
                clock=SystemClock(),
            )
        )

    async def write(self, entries: int, words: str = "made") -> None:
        changes = [
            Change(
                unit=f"u-{self.written + number}",
                kind="approval",
                incident="inc_1",
                status=words,
                attributes={},
                event="Saved",
                actor="penelope",
                reason="because",
            )
            for number in range(entries)
        ]
        self.written += entries
        async with self.writer.begin() as connection:
            await SqlTransaction(connection, NOW).save(*changes)

    async def round(self, *witnesses: Witness) -> SignedCheckpoint:
        """Signs, and has it cosigned by each of the witnesses."""
        signed = await self.sequencer().round()
        assert signed is not None
        for witness in witnesses:
            await Cosigner(witness, self.store, self.seen, SystemClock()).ask(signed)
        return signed

    async def notes(self) -> list[bytes]:
        """All checkpoints that are stored, by size."""
        query = tables.log_checkpoints.select().order_by(tables.log_checkpoints.c.size)
        async with self.writer.connect() as connection:
            return [row.note.encode() for row in await connection.execute(query)]

    async def sql(self, *statements: str) -> None:
        async with self.writer.begin() as connection:
            await connection.run_sync(guards.remove)
            for statement in statements:
                await connection.exec_driver_sql(statement)

    async def back_up(self) -> None:
        if self.url.startswith("sqlite"):
            await self.sql_unguarded("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copy(self._file, self.folder / "backup.db")
            return
        async with self.writer.begin() as connection:
            for table in tables.metadata.tables:
                await connection.exec_driver_sql(f"CREATE TABLE old_{table} AS TABLE {table}")

    async def put_back(self) -> None:
        """The database as it was backed up; what lies in the folder stays."""
        if self.url.startswith("sqlite"):
            await self.writer.dispose()
            for left in self._file.parent.glob(f"{self._file.name}-*"):
                left.unlink()
            shutil.copy(self.folder / "backup.db", self._file)
            return
        names = list(tables.metadata.tables)
        await self.sql(
            f"TRUNCATE {', '.join(names)} CASCADE",
            "ALTER TABLE incidents DROP CONSTRAINT fk_incidents_id",
            *(f"INSERT INTO {name} OVERRIDING SYSTEM VALUE SELECT * FROM old_{name}" for name in names),
        )
        async with self.writer.begin() as connection:
            await connection.run_sync(guards.install)

    async def sql_unguarded(self, statement: str) -> None:
        raw = await self.writer.raw_connection()
        await raw.driver_connection.execute(statement)  # type: ignore[union-attr]  # it is open
        raw.close()

    @property
    def _file(self) -> Path:
        return Path(str(parse_url(self.url).database))


Scene = Callable[[World], Awaitable[None]]


@pytest.fixture
def on_logs(databases: tuple[str, str], tmp_path: Path) -> Callable[[Scene], None]:
    async def run(scene: Scene) -> None:
        writer = open_engine(parse_url(databases[0]))
        try:
            await migrate(writer)
            await scene(World(databases[0], tmp_path, writer))
        finally:
            await writer.dispose()

    return lambda scene: asyncio.run(run(scene))


OnLogs = Callable[[Scene], None]


# --- signing ----------------------------------------------------------------------------------------------


def test_an_empty_log_is_not_signed(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        assert await world.sequencer().round() is None
        assert await world.notes() == []
        assert await world.keys.anchor() is None
        assert world.seen == Seen(looks=[(0, 0)])

    on_logs(scene)


def test_what_has_grown_is_signed_once_a_size(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        signed: list[SignedCheckpoint] = []
        for entries in (1, 0, 6, 0):
            if entries:
                await world.write(entries)
            signed.append(await world.round())
        assert [checkpoint.size for checkpoint in signed] == [1, 1, 7, 7]
        assert signed[0] == signed[1]
        assert world.seen.signed == [1, 7]
        assert world.seen.looks == [(1, 0), (1, 0), (7, 0), (7, 0)]
        assert await world.notes() == [signed[0].note, signed[2].note]
        assert await world.keys.anchor() == signed[2].note
        hashes = b"".join([bytes.fromhex(text) for text in await _hashes(world)])
        for checkpoint in signed:
            opened = open_checkpoint(checkpoint.note, world.keys.verifiers)
            assert (opened.origin, opened.size, opened.root) == (ORIGIN, checkpoint.size, checkpoint.root)
            assert checkpoint.root == Tree(hashes).root(checkpoint.size)

    on_logs(scene)


async def _hashes(world: World) -> list[str]:
    query = tables.units_of_work_history.select().order_by(tables.units_of_work_history.c.seq)
    async with world.writer.connect() as connection:
        return [row.hash for row in await connection.execute(query)]


def test_writers_that_never_stop_do_not_keep_it_from_signing(
    on_logs: OnLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencing, "BATCH", 4)
    monkeypatch.setattr(sequencing, "_BATCHES_A_ROUND", 3)

    async def scene(world: World) -> None:
        await world.write(20)
        assert (await world.round()).size == 12
        assert (await world.round()).size == 20
        assert world.seen.looks == [(12, 8), (20, 0)]

    on_logs(scene)


class DiesBetween(SqlLog):
    """Does not come to store what was signed."""

    async def add_checkpoint(self, checkpoint: SignedCheckpoint) -> None:
        raise OSError(f"killed before {checkpoint.size} was stored")


@pytest.mark.parametrize("grows", [False, True], ids=["as it was", "grown meanwhile"])
def test_what_was_signed_and_not_stored_is_gone_on_from(on_logs: OnLogs, *, grows: bool) -> None:
    async def scene(world: World) -> None:
        await world.write(3)
        dying = DiesBetween(world.writer, world.writer, ORIGIN)
        with pytest.raises(OSError, match="killed"):
            await world.sequencer(store=dying).round()
        remembered = await world.keys.anchor()
        assert remembered is not None
        assert await world.notes() == []
        # Another key would make another note of it: there is to be one note of each size.
        load(world.folder / "keys", ORIGIN, NOW).rotate(NOW)
        if grows:
            await world.write(2)
        after = await world.round()
        assert (after.note == remembered) is not grows
        assert len(Note.parse(after.note).signatures) == (2 if grows else 1)
        assert after.size == (5 if grows else 3)
        assert await world.notes() == [after.note]

    on_logs(scene)


def test_a_key_that_is_added_or_retired_meanwhile_is_seen(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        (old,) = world.keys.signers
        notes = []
        await world.write(1)
        notes.append((await world.round()).note)
        both = load(world.folder / "keys", ORIGIN, NOW).rotate(NOW)
        await world.write(1)
        notes.append((await world.round()).note)
        both.retire(old.key_id, NOW)
        await world.write(1)
        notes.append((await world.round()).note)
        new = next(signer for signer in both.signers if signer.key_id != old.key_id)
        signers = [{each.key_id for each in Note.parse(note).signatures} for note in notes]
        assert signers == [{old.key_id}, {old.key_id, new.key_id}, {new.key_id}]
        for note in notes:
            assert len(verify(Note.parse(note), world.keys.verifiers)) in {1, 2}

    on_logs(scene)


# --- a database that does not continue what was signed ----------------------------------------------------


def test_a_restored_database_is_noticed_and_not_forked(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        await world.write(5)
        first = await world.round()
        await world.back_up()
        await world.write(4)
        last = await world.round()
        await world.put_back()
        assert await world.notes() == [first.note]
        with pytest.raises(ChainBroken, match="had 9 entries when it was last signed, and now 5"):
            await world.sequencer().round()
        for entries in (4, 11):  # as long as it was, and longer
            world.written = 5
            await world.write(entries, f"otherwise-{entries}")
            with pytest.raises(ChainBroken, match="does not extend that of 9"):
                await world.sequencer().round()
        assert await world.notes() == [first.note]
        assert await world.keys.anchor() == last.note
        assert world.seen.signed == [5, 9]

    on_logs(scene)


def test_a_database_that_was_emptied_is_noticed(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        await world.back_up()
        await world.write(5)
        await world.round()
        await world.put_back()
        with pytest.raises(ChainBroken, match="had 5 entries when it was last signed, and now 0"):
            await world.sequencer().round()
        assert await world.notes() == []

    on_logs(scene)


def test_a_fork_that_was_signed_elsewhere_is_not_gone_on_from(on_logs: OnLogs) -> None:
    """With a copy of the keys, and greater than what was signed here: the anchor must not give way to it."""

    async def scene(world: World) -> None:
        anchor = world.folder / "keys" / "anchor"
        await world.back_up()
        await world.write(5)
        first = await world.round()
        kept = anchor.read_bytes()
        await world.put_back()
        anchor.unlink()
        await world.write(7, "otherwise")
        await world.round()
        anchor.write_bytes(kept)
        await world.write(1)
        with pytest.raises(ChainBroken, match="does not extend that of 5"):
            await world.sequencer().round()
        assert await world.keys.anchor() == first.note

    on_logs(scene)


def test_without_its_anchor_the_stored_checkpoint_is_gone_on_from(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        await world.write(5)
        first = await world.round()
        (world.folder / "keys" / "anchor").unlink()
        await world.write(1)
        last = await world.round()
        assert last.size == 6
        await _consistent(world, first, last)
        (world.folder / "keys" / "anchor").unlink()
        async with world.writer.begin() as connection:
            await connection.execute(tables.log_tiles.update().values(data=bytes(32 * 6)))
        with pytest.raises(ChainBroken, match="does not extend that of 6"):
            await world.sequencer().round()
        assert await world.keys.anchor() is None

    on_logs(scene)


async def _consistent(world: World, old: SignedCheckpoint, new: SignedCheckpoint) -> None:
    tree = Tree([bytes.fromhex(text) for text in await _hashes(world)])
    check_consistency(old.size, new.size, old.root, new.root, tree.consistency(old.size, new.size))


def test_a_checkpoint_that_others_put_there_is_not_gone_on_from(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        await world.write(2)
        await world.round()
        stranger = FolderKeys(world.folder / "others", ORIGIN, SystemClock())
        theirs = replace(world)
        theirs.keys = stranger
        await world.sql("DELETE FROM log_checkpoints")
        await theirs.round()
        await world.write(1)
        with pytest.raises(
            SignatureInvalid, match=r"keys of this host did not sign .* over 2 entries"
        ) as raised:
            await world.sequencer().round()
        assert "must share the folder ledger.keys" in raised.value.advice
        assert world.seen.signed == [2, 2]

    on_logs(scene)


def test_two_hosts_with_keys_of_their_own_do_not_fail_silently(
    on_logs: OnLogs, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(world: World) -> None:
        other = replace(world, seen=Seen())
        other.keys = FolderKeys(world.folder / "keys-of-another-host", ORIGIN, SystemClock())
        await world.write(2)
        await world.round()
        async with running(other.sequencer()):
            await until(lambda: bool(other.seen.looks))
        assert other.seen.signed == []

    with caplog.at_level(logging.ERROR):
        on_logs(scene)
    assert "Hosts that share a database must share the folder ledger.keys" in caplog.text


# --- a log with a new name in the same database -----------------------------------------------------------


def renamed(world: World) -> World:
    """The same database under a new origin and new keys, as the runbook for a restored backup says."""
    new = replace(world, seen=Seen())
    new.store = SqlLog(world.writer, world.writer, "log.example/second")
    new.keys = FolderKeys(world.folder / "second-keys", "log.example/second", SystemClock())
    return new


def test_a_restored_database_goes_on_under_a_new_name(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        await world.write(5)
        first = await world.round()
        await world.back_up()
        await world.write(4)
        await world.round()
        await world.put_back()
        with pytest.raises(ChainBroken, match="had 9 entries when it was last signed, and now 5"):
            await world.sequencer().round()
        new = renamed(world)
        new.written = 5
        # There is a note of this size already, and it stays the only one: the next entry makes another.
        assert await new.sequencer().round() is None
        assert await new.keys.anchor() is None
        await new.write(1)
        signed = [await new.round()]
        await new.write(3)
        signed.append(await new.round())
        assert [checkpoint.size for checkpoint in signed] == [6, 9] == new.seen.signed
        assert await new.notes() == [first.note, *(checkpoint.note for checkpoint in signed)]
        for checkpoint in signed:
            assert open_checkpoint(checkpoint.note, new.keys.verifiers).origin == "log.example/second"
        # The old name is as wary as before.
        with pytest.raises(ChainBroken, match="does not extend that of 9"):
            await world.sequencer().round()

    on_logs(scene)


def test_what_a_new_name_has_signed_is_not_forked(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        await world.write(5)
        await world.round()
        await world.write(1)
        new = renamed(world)
        await new.round()
        await new.back_up()
        await new.write(2)
        await new.round()
        await new.put_back()
        with pytest.raises(ChainBroken, match="had 8 entries when it was last signed, and now 6"):
            await new.sequencer().round()

    on_logs(scene)


def test_a_witness_is_asked_for_the_log_with_the_new_name(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        await world.write(5)
        new = renamed(world)
        witness = FakeWitness(
            "witness.example/w",
            {
                ORIGIN: [signer.vkey for signer in world.keys.signers],
                "log.example/second": [signer.vkey for signer in new.keys.signers],
            },
            SystemClock(),
        )
        await world.round(witness)
        await new.write(1)
        last = await new.round(witness)
        assert {origin: seen.size for origin, seen in witness.seen.items()} == {
            ORIGIN: 5,
            "log.example/second": 6,
        }
        note = add_signatures(last.note, await new.store.cosignatures(6))
        known = [*new.keys.verifiers, verifier(witness.vkey, clock=SystemClock())]
        assert len(verify(Note.parse(note), known)) == 2

    on_logs(scene)


# --- witnesses --------------------------------------------------------------------------------------------


class Counted(FakeWitness):
    """Counts how often it is asked, and from which sizes."""

    def __init__(self, world: World, name: str = "witness.example/w") -> None:
        logs = {ORIGIN: [signer.vkey for signer in world.keys.signers]}
        super().__init__(name, logs, SystemClock())
        self.asked_from: list[int] = []

    async def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: bytes) -> list[str]:
        self.asked_from.append(old_size)
        return await super().add_checkpoint(old_size, proof, note)


@dataclass
class Scripted:
    """A witness that does as it is told, each time anew."""

    answers: list[Callable[[], Awaitable[list[str]]]]
    name: str = "witness.example/scripted"

    async def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: bytes) -> list[str]:  # noqa: ARG002 - it does not listen
        return await self.answers.pop(0)()


def raising(error: Exception) -> Callable[[], Awaitable[list[str]]]:
    async def answer() -> list[str]:
        raise error

    return answer


def test_cosignatures_are_stored_and_hold(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        witnesses = [Counted(world, "witness.example/1"), Counted(world, "witness.example/2")]
        await world.write(3)
        await world.round(*witnesses)
        await world.round(*witnesses)
        await world.write(5)
        last = await world.round(*witnesses)
        assert [witness.asked_from for witness in witnesses] == [[0, 3], [0, 3]]
        assert world.seen.asked == [(witness.name, "cosigned") for witness in witnesses] * 2
        lines = await world.store.cosignatures(8)
        known = [verifier(witness.vkey, clock=SystemClock()) for witness in witnesses]
        found = verify(Note.parse(add_signatures(last.note, lines)), [*world.keys.verifiers, *known])
        assert [each.name for each in found] == [ORIGIN, "witness.example/1", "witness.example/2"]
        assert len(await world.store.cosignatures(3)) == 2

    on_logs(scene)


def test_a_witness_that_stands_elsewhere_is_asked_from_there(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        witness = Counted(world)
        await world.write(3)
        signed = await world.round()
        # It has cosigned, and the answer was lost on its way.
        await witness.add_checkpoint(0, [], signed.note)
        await world.write(4)
        await world.round(witness)
        assert witness.asked_from == [0, 0, 3]
        # It begins anew, and has forgotten all.
        fresh = Counted(world)
        await world.write(1)
        await world.round(fresh)
        assert fresh.asked_from == [7, 0]
        assert world.seen.asked == [(witness.name, "cosigned")] * 2
        assert [len(await world.store.cosignatures(size)) for size in (3, 7, 8)] == [0, 1, 1]

    on_logs(scene)


def test_a_witness_that_has_cosigned_this_size_already_does_so_again(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        witness = Counted(world)
        await world.write(3)
        signed = await world.round()
        await witness.add_checkpoint(0, [], signed.note)
        await world.round(witness)
        assert witness.asked_from == [0, 0, 3]
        assert len(await world.store.cosignatures(3)) == 1

    on_logs(scene)


def test_a_witness_that_has_seen_more_than_there_is_breaks_the_chain(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        witness = Counted(world)
        await world.write(2)
        await world.round(witness)
        await world.back_up()
        await world.write(5)
        await world.round(witness)
        await world.put_back()
        (world.folder / "keys" / "anchor").unlink()  # restored as well, against all advice
        world.written = 2
        await world.write(1, "otherwise")
        with pytest.raises(ChainBroken, match=r"has seen 7 entries, but there are 3"):
            await world.round(witness)
        assert world.seen.asked[-1] == (witness.name, "refused")
        # Later there is as much as it has seen, but it is another log.
        await world.write(10, "otherwise")
        await world.round(witness)
        assert world.seen.asked[-1] == (witness.name, "refused")
        assert await world.store.cosigned(witness.name) == 2

    on_logs(scene)


def test_of_two_processes_that_ask_one_witness_the_later_is_content(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        async def another_was_first() -> list[str]:
            await world.write(4)
            await world.store.integrate(10)
            raise WitnessRefused("has seen another size", size=6)

        await world.write(2)
        assert (await world.round(Scripted([another_was_first]))).size == 2
        await world.store.add_cosignature(6, "witness.example/scripted", "line", NOW)
        older = replace(world)
        older.store = _Behind(world.writer, world.writer, ORIGIN)
        await older.round(Scripted([]))  # is not asked at all
        assert ("witness.example/scripted", "refused") not in world.seen.asked
        assert await world.store.cosignatures(2) == []

    on_logs(scene)


class _Behind(SqlLog):
    """Looked at the size a moment ago."""

    async def size(self) -> int:
        return 2

    async def integrate(self, limit: int) -> None:
        """Another process does it."""


def test_a_witness_that_does_not_answer_stops_nothing(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        gone, well = Scripted([raising(Unavailable("out of reach"))]), Counted(world)
        await world.write(2)
        signed = await world.round(gone, well)
        assert world.seen.signed == [2]
        assert world.seen.asked == [(gone.name, "unavailable"), (well.name, "cosigned")]
        gone.answers = [lambda: FakeLine.answer("line")]
        assert await world.round(gone, well) == signed
        assert world.seen.asked[2:] == [(gone.name, "cosigned")]
        assert "line" in await world.store.cosignatures(2)

    on_logs(scene)


class FakeLine:
    @staticmethod
    async def answer(line: str) -> list[str]:
        return [line]


@pytest.mark.parametrize("size", [None, 0], ids=["for another reason", "from where it was asked"])
def test_a_witness_that_refuses_stops_nothing(
    on_logs: OnLogs, caplog: pytest.LogCaptureFixture, size: int | None
) -> None:
    async def scene(world: World) -> None:
        strict, well = Scripted([raising(WitnessRefused("no trust", size=size))]), Counted(world)
        await world.write(2)
        await world.round(strict, well)
        assert world.seen.asked == [(strict.name, "refused"), (well.name, "cosigned")]

    on_logs(scene)
    assert "refused: no trust" in caplog.text


# --- going on and on --------------------------------------------------------------------------------------


@asynccontextmanager
async def running(sequencer: Sequencer) -> AsyncIterator[None]:
    """Runs it beside the block; after that nothing that it began is left."""
    others = asyncio.all_tasks()
    task = asyncio.create_task(sequencer.run(0.01))
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == others


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110 - what is waited for happens in another task that tells nobody
            await asyncio.sleep(0.002)


@asynccontextmanager
async def hanging() -> AsyncIterator[tuple[str, list[Any]]]:
    """A server that takes every request and answers none: its URL, and the connections that it has taken."""
    taken: list[Any] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)
        await reader.read()  # until the other side gives up
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", taken


def test_a_witness_that_never_answers_delays_nothing(on_logs: OnLogs) -> None:
    async def scene(world: World) -> None:
        well = Counted(world)
        mute = verifier(FakeWitness("witness.example/mute", {}, SystemClock()).vkey)
        async with hanging() as (url, taken):
            silent = HttpWitness(url, [mute], timeout_seconds=60)
            async with asyncio.timeout(20), running(world.sequencer(silent, well)):
                for number in (1, 2, 3):
                    await world.write(2)
                    await until(lambda number=number: len(world.seen.asked) == number)
                    assert world.seen.looks[-1][0] == 2 * number
                assert world.seen.signed == [2, 4, 6]
                await until(lambda: bool(taken))
                assert len(taken) == 1  # it is not asked again while it may still answer
        assert world.seen.asked == [(well.name, "cosigned")] * 3
        assert len(await world.store.cosignatures(6)) == 1

    on_logs(scene)


def test_a_witness_that_did_not_answer_is_asked_again(
    on_logs: OnLogs, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(world: World) -> None:
        await world.write(2)
        witness = Scripted(
            [
                raising(Unavailable("out of reach")),
                raising(OSError("a bug")),
                raising(WitnessRefused("has seen another size", size=7)),
                lambda: FakeLine.answer("line"),
            ]
        )
        async with running(world.sequencer(witness)):
            await until(lambda: (witness.name, "cosigned") in world.seen.asked)
        assert [outcome for _, outcome in world.seen.asked] == ["unavailable", "refused", "cosigned"]

    on_logs(scene)
    assert "has seen 7 entries, but there are 2" in caplog.text
    assert f"{Scripted.name} was not asked" in caplog.text


class Troubled(SqlLog):
    """Fails in the ways that are left."""

    troubles: list[Exception]

    async def integrate(self, limit: int) -> Any:
        if self.troubles:
            raise self.troubles.pop(0)
        return await super().integrate(limit)


def test_no_trouble_ends_it(on_logs: OnLogs, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(world: World) -> None:
        await world.write(2)
        store = Troubled(world.writer, world.writer, ORIGIN)
        store.troubles = [OSError("the database is away"), ChainBroken("altered"), ValueError("a bug")]
        async with running(world.sequencer(store=store)):
            await until(lambda: world.seen.signed == [2])
        assert world.seen.looks[:3] == [(0, 2)] * 3  # how far behind it is was told all the same

    with caplog.at_level(logging.ERROR):
        on_logs(scene)
    told = [(record.getMessage(), record.exc_info is not None) for record in caplog.records]
    assert told == [
        ("the log was not brought up to date", True),
        (f"the log was not brought up to date: altered. {ChainBroken.hint}", False),
        ("the log was not brought up to date", True),
    ]
