"""`Graph` on Neo4j, or another server that speaks Bolt and Cypher.

A graph is written beside the one that counts, batch by batch, under a generation of its own; then one small node is
changed to name it. One transaction over everything would do for the server, but not for readers: Neo4j isolates them as
"read committed", so a query that runs while such a transaction commits may see half of it. Here a reader looks, in its
transaction and after its query, whether the generation that it asked still counts, and asks again if not.
"""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

import neo4j
from neo4j import exceptions

from penelope.adapters.graph.cypher import GENERATION, NamedQuery
from penelope.adapters.graph.library import bind, with_generation
from penelope.adapters.graph.records import edge_records, node_records, rows_of
from penelope.domain.graph import Edge, Node
from penelope.domain.graph_shape import EDGE_TYPES, LABELS, check
from penelope.errors import BadSettings, Timeout, Unavailable
from penelope.kit.canonical import Json

_BATCH = 1000
_TURNS = 3
_CONNECTIONS = 16
_WRITE_SECONDS = 30.0
"""How long one batch of a replacement may take, with all its tries."""

_RETRY_SECONDS = 10.0
"""For so long a batch that met another in a deadlock is tried again, by the driver. One that was kept before its answer was
lost is then there twice, and the count at the end says so."""

_TIMED_OUT = "TransactionTimedOut"

_SCHEMA = (
    "CREATE CONSTRAINT penelope_generation IF NOT EXISTS FOR (c:ThingGeneration) REQUIRE c.name IS UNIQUE",
    "CREATE CONSTRAINT penelope_thing IF NOT EXISTS FOR (n:Thing) REQUIRE (n.generation, n.id) IS UNIQUE",
    "CREATE INDEX penelope_folded IF NOT EXISTS FOR (n:Thing) ON (n.generation, n.folded)",
)
_CURRENT = "MATCH (c:ThingGeneration {name: 'current'}) RETURN c.current AS current"
_BEGIN = (
    "MERGE (c:ThingGeneration {name: 'current'}) ON CREATE SET c.current = '' "
    "SET c.building = $generation RETURN c.building AS building"
)
_FLIP = (
    "MATCH (c:ThingGeneration {name: 'current'}) WHERE c.building = $generation "
    "SET c.current = $generation, c.building = '' RETURN c.current AS current"
)
# Setting first takes the lock of the small node: who begins to build waits until this batch is gone.
_SWEEP = (
    "MATCH (c:ThingGeneration {name: 'current'}) SET c.swept = $sweep "
    "WITH c.current AS current, c.building AS building "
    "MATCH (n:Thing) WHERE n.generation <> current AND n.generation <> building "
    f"WITH n LIMIT {_BATCH} DETACH DELETE n RETURN count(*) AS gone"
)
_COUNT_NODES = "MATCH (n:Thing {generation: $generation}) RETURN count(n) AS there"
_COUNT_EDGES = "MATCH (n:Thing {generation: $generation})-[r]->(:Thing) RETURN count(r) AS there"
_NODES = {label: f"UNWIND $rows AS r CREATE (n:Thing:{label}) SET n = r" for label in LABELS}
_EDGES = {
    kind: "UNWIND $rows AS r MATCH (a:Thing {generation: $generation, id: r.start}) "
    "MATCH (b:Thing {generation: $generation, id: r.end}) "
    f"CREATE (a)-[:{kind} {{type: r.type, start: r.start, properties: r.properties}}]->(b)"
    for kind in EDGE_TYPES
}

_Row = list[Any]
_Work = TypeVar("_Work", bound=Callable[..., Awaitable[Any]])


class Neo4jGraph:
    """Asks a server at `url` (``bolt://``, ``neo4j://``, with ``+s`` for TLS). Things lie in a database that no one else
    uses, under the label ``Thing`` and that of their kind.
    """

    def __init__(
        self, url: str, user: str, password: str, *, database: str = "neo4j", timeout_seconds: float = 2.0
    ) -> None:
        self._database = database
        self._timeout_seconds = timeout_seconds
        self._generation = ""
        self._open = lambda: neo4j.AsyncGraphDatabase.driver(
            url,
            auth=(user, password),
            max_connection_pool_size=_CONNECTIONS,
            connection_timeout=timeout_seconds,
            connection_acquisition_timeout=timeout_seconds,
            warn_notification_severity=neo4j.NotificationMinimumSeverity.OFF,
            user_agent="penelope",
        )
        self._driver: neo4j.AsyncDriver | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self._closed = True
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close()

    async def ask(self, name: str, parameters: Mapping[str, Json]) -> Sequence[Mapping[str, Json]]:
        query, bound = bind(name, parameters)
        async with self._answering(f"answer {name}", self._timeout_seconds):
            for _ in range(_TURNS):
                asked = self._generation  # others ask at the same time, and may learn of a new one meanwhile
                found, current = await self._read(query, with_generation(bound, asked))
                if current == asked:
                    return rows_of(query, found)
                self._generation = current
        raise Unavailable("the graph is replaced faster than it can be read")

    async def _read(self, query: NamedQuery, bound: Mapping[str, Json]) -> tuple[list[_Row], str]:
        """The rows of a generation, and which one counts after they were read."""

        @_within(self._timeout_seconds)
        async def work(transaction: neo4j.AsyncManagedTransaction) -> tuple[list[_Row], str]:
            found = await _rows(transaction, query.text_for(bound), bound) if bound[GENERATION] else []
            current = await _rows(transaction, _CURRENT, {})
            return found, current[0][0] if current else ""

        async with self._session() as session:
            return await session.execute_read(work)

    async def replace(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        """Where it fails or is stopped the old graph goes on to count; the next one sweeps away what is left of it."""
        await asyncio.to_thread(check, nodes, edges)
        generation = uuid.uuid4().hex
        for statement in _SCHEMA:
            await self._change(statement, {})
        await self._change(_BEGIN, {"generation": generation})
        await self._write(generation, nodes, edges)
        if not await self._change(_FLIP, {"generation": generation}):
            raise Unavailable("another process began to replace the graph")
        while (await self._change(_SWEEP, {"sweep": uuid.uuid4().hex}))[0][0]:
            pass

    async def _write(self, generation: str, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        by_label: dict[str, list[dict[str, Json]]] = {}
        for record in node_records(nodes, generation):
            by_label.setdefault(record["kind"], []).append(record)
        for label, records in by_label.items():
            for batch in _batches(records):
                await self._change(_NODES[label], {"rows": batch})
        kept = edge_records(edges)
        for kind, records in kept.items():
            for batch in _batches(records):
                await self._change(_EDGES[kind], {"rows": batch, "generation": generation})
        wanted = [len(nodes), sum(map(len, kept.values()))]
        there = [
            (await self._change(text, {"generation": generation}))[0][0]
            for text in (_COUNT_NODES, _COUNT_EDGES)
        ]
        if there != wanted:
            raise Unavailable(f"the graph kept {there} of {wanted} nodes and edges")

    async def _change(self, text: str, parameters: Mapping[str, Json]) -> list[_Row]:
        @_within(_WRITE_SECONDS)
        async def work(transaction: neo4j.AsyncManagedTransaction) -> list[_Row]:
            return await _rows(transaction, text, parameters)

        async with self._answering("be replaced", _WRITE_SECONDS), self._session(_RETRY_SECONDS) as session:
            return await session.execute_write(work)

    def _session(self, retry_seconds: float = 0) -> neo4j.AsyncSession:
        """Without a second try unless so many seconds are given: whoever asks decides whether and when to ask again."""
        if self._closed:
            # A driver that was opened anew would be closed by nobody.
            raise Unavailable("the graph was closed")
        driver = self._driver = self._driver or self._open()  # type: ignore[no-untyped-call]  # the driver's
        return driver.session(database=self._database, max_transaction_retry_time=retry_seconds)

    @asynccontextmanager
    async def _answering(self, what: str, seconds: float) -> AsyncIterator[None]:
        """Errors of the driver in our words. What it says may hold parameters, so it is not repeated."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise Timeout(f"the graph takes too long to {what}") from None
        except (exceptions.AuthError, exceptions.ConfigurationError) as error:
            raise BadSettings(
                "the graph's server refuses the user or the way it is spoken to",
                hint="Check graph.url, graph.user and graph.password_file.",
            ) from error
        except exceptions.Neo4jError as error:
            if _TIMED_OUT in (error.code or ""):
                raise Timeout(f"the graph takes too long to {what}") from error
            raise Unavailable(f"the graph cannot {what}: {error.code}") from error
        except (exceptions.DriverError, OSError, ValueError) as error:
            raise Unavailable(f"the graph cannot {what}: {type(error).__name__}") from error


def _within(seconds: float) -> Callable[[_Work], _Work]:
    """Has the server stop a transaction that takes longer, even where nobody waits for it any more."""
    bounded: Callable[[_Work], _Work] = neo4j.unit_of_work(timeout=seconds)
    return bounded


async def _rows(
    transaction: neo4j.AsyncManagedTransaction, text: str, parameters: Mapping[str, Json]
) -> list[_Row]:
    result = await transaction.run(text, dict(parameters))
    return [list(record.values()) async for record in result]


def _batches(records: Iterable[dict[str, Json]]) -> Iterator[list[dict[str, Json]]]:
    ongoing = iter(records)
    while batch := list(itertools.islice(ongoing, _BATCH)):
        yield batch
