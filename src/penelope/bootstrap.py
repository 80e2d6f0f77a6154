"""The one place where parts are put together."""

import asyncio
import gc
import logging
import os
import secrets
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from penelope.adapters.actions.git_patch import GitPatchAdapter
from penelope.adapters.actions.http import HttpAdapter
from penelope.adapters.actions.process import ProcessAdapter
from penelope.adapters.actions.traffic import TrafficAdapter
from penelope.adapters.catalogue.load import load_services
from penelope.adapters.changes.by_adapter import Changes
from penelope.adapters.metrics.scrape import ScrapedMetrics
from penelope.adapters.playbooks.load import load as load_playbooks
from penelope.adapters.routers.noop import NoopRouter
from penelope.adapters.routers.traefik import TraefikRouter
from penelope.domain.service import Service
from penelope.errors import BadSettings
from penelope.flow.commands import Commands
from penelope.flow.engine import Engine, EngineSettings
from penelope.flow.keys import KeyRing
from penelope.flow.parts import Parts, Timing
from penelope.flow.ports import Reader
from penelope.flow.remediation import story
from penelope.flow.sweep import sweep_forever
from penelope.kit.clock import Clock, SystemClock
from penelope.rooms.act.ports import ActionAdapter
from penelope.rooms.decide.run import Limits as DecideLimits
from penelope.rooms.gate.rules import Limits as GateLimits
from penelope.rooms.intake.run import Rules
from penelope.rooms.rollout.ports import Router
from penelope.settings import Settings
from penelope.store.database import migrate, open_engine, open_reader, open_workflow_engine, parse_url
from penelope.store.keys import SqlKeys
from penelope.store.reader import SqlReader
from penelope.store.transaction import SqlTransaction
from penelope.telemetry import Telemetry

_SWITCH_SECONDS = 0.0002
"""How long a thread may keep the interpreter while others wait. SQLite gives it up at every statement, and with
Python's 5 ms the event loop waited for the engine's threads longer than for the database (docs/benchmarks.md)."""

_SHORTEST_PEPPER = 16

_log = logging.getLogger(__name__)

OPERATIONS: Mapping[str, frozenset[str]] = {
    adapter.name: adapter.operations
    for adapter in (ProcessAdapter, HttpAdapter, GitPatchAdapter, TrafficAdapter)
}
"""What the installed action adapters can do; playbooks are checked against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A running Penelope, as its entrances see it."""

    settings: Settings
    parts: Parts
    commands: Commands
    reader: Reader
    keys: KeyRing
    telemetry: Telemetry


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
async def application(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Application]:
    """Starts everything inside the running event loop, takes up what a crash interrupted, and stops it again.

    Raises BadSettings, InvalidCatalogue or InvalidPlaybook before anything is started.
    """
    clock = clock or SystemClock()
    sys.setswitchinterval(_SWITCH_SECONDS)
    async with AsyncExitStack() as stack:
        parts = await _parts(stack, settings, clock)
        url = parse_url(settings.database.url)
        writer, reading = open_engine(url), open_reader(url)
        stack.push_async_callback(writer.dispose)
        stack.push_async_callback(reading.dispose)
        await migrate(writer)

        def transaction(connection: AsyncConnection) -> SqlTransaction:
            return SqlTransaction(connection, clock.now())

        telemetry = Telemetry()
        workflows = open_workflow_engine(parse_url(settings.database.engine_address))
        stack.callback(workflows.dispose)
        identity = EngineSettings(
            executor_id=settings.engine.executor_id, poll_seconds=settings.engine.poll_seconds
        )
        engine = Engine(writer, workflows, transaction, telemetry, identity)
        await engine.launch(story(engine, parts))
        stack.push_async_callback(engine.stop)
        # What was made until now lives as long as the process: the collector need not walk it again and again.
        gc.freeze()
        reader = SqlReader(reading)
        await _background(stack, sweep_forever(engine, reader, settings.engine.reconcile_seconds))
        yield Application(
            settings=settings,
            parts=parts,
            commands=Commands(engine, Rules(hold_seconds=settings.intake.hold_seconds)),
            reader=reader,
            keys=KeyRing(SqlKeys(writer, reading), pepper(settings)),
            telemetry=telemetry,
        )


async def _parts(stack: AsyncExitStack, settings: Settings, clock: Clock) -> Parts:
    services = load_services(settings.catalogue.path)
    playbooks = load_playbooks(settings.playbooks.paths, settings.playbooks.shipped, OPERATIONS)
    metrics = ScrapedMetrics(
        services,
        interval_seconds=settings.metrics.interval_seconds,
        timeout_seconds=settings.metrics.timeout_seconds,
        retention_seconds=settings.metrics.retention_seconds,
        clock=clock,
    )
    stack.push_async_callback(metrics.close)
    await _background(stack, metrics.run())
    routers: dict[str, Router] = {"traefik": TraefikRouter(), "noop": NoopRouter()}
    return Parts(
        services=services,
        playbooks=playbooks,
        metrics=metrics,
        changes=Changes(),
        adapters=_adapters(routers, services),
        routers=routers,
        clock=clock,
        decide=DecideLimits(**settings.decide.model_dump()),
        gate=GateLimits(**settings.gate.model_dump()),
        timing=Timing(
            window_seconds=settings.metrics.window_seconds,
            verify_poll_seconds=settings.verify.poll_seconds,
            approval_expires_seconds=settings.approval.expires_seconds,
        ),
    )


def _adapters(routers: Mapping[str, Router], services: Mapping[str, Service]) -> dict[str, ActionAdapter]:
    adapters: tuple[ActionAdapter, ...] = (
        ProcessAdapter(),
        HttpAdapter(),
        GitPatchAdapter(),
        TrafficAdapter(routers, services),
    )
    return {adapter.name: adapter for adapter in adapters}


async def _background(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine beside everything else until the stack is unwound."""
    task = asyncio.create_task(work)
    task.add_done_callback(_cry_out)

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    stack.push_async_callback(end)


def _cry_out(task: asyncio.Task[None]) -> None:
    """Work in the background has nobody who waits for it, and so nobody who would hear that it broke."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("background work broke off", exc_info=error)


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
            stream.write(secrets.token_hex(32))
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
