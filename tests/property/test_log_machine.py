"""Any saves, crashes and restarts make a log in which every checkpoint is consistent with every later one."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations, count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select

from penelope.adapters.signers.keyfolder import load
from penelope.adapters.signers.logkeys import FolderKeys
from penelope.domain.work import Change, Entry
from penelope.errors import AppendConflict, ChainBroken
from penelope.flow.log import Lag, SignedCheckpoint
from penelope.flow.sequencing import LogParts, Sequencer
from penelope.kit.clock import SystemClock
from penelope.ledger.merkle import Tree, check_consistency, check_inclusion, leaf_hash
from penelope.ledger.notes import open_checkpoint
from penelope.ledger.tiles import consistency, inclusion, tiles_of_consistency, tiles_of_inclusion
from penelope.store.database import migrate, open_engine, parse_url
from penelope.store.group import GroupCommit
from penelope.store.log import SqlLog
from penelope.store.tables import units_of_work_history
from penelope.store.transaction import SqlTransaction

ORIGIN = "log.example/penelope"
NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)

changes = st.builds(
    Change,
    unit=st.sampled_from(["u1", "u2", "u3", "u4"]),
    kind=st.just("approval"),
    incident=st.just("inc_1"),
    status=st.sampled_from(["pending", "approved", "rejected"]),
    attributes=st.integers(0, 3).map(lambda number: {"n": number}),
    event=st.just("Saved"),
    actor=st.sampled_from(["penelope", "key:ada", "worker:w"]),
    reason=st.just("because"),
    version=st.none() | st.integers(0, 2),
)
saves = st.lists(changes, min_size=1, max_size=3)


class Nobody:
    """Observes nothing."""

    def entry_recorded(self, entry: Entry) -> None: ...

    def log_looked_at(self, size: int, lag: Lag) -> None: ...

    def checkpoint_signed(self, size: int) -> None: ...

    def witness_asked(self, witness: str, outcome: str) -> None: ...


class Dying(SqlLog):
    """Is killed after a checkpoint was signed, and before it is stored."""

    async def add_checkpoint(self, checkpoint: SignedCheckpoint) -> None:
        raise OSError(f"killed with {checkpoint.size} signed")


class Log(RuleBasedStateMachine):
    """A log that is saved to, taken in, signed and killed in any order; nothing but the disk remembers."""

    def __init__(self, fresh: Callable[[Path], str]) -> None:
        super().__init__()
        self._fresh = fresh

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="penelope-log-"))
        self.acknowledged: set[str] = set()
        self.signed: list[tuple[int, bytes]] = []
        self.copies = count()
        self.url = self._fresh(self.folder)
        self.runner.run(self._open())

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            try:
                self.sign()
            finally:
                self.runner.run(self._close())
                self.runner.close()
                shutil.rmtree(self.folder)

    async def _open(self) -> None:
        self.writer = open_engine(parse_url(self.url))
        await migrate(self.writer)
        self.group = GroupCommit(self.writer, SystemClock(), Nobody())
        self.log = SqlLog(self.writer, self.writer, ORIGIN)
        self.keys = FolderKeys(self.folder / "keys", ORIGIN, SystemClock())

    async def _close(self) -> None:
        await self.group.close()
        await self.writer.dispose()

    def _round(self, store: SqlLog) -> SignedCheckpoint | None:
        parts = LogParts(store=store, keys=self.keys, witnesses=(), observer=Nobody(), clock=SystemClock())
        return self.runner.run(Sequencer(parts).round())

    # --- what happens ---

    @rule(batches=st.lists(saves, min_size=1, max_size=4))
    def save_together(self, batches: list[list[Change]]) -> None:
        async def run() -> list[Any]:
            return await asyncio.gather(
                *(self.group.save(*batch) for batch in batches), return_exceptions=True
            )

        for found in self.runner.run(run()):
            assert isinstance(found, AppendConflict | Sequence), found
            if not isinstance(found, AppendConflict):
                self.acknowledged |= {entry.hash for entry in found}

    @rule(batch=saves, kept=st.booleans())
    def save_in_a_transaction(self, batch: list[Change], *, kept: bool) -> None:
        async def run() -> None:
            async with self.writer.connect() as connection:
                await connection.begin()
                transaction = SqlTransaction(connection, NOW)
                try:
                    await transaction.save(*batch)
                except AppendConflict:
                    return
                await (connection.commit() if kept else connection.rollback())
            if kept:
                self.acknowledged.update(entry.hash for entry in transaction.entries)

        self.runner.run(run())

    @rule(limit=st.integers(1, 5))
    def take_in(self, limit: int) -> None:
        done = self.runner.run(self.log.integrate(limit))
        assert done is not None
        assert done.added <= limit

    @rule()
    def sign(self) -> None:
        checkpoint = self._round(self.log)
        found = self.runner.run(self._hashes())
        assert Counter(found).keys() >= self.acknowledged, "an acknowledged entry is not in the log"
        if checkpoint is None:
            assert found == []
            return
        assert checkpoint.size == len(found)
        opened = open_checkpoint(checkpoint.note, self.keys.verifiers)
        assert opened.root == checkpoint.root == Tree(map(bytes.fromhex, found)).root()
        self.signed.append((checkpoint.size, checkpoint.root))

    @rule()
    def sign_and_die(self) -> None:
        try:
            self._round(Dying(self.writer, self.writer, ORIGIN))
        except OSError:
            note = self.runner.run(self.keys.anchor()) or b""
            opened = open_checkpoint(note, self.keys.verifiers)
            self.signed.append((opened.size, opened.root))
        self.restart()

    @rule()
    def rotate(self) -> None:
        if len(self.keys.signers) < 3:
            load(self.folder / "keys", ORIGIN, NOW).rotate(NOW)

    @rule()
    def restart(self) -> None:
        self.runner.run(self._close())
        self.runner.run(self._open())

    @rule(batch=saves)
    def die_in_a_transaction(self, batch: list[Change]) -> None:
        self.runner.run(self._die(batch))

    async def _die(self, batch: list[Change]) -> None:
        async with self.writer.connect() as connection:
            await connection.begin()
            with suppress(AppendConflict):
                await SqlTransaction(connection, NOW).save(*batch)
            self._at_the_moment_of_death()
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await raw.close()  # nobody has said COMMIT, nor ROLLBACK
            await connection.invalidate()
        await self._close()
        await self._open()

    def _at_the_moment_of_death(self) -> None:
        """For a database that is files."""

    # --- what holds ---

    @invariant()
    def leaves_are_there_once(self) -> None:
        if hasattr(self, "runner"):
            found = self.runner.run(self._hashes())
            assert len(found) == len(set(found))

    @invariant()
    def checkpoints_are_consistent(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self._check())

    async def _check(self) -> None:
        known = sorted(set(self.signed))
        for (old, before), (size, after) in combinations(known, 2):
            proof = consistency(await self.log.tiles(tiles_of_consistency(old, size)), old, size)
            check_consistency(old, size, before, after, proof)
        if not known:
            return
        size, after = known[-1]
        for index in {0, size // 2, size - 1}:
            (body,) = (await self.log.bundle(index // 256, 256))[index % 256 : index % 256 + 1]
            proof = inclusion(await self.log.tiles(tiles_of_inclusion(index, size)), index, size)
            check_inclusion(leaf_hash(body), index, size, proof, after)

    async def _hashes(self) -> list[str]:
        bodies = await self.log.bundle(0, await self.log.size())
        return [leaf_hash(body).hex() for body in bodies]


class LogInAFile(Log):
    """What is kept of the file at a death is all there is; and an old copy of it is no log to go on from."""

    def __init__(self) -> None:
        super().__init__(lambda folder: f"sqlite:///{folder}/log.db")

    @property
    def _file(self) -> Path:
        return Path(str(parse_url(self.url).database))

    def _copy(self) -> str:
        """The file and its journal as they are now, as a machine without power leaves them."""
        copy = self.folder / f"log-{next(self.copies)}.db"
        for tail in ("", "-wal"):
            if (file := Path(f"{self._file}{tail}")).exists():
                shutil.copy(file, f"{copy}{tail}")
        return f"sqlite:///{copy}"

    def _at_the_moment_of_death(self) -> None:
        self.url = self._copy()

    @rule()
    def back_up(self) -> None:
        self.backup = self._copy(), self.runner.run(self._entries())

    async def _entries(self) -> int:
        async with self.writer.begin() as connection:
            return int(await connection.scalar(select(func.count()).select_from(units_of_work_history)) or 0)

    @precondition(
        lambda self: hasattr(self, "backup") and any(size > self.backup[1] for size, _ in self.signed)
    )
    @rule(others=st.integers(0, 8))
    def put_an_old_copy_back(self, others: int) -> None:
        """Entries that were signed are not in it; others may be, until it is as long and longer."""
        present, self.url = self.url, self.backup[0]
        self.restart()
        for number in range(others):
            fork = replace(_FORK, unit=f"fork-{number}")
            self.runner.run(self.group.save(fork))
        with pytest.raises(ChainBroken):
            self._round(self.log)
        self.url = present
        del self.backup
        self.restart()


_FORK = Change(
    unit="fork",
    kind="approval",
    incident="inc_2",
    status="pending",
    attributes={},
    event="Forked",
    actor="penelope",
    reason="because",
)

TestLogInAFile = LogInAFile.TestCase
TestLogInAFile.settings = settings(max_examples=20, stateful_step_count=15)


def test_a_log_on_a_server(postgres_server: str) -> None:
    def fresh(_folder: Path) -> str:
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return postgres_server

    class LogOnAServer(Log):
        def __init__(self) -> None:
            super().__init__(fresh)

    wanted = settings(max_examples=5, stateful_step_count=12)
    run_state_machine_as_test(LogOnAServer, settings=wanted)
