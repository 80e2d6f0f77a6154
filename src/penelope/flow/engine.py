"""The durable engine behind a few words: step, transaction, wait, nudge. Nothing else here knows DBOS."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from dbos import (
    DBOS,
    AsyncSQLAlchemyDatasource,
    DBOSConfig,
    DBOSPortableJSONSerializer,
    SetEnqueueOptions,
    SetWorkflowID,
)
from dbos._datasource import DatasourceOptions
from dbos._queue import queue_worker_thread
from sqlalchemy import Engine as SyncEngine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penelope.flow.pickles import block_pickle
from penelope.flow.ports import Observer, Transaction
from penelope.flow.waking import Bell, Ends
from penelope.kit.canonical import Json

_log = logging.getLogger(__name__)

WORKFLOW_SHAPE = "3"
"""Changes only when the sequence of steps of a running incident would no longer fit the code (stack.md)."""

WORKFLOW = f"remediate/{WORKFLOW_SHAPE}"
"""The story's name, with the version of its shape."""

_QUEUE = "act"
_NO_SHARD = "-"
"""The partition of services that name no shard; no shard can bear this name."""

_INBOX = "inbox"
_TICK = "tick"

_GOING_ON = frozenset({"PENDING", "ENQUEUED", "DELAYED"})

_THREADS = 16
"""For the engine's own database calls. Without a bound each call that waits gets a thread, and under load hundreds of
them wait for a handful of connections."""

_MAX_RECOVERIES = 1000
"""An incident that waits for days lives through many restarts; a poisonous one must still end somewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The places for what is queued: `size` in one process, of them `shard_size` over all processes for one shard.

    What comes or ends in this process is seen to at once, and what does so in another one within `poll_seconds`.
    """

    size: int = 6
    shard_size: int = 6
    poll_seconds: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Who this process is to the engine, how often (seconds) SQLite is asked for messages, and how long (seconds)
    a step under way may take to end when the engine stops.
    """

    executor_id: str
    poll_seconds: float
    stop_seconds: float = 10.0
    pool: Pool = field(default_factory=Pool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Whose places a queued chapter waits for, and how soon it is its turn: the lowest number is first, 1 at least."""

    shard: str = ""
    priority: int = 1


Story = Callable[[str, str], Awaitable[str]]
"""Tells an incident (its id, its service) from its first signal to its outcome."""

Chapter = Callable[[str, Json], Awaitable[Json]]
"""Part of a story with steps of its own: told beside others, or in a queue. Takes the incident's id and JSON."""


class Engine:
    """Runs the story. Values that cross a step are JSON, for they are stored and read back after a crash."""

    def __init__(
        self,
        database: AsyncEngine,
        workflow_database: SyncEngine,
        make_transaction: Callable[[AsyncConnection], Transaction],
        observer: Observer,
        settings: EngineSettings,
    ) -> None:
        self._database = database
        self._workflow_database = workflow_database
        self._make_transaction = make_transaction
        self._observer = observer
        self._settings = settings
        self._datasource: AsyncSQLAlchemyDatasource | None = None
        self._story: Callable[..., Any] | None = None
        self._chapters: dict[str, Callable[..., Any]] = {}
        self._running: dict[asyncio.Task[Any], str] = {}
        self._waiting: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._lanes: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._bell = Bell()
        self._ends = Ends(self.has_ended, settings.pool.poll_seconds)
        self._looking: asyncio.Task[None] | None = None
        self._queue_worker: threading.Thread | None = None

    async def launch(self, story: Story, chapters: Mapping[str, Chapter] | None = None) -> None:
        """Starts the engine in the running event loop; interrupted stories go on where they were.

        `chapters` are told by their names.
        """
        block_pickle()
        url = self._workflow_database.url.render_as_string(hide_password=False)
        serializer = DBOSPortableJSONSerializer()
        await asyncio.to_thread(_migrate, url)
        config: DBOSConfig = {
            "name": "penelope",
            "system_database_url": url,
            "system_database_engine": self._workflow_database,
            "run_migrations": False,
            "serializer": serializer,
            "executor_id": self._settings.executor_id,
            "application_version": WORKFLOW_SHAPE,
            "notification_listener_polling_interval_sec": self._settings.poll_seconds,
            "log_level": "WARNING",
            "max_executor_threads": _THREADS,
        }
        engine = DBOS(config=config)
        # The engine's own worker would sleep through the bell: the same worker runs here, on an event that can be rung.
        DBOS.listen_queues([])
        self._datasource = await AsyncSQLAlchemyDatasource.create(
            self._database.url.render_as_string(hide_password=False),
            engine=self._database,
            serializer=serializer,
        )
        self._story = DBOS.workflow(name="remediate", max_recovery_attempts=_MAX_RECOVERIES)(
            self._told(story)
        )
        self._chapters = {
            name: DBOS.workflow(name=name, max_recovery_attempts=_MAX_RECOVERIES)(
                self._told(chapter, self._has_told)
            )
            for name, chapter in (chapters or {}).items()
        }
        DBOS.launch()
        pool = self._settings.pool
        queue = await DBOS.register_queue_async(
            _QUEUE,
            worker_concurrency=pool.size,
            partition_concurrency=pool.shard_size,
            polling_interval_sec=pool.poll_seconds,
            on_conflict="always_update",
        )
        self._bell.loop = asyncio.get_running_loop()
        self._queue_worker = threading.Thread(
            target=queue_worker_thread, args=(self._bell, engine, queue), name=f"queue-{_QUEUE}", daemon=True
        )
        self._queue_worker.start()
        self._looking = asyncio.create_task(self._ends.look())

    async def stop(self) -> None:
        """Stops: steps under way come to their end, if they soon do; stories go on at the next launch."""
        self._stopping = True
        await self._stop_looking()
        for task in self._waiting:
            task.cancel()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=self._settings.stop_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        # The engine had lent the loop its own threads, which are gone now.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())

    async def _stop_looking(self) -> None:
        """No more is taken out of the queue: what was taken and not begun goes on at the next launch."""
        self._bell.set()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        if self._queue_worker is not None:
            await asyncio.to_thread(self._queue_worker.join, self._settings.stop_seconds)

    def _told(
        self, story: Callable[[str, Any], Awaitable[Any]], then: Callable[[str], None] | None = None
    ) -> Callable[[str, Any], Awaitable[Any]]:
        """The story, with its task noted: left alone, it would run on beside an engine that has stopped.

        `then` is told of its key once its end is recorded.
        """

        async def told(incident: str, given: Any) -> Any:
            task: Any = asyncio.current_task()  # a story's own, which ends when its end is recorded
            self._running[task] = incident
            task.add_done_callback(lambda ended: self._running.pop(ended, None))
            if then is not None and (key := DBOS.workflow_id) is not None:
                task.add_done_callback(lambda _: then(key))
            return await story(incident, given)

        return told

    def _has_told(self, key: str) -> None:
        """A chapter has ended here: whoever waits for it goes on, and its place is free."""
        self._ends.ended(key)
        self._bell.ring()

    def carried(self) -> Collection[str]:
        """The incidents whose stories this process tells at this moment."""
        return set(self._running.values())

    async def start(self, incident: str, service: str) -> None:
        """Begins the story of an incident; one that was begun before is left alone."""
        if self._story is None:
            message = "the engine is not running"
            raise RuntimeError(message)
        await _begun(self._story, incident, incident, service)

    async def begin(self, chapter: str, key: str, incident: str, given: Json) -> None:
        """Begins to tell a chapter by itself, once for the key; nobody waits for it, also where a story begins it."""
        self._go_on()
        await _begun(self._chapters[chapter], key, incident, given)

    async def has_ended(self, incidents: Sequence[str]) -> Mapping[str, bool]:
        """Whether the story of each incident has ended, well or not; one whose story is not known is absent."""
        found = await DBOS.list_workflows_async(
            workflow_ids=list(incidents), load_input=False, load_output=False
        )
        return {item.workflow_id: item.status not in _GOING_ON for item in found}

    async def nudge(self, incident: str) -> None:
        """Wakes a story that waits; it looks at the database for what is new."""
        await DBOS.send_async(incident, True, _INBOX)

    async def wait(self, seconds: float) -> None:
        """Inside a story: waits durably until a nudge, at most so long."""
        await self._receive(_INBOX, seconds)

    async def pause(self, seconds: float) -> None:
        """Inside a story: waits durably, deaf to nudges. A receive, since a sleeper could not be cancelled."""
        await self._receive(_TICK, seconds)

    async def _receive(self, topic: str, seconds: float) -> None:
        self._go_on()
        with self._interruptible():
            await DBOS.recv_async(topic, timeout_seconds=seconds)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """While a story waits there is nothing of it to be brought to an end when the engine stops."""
        task: Any = asyncio.current_task()
        self._waiting.add(task)
        try:
            yield
        finally:
            self._waiting.discard(task)

    def _go_on(self) -> None:
        """Where a story ends that an engine about to stop has let come so far."""
        if self._stopping and asyncio.current_task() in self._running:
            raise asyncio.CancelledError

    async def queued(self, chapter: str, key: str, incident: str, given: Json, turn: Turn) -> Json:
        """Inside a story: tells a chapter in its turn, once for the key, and returns what it came to."""
        self._go_on()
        shard = turn.shard or _NO_SHARD
        with self._ends.awaited(key) as ended:
            with (
                SetWorkflowID(key),
                SetEnqueueOptions(priority=turn.priority, queue_partition_key=shard),
            ):
                handle = await DBOS.enqueue_workflow_async(_QUEUE, self._chapters[chapter], incident, given)
            self._bell.ring()
            with self._interruptible():
                await ended
        return await self._came_to(handle)

    async def beside(self, chapter: str, incident: str, given: Mapping[str, Json]) -> Mapping[str, Json]:
        """Inside a story: tells a chapter several times side by side, once for each key, and returns what each came to.

        All are waited for; the key of one that broke off is absent.
        """
        self._go_on()
        workflow = self._chapters[chapter]
        handles = {key: await _begun(workflow, key, incident, item) for key, item in given.items()}
        ended = {}
        for key, handle in handles.items():
            try:
                ended[key] = await self._came_to(handle)
            except Exception:  # noqa: BLE001 - the others are waited for all the same, and its absence tells
                _log.exception("chapter %s broke off", key)
        return ended

    async def _came_to(self, handle: Any) -> Json:
        self._go_on()
        with self._interruptible():
            return await handle.get_result(polling_interval_sec=self._settings.pool.poll_seconds)

    async def step(self, name: str, body: Callable[[], Awaitable[Json]]) -> Json:
        """Inside a story: runs the body, and never again once its result is recorded."""
        self._go_on()
        return await DBOS.run_step_async({"name": name}, _as_coroutine(body))

    async def transaction(
        self, name: str, body: Callable[[Transaction], Awaitable[Json]], *, lane: str = ""
    ) -> Json:
        """Runs the body in one transaction of the operational store.

        Inside a story what it wrote and its result are committed together, so that it happens exactly once.
        The body runs again when the database asks for that. Of those that name one `lane` only one runs at a time in this
        process: they write the same rows, and would refuse each other.
        """
        if not lane:
            return await self._committed({"name": name}, body)
        async with self._lanes.setdefault(lane, asyncio.Lock()):
            return await self._committed({"name": name}, body)

    async def guarded(self, name: str, body: Callable[[Transaction], Awaitable[Json]]) -> Json:
        """The same, only read committed on PostgreSQL: for a body that decides by nothing but rows of its own story, rows
        that it holds, and statements that change a row where it is as expected (decision 0016 has the proof of each).

        What such a body has only peeked at it must not save.
        """
        return await self._committed({"name": name, "isolation_level": "READ COMMITTED"}, body)

    async def _committed(
        self, options: DatasourceOptions, body: Callable[[Transaction], Awaitable[Json]]
    ) -> Json:
        datasource = self._datasource
        if datasource is None:
            message = "the engine is not running"
            raise RuntimeError(message)
        self._go_on()
        committed: list[Transaction] = []

        async def run() -> Json:
            transaction = self._make_transaction(await datasource.sql_session().connection())
            result = await body(transaction)
            committed[:] = [transaction]
            return result

        result = await datasource.run_tx_step_async(options, run)
        for transaction in committed:
            for entry in transaction.entries:
                self._observer.entry_recorded(entry)
        return result


async def _begun(workflow: Any, key: str, incident: str, given: Any) -> Any:
    with SetWorkflowID(key):
        return await DBOS.start_workflow_async(workflow, incident, given)


def _as_coroutine(body: Callable[[], Awaitable[Json]]) -> Callable[[], Any]:
    async def run() -> Json:
        return await body()

    return run


def make_tables(url: str, store_url: str) -> None:
    """Brings the engine's own tables up to date, and what it keeps in the operational store.

    `launch` does so too, but only as a role that may: the service's own need not (docs/database.md).
    """
    DBOS.migrate(url)
    asyncio.run(AsyncSQLAlchemyDatasource.migrate(store_url))


def _migrate(url: str) -> None:
    DBOS.migrate(url)
