"""Vaults full of old entries: made once on each database, and copied for each test."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url
from vault import Play, Scene, fill_with_old, open_vault, play


@pytest.fixture(scope="session")
def old_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database and the keys."""
    folder = tmp_path_factory.mktemp("old-sqlite")
    asyncio.run(fill_with_old(f"sqlite:///{folder}/penelope.db", folder))
    return folder


@pytest.fixture(scope="session")
def old_postgres(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys; the database is called `old`."""
    folder = tmp_path_factory.mktemp("old-postgres")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE old")
    asyncio.run(fill_with_old(named(postgres_server, "old"), folder))
    return folder


def named(server: str, database: str) -> str:
    return make_url(server).set(database=database).render_as_string(hide_password=False)


@pytest.fixture
def on_postgres(postgres_server: str, old_postgres: Path, tmp_path: Path) -> Iterator[Play]:
    """Runs a scene in a vault full of old entries, on PostgreSQL."""
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS copy")
        connection.execute("CREATE DATABASE copy TEMPLATE old")
        shutil.copytree(old_postgres, tmp_path / "vault")
        yield lambda scene: play(scene, named(postgres_server, "copy"), tmp_path / "vault")
        connection.execute("DROP DATABASE copy WITH (FORCE)")


@pytest.fixture
def on_sqlite(old_sqlite: Path, tmp_path: Path) -> Play:
    """Runs a scene in a vault full of old entries, where the database makes no difference."""
    shutil.copytree(old_sqlite, tmp_path / "vault")
    return lambda scene: play(scene, f"sqlite:///{tmp_path}/vault/penelope.db", tmp_path / "vault")


@pytest.fixture(params=["sqlite", "postgres"])
def on_vaults(request: pytest.FixtureRequest) -> Play:
    """Runs a scene in a vault full of old entries, on each database."""
    found: Play = request.getfixturevalue(f"on_{request.param}")
    return found


@pytest.fixture
def on_empty(databases: tuple[str, str], tmp_path: Path) -> Play:
    """Runs a scene in an empty vault, on each database."""

    async def run(scene: Scene) -> None:
        async with open_vault(databases[0], tmp_path / "vault") as vault:
            await scene(vault)

    return lambda scene: asyncio.run(run(scene))
