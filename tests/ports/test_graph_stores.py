"""The one suite of the port `Graph`: the embedded store and a server over Bolt, held against plain Python and each other.

The server is ArcadeDB, which speaks Bolt and Cypher and is no Neo4j: a real engine in a substituted shell.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from graph_oracle import HOSTILE, Oracle, graph
from neo4j.exceptions import TransientError

from penelope.adapters.graph import neo4j
from penelope.adapters.graph.ladybug import LadybugGraph
from penelope.adapters.graph.library import library
from penelope.adapters.graph.neo4j import Neo4jGraph
from penelope.domain.access import Classification
from penelope.domain.graph import Edge, Node
from penelope.errors import BadSettings, InvalidQuery, Timeout, Unavailable
from penelope.rooms.context.ports import Graph

ALL = tuple(Classification)
TURNS = 12
"""How often each query is asked on each graph; there are more than 25 queries and 2 graphs."""

Question = tuple[str, dict[str, Any]]
Opening = Callable[..., AbstractAsyncContextManager[Any]]


def embedded(folder: Path) -> Opening:
    @asynccontextmanager
    async def opening(timeout_seconds: float = 30.0) -> AsyncIterator[Graph]:
        graph = LadybugGraph(folder / "graph", timeout_seconds=timeout_seconds)
        try:
            yield graph
        finally:
            await graph.close()

    return opening


def over_bolt(server: Any) -> Opening:
    @asynccontextmanager
    async def opening(timeout_seconds: float = 30.0) -> AsyncIterator[Graph]:
        async with Neo4jGraph(
            server.url,
            server.user,
            server.password,
            database=server.database,
            timeout_seconds=timeout_seconds,
        ) as graph:
            yield graph

    return opening


@pytest.fixture(params=["embedded", "bolt"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
    """Opens the same store each time; what was kept in it before the test may still be there."""
    if request.param == "embedded":
        return embedded(tmp_path)
    return over_bolt(request.getfixturevalue("bolt_server"))


def questions(seed: int, nodes: Sequence[Node], edges: Sequence[Edge]) -> list[Question]:
    """Every query with many parameters, usual and hostile; half of them about things of which there is much to say."""
    chance = random.Random(seed)
    ids = [node.id for node in nodes]
    everything = Oracle(nodes, edges, ALL)

    def given(turn: int) -> dict[str, Any]:
        return {
            "id": chance.choice(HOSTILE) if turn == 0 else chance.choice(ids),
            "to": chance.choice(ids),
            "depth": chance.randint(1, 4),
            "since": chance.choice([0, 0, 300, 900]),
            "name": chance.choice([*HOSTILE, "thing 7", "THING 8", "thing", "i"]),
            "allowed": [] if turn == 1 else chance.sample(ALL, 5 if turn > 7 else chance.randint(2, 4)),
            "limit": chance.choice([3, 200, 1000]),
        }

    asked = []
    for name, query in library().items():
        for turn in range(TURNS):
            tried = given(turn)
            for _ in range(90 if turn % 2 else 0):
                if everything.ask(name, tried):
                    break
                tried |= {"id": chance.choice(ids), "to": chance.choice(ids)}
            asked.append((name, {word: tried[word] for word in query.parameters}))
    return asked


async def answers(store: Graph, asked: Sequence[Question]) -> list[Sequence[Any]]:
    return [await store.ask(name, given) for name, given in asked]


def expected(nodes: Sequence[Node], edges: Sequence[Edge], asked: Sequence[Question]) -> list[Any]:
    return [Oracle(nodes, edges, given["allowed"]).ask(name, given) for name, given in asked]


@pytest.mark.parametrize("seed", [1, 2])
def test_answers_are_those_of_plain_python(opening: Opening, seed: int) -> None:
    nodes, edges = graph(seed)
    asked = questions(seed, nodes, edges)

    async def run() -> list[Sequence[Any]]:
        async with opening() as store:
            await store.replace(nodes, edges)
            return await answers(store, asked)

    got, wanted = asyncio.run(run()), expected(nodes, edges, asked)
    assert len(got) >= 300
    wrong = [
        (question, mine, right)
        for question, mine, right in zip(asked, got, wanted, strict=True)
        if mine != right
    ]
    assert wrong == []
    # A suite of empty answers would prove nothing: each query finds something somewhere.
    fruitful = {name for (name, _), right in zip(asked, wanted, strict=True) if right}
    assert fruitful == library().keys()


def test_a_graph_that_was_closed_is_not_opened_again(opening: Opening) -> None:
    async def run() -> None:
        async with opening() as store:
            await store.replace(*graph(1, size=60, edges=120))
        with pytest.raises(Unavailable, match="was closed"):
            await store.ask("owner_of", {"id": "service:n1", "allowed": ["public"], "limit": 10})

    asyncio.run(run())


def test_both_stores_answer_alike(tmp_path: Path, bolt_server: Any) -> None:
    nodes, edges = graph(7, size=400, edges=1500)
    asked = questions(7, nodes, edges) + questions(8, nodes, edges)

    async def run() -> tuple[list[Sequence[Any]], ...]:
        async with embedded(tmp_path)() as here, over_bolt(bolt_server)() as there:
            for store in (here, there):
                await store.replace(nodes, edges)
            return await answers(here, asked), await answers(there, asked)

    here, there = asyncio.run(run())
    assert len(asked) >= 500
    assert sum(mine == theirs for mine, theirs in zip(here, there, strict=True)) == len(asked)
    assert sum(map(len, here)) > len(asked)


def test_what_may_not_be_known_changes_no_answer(opening: Opening) -> None:
    """Asked with and without the hidden things in the graph, everything is the same: nothing shines through."""
    nodes, edges = graph(3)
    allowed = [Classification.PUBLIC, Classification.INTERNAL]
    plain = [node for node in nodes if node.classification in allowed]
    ids = {node.id for node in plain}
    between = [edge for edge in edges if edge.start in ids and edge.end in ids]
    asked = [(name, {**given, "allowed": allowed}) for name, given in questions(3, nodes, edges)]

    async def run() -> tuple[list[Sequence[Any]], ...]:
        async with opening() as store:
            await store.replace(nodes, edges)
            with_hidden = await answers(store, asked)
            await store.replace(plain, between)
            return with_hidden, await answers(store, asked)

    with_hidden, without = asyncio.run(run())
    assert len(plain) < len(nodes) - 20
    assert with_hidden == without
    hidden = {node.id for node in nodes} - ids
    named = {text for rows in with_hidden for row in rows for text in [row.get("id"), *row.get("path", ())]}
    assert named & ids
    assert not named & hidden


def test_an_empty_graph_answers_nothing(opening: Opening) -> None:
    async def run() -> list[Sequence[Any]]:
        async with opening() as store:
            await store.replace([], [])
            return await answers(store, questions(1, *graph(1)))

    assert not any(asyncio.run(run()))


def test_a_graph_that_makes_no_sense_is_refused_with_all_that_is_wrong(opening: Opening) -> None:
    good = Node(id="service:a", label="Service", name="a")
    bad = [
        Node(id="service:a", label="Servise", name="\0"),
        Node(id="", label="Team", name="t", properties={"at": -1}),
        Node(id="team:x", label="Team", name="x", properties={"status": 3, "deep": float("nan")}),
    ]
    edges = [
        Edge(type="LIKES", start="service:a", end="service:a"),
        Edge(type="DEPENDS_ON", start="service:a", end="service:b"),
    ]

    async def run() -> tuple[str, Sequence[Any]]:
        async with opening() as store:
            await store.replace([good], [])
            with pytest.raises(InvalidQuery) as refused:
                await store.replace([good, *bad], edges)
            return refused.value.message, await store.ask("orphans", {"allowed": ALL})

    message, left = asyncio.run(run())
    assert [row["id"] for row in left] == ["service:a"]
    for part in (
        "'Servise'",
        "twice",
        "control character",
        "its id is empty",
        "'at' must be",
        "'status' must be",
        "no JSON",
        "'LIKES'",
        "no node 'service:b'",
    ):
        assert part in message


def versions(number: int, size: int = 150) -> tuple[list[Node], list[Edge]]:
    """A ring of things that are all called by the number of the version."""
    nodes = [Node(id=f"service:{index}", label="Service", name=f"v{number}") for index in range(size)]
    edges = [
        Edge(type="DEPENDS_ON", start=f"service:{index}", end=f"service:{(index + 1) % size}")
        for index in range(size)
    ]
    return nodes, edges


def test_readers_see_the_old_graph_or_the_new_one(opening: Opening) -> None:
    """Each look at 150 things of one version, while five others take its place."""

    async def run() -> list[tuple[int, ...]]:
        async with opening() as store:
            await store.replace(*versions(0))
            done, seen = asyncio.Event(), []

            async def read() -> None:
                while not done.is_set():
                    rows = await store.ask("things_like", {"name": "v", "allowed": ALL})
                    seen.append((len(rows), len({row["name"] for row in rows})))

            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(read())
                for number in range(1, 6):
                    await store.replace(*versions(number))
                done.set()
            last = await store.ask("things_named", {"name": "V5", "allowed": ALL})
            return [*seen, (len(last), 1)]

    seen = asyncio.run(run())
    assert len(seen) > 10
    assert set(seen) == {(150, 1)}


def test_another_process_that_has_it_open_sees_the_new_graph(opening: Opening) -> None:
    async def run() -> list[str]:
        async with opening() as one, opening() as other:
            names = []
            for number in (1, 2):
                await one.replace(*versions(number, 3))
                rows = await other.ask("things_like", {"name": "v", "allowed": ALL})
                names += [row["name"] for row in rows]
            return names

    assert asyncio.run(run()) == ["v1"] * 3 + ["v2"] * 3


def test_of_two_replacements_at_once_one_counts_and_is_whole(opening: Opening) -> None:
    async def run() -> tuple[list[Any], Sequence[Any]]:
        async with opening() as one, opening() as other:
            done = await asyncio.gather(
                one.replace(*versions(1)), other.replace(*versions(2)), return_exceptions=True
            )
            return done, await one.ask("things_like", {"name": "v", "allowed": ALL})

    done, rows = asyncio.run(run())
    assert len(rows) == 150
    assert len({row["name"] for row in rows}) == 1
    assert None in done
    assert all(item is None or isinstance(item, Unavailable) for item in done)


def test_a_batch_that_met_another_in_a_deadlock_is_written_again_and_once(
    bolt_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, left = neo4j._rows, ["CREATE (n", "CREATE (a"]

    async def unlucky(transaction: Any, text: str, parameters: Any) -> Any:
        found = await honest(transaction, text, parameters)
        if left and left[0] in text:
            del left[0]
            raise TransientError("of two transactions that wait for each other the server ends one")
        return found

    async def run() -> Sequence[Any]:
        monkeypatch.setattr(neo4j, "_rows", unlucky)
        async with over_bolt(bolt_server)() as store:
            await store.replace(
                [Node(id=f"service:{name}", label="Service", name="v") for name in "ab"],
                [Edge(type="DEPENDS_ON", start="service:a", end="service:b")],
            )
            return await store.ask("things_like", {"name": "v", "allowed": ALL})

    assert len(asyncio.run(run())) == 2
    assert left == []


def dense() -> tuple[list[Node], list[Edge]]:
    """More than ten million ways of four hops."""
    nodes = [Node(id=f"service:{index}", label="Service", name="s") for index in range(200)]
    edges = [
        Edge(type="DEPENDS_ON", start=f"service:{index}", end=f"service:{(index * 7 + step) % 200}")
        for index in range(200)
        for step in range(60)
    ]
    return nodes, edges


def test_what_takes_too_long_is_stopped_and_the_next_one_is_answered(opening: Opening) -> None:
    async def run() -> tuple[float, Sequence[Any]]:
        loop = asyncio.get_running_loop()
        async with opening() as patient:
            await patient.replace(*dense())
        async with opening(timeout_seconds=0.5) as store:
            await store.ask("thing", {"id": "service:1", "allowed": ALL})
            began = loop.time()
            with pytest.raises(Timeout):
                await store.ask("depends_on", {"id": "service:1", "allowed": ALL})
            spent = loop.time() - began
            async with asyncio.timeout(10):
                task = asyncio.ensure_future(store.ask("depends_on", {"id": "service:2", "allowed": ALL}))
                await asyncio.sleep(0.1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            return spent, await store.ask("thing", {"id": "service:3", "allowed": ALL})

    spent, rows = asyncio.run(run())
    assert spent < 5
    assert [row["id"] for row in rows] == ["service:3"]


class Dead(Exception):
    """Stands for the death of the process."""


class Mortal(Neo4jGraph):
    """Dies right before the statement of that number, from 1."""

    fatal = 0
    done = 0

    async def _change(self, text: str, parameters: Any) -> list[Any]:
        self.done += 1
        if self.done == self.fatal:
            raise Dead
        return await super()._change(text, parameters)


def test_a_replacement_that_dies_before_any_statement_leaves_the_old_graph_or_the_new_one(
    bolt_server: Any,
) -> None:
    place = (bolt_server.url, bolt_server.user, bolt_server.password)
    more = {"database": bolt_server.database, "timeout_seconds": 30.0}

    async def run() -> tuple[list[tuple[int, set[str]]], int]:
        seen = []
        async with Neo4jGraph(*place, **more) as healthy:
            await healthy.replace(*versions(0, 30))
            died = True
            for fatal in range(1, 50):
                async with Mortal(*place, **more) as mortal:
                    mortal.fatal = fatal
                    try:
                        await mortal.replace(*versions(fatal, 30))
                        died = False
                    except Dead:
                        pass
                rows = await healthy.ask("things_like", {"name": "v", "allowed": ALL})
                seen.append((len(rows), {row["name"] for row in rows}))
                if not died:
                    break
            left = await healthy._change("MATCH (n:Thing) RETURN count(n) AS there", {})
        return seen, left[0][0]

    seen, left = asyncio.run(run())
    assert len(seen) > 8
    assert {size for size, _ in seen} == {30}
    assert seen[0][1] == {"v0"}
    assert seen[-1][1] == {f"v{len(seen)}"}
    for fatal, (_, names) in enumerate(seen, 1):
        assert names in ({"v0"}, {f"v{fatal}"}, {f"v{fatal - 1}"})
    assert left == 30


def test_a_server_that_is_gone_or_refuses_is_told_without_its_password(bolt_server: Any) -> None:
    async def ask(url: str, password: str) -> str:
        async with Neo4jGraph(url, bolt_server.user, password, database=bolt_server.database) as store:
            try:
                await store.ask("orphans", {"allowed": ALL})
            except (Unavailable, BadSettings) as error:
                return f"{type(error).__name__}: {error.message} {error.advice}"
        return "answered"

    gone = asyncio.run(ask("bolt://127.0.0.1:9", "hunter2-hunter2"))
    refused = asyncio.run(ask(bolt_server.url, "hunter2-hunter2"))
    assert gone.startswith("Unavailable: the graph cannot answer orphans")
    assert refused.startswith("BadSettings: the graph's server refuses")
    assert "hunter2" not in gone + refused
