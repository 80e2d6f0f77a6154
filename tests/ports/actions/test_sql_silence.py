"""A database that falls silent, or holds more than fits: neither may keep a thread or the memory of Penelope."""

import asyncio
import contextlib
import socket
import sqlite3
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg
import pytest
from benching import an_action

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.sql import SqlAdapter
from penelope.errors import ActionFailed

LOOK = "SELECT id, pg_sleep(:seconds) IS NULL FROM jobs"


class Between:
    """Stands between Penelope and PostgreSQL, passes everything on, and can fall silent without hanging up."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        folder = parse_qs(parts.query).get("host", [""])[0]
        self._server: str | tuple[str, int] = (parts.hostname or "", parts.port or 5432)
        if folder:
            self._server = f"{unquote(folder)}/.s.PGSQL.{parts.port or 5432}"
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[socket.socket] = []
        self.silent = threading.Event()
        user = parts.username or "postgres"
        self.url = (
            f"postgresql://{user}@127.0.0.1:{self._listening.getsockname()[1]}{parts.path}?sslmode=disable"
        )
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listening.accept()
                there = socket.socket(socket.AF_UNIX if isinstance(self._server, str) else socket.AF_INET)
                there.connect(self._server)
                self._pairs += [here, there]
                for one, other in ((here, there), (there, here)):
                    threading.Thread(target=self._pass_on, args=[one, other], daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := one.recv(65536):
                if not self.silent.is_set():
                    other.sendall(content)
        if not self.silent.is_set():
            with contextlib.suppress(OSError):
                other.shutdown(socket.SHUT_WR)

    def end(self) -> None:
        for each in (self._listening, *self._pairs):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def between(postgres: str) -> Iterator[Between]:
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute("CREATE TABLE jobs (id int PRIMARY KEY)")
        server.execute("INSERT INTO jobs VALUES (1)")
    made = Between(postgres)
    yield made
    made.end()


def test_a_database_that_falls_silent_keeps_no_thread_of_ours(between: Between, tmp_path: Path) -> None:
    """It has neither answered nor hung up, nor does it hear that the query is to be cancelled."""
    statement = {
        "sql": "DELETE FROM jobs WHERE id = :seconds",
        "look": LOOK,
        "params": ["seconds"],
        "max_rows": 1,
    }
    options = {"url": between.url, "ledger_table": "acts", "statements": {"slow": statement}}
    action = an_action("sql", "run", options, {"statement": "slow", "params": {"seconds": 3}})
    adapter = SqlAdapter(Keep(tmp_path / "keep"))
    threading.Timer(0.5, between.silent.set).start()

    async def look() -> None:
        async with asyncio.timeout(1):
            await adapter.snapshot(action)

    def ask() -> None:
        # The loop ends only when its threads have.
        with contextlib.suppress(TimeoutError):
            asyncio.run(look())

    asking = threading.Thread(target=ask, daemon=True)
    began = time.monotonic()
    asking.start()
    asking.join(12)
    assert not asking.is_alive()
    assert time.monotonic() - began > 0.9, "it was silent before it could be asked"


def test_rows_that_are_too_large_to_be_kept_are_not_even_fetched(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "large.db")) as database:
        database.execute("CREATE TABLE files (id INTEGER PRIMARY KEY, content BLOB)")
        database.execute("INSERT INTO files VALUES (1, zeroblob(48 * 1024 * 1024))")
        database.commit()
    options = {"url": f"sqlite:///{tmp_path / 'large.db'}"}
    action = an_action("sql", "delete_rows", options, {"table": "files", "where": {"id": 1}})
    adapter = SqlAdapter(Keep(tmp_path / "keep"))
    tracemalloc.start()
    try:
        with pytest.raises(ActionFailed, match="more than 16777216 bytes"):
            asyncio.run(adapter.snapshot(action))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 16 * 1024 * 1024
