"""The embedded graph outlives the death of who replaces it, on whatever line that dies."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from penelope.adapters.graph.ladybug import LadybugGraph
from penelope.domain.access import Classification
from penelope.domain.graph import Edge, Node
from penelope.errors import Unavailable

ALL = tuple(Classification)

VICTIM = """
import json, os, signal, sys
from pathlib import Path

import penelope.adapters.graph.generations as generations
import penelope.adapters.graph.ladybug as store
import penelope.adapters.graph.ladybug_file as writing
from penelope.domain.graph import Edge, Node

FOLDERS = json.loads(sys.argv[1])
WATCHED = {module.__file__ for module in (generations, store, writing)}
NODES = [Node(id=f"service:{index}", label="Service", name="new") for index in range(20)]
EDGES = [Edge(type="DEPENDS_ON", start="service:0", end=f"service:{index}") for index in range(20)]

def replace(folder, fatal):
    seen = 0
    def trace(frame, event, argument):
        nonlocal seen
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            seen += 1
            if seen == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    graph = store.LadybugGraph(Path(folder))
    sys.settrace(trace)
    graph.replace_now(NODES, EDGES)
    sys.settrace(None)
    return seen

for fatal, folder in FOLDERS:
    child = os.fork()
    if child == 0:
        lines = replace(folder, fatal)
        Path(folder, "lines").write_text(str(lines))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(json.dumps([fatal, os.waitstatus_to_exitcode(status)]), flush=True)
"""


def run_victims(folders: list[tuple[int, Path]]) -> dict[int, int]:
    """The exit code of each process that was to die on that line of the replacement (0: it never got there)."""
    given = json.dumps([[fatal, str(folder)] for fatal, folder in folders])
    done = subprocess.run(
        [sys.executable, "-c", VICTIM, given], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(map(json.loads, done.stdout.splitlines()))


def old_graph(folder: Path) -> None:
    nodes = [Node(id=f"service:{index}", label="Service", name="old") for index in range(10)]
    edges = [Edge(type="DEPENDS_ON", start="service:0", end=f"service:{index}") for index in range(10)]
    LadybugGraph(folder).replace_now(nodes, edges)


def look(folder: Path) -> tuple[list[str], int]:
    async def run() -> tuple[list[str], int]:
        graph = LadybugGraph(folder, timeout_seconds=30)
        try:
            rows: list[Any] = []
            for name in ("old", "new"):
                rows += await graph.ask("things_named", {"name": name, "allowed": ALL})
            found = await graph.ask("depends_on", {"id": "service:0", "allowed": ALL})
            return [row["name"] for row in rows], len(found)
        finally:
            await graph.close()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many lines a replacement runs through."""
    folder = tmp_path_factory.mktemp("measured")
    old_graph(folder)
    assert run_victims([(0, folder)]) == {0: 0}
    return int((folder / "lines").read_text())


@pytest.mark.chaos
def test_killed_on_any_line_the_graph_is_the_old_one_or_the_new_one(lines: int, tmp_path: Path) -> None:
    # Loops over tables repeat the same lines; every third is taken of those, and each of the first and last ones.
    fatal = [line for line in range(1, lines + 1) if line <= 40 or line > lines - 40 or line % 3 == 0]
    folders = [(line, tmp_path / str(line)) for line in fatal]
    template = tmp_path / "template"
    old_graph(template)
    for _, folder in folders:
        folder.mkdir()
        for path in template.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    codes = run_victims(folders)
    assert set(codes.values()) == {-signal.SIGKILL}
    seen = {line: look(folder) for line, folder in folders}
    assert {(tuple(sorted(set(names))), len(names), found) for names, found in seen.values()} == {
        (("old",), 10, 9),
        (("new",), 20, 19),
    }
    # Once the new graph counts it counts for good.
    states = [seen[line][0][0] for line, _ in folders]
    assert states == sorted(states, reverse=True)
    for _, folder in folders[:: max(1, len(folders) // 10)]:
        old_graph(folder)
        assert look(folder) == (["old"] * 10, 9)
        assert len(list(folder.glob("graph-*"))) == 1


def test_a_damaged_file_is_told_and_mended_by_the_next_graph(tmp_path: Path) -> None:
    old_graph(tmp_path)
    (file,) = tmp_path.glob("graph-*.lbug")
    file.write_bytes(b"garbage" * 1000)
    with pytest.raises(Unavailable):
        look(tmp_path)
    (tmp_path / "CURRENT").write_text("../../etc/passwd")
    with pytest.raises(Unavailable):
        look(tmp_path)
    (tmp_path / "CURRENT").unlink()
    old_graph(tmp_path)
    assert look(tmp_path) == (["old"] * 10, 9)
    assert len(list(tmp_path.glob("graph-*"))) == 1
