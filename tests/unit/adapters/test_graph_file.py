"""Graphs that people wrote, and the graph that the settings name."""

import asyncio
from pathlib import Path

import pytest

from penelope.adapters.graph import ladybug_file
from penelope.adapters.graph.file import load_graph
from penelope.adapters.graph.ladybug import LadybugGraph
from penelope.adapters.graph.opened import BoltServer, open_graph
from penelope.domain.graph import Edge, Node
from penelope.errors import BadSettings, InvalidCatalogue, InvalidQuery, Unavailable
from penelope.settings import load

EXAMPLE = Path(__file__).parents[3] / "src" / "penelope" / "adapters" / "example" / "graph.yaml"
HEAD = "apiVersion: penelope.dev/v1\nkind: ServiceGraph\n"


def refused(folder: Path, text: str) -> str:
    file = folder / "graph.yaml"
    file.write_text(HEAD + text, encoding="utf-8")
    with pytest.raises(InvalidCatalogue) as error:
        load_graph(file)
    return error.value.message.replace(f"{file}:", "")


def test_the_example_has_forty_things_of_every_kind() -> None:
    nodes, edges = load_graph(EXAMPLE)
    assert len(nodes) == 40
    assert len({node.label for node in nodes}) == 11
    assert len({edge.type for edge in edges}) == 10
    ends = {end for edge in edges for end in (edge.start, edge.end)}
    assert ends == {node.id for node in nodes}


def test_every_mistake_is_told_with_its_place(tmp_path: Path) -> None:
    text = """\
nodes:
  service:a: {label: Service, name: a}
  service:b: {label: Service, name: b, properties: {at: yesterday}}
edges:
  DEPENDS_ON:
    service:a: [service:b, service:c, service:b]
    service:x: [service:a]
"""
    assert refused(tmp_path, text).splitlines() == [
        "5:3: node 'service:b': 'at' must be whole seconds since 1970",
        "8:28: there is no node 'service:c'",
        "8:39: this edge stands here twice",
        "9:5: there is no node 'service:x'",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nodes: {a: {label: Servise, name: a}}\n", "3:20: must be one of Change, Dashboard"),
        ("nodes: {a: {label: Service, name: a, colour: red}}\n", "unknown key 'colour'"),
        ("nodes: {a: {label: Service, name: ' a'}}\n", "is empty or has blanks around it"),
        ("nodes: {a: {label: Service, name: a, classification: secret}}\n", "3:54: must be 'public'"),
        ("nodes: {a: &x {label: Service, name: a}}\n", "anchors and aliases are refused"),
        ("nodes: {}\nedges: {LIKES: {}}\n", "4:9: must be one of AFFECTS"),
        ("nodes: [a]\n", "must be a mapping"),
        ("nodes: {" + "[" * 60, "nested more than 40 deep"),
    ],
)
def test_what_is_no_graph_is_refused(tmp_path: Path, text: str, why: str) -> None:
    assert why in refused(tmp_path, text)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    assert "larger than 256 KiB" in refused(tmp_path, "# " + "x" * 300_000)


def test_the_graph_of_the_settings_is_opened(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("a good password\n")
    password.chmod(0o600)
    server = BoltServer(url="bolt://127.0.0.1:9", user="u", password_file=password, database="things")

    async def run() -> list[str]:
        kinds = []
        for named in (None, server):
            store = await open_graph(tmp_path / "graph", named, 1.0)
            kinds.append(type(store).__name__)
            await store.close()
        password.chmod(0o644)
        with pytest.raises(BadSettings, match="open to others"):
            await open_graph(tmp_path, server, 1.0)
        return kinds

    assert asyncio.run(run()) == ["LadybugGraph", "Neo4jGraph"]


def test_a_folder_that_cannot_be_named_to_the_store_is_refused(tmp_path: Path) -> None:
    graph = LadybugGraph(tmp_path / "it's [odd]")
    with pytest.raises(BadSettings, match=r"graph\.folder"):
        graph.replace_now([], [])


def test_a_graph_that_was_closed_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        graph = LadybugGraph(tmp_path)
        await graph.close()
        with pytest.raises(Unavailable, match="closed"):
            await graph.ask("orphans", {"allowed": ["public"]})

    asyncio.run(run())


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("graph.kind=neo4j", "graph.url too"),
        ("graph.url=http://host", "should be an address such as"),
        ("graph.url=bolt://me:hunter2@host", "no user name and no password"),
        ("graph.url=bolt://host/x", "nothing behind host and port"),
        ("graph.timeout_seconds=0", "greater than 0"),
        ("graph.database=a b", "graph.database"),
    ],
)
def test_settings_that_cannot_be_used_are_told(override: str, why: str) -> None:
    with pytest.raises(BadSettings) as error:
        load(None, {}, [override])
    assert why in error.value.message
    assert "hunter2" not in error.value.message


def test_what_would_need_too_much_memory_is_refused_and_less_of_it_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladybug_file, "BUFFER_BYTES", 32 * 1024 * 1024)
    nodes = [Node(id=f"service:{index}", label="Service", name="s") for index in range(200)]
    edges = [
        Edge(type="DEPENDS_ON", start=f"service:{index}", end=f"service:{(index * 7 + step) % 200}")
        for index in range(200)
        for step in range(60)
    ]

    async def run() -> int:
        graph = LadybugGraph(tmp_path, timeout_seconds=60)
        await graph.replace(nodes, edges)
        asked = {"id": "service:1", "allowed": ["internal"]}
        with pytest.raises(InvalidQuery, match="too much memory"):
            await graph.ask("depends_on", asked)
        rows = await graph.ask("depends_on", {**asked, "depth": 1})
        await graph.close()
        return len(rows)

    assert asyncio.run(run()) == 60
