"""Named queries on an embedded graph of 10,000 things and 30,000 edges, beside the same walk in plain Python."""

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from statistics import median, quantiles

from penelope.adapters.graph.ladybug import LadybugGraph
from penelope.domain.access import Classification
from penelope.domain.graph import Edge, Node

NODES = 10_000
EDGES = 30_000
QUESTIONS = 200
ALLOWED = (Classification.PUBLIC, Classification.INTERNAL)
QUERIES = ("owner_of", "depends_on", "blast_radius", "upstream_causes", "things_named", "neighbours")


def made(chance: random.Random) -> tuple[list[Node], list[Edge]]:
    """Services, one in ten of them hidden from who asks; nine edges in ten are dependencies."""
    nodes = [
        Node(
            id=f"service:{number}",
            label="Service",
            name=f"service {number}",
            classification=Classification.RESTRICTED if number % 10 == 0 else Classification.INTERNAL,
        )
        for number in range(NODES)
    ]
    edges = [
        Edge(
            type="OWNED_BY" if chance.random() < 0.1 else "DEPENDS_ON",
            start=f"service:{chance.randrange(NODES)}",
            end=f"service:{chance.randrange(NODES)}",
        )
        for _ in range(EDGES)
    ]
    return nodes, edges


def walk(after: Mapping[str, Collection[str]], allowed: Collection[str], start: str) -> dict[str, int]:
    """What a thing depends on over four hops, with the distance."""
    found, edge = {start: 0}, {start} & set(allowed)
    for distance in range(1, 5):
        edge = {end for one in edge for end in after.get(one, ()) if end in allowed} - found.keys()
        found |= dict.fromkeys(edge, distance)
    del found[start]
    return found


async def timed(graph: LadybugGraph, name: str, things: list[str]) -> tuple[list[float], list[int]]:
    """Milliseconds and number of rows of each question."""
    times, sizes = [], []
    for thing in things:
        given = {"id": thing, "since": 0, "name": thing.replace(":", " "), "limit": 1000}
        taken = {"things_named": ["name"], "upstream_causes": ["id", "since"]}.get(name, ["id"])
        parameters = {word: given[word] for word in [*taken, "limit"]}
        began = time.perf_counter()
        rows = await graph.ask(name, {**parameters, "allowed": ALLOWED})
        times.append((time.perf_counter() - began) * 1e3)
        sizes.append(len(rows))
    return times, sizes


async def measure(folder: Path) -> int:
    chance = random.Random(7)
    nodes, edges = made(chance)
    graph = LadybugGraph(folder, timeout_seconds=30)
    began = time.perf_counter()
    await graph.replace(nodes, edges)
    print(f"{NODES:,} things and {EDGES:,} edges are in place after {time.perf_counter() - began:.2f} s")
    things = [f"service:{chance.randrange(NODES)}" for _ in range(QUESTIONS)]
    answers: list[int] = []
    for name in QUERIES:
        await timed(graph, name, things[:20])
        times, sizes = await timed(graph, name, things)
        answers = sizes if name == "depends_on" else answers
        print(
            f"{name}: p50 {median(times):.2f} ms, p99 {quantiles(times, n=100)[98]:.2f} ms, "
            f"{median(sizes):.0f} rows"
        )
    await graph.close()
    after: dict[str, set[str]] = {}
    for edge in edges:
        if edge.type == "DEPENDS_ON":
            after.setdefault(edge.start, set()).add(edge.end)
    allowed = {node.id for node in nodes if node.classification in ALLOWED}
    times, alike = [], 0
    for thing, rows in zip(things, answers, strict=True):
        began = time.perf_counter()
        found = walk(after, allowed, thing)
        times.append((time.perf_counter() - began) * 1e3)
        alike += len(found) == rows
    print(
        f"four hops in plain Python, all in memory: p50 {median(times):.3f} ms; {alike} of {QUESTIONS} alike"
    )
    return 0 if alike == QUESTIONS else 1


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measure(Path(folder) / "graph"))


if __name__ == "__main__":
    sys.exit(main())
