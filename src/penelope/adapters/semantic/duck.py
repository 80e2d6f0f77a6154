"""The semantic layer on this machine: Cube's data models over DuckDB."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import duckdb

from penelope.adapters.semantic.catalogue import catalogue
from penelope.adapters.semantic.compile import Compiled, compiled
from penelope.adapters.semantic.database import Database, Stamp
from penelope.adapters.semantic.masked import cells
from penelope.adapters.semantic.render import Parameters, Renderer, quoted
from penelope.adapters.semantic.rows import rows
from penelope.adapters.semantic.shape import Shape
from penelope.adapters.semantic.veil import Veil
from penelope.domain.access import Masking
from penelope.domain.semantics import Model, SemanticQuery, Table
from penelope.errors import InvalidQuery, Timeout, Unavailable

Answer = TypeVar("Answer")

MEMORY_BYTES = 512_000_000
TIMEOUT_SECONDS = 10.0
_AGAIN_SECONDS = 0.05
_MOST_RENEWALS = 1_000


class DuckLayer:
    """Answers on threads beside the event loop, at most `threads` questions at a time.

    A question that takes longer than `timeout_seconds`, waiting for its turn included, is interrupted; so is one whose
    asker goes away. `mask_key` is for masks by hash. Close it when it is no longer needed.
    """

    def __init__(
        self,
        shape: Shape,
        database: Path,
        *,
        mask_key: bytes = b"",
        timeout_seconds: float = TIMEOUT_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        threads: int = 2,
    ) -> None:
        self._shape = shape
        self._model = catalogue(shape)
        self._database = Database(database, memory_bytes=memory_bytes, threads=threads)
        self._mask_key = mask_key
        self._timeout_seconds = timeout_seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="semantic")
        self._works: set[_Work] = set()
        self._works_lock = threading.Lock()
        self._renewed: dict[tuple[Stamp, str], datetime | None] = {}

    async def model(self) -> Model:
        return self._model

    async def run(self, query: SemanticQuery, masks: Mapping[str, Masking]) -> Table:
        plan = compiled(self._shape, query, Veil(self._shape, masks))
        return await self._beside(lambda work: self._answer(work, plan))

    async def statement(self, query: SemanticQuery) -> str:
        """The SQL of a query, with its values as ``$1``, ``$2``… Raises InvalidQuery."""
        return self.compile(query)

    def compile(self, query: SemanticQuery) -> str:
        """As `statement`."""
        return compiled(self._shape, query, Veil(self._shape, {})).sql()

    def close(self) -> None:
        """Interrupts what is at work, and returns when it has ended."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        while any(not work.ended.wait(_AGAIN_SECONDS) for work in self._interrupted()):
            pass
        self._pool.shutdown(wait=True)
        self._database.close()

    def _interrupted(self) -> list["_Work"]:
        with self._works_lock:
            works = list(self._works)
        for work in works:
            work.interrupt()
        return works

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _beside(self, ask: Callable[["_Work"], Answer]) -> Answer:
        work = _Work()
        loop = asyncio.get_running_loop()
        try:
            future = loop.run_in_executor(self._pool, ask, work)
        except RuntimeError:
            raise Unavailable("the semantic layer is closed") from None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await asyncio.shield(future)
        except TimeoutError:
            raise Timeout(
                f"the warehouse did not answer in {self._timeout_seconds:g} s",
                hint="Ask for less at once, or raise semantic.timeout_seconds.",
            ) from None
        finally:
            if not future.done():
                future.add_done_callback(_ignored)
                _end(loop, work, future)

    def _answer(self, work: "_Work", plan: Compiled) -> Table:
        with self._works_lock:
            self._works.add(work)
        try:
            return self._asked(work, plan)
        finally:
            with self._works_lock:
                self._works.discard(work)
            work.ended.set()

    def _asked(self, work: "_Work", plan: Compiled) -> Table:
        cursor, stamp = self._database.cursor()
        try:
            work.begin(cursor)
            text, parameters = self._masked(cursor, plan)
            found = _fetched(cursor, text, parameters)
            return Table(
                columns=plan.columns,
                rows=rows(found),
                query=text,
                as_of=self._as_of(cursor, stamp, plan.cubes),
            )
        except (duckdb.Error, RuntimeError) as error:
            raise _in_our_words(error) from None
        finally:
            work.end()
            cursor.close()

    def _masked(self, cursor: duckdb.DuckDBPyConnection, plan: Compiled) -> tuple[str, Sequence[Any]]:
        if not any(plan.masks):
            return plan.sql(), plan.parameters
        parameters = Parameters()
        parameters.values = list(plan.parameters)
        # The types that the columns really have; the model's may be wider.
        cursor.execute(f'SELECT * FROM (\n{plan.body}\n) AS "$rows" LIMIT 0', list(plan.parameters))  # noqa: S608 - the body is ours
        types = [str(column[1]) for column in cursor.description or ()]
        return plan.sql(cells(plan.cells, types, plan.masks, self._mask_key, parameters)), parameters.values

    def _as_of(
        self, cursor: duckdb.DuckDBPyConnection, stamp: Stamp, cubes: Sequence[str]
    ) -> datetime | None:
        """When the stalest of the cubes that say so was last renewed. What lies there does not change under a stamp."""
        found: list[datetime] = []
        for name in cubes:
            if "as_of" not in self._shape.cubes[name].meta:
                continue
            if (stamp, name) not in self._renewed:
                renewed = self._renewal(cursor, name)
                if len(self._renewed) > _MOST_RENEWALS:
                    self._renewed = {}
                self._renewed[stamp, name] = renewed
            else:
                renewed = self._renewed.get((stamp, name))
            if renewed is not None:
                found.append(renewed)
        return min(found, default=None)

    def _renewal(self, cursor: duckdb.DuckDBPyConnection, name: str) -> datetime | None:
        cube = self._shape.cubes[name]
        measure = Renderer(self._shape, lambda: None).folded(cube.members[cube.meta["as_of"]])
        text = f"SELECT {measure} FROM {cube.table} AS {quoted(name)}"  # noqa: S608 - all of it is the model's
        value = _fetched(cursor, text, ())[0][0]
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return datetime(value.year, value.month, value.day, tzinfo=UTC) if isinstance(value, date) else None


class _Work:
    """One question at work, which can be interrupted at any moment, even before it began."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._unwanted = False

    def begin(self, cursor: duckdb.DuckDBPyConnection) -> None:
        with self._lock:
            if self._unwanted:
                raise Timeout("nobody waits for the answer any more")
            self._cursor = cursor

    def end(self) -> None:
        with self._lock:
            self._cursor = None

    def interrupt(self) -> None:
        with self._lock:
            self._unwanted = True
            if self._cursor is not None:
                self._cursor.interrupt()


def _end(loop: asyncio.AbstractEventLoop, work: _Work, future: "asyncio.Future[Any]") -> None:
    """Interrupts until it has ended: DuckDB forgets an interruption that comes right before a statement begins."""
    if not future.done():
        work.interrupt()
        loop.call_later(_AGAIN_SECONDS, _end, loop, work, future)


def _ignored(future: "asyncio.Future[Any]") -> None:
    """Takes what nobody waits for, so that the event loop does not complain of it."""
    if not future.cancelled():
        future.exception()


def _fetched(
    cursor: duckdb.DuckDBPyConnection, text: str, parameters: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """The rows of one SELECT. A model that smuggles in another statement is found out here at the latest."""
    statements = duckdb.extract_statements(text)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InvalidQuery("the data model makes more of this query than one SELECT")
    return cursor.execute(text, list(parameters)).fetchall()


def _in_our_words(error: Exception) -> Exception:
    """DuckDB's own words quote values, so none of them is passed on."""
    match error:
        case duckdb.InterruptException():
            return Timeout("the query was interrupted")
        case duckdb.OutOfMemoryException():
            return Unavailable(
                "the query needs more memory than it may take",
                hint="Ask for less at once, or raise semantic.memory_mib.",
            )
        case duckdb.CatalogException() | duckdb.BinderException() | duckdb.ParserException():
            return Unavailable(
                "the data model does not fit the warehouse: it names a table, a column or a function that is not there",
                hint="Compare semantic.models with semantic.database.",
            )
        case duckdb.DataError() | duckdb.PermissionException():
            return InvalidQuery("the warehouse cannot reckon this: a value does not fit what is done with it")
        case _:
            return Unavailable("the warehouse failed to answer")
