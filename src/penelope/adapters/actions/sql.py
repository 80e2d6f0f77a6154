"""Changes rows, indexes, parameters and sessions of a database: PostgreSQL or SQLite."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Self, TypeVar

from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.options import operation, read_options, read_params, require_operation
from penelope.adapters.actions.sql_backends import RecycleConnections, TerminateQuery
from penelope.adapters.actions.sql_deed import Deed, Job, State
from penelope.adapters.actions.sql_index import CreateIndex
from penelope.adapters.actions.sql_model import (
    DeleteParams,
    IndexParams,
    InsertParams,
    ParameterParams,
    RecycleParams,
    RunParams,
    SqlOptions,
    TerminateParams,
    UpdateParams,
)
from penelope.adapters.actions.sql_parameter import SetParameter
from penelope.adapters.actions.sql_postgres import Postgres
from penelope.adapters.actions.sql_rows import Delete, Insert, Update
from penelope.adapters.actions.sql_session import Session
from penelope.adapters.actions.sql_sqlite import Sqlite
from penelope.adapters.actions.sql_statement import Run
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot, Tier
from penelope.errors import ActionFailed, CompensationFailed, InputError, InvalidCatalogue, Unavailable
from penelope.kit.canonical import Json

Result = TypeVar("Result")

_ENDING_SECONDS = 5.0
_ROWS = ("rows by primary key",)
_DEEDS: Mapping[str, Deed] = MappingProxyType(
    {
        "update_rows": Update(),
        "delete_rows": Delete(),
        "insert_rows": Insert(),
        "terminate_query": TerminateQuery(),
        "recycle_connections": RecycleConnections(),
        "create_index": CreateIndex(),
        "set_parameter": SetParameter(),
        "run": Run(),
    }
)


class SqlAdapter:
    """Each call has a connection of its own, in a thread, and ends what runs on it before it gives up."""

    name = "sql"
    operations = MappingProxyType(
        {
            "update_rows": operation(
                "Give rows other values",
                UpdateParams,
                "SELECT, UPDATE on the table",
                tier=Tier.SNAPSHOT,
                snapshots=_ROWS,
            ),
            "delete_rows": operation(
                "Delete rows",
                DeleteParams,
                "SELECT, INSERT, DELETE on the table",
                tier=Tier.SNAPSHOT,
                snapshots=_ROWS,
            ),
            "insert_rows": operation(
                "Insert rows",
                InsertParams,
                "SELECT, INSERT, DELETE on the table",
                tier=Tier.SNAPSHOT,
                snapshots=("primary keys",),
            ),
            "terminate_query": operation(
                "End runaway queries",
                TerminateParams,
                "pg_signal_backend",
                "pg_read_all_stats",
                tier=Tier.SNAPSHOT,
                snapshots=("identities of the queries, not their text",),
            ),
            "recycle_connections": operation(
                "End connections that have been idle for long",
                RecycleParams,
                "pg_signal_backend",
                "pg_read_all_stats",
                tier=Tier.SNAPSHOT,
                snapshots=("identities of the connections",),
            ),
            "create_index": operation(
                "Make an index while the table stays in use",
                IndexParams,
                "ownership of the table",
                tier=Tier.SNAPSHOT,
                snapshots=("whether the index is there",),
            ),
            "set_parameter": operation(
                "Set a parameter of a database, a role or the server",
                ParameterParams,
                "ownership of the database, or CREATEROLE, or superuser for the system",
                tier=Tier.SNAPSHOT,
                snapshots=("the parameter",),
            ),
            "run": operation(
                "Run a statement that the catalogue names",
                RunParams,
                "what the statement needs",
                tier=Tier.HARD_TO_REVERSE,
                snapshots=("a hash of the rows that its look gives",),
            ),
        }
    )

    def __init__(self, keep: Keep) -> None:
        self._keep = keep

    @classmethod
    def made(cls, surroundings: Surroundings) -> Self:
        return cls(Keep(surroundings.keep))

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        require_operation(self.name, self.operations, operation)
        deed = _DEEDS[operation]
        read_params(deed.shape, params)
        deed.check(params)

    async def snapshot(self, action: Action) -> Snapshot:
        return Snapshot(state=await self._work(action, lambda deed, job: deed.snapshot(job)))

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        return await self._work(action, lambda deed, job: deed.preview(job, _state(snapshot)))

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        return await self._look(action, lambda deed, job: deed.probe(job, _state(snapshot)))

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        return await self._work(action, lambda deed, job: deed.execute(job, _state(snapshot)))

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        try:
            return await self._work(action, lambda deed, job: deed.compensate(job, _state(snapshot)))
        except (ActionFailed, InputError) as error:
            raise CompensationFailed(error.message, hint=error.advice) from error

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        return await self._look(action, lambda deed, job: deed.differences(job, _state(snapshot)))

    async def observe(self, action: Action) -> Mapping[str, Json]:
        return await self._look(action, lambda deed, job: deed.observe(job))

    async def _look(self, action: Action, work: Callable[[Deed, Job], Result]) -> Result:
        """A look that the database refuses says nothing about the action."""
        try:
            return await self._work(action, work)
        except ActionFailed as error:
            raise Unavailable(error.message, hint=error.advice) from error

    async def _work(self, action: Action, work: Callable[[Deed, Job], Result]) -> Result:
        self.validate(action.operation, action.params)
        options = read_options(SqlOptions, action.target)
        deed = _DEEDS[action.operation]
        sessions: list[Session] = []
        ended = threading.Event()

        def connected() -> Result:
            with _opened(options, action) as session:
                sessions.append(session)
                if ended.is_set():
                    session.interrupt()
                job = Job(action, options, self._keep, session)
                deed.require_database(job)
                return work(deed, job)

        running = asyncio.ensure_future(asyncio.to_thread(connected))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # Nothing of ours may still be at work when somebody looks what became of it.
            ended.set()
            for session in sessions:
                await asyncio.to_thread(session.interrupt)
            await asyncio.wait({running}, timeout=_ENDING_SECONDS)
            if running.done():
                running.exception()
            raise


def _opened(options: SqlOptions, action: Action) -> Session:
    if options.url.startswith(("postgresql://", "postgres://")):
        return Postgres(options, action.timeout_seconds)
    if options.url.startswith("sqlite://"):
        return Sqlite(options, action.timeout_seconds)
    raise InvalidCatalogue(
        f"the url of target {action.target.name!r} is neither postgresql:// nor sqlite:////path"
    )


def _state(snapshot: Snapshot) -> State:
    return dict(snapshot.state)
