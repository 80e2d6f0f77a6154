"""`Graph` in a file on this machine, on Ladybug."""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ladybug

from penelope.adapters.graph import ladybug_file
from penelope.adapters.graph.cypher import NamedQuery
from penelope.adapters.graph.generations import Generations
from penelope.adapters.graph.library import bind, with_generation
from penelope.adapters.graph.records import rows_of
from penelope.domain.graph import Edge, Node
from penelope.domain.graph_shape import check
from penelope.errors import InvalidQuery, Timeout, Unavailable
from penelope.kit.canonical import Json

_READERS = 4
"""Queries under way at once; others wait, and their waiting counts as time to answer."""

_PAGES = (200, 1000, 20_000)
"""The numbers of rows that are asked for: up to the default, up to the most, and all names."""

_MOST_PLANS = 8
"""Different texts that a connection is asked: it keeps the plan of each, in some 2 MB and up to 10 of all that there are."""

_BUILD_PATIENCE_SECONDS = 30.0


class _Reader:
    """A connection, and the texts that it has been asked."""

    def __init__(self, database: Any) -> None:
        # One thread a query: to hand pieces of one to several takes longer than these queries do.
        self.connection: Any = ladybug.Connection(database, num_threads=1)
        self._asked: set[str] = set()

    def rows(self, text: str, parameters: Mapping[str, Json]) -> list[Any]:
        self._asked.add(text)
        found: list[Any] = self.connection.execute(text, dict(parameters)).get_all()
        return found

    @property
    def is_full(self) -> bool:
        """Whether it keeps as many plans as it may; a new connection takes 0.05 ms, and a plan 2 ms."""
        return len(self._asked) >= _MOST_PLANS


class _Shelf:
    """An open file and its idle connections. It is closed when it was retired and the last reader has left."""

    def __init__(self, name: str, file: Path) -> None:
        self.name = name
        self._database = ladybug_file.opened(file, read_only=True)
        self._idle: list[_Reader] = []
        self._readers = 0
        self._retired = False

    def take(self) -> _Reader:
        self._readers += 1
        return self._idle.pop() if self._idle else _Reader(self._database)

    def give_back(self, reader: _Reader, *, sound: bool) -> None:
        self._readers -= 1
        if sound and not self._retired and not reader.is_full:
            self._idle.append(reader)
        else:
            reader.connection.close()
        self._close_if_done()

    def retire(self) -> None:
        self._retired = True
        while self._idle:
            self._idle.pop().connection.close()
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retired and not self._readers:
            self._database.close()


class _Call:
    """A query under way, which may be stopped from another thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._connection: Any = None
        self.stopped = False

    def begin(self, connection: Any) -> None:
        with self._guard:
            if self.stopped:
                raise Timeout("the graph was no longer waited for")
            self._connection = connection

    def end(self) -> None:
        with self._guard:
            self._connection = None

    def stop(self) -> None:
        with self._guard:
            self.stopped = True
            if self._connection is not None:
                self._connection.interrupt()


def _paged(query: NamedQuery, bound: Mapping[str, Json]) -> tuple[str, Mapping[str, Json], int | None]:
    """The text with its number of rows rounded up and written in, the other parameters, and the number; None where the query
    has its own.

    Where that number is a parameter the store plans for any, and takes four times as long (docs/graph.md). Each text is a
    plan that a connection keeps.
    """
    text, limit = query.text_for(bound), bound.get("limit")
    if not isinstance(limit, int):
        return text, bound, None
    page = next(size for size in _PAGES if size >= limit)
    left = {name: value for name, value in bound.items() if name != "limit"}
    return text.replace("$limit", str(page)), left, limit


class LadybugGraph:
    """Keeps the graph in `folder`, which several processes of one machine may share.

    A query that takes longer than `timeout_seconds` is stopped, as is one that nobody waits for any more.
    """

    def __init__(self, folder: Path, *, timeout_seconds: float = 2.0) -> None:
        self._generations = Generations(folder)
        self._timeout_seconds = timeout_seconds
        self._guard = threading.Lock()
        self._shelf: _Shelf | None = None
        self._closed = False
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="graph")

    async def ask(self, name: str, parameters: Mapping[str, Json]) -> Sequence[Mapping[str, Json]]:
        query, bound = bind(name, parameters)
        call = _Call()
        if self._closed:
            raise Unavailable("the graph was closed")
        work = asyncio.get_running_loop().run_in_executor(self._pool, self._answer, query, bound, call)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await work
        except TimeoutError:
            raise Timeout(f"the graph takes too long to answer {name}") from None
        finally:
            call.stop()

    async def replace(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        """Once begun it goes on to its end, whoever stops waiting."""
        await asyncio.to_thread(self.replace_now, nodes, edges)

    def replace_now(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        check(nodes, edges)
        with self._generations.building(_BUILD_PATIENCE_SECONDS) as name:
            ladybug_file.write(self._generations.file(name), nodes, edges)
            try:
                self._generations.publish(name)
            except OSError as error:
                raise Unavailable(f"the graph cannot be written: {error.strerror}") from error

    async def close(self) -> None:
        """Lets go of the file, after the queries under way."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        self._let_go()

    def _answer(self, query: NamedQuery, bound: Mapping[str, Json], call: _Call) -> list[dict[str, Json]]:
        with self._reading(call) as reader:
            if reader is None:
                return []
            text, given, limit = _paged(query, bound)
            try:
                found = reader.rows(text, with_generation(given, ladybug_file.GENERATION))
            except RuntimeError as error:
                if "Interrupted" in str(error):
                    raise Timeout(f"the graph takes too long to answer {query.name}") from error
                if "Buffer manager" in str(error):
                    self._let_go()
                    # Not that the graph is unavailable: to ask the same again would fail the same.
                    raise InvalidQuery(
                        f"{query.name} would need too much memory here", hint="Ask with a smaller depth."
                    ) from error
                raise Unavailable(f"the embedded graph cannot answer {query.name}") from error
        return rows_of(query, found[:limit])

    def _let_go(self) -> None:
        """Opens the file anew for who asks next: what a query held that was refused memory would be refused to that one."""
        with self._guard:
            if self._shelf is not None:
                self._shelf.retire()
                self._shelf = None

    @contextmanager
    def _reading(self, call: _Call) -> Iterator[_Reader | None]:
        """A connection to the graph that counts, None where there is no graph yet."""
        with self._guard:
            shelf = self._current()
            reader = None if shelf is None else shelf.take()
        if shelf is None or reader is None:
            yield None
            return
        sound = False
        try:
            call.begin(reader.connection)
            reader.connection.set_query_timeout(max(1, round(self._timeout_seconds * 1000)))
            yield reader
            sound = True
        finally:
            call.end()
            with self._guard:
                # One that was told to stop might stop its next query instead.
                shelf.give_back(reader, sound=sound and not call.stopped)

    def _current(self) -> _Shelf | None:
        """The open file of the graph that counts. Raises Unavailable."""
        name = self._generations.current()
        if self._shelf is not None and self._shelf.name == name:
            return self._shelf
        opened = self._open(name) if name is not None else None
        if self._shelf is not None:
            self._shelf.retire()
        self._shelf = opened
        return opened

    def _open(self, name: str) -> _Shelf:
        try:
            return _Shelf(name, self._generations.file(name))
        except RuntimeError as error:
            # Between the two looks another process may have replaced the graph, and swept this one away.
            newer = self._generations.current()
            if newer is not None and newer != name:
                return self._open(newer)
            raise Unavailable(
                "the file of the embedded graph cannot be opened",
                hint="Load the graph anew; the folder of `graph.folder` may be removed.",
            ) from error
