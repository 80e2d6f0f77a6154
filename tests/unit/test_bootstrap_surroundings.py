"""What incidents are seen in the light of, by the settings: nothing is asked that nobody has set up."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.adapters.example import MODELS
from penelope.adapters.graph.generations import Generations
from penelope.bootstrap.surroundings import set_up_of, surroundings_of
from penelope.domain.passage import Document, Piece
from penelope.flow.parts import NothingAround
from penelope.settings import Settings
from penelope.store.database import migrate, open_engine, parse_url
from penelope.store.shelf import SqlShelf


def settings(tmp_path: Path, **changes: object) -> Settings:
    return Settings.model_validate({"graph": {"folder": tmp_path / "graph"}, **changes})


async def found(settings: Settings, engine: AsyncEngine) -> tuple[bool, bool, bool]:
    set_up = set_up_of(settings, engine)
    return await set_up.graph(), await set_up.documents(), set_up.figures


def test_each_is_asked_once_it_is_there(tmp_path: Path) -> None:
    async def run() -> None:
        engine = open_engine(parse_url(f"sqlite:///{tmp_path}/penelope.db"))
        await migrate(engine)
        given = settings(tmp_path)
        assert await found(given, engine) == (False, False, False)
        assert not (tmp_path / "graph").exists()
        # While the process runs, others draw a graph and index documents.
        graphs = Generations(tmp_path / "graph")
        with graphs.building(1.0) as name:
            graphs.file(name).write_bytes(b"")
            graphs.publish(name)
        document = Document(id="a", kind="runbook", title="A", source="a.md", digest="0")
        piece = Piece(heading="", text="restart it", terms=("restart",), length=2)
        await SqlShelf(engine).put(document, [piece], "recipe", "none")
        assert await found(given, engine) == (True, True, False)
        named = settings(tmp_path, semantic={"models": [str(MODELS)]})
        assert (await found(named, engine))[2]
        await engine.dispose()

    asyncio.run(run())


def test_what_cannot_be_looked_at_is_asked_and_says_so_itself(tmp_path: Path) -> None:
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "CURRENT").write_text("../../etc/passwd")

    async def run() -> None:
        engine = open_engine(parse_url(f"sqlite:///{tmp_path}/none.db"))
        assert await found(settings(tmp_path), engine) == (True, True, False)
        await engine.dispose()

    asyncio.run(run())


def test_a_server_of_graphs_is_always_asked(tmp_path: Path) -> None:
    server = {"kind": "neo4j", "url": "bolt://127.0.0.1:1", "password_file": tmp_path / "password"}
    engine = open_engine(parse_url(f"sqlite:///{tmp_path}/none.db"))
    assert asyncio.run(set_up_of(settings(tmp_path, graph=server), engine).graph())


@pytest.mark.parametrize("field", ["actor", "role"])
def test_nobody_asks_without_a_name(tmp_path: Path, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        settings(tmp_path, context_healing={field: ""})


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    off = settings(tmp_path, context_healing={"enabled": False})
    made = surroundings_of(off, None, None, None)  # type: ignore[arg-type]  # none of them is looked at
    assert isinstance(made, NothingAround)
