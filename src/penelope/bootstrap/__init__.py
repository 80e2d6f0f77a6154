"""The one place where parts are put together."""

import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penelope.adapters.archives.folder import FolderArchive
from penelope.adapters.routers.traefik_serving import TraefikProvider
from penelope.adapters.signers.ed25519 import verifier
from penelope.adapters.signers.logkeys import FolderKeys
from penelope.adapters.witnesses.http import HttpWitness
from penelope.bootstrap.background import background
from penelope.bootstrap.benchmarks import benchmarks_of
from penelope.bootstrap.constitution import scale_of
from penelope.bootstrap.deployments import deployments_of
from penelope.bootstrap.parts import parts_of
from penelope.bootstrap.routers import provider_of
from penelope.bootstrap.surroundings import surrounded
from penelope.bootstrap.tokens import tokens_of
from penelope.bootstrap.wisdom import wisdom_base
from penelope.bootstrap.words import Words, words_of
from penelope.errors import BadSettings
from penelope.flow import records
from penelope.flow.answers import AnswerDesk
from penelope.flow.archiving import ArchiveParts, Archiver
from penelope.flow.audit import DecisionAudit
from penelope.flow.autonomy_desk import AutonomyDesk
from penelope.flow.benchmark_desk import BenchmarkDesk
from penelope.flow.commands import Commands
from penelope.flow.compliance import ComplianceWatch, TallyReader
from penelope.flow.deployments import DeploymentDesk
from penelope.flow.engine import Engine, EngineSettings, Pool
from penelope.flow.export import HistoryReader, Recalled
from penelope.flow.heartbeat import ActorStore, Heartbeat
from penelope.flow.importing import CaseImport
from penelope.flow.integrity import LedgerSweep
from penelope.flow.keys import KeyRing, TokenReader
from penelope.flow.log import LogStore
from penelope.flow.missions import MissionDesk
from penelope.flow.parts import Parts
from penelope.flow.ports import LedgerWriter, Observer, Reader, Verification
from penelope.flow.recalling import Recall
from penelope.flow.remediation import chapters, story
from penelope.flow.replaying import Replaying
from penelope.flow.resolving import Resolver
from penelope.flow.sequencing import LogKeys, LogParts, Sequencer
from penelope.flow.sweep import sweep_forever
from penelope.flow.switching import HaltSwitch
from penelope.flow.wisdom import WisdomBase
from penelope.kit.clock import Clock, SystemClock
from penelope.ledger.buffer import Limits as BufferLimits
from penelope.ledger.buffer import Sink, TelemetryBuffer
from penelope.ledger.losses import Loss
from penelope.ledger.ports import Witness
from penelope.ledger.spill import SpillFile
from penelope.rooms.intake.run import Rules
from penelope.settings import Settings
from penelope.settings.constitution import Constitution as ConstitutionSettings
from penelope.settings.tree import Buffer as BufferSettings
from penelope.store.actors import SqlActors
from penelope.store.answers import SqlAnswers
from penelope.store.archive import SqlArchive
from penelope.store.audit import SqlAudit
from penelope.store.compliance import SqlTally
from penelope.store.database import (
    existing,
    migrate,
    open_engine,
    open_reader,
    open_workflow_engine,
    parse_url,
)
from penelope.store.export import SqlHistory
from penelope.store.group import GroupCommit
from penelope.store.keys import SqlKeys
from penelope.store.log import SqlLog
from penelope.store.logs import SqlLogs
from penelope.store.missions import SqlMissions
from penelope.store.outbox import SqlDue
from penelope.store.reader import SqlReader
from penelope.store.standings import SqlStandings
from penelope.store.transaction import SqlTransaction
from penelope.store.verification import SqlVerification
from penelope.telemetry import ErrorsToBuffer, Shadow, Telemetry

SWITCH_SECONDS = 0.0002
"""How long a thread may keep the interpreter while others wait. SQLite gives it up at every statement, and with
Python's 5 ms the event loop waited for the engine's threads longer than for the database (docs/benchmarks.md)."""

_SHORTEST_PEPPER = 16

_LAST_FLUSH_SECONDS = 5.0
"""How long telemetry that waits may take to be written when the server stops."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A running Penelope, as its entrances see it."""

    settings: Settings
    parts: Parts
    commands: Commands
    switch: HaltSwitch
    reader: Reader
    keys: KeyRing
    tokens: TokenReader | None
    telemetry: Telemetry
    sweep: LedgerSweep
    actors: ActorStore
    ledger: LedgerWriter
    log: LogStore
    log_keys: LogKeys
    history: HistoryReader
    recall: Recall
    verification: Verification
    audit: DecisionAudit
    autonomy: AutonomyDesk
    compliance: ComplianceWatch
    wisdom: WisdomBase
    case_import: CaseImport
    words: Words
    benchmarks: BenchmarkDesk
    missions: MissionDesk
    deployments: DeploymentDesk
    provider: TraefikProvider | None
    answers: AnswerDesk

    @property
    def resolver(self) -> Resolver:
        """What answers concepts, before anything is recorded."""
        return self.answers.resolver

    @property
    def replaying(self) -> Replaying:
        """Explains decisions, and makes them again."""
        return Replaying(self.audit, self.reader, self.recall.filled)


@asynccontextmanager
async def keyring(settings: Settings) -> AsyncIterator[KeyRing]:
    """Keys alone, for making the first one before anything runs."""
    url = parse_url(settings.database.url)
    writer, reader = open_engine(url), open_reader(url)
    try:
        await migrate(writer)
        yield KeyRing(SqlKeys(writer, reader), pepper(settings))
    finally:
        await writer.dispose()
        await reader.dispose()


@asynccontextmanager
async def stored_history(settings: Settings) -> AsyncIterator[Verification]:
    """Verification alone, of a database that no server need run on; nothing in it is changed. Raises BadSettings."""
    reader = open_reader(existing(parse_url(settings.database.url)))
    try:
        yield SqlVerification(reader)
    finally:
        await reader.dispose()


@asynccontextmanager
async def application(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Application]:
    """Starts everything inside the running event loop, takes up what a crash interrupted, and stops it again.

    Raises BadSettings, InvalidCatalogue or InvalidPlaybook before anything is started.
    """
    clock = clock or SystemClock()
    sys.setswitchinterval(SWITCH_SECONDS)
    async with AsyncExitStack() as stack:
        parts = await parts_of(stack, settings, clock)
        provider = provider_of(settings.routers, parts.services)
        log_keys = FolderKeys(settings.ledger.keys, settings.ledger.origin, clock)
        witnesses = _witnesses(settings, clock)
        writer, reading = await _stores(stack, settings)
        wisdom = await wisdom_base(stack, settings.wisdom, writer, reading, clock)
        parts = replace(parts, wisdom=wisdom, leaned_on=settings.wisdom.leaned_on)
        telemetry = Telemetry()
        resolver, parts = await surrounded(stack, settings, parts, reading, telemetry)
        ledger = _ledger(stack, writer, clock, telemetry)
        buffer = await _buffer(stack, settings.buffer, SqlLogs(writer, clock), ledger, telemetry)
        engine = await _engine(stack, settings, writer, parts, Shadow(telemetry, buffer.record))
        reader = SqlReader(reading)
        await background(stack, _reconciling(settings, engine, reader, parts))
        actors = await _beating(stack, settings, SqlActors(writer, reading), engine, clock)
        # Its reads are short, and on SQLite threads would have to wait for the loop each time.
        own_log = SqlLog(writer, writer, settings.ledger.origin)
        log = LogParts(store=own_log, keys=log_keys, witnesses=witnesses, observer=telemetry, clock=clock)
        await background(stack, Sequencer(log).run(settings.ledger.checkpoint_seconds))
        commands = Commands(engine, _rules(settings), parts.autonomy, wisdom.expect)
        verification = SqlVerification(reading)
        sweep = await _sweeping(stack, settings, log, commands, verification, telemetry)
        recall = await _archive(stack, settings, log, SqlArchive(writer, reading), ledger)
        yield Application(
            settings=settings,
            parts=parts,
            commands=commands,
            switch=_switch(engine, parts),
            sweep=sweep,
            reader=reader,
            keys=KeyRing(SqlKeys(writer, reading), pepper(settings)),
            tokens=tokens_of(stack, settings.tokens, clock, telemetry),
            telemetry=telemetry,
            actors=actors,
            ledger=ledger,
            log=SqlLog(writer, reading, settings.ledger.origin),
            log_keys=log.keys,
            history=Recalled(SqlHistory(reading), recall.filled),
            recall=recall,
            verification=verification,
            audit=SqlAudit(reading),
            autonomy=AutonomyDesk(engine, SqlStandings(reading), parts),
            compliance=await _compliance(stack, settings.constitution, SqlTally(reading), telemetry, clock),
            wisdom=wisdom,
            case_import=CaseImport(engine, wisdom),
            words=await words_of(stack, settings, engine, parts, SqlDue(reading), pepper(settings)),
            benchmarks=await benchmarks_of(stack, settings.benchmark, engine, reading, parts),
            missions=MissionDesk(engine, SqlMissions(reading), reader, clock, parts.brakes),
            deployments=await deployments_of(stack, settings.engine, engine, reading, parts),
            provider=provider,
            answers=AnswerDesk(resolver, ledger, SqlAnswers(reading)),
        )


def _ledger(stack: AsyncExitStack, writer: AsyncEngine, clock: Clock, observer: Observer) -> GroupCommit:
    """Saves outside of the story, until the stack is unwound."""
    ledger = GroupCommit(writer, clock, observer)
    stack.push_async_callback(ledger.close)
    return ledger


async def _sweeping(
    stack: AsyncExitStack,
    settings: Settings,
    log: LogParts,
    commands: Commands,
    verification: Verification,
    telemetry: Telemetry,
) -> LedgerSweep:
    """Verifies all of history again and again in the background."""
    sweep = LedgerSweep(
        verification=verification, keys=log.keys, commands=commands, observer=telemetry, clock=log.clock
    )
    await background(stack, sweep.run(settings.ledger.sweep_seconds))
    return sweep


def _rules(settings: Settings) -> Rules:
    return Rules(hold_seconds=settings.intake.hold_seconds)


def _reconciling(
    settings: Settings, engine: Engine, reader: SqlReader, parts: Parts
) -> Coroutine[Any, Any, None]:
    """Compares open incidents with running workflows again and again."""
    return sweep_forever(engine, reader, settings.engine.reconcile_seconds, parts.brakes, parts.autonomy)


async def _stores(stack: AsyncExitStack, settings: Settings) -> tuple[AsyncEngine, AsyncEngine]:
    """The operational store, up to date: to write to, and to read from."""
    url = parse_url(settings.database.url)
    writer, reading = open_engine(url), open_reader(url)
    stack.push_async_callback(writer.dispose)
    stack.push_async_callback(reading.dispose)
    await migrate(writer)
    return writer, reading


async def _engine(
    stack: AsyncExitStack, settings: Settings, writer: AsyncEngine, parts: Parts, observer: Observer
) -> Engine:
    """The durable engine, which tells the story from now until the stack is unwound."""
    workflows = open_workflow_engine(parse_url(settings.database.engine_address))
    stack.callback(workflows.dispose)

    def transaction(connection: AsyncConnection) -> SqlTransaction:
        return SqlTransaction(connection, parts.clock.now())

    identity = EngineSettings(
        executor_id=settings.engine.executor_id,
        poll_seconds=settings.engine.poll_seconds,
        pool=Pool(
            size=settings.act.pool,
            shard_size=settings.act.shard_pool,
            poll_seconds=settings.act.queue_poll_seconds,
        ),
    )
    engine = Engine(writer, workflows, transaction, observer, identity)
    await engine.launch(story(engine, parts), chapters(engine, parts))
    stack.push_async_callback(engine.stop)
    # What was made until now lives as long as the process: the collector need not walk it again and again.
    gc.freeze()
    # DuckDB's types would otherwise count as leaked when the interpreter ends.
    stack.callback(gc.unfreeze)
    return engine


def _switch(engine: Engine, parts: Parts) -> HaltSwitch:
    return HaltSwitch(
        engine, parts.services.keys(), lambda: {item.name for item in parts.playbooks.playbooks()}
    )


async def _beating(
    stack: AsyncExitStack, settings: Settings, actors: SqlActors, engine: Engine, clock: Clock
) -> SqlActors:
    """The actors, this process among them, whose heart beats until the stack is unwound."""
    heart = Heartbeat(actors, clock, f"worker:{settings.engine.executor_id}", engine.carried)
    await background(stack, heart.run(settings.engine.heartbeat_seconds))
    return actors


async def _archive(
    stack: AsyncExitStack, settings: Settings, log: LogParts, store: SqlArchive, ledger: LedgerWriter
) -> Recall:
    """Moves old payloads into the archive in the background; what is returned finds them there."""
    folder = FolderArchive(settings.ledger.archive)
    parts = ArchiveParts(store=store, log=log.store, archive=folder, writer=ledger, keys=log.keys)
    archiver = Archiver(parts, settings.ledger.payload_days)
    await background(stack, archiver.run(log.clock, settings.ledger.sweep_seconds))
    return Recall(store, folder)


async def _compliance(
    stack: AsyncExitStack,
    settings: ConstitutionSettings,
    reader: TallyReader,
    telemetry: Telemetry,
    clock: Clock,
) -> ComplianceWatch:
    """Scores what was decided, and in the background keeps the metrics' score fresh."""
    watch = ComplianceWatch(reader, scale_of(settings), clock, telemetry)
    await background(stack, watch.run(settings.refresh_seconds, days=settings.window_days))
    return watch


async def _buffer(
    stack: AsyncExitStack, settings: BufferSettings, sink: Sink, ledger: LedgerWriter, telemetry: Telemetry
) -> TelemetryBuffer:
    """The telemetry buffer, which writes until the stack is unwound, and then what is left."""

    async def on_loss(loss: Loss) -> None:
        await ledger.save(records.of_loss(loss))

    limits = BufferLimits(
        capacity=settings.capacity, batch=settings.batch, interval_seconds=settings.interval_seconds
    )
    spill = None
    if settings.overflow == "spill":
        settings.spill_file.parent.mkdir(parents=True, exist_ok=True)
        spill = SpillFile(settings.spill_file, limit_bytes=settings.spill_bytes)
        stack.callback(spill.close)
    buffer = TelemetryBuffer(sink, on_loss, telemetry, limits=limits, spill=spill)
    stack.push_async_callback(buffer.flush_all, _LAST_FLUSH_SECONDS)
    await background(stack, buffer.run())
    handler = ErrorsToBuffer(buffer.record)
    logging.getLogger().addHandler(handler)
    stack.callback(logging.getLogger().removeHandler, handler)
    return buffer


def _witnesses(settings: Settings, clock: Clock) -> list[Witness]:
    """Raises BadSettings for what is no verifier key."""
    lines = (text.split(" ", 1) for text in settings.ledger.witnesses)
    return [HttpWitness(url, [verifier(vkey, clock=clock)]) for vkey, url in lines]


def pepper(settings: Settings) -> bytes:
    """The secret that is hashed together with every key: configured, or made once and kept in a private file."""
    if settings.keys.pepper is not None:
        return settings.keys.pepper.get_secret_value().encode()
    file: Path = settings.keys.pepper_file
    file.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and linked: of two processes that start at once, one wins and both read the same.
    if not file.exists():
        aside = file.with_name(f".{file.name}.{os.getpid()}")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(token_hex(32))
        with suppress(FileExistsError):
            os.link(aside, file)
        aside.unlink()
    text = file.read_text().strip()
    if len(text) < _SHORTEST_PEPPER:
        message = f"{file} holds less than {_SHORTEST_PEPPER} characters, which is no secret"
        raise BadSettings(
            message, hint="Restore it from a backup; or remove it: a new one revokes all API keys."
        )
    return text.encode()
