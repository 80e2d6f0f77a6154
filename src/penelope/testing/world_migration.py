"""The world of `migrate-database`: a small HTTP service on SQLite that cannot work on the old schema.

As a program (``python -m penelope.testing.world_migration FOLDER``) it is that service. It takes a free port of the
loopback address and writes it to the file ``port``.
"""

import asyncio
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

import httpx

from penelope.domain.service import Service, Target
from penelope.errors import Unavailable
from penelope.kit.canonical import Json
from penelope.kit.spawn import spawn
from penelope.testing.worlds import World

WANTED = 2
"""The version of the schema that the service needs."""

_START_SECONDS = 60.0
_MOST_BODY = 64 * 1024
_OLD = """
    DROP TABLE IF EXISTS orders; DROP TABLE IF EXISTS operations;
    CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL, cents INTEGER NOT NULL);
    CREATE TABLE operations (key TEXT PRIMARY KEY);
    INSERT INTO orders (item, cents) VALUES ('shroud', 1200), ('thread', 35), ('loom', 98000);
    PRAGMA user_version = 1;
"""
_MIGRATION = (
    "ALTER TABLE orders ADD COLUMN currency TEXT NOT NULL DEFAULT 'EUR'",
    "CREATE INDEX orders_by_item ON orders (item)",
    f"PRAGMA user_version = {WANTED}",
)


class Database:
    """Orders, the version of their schema, and the keys of what was asked of it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commits all or nothing."""
        with closing(sqlite3.connect(self._file, timeout=20, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def make_old(self) -> None:
        with self._transaction() as connection:
            for statement in filter(str.strip, _OLD.split(";")):
                connection.execute(statement)

    def migrate(self, key: str) -> None:
        """Migrates unless this key, or another, has done so. Key and schema are committed together."""
        with self._transaction() as connection:
            known = connection.execute("SELECT 1 FROM operations WHERE key = ?", [key]).fetchone()
            if known is None:
                connection.execute("INSERT INTO operations VALUES (?)", [key])
                if _version(connection) < WANTED:
                    for statement in _MIGRATION:
                        connection.execute(statement)

    def was_done(self, key: str) -> bool:
        with self._transaction() as connection:
            return connection.execute("SELECT 1 FROM operations WHERE key = ?", [key]).fetchone() is not None

    def version(self) -> int:
        with self._transaction() as connection:
            return _version(connection)

    def content(self) -> Json:
        """Schema and rows; not who asked for what."""
        with self._transaction() as connection:
            tables = "SELECT sql FROM sqlite_master WHERE tbl_name = 'orders' ORDER BY name"
            return {
                "version": _version(connection),
                "schema": [row[0] for row in connection.execute(tables)],
                "orders": [list(row) for row in connection.execute("SELECT * FROM orders ORDER BY id")],
            }

    def asked(self) -> int:
        with self._transaction() as connection:
            return int(connection.execute("SELECT count(*) FROM operations").fetchone()[0])


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


class MigrationWorld(World):
    """One process, whose database lies in the world's folder."""

    playbook = "migrate-database"
    thing = "a real HTTP service on a real SQLite database"
    real = True
    signal_name = "ShopSchemaOutdated"
    labels: ClassVar[Mapping[str, str]] = {"alertname": "ShopSchemaOutdated"}

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._url = ""
        self._database: Database | None = None

    async def open(self, folder: Path) -> None:
        self._database = Database(folder / "orders.db")
        self._database.make_old()
        self._process = await spawn(
            sys.executable, "-m", "penelope.testing.world_migration", str(folder), start_new_session=True
        )
        self._url = f"http://127.0.0.1:{await _port(folder / 'port')}"
        await self.reset()

    async def close(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def reset(self) -> None:
        await self.break_it()
        await asyncio.to_thread(self._orders.migrate, "by the world itself")

    async def break_it(self) -> None:
        await asyncio.to_thread(self._orders.make_old)

    def service(self) -> Service:
        target = Target(name="admin-a", service="shop", adapter="http", options={"base_url": self._url})
        return Service(name="shop", owner="team-shop", tier=2, targets={"admin-a": target})

    async def healthy(self) -> bool:
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=20) as client:
            answer = await client.get("/orders")
        return answer.status_code == httpx.codes.OK and len(answer.json()) == 3

    async def state(self) -> Json:
        return await asyncio.to_thread(self._orders.content)

    async def gauges(self) -> Mapping[str, float]:
        return {"schema_version": float(await asyncio.to_thread(self._orders.version))}

    async def effects(self) -> Mapping[str, int]:
        return {"migrations": await asyncio.to_thread(self._orders.asked)}

    @property
    def _orders(self) -> Database:
        if self._database is None:
            raise Unavailable("the world of migrate-database is not open")
        return self._database


async def _port(file: Path) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if await asyncio.to_thread(file.exists):
            return int(await asyncio.to_thread(file.read_text))
        await asyncio.sleep(0.05)
    raise Unavailable("the service of the world of migrate-database has not started in time")


# --- the service ------------------------------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    database: ClassVar[Database]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/orders":
            self._orders()
        elif self.path.startswith("/admin/operations/"):
            key = unquote(self.path.removeprefix("/admin/operations/"))
            self._say(200 if self.database.was_done(key) else 404, {"key": key})
        else:
            self._say(404, {})

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > _MOST_BODY:
            self.close_connection = True
            self._say(413, {})
            return
        self.rfile.read(int(length))
        key = self.headers.get("Idempotency-Key", "")
        if self.path != "/admin/migrate":
            self._say(404, {})
        elif not key:
            self._say(400, {"detail": "an Idempotency-Key is needed"})
        else:
            self.database.migrate(key)
            self._say(200, {"schema_version": self.database.version()})

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""

    def _orders(self) -> None:
        if self.database.version() < WANTED:
            self._say(500, {"detail": "the schema is too old"})
        else:
            self._say(200, self.database.content()["orders"])

    def _say(self, status: int, body: Json) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def serve(folder: Path) -> None:
    """Serves until it is killed."""
    _Handler.database = Database(folder / "orders.db")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    aside = folder / f"port.{os.getpid()}"
    aside.write_text(str(server.server_port), encoding="ascii")
    aside.replace(folder / "port")
    server.serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
