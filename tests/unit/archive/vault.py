"""A ledger with its log, its keys and an archive, on either database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.adapters.archives.folder import FolderArchive
from penelope.adapters.signers.logkeys import FolderKeys
from penelope.domain.work import Change, Entry
from penelope.flow.archiving import ArchiveParts, Archiver
from penelope.flow.erasing import Eraser
from penelope.flow.log import SignedCheckpoint
from penelope.flow.recalling import Recall
from penelope.flow.sequencing import LogParts, Sequencer
from penelope.ledger import chain
from penelope.ledger.merkle import check_inclusion
from penelope.ledger.tiles import inclusion, tiles_of_inclusion
from penelope.store.archive import SqlArchive
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.group import GroupCommit
from penelope.store.log import SqlLog
from penelope.store.persons import SqlPersons
from penelope.store.reader import SqlReader
from penelope.store.verification import SqlVerification
from penelope.telemetry import Telemetry
from penelope.testing.clock import FakeClock

DAYS = 90
LONG_AGO = datetime(2016, 11, 21, 7, tzinfo=UTC)
GONE = "its payload is gone though retention did not take it"


@dataclass(frozen=True)
class Vault:
    """`folder` holds the archive and the keys."""

    folder: Path
    clock: FakeClock
    writer: AsyncEngine
    reading: AsyncEngine
    ledger: GroupCommit
    log: SqlLog
    keys: FolderKeys
    store: SqlArchive
    archive: FolderArchive

    @property
    def parts(self) -> ArchiveParts:
        return ArchiveParts(
            store=self.store, log=self.log, archive=self.archive, writer=self.ledger, keys=self.keys
        )

    @property
    def archiver(self) -> Archiver:
        return Archiver(self.parts, DAYS)

    @property
    def eraser(self) -> Eraser:
        return Eraser(self.parts, SqlPersons(self.writer, self.reading, self.clock))

    @property
    def recall(self) -> Recall:
        return Recall(self.store, self.archive)

    @property
    def files(self) -> list[Path]:
        return sorted((self.folder / "archive").glob("*.zst"))

    async def fill(self, count: int, name: str = "plan", actor: str = "penelope") -> None:
        """Entries of as many units, ten of an incident, each with something to tell."""
        changes = [change(f"{name}-{number}", actor, number) for number in range(count)]
        for start in range(0, count, 1000):
            await self.ledger.save(*changes[start : start + 1000])

    async def log_all(self) -> SignedCheckpoint:
        parts = LogParts(store=self.log, keys=self.keys, witnesses=(), observer=Telemetry(), clock=self.clock)
        checkpoint = await Sequencer(parts).round()
        assert checkpoint is not None
        return checkpoint

    async def signed(self) -> SignedCheckpoint:
        checkpoint = await self.log.latest()
        assert checkpoint is not None
        return checkpoint

    async def entries(self) -> Sequence[Entry]:
        return await SqlReader(self.reading).entries(incident=None, after=0, limit=100_000)

    async def payloads(self) -> int:
        async with self.reading.connect() as connection:
            found = await connection.exec_driver_sql("SELECT count(*) FROM history_payloads")
            return int(found.scalar_one())

    async def sql(self, statement: str) -> int:
        """Behind everyone's back; returns the number of rows it changed."""
        async with self.writer.begin() as connection:
            return int((await connection.exec_driver_sql(statement)).rowcount)

    async def proof(self, index: int, checkpoint: SignedCheckpoint) -> list[bytes]:
        """The inclusion proof of a leaf, which was checked against its entry's text."""
        tiles = await self.log.tiles(tiles_of_inclusion(index, checkpoint.size))
        found = inclusion(tiles, index, checkpoint.size)
        (body,) = (await self.log.bundle(index // 256, 256))[index % 256 : index % 256 + 1]
        leaf = bytes.fromhex(chain.leaf_hash(body))
        check_inclusion(leaf, index, checkpoint.size, found, checkpoint.root)
        return found

    async def flaws(self) -> list[str]:
        """What verification finds that no recorded erasure explains."""
        erasures = await self.store.erasures()
        verification = SqlVerification(self.reading)
        found = [flaw async for flaw in verification.flaws((), self.keys.verifiers)]
        return [
            f"{flaw.unit}: {flaw.problem}"
            for flaw in found
            if not (flaw.problem == GONE and flaw.seq in erasures)
        ]


def change(unit: str, actor: str = "penelope", number: int = 0) -> Change:
    return Change(
        unit=unit,
        kind="plan",
        incident=f"inc-{number // 10}",
        status="act",
        attributes={"number": number, "what": "restart"},
        event="PlanMade",
        actor=actor,
        reason=f"the error rate is {number}",
        details={"number": number},
    )


@asynccontextmanager
async def open_vault(url: str, folder: Path) -> AsyncIterator[Vault]:
    parsed, clock = parse_url(url), FakeClock(LONG_AGO)
    writer, reading = open_engine(parsed), open_reader(parsed)
    try:
        await migrate(writer)
        ledger = GroupCommit(writer, clock, Telemetry())
        try:
            yield Vault(
                folder=folder,
                clock=clock,
                writer=writer,
                reading=reading,
                ledger=ledger,
                log=SqlLog(writer, reading, "example.com/log"),
                keys=FolderKeys(folder / "keys", "example.com/log", clock),
                store=SqlArchive(writer, reading),
                archive=FolderArchive(folder / "archive"),
            )
        finally:
            await ledger.close()
    finally:
        await writer.dispose()
        await reading.dispose()


Scene = Callable[[Vault], Awaitable[None]]
Play = Callable[[Scene], None]


async def fill_with_old(url: str, folder: Path) -> None:
    """One segment and ten entries more, taken into the log and signed."""
    async with open_vault(url, folder) as vault:
        await vault.fill(4106)
        await vault.log_all()


def play(scene: Scene, url: str, folder: Path) -> None:
    """Runs a scene in a vault whose entries are a day older than what is kept."""

    async def run() -> None:
        async with open_vault(url, folder) as vault:
            vault.clock.advance(timedelta(days=DAYS + 1).total_seconds())
            await scene(vault)

    asyncio.run(run())
