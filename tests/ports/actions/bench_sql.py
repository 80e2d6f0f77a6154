"""Benches of the adapter for databases: an SQLite file and a real PostgreSQL."""

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from benching import Bench, an_action, with_options

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.sql import SqlAdapter
from penelope.domain.action import Action, Snapshot, Tier

UNREACHABLE = "postgresql://penny:s3cret@127.0.0.1:9/x?connect_timeout=2"

STUCK = {"table": "jobs", "where": {"state": "running", "worker": "w1"}}
FREE = {**STUCK, "set": {"state": "pending", "worker": None}}
NEW = {"table": "jobs", "rows": [{"id": 7, "state": "pending", "note": "über 'it'"}, {"id": 8, "state": "x"}]}

SQLITE = """
CREATE TABLE jobs (id INTEGER PRIMARY KEY, state TEXT NOT NULL DEFAULT 'new', worker TEXT, weight REAL, data BLOB,
  note TEXT);
INSERT INTO jobs VALUES (1, 'running', 'w1', 0.1, x'00ff', NULL), (2, 'running', 'w1', 1e300, NULL, 'a%b''c'),
  (3, 'running', 'w2', NULL, NULL, ''), (4, 'done', NULL, -0.0, NULL, 's3cret');
CREATE TABLE audit (what TEXT);
CREATE TRIGGER u AFTER UPDATE ON jobs BEGIN INSERT INTO audit VALUES ('u'); END;
CREATE TRIGGER d AFTER DELETE ON jobs BEGIN INSERT INTO audit VALUES ('d'); END;
CREATE TRIGGER i AFTER INSERT ON jobs WHEN new.id > 4 BEGIN INSERT INTO audit VALUES ('i'); END;
DELETE FROM audit;
"""
POSTGRES = """
CREATE TABLE jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state varchar(10) NOT NULL DEFAULT 'new',
  worker text, weight float8, amount numeric(12,2) DEFAULT 1.5, data bytea, note text, tags text[], doc jsonb,
  at timestamptz DEFAULT '2026-01-02 03:04:05.678901+05', twice float8 GENERATED ALWAYS AS (weight * 2) STORED);
INSERT INTO jobs (state, worker, weight, data, note, tags, doc) VALUES
  ('running', 'w1', 0.1, '\\x00ff', NULL, '{a,NULL,"b c"}', '{"a": [1, 2.50]}'),
  ('running', 'w1', 'NaN', NULL, 'a%b''c', NULL, NULL),
  ('running', 'w2', NULL, NULL, '', '{}', '{}'), ('done', NULL, -0.0, NULL, 's3cret', NULL, NULL);
CREATE TABLE audit (what text);
CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO audit VALUES (tg_op); RETURN NULL; END$$;
CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION note_it();
"""


def _adapter(request: pytest.FixtureRequest) -> SqlAdapter:
    return SqlAdapter(Keep(request.getfixturevalue("tmp_path") / "keep"))


def sqlite_jobs(request: pytest.FixtureRequest) -> str:
    """The URL of a file with a table of jobs."""
    path = request.getfixturevalue("tmp_path") / "jobs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SQLITE)
    return f"sqlite:///{path}"


def _count(url: str, sql: str) -> int:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as connection:
            return int(connection.execute(sql).fetchone()[0])
    with psycopg.connect(url, autocommit=True) as server:
        row = server.execute(sql.encode()).fetchone()
        assert row is not None
        return int(row[0])


def _rows(
    request: pytest.FixtureRequest, url: str, operation: str, params: dict[str, Any], **options: Any
) -> Bench:
    options = {"url": url, "allow_triggers": True, **options}
    action = an_action("sql", operation, options, params)
    gone = "sqlite:////nowhere/jobs.db" if url.startswith("sqlite") else UNREACHABLE
    return Bench(
        adapter=_adapter(request),
        action=action,
        effects=lambda: _count(url, "SELECT count(*) FROM audit") // 2,  # two rows each
        shown=("rows",),
        unreachable=(_adapter(request), with_options(action, url=gone)),
    )


def sqlite_update(request: pytest.FixtureRequest) -> Bench:
    return _rows(request, sqlite_jobs(request), "update_rows", FREE, ledger_table="penelope_actions")


def sqlite_update_unrecorded(request: pytest.FixtureRequest) -> Bench:
    return _rows(request, sqlite_jobs(request), "update_rows", FREE)


def sqlite_delete(request: pytest.FixtureRequest) -> Bench:
    return _rows(request, sqlite_jobs(request), "delete_rows", STUCK)


def sqlite_insert(request: pytest.FixtureRequest) -> Bench:
    return _rows(request, sqlite_jobs(request), "insert_rows", NEW, ledger_table="penelope_actions")


def postgres_jobs(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(POSTGRES)
    return url


def postgres_update(request: pytest.FixtureRequest) -> Bench:
    return _rows(request, postgres_jobs(request), "update_rows", FREE, ledger_table="penelope_actions")


def postgres_update_unrecorded(request: pytest.FixtureRequest) -> Bench:
    return _rows(request, postgres_jobs(request), "update_rows", FREE)


def postgres_delete(request: pytest.FixtureRequest) -> Bench:
    return _rows(request, postgres_jobs(request), "delete_rows", STUCK, ledger_table="penelope_actions")


def postgres_insert(request: pytest.FixtureRequest) -> Bench:
    return _rows(request, postgres_jobs(request), "insert_rows", NEW)


def postgres_run(request: pytest.FixtureRequest) -> Bench:
    statement = {
        "sql": "UPDATE jobs SET note = 'held 5%' || :why::text WHERE worker = :worker AND note IS DISTINCT FROM 'x'",
        "params": ["worker", "why"],
        "max_rows": 2,
        "undo": "UPDATE jobs SET note = CASE id WHEN 2 THEN 'a%b''c' END WHERE worker = :worker AND :why::text <> ''",
        "look": "SELECT id, note FROM jobs WHERE worker = :worker ORDER BY id",
    }
    options = {"statements": {"hold": statement}, "ledger_table": "penelope_actions"}
    params = {"statement": "hold", "params": {"worker": "w1", "why": "it is ill"}}
    bench = _rows(request, postgres_jobs(request), "run", params, **options)
    bench.action = _hard(bench.action)
    bench.unreachable = (bench.unreachable[0], _hard(bench.unreachable[1]))
    bench.shown = ("rows_hash", "in_effect")
    return bench


def _hard(action: Action) -> Action:
    return replace(action, tier=Tier.HARD_TO_REVERSE)


class Client:
    """A connection of the application, as a user that is no superuser."""

    def __init__(self, url: str, sql: str, application: str = "shop", *, block: bool = True) -> None:
        with psycopg.connect(url, autocommit=True) as server:
            if not server.execute("SELECT 1 FROM pg_roles WHERE rolname = 'app'").fetchone():
                server.execute("CREATE ROLE app LOGIN")
        self.url = url
        self.connection = psycopg.connect(url, user="app", application_name=application, autocommit=True)
        self.pid = self.connection.info.backend_pid
        self.error: psycopg.Error | None = None
        self._thread = threading.Thread(target=self._run, args=[sql])
        self._thread.start()
        if not block:
            self._thread.join()
        eventually(
            lambda: bool(
                _count(
                    url,
                    f"SELECT count(*) FROM pg_stat_activity WHERE pid = {self.pid}"
                    " AND now() - query_start > interval '0.15 s'",
                )
            )
        )

    def _run(self, sql: str) -> None:
        try:
            self.connection.execute(sql.encode())
        except psycopg.Error as error:
            self.error = error

    def there(self) -> bool:
        return bool(_count(self.url, f"SELECT count(*) FROM pg_stat_activity WHERE pid = {self.pid}"))

    def ended(self) -> bool:
        return not _count(
            self.url, f"SELECT count(*) FROM pg_stat_activity WHERE pid = {self.pid} AND state = 'active'"
        )

    def close(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as server:
            server.execute("SELECT pg_terminate_backend(%s)", [self.pid])
        self._thread.join(10)
        self.connection.close()


def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def postgres_terminate(request: pytest.FixtureRequest) -> Bench:
    url = request.getfixturevalue("postgres")
    client = Client(url, "SELECT pg_sleep(600)")
    request.addfinalizer(client.close)
    params = {"older_than_seconds": 0.1, "application": "sho*", "user": "app"}
    action = an_action("sql", "terminate_query", {"url": url}, params)
    return Bench(
        adapter=_adapter(request),
        action=action,
        effects=lambda: int(client.ended()),
        shown=(),
        unreachable=(_adapter(request), with_options(action, url=UNREACHABLE)),
        restores=False,
    )


def postgres_recycle(request: pytest.FixtureRequest) -> Bench:
    url = request.getfixturevalue("postgres")
    client = Client(url, "SELECT 1", block=False)
    request.addfinalizer(client.close)
    params = {"application": "shop", "idle_seconds": 0.1}
    action = an_action("sql", "recycle_connections", {"url": url}, params)
    return Bench(
        adapter=_adapter(request),
        action=action,
        effects=lambda: int(not client.there()),
        shown=(),
        unreachable=(_adapter(request), with_options(action, url=UNREACHABLE)),
        restores=False,
    )


INDEX = {"table": "jobs", "columns": ["worker", "state"], "name": "jobs_worker"}


def postgres_index(request: pytest.FixtureRequest) -> Bench:
    url = postgres_jobs(request)
    action = an_action("sql", "create_index", {"url": url}, INDEX)

    async def half(_: Snapshot) -> None:
        """As PostgreSQL leaves it where a concurrent build was cut off."""
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("CREATE INDEX jobs_worker ON jobs (worker, state)")
            server.execute(
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'jobs_worker'::regclass"
            )

    return Bench(
        adapter=_adapter(request),
        action=action,
        effects=lambda: _count(
            url,
            "SELECT count(*) FROM pg_index WHERE indisvalid AND indrelid = 'jobs'::regclass AND NOT indisprimary",
        ),
        shown=("index",),
        unreachable=(_adapter(request), with_options(action, url=UNREACHABLE)),
        half=half,
    )


def sqlite_index(request: pytest.FixtureRequest) -> Bench:
    url = sqlite_jobs(request)
    action = an_action("sql", "create_index", {"url": url}, INDEX)
    return Bench(
        adapter=_adapter(request),
        action=action,
        effects=lambda: _count(url, "SELECT count(*) FROM sqlite_schema WHERE type = 'index'"),
        shown=("index",),
        unreachable=(_adapter(request), with_options(action, url="sqlite:////nowhere/jobs.db")),
    )


def postgres_parameter(request: pytest.FixtureRequest) -> Bench:
    url = request.getfixturevalue("postgres")
    params = {"scope": "database", "name": "work_mem", "value": "9MB"}
    sql = "SELECT count(*) FROM pg_db_role_setting WHERE 'work_mem=9MB' = ANY(setconfig)"
    return _parameter(request, url, params, sql, "ALTER DATABASE postgres RESET work_mem")


def postgres_system_parameter(request: pytest.FixtureRequest) -> Bench:
    url = request.getfixturevalue("postgres")
    params = {"scope": "system", "name": "work_mem", "value": "11MB"}
    sql = "SELECT count(*) FROM pg_settings WHERE name = 'work_mem' AND setting = '11264'"
    bench = _parameter(request, url, params, sql, "ALTER SYSTEM RESET work_mem", "SELECT pg_reload_conf()")

    async def half(_: Snapshot) -> None:
        """Written, and not read by the server."""
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("ALTER SYSTEM SET work_mem = '11MB'")

    bench.half = half
    return bench


def _parameter(
    request: pytest.FixtureRequest, url: str, params: dict[str, Any], sql: str, *back: str
) -> Bench:
    def forget() -> None:
        with psycopg.connect(url, autocommit=True) as server:
            for each in back:
                server.execute(each.encode())

    request.addfinalizer(forget)
    action = an_action("sql", "set_parameter", {"url": url, "parameters": ["work_mem"]}, params)
    return Bench(
        adapter=_adapter(request),
        action=action,
        effects=lambda: _count(url, sql),
        shown=("value",),
        unreachable=(_adapter(request), with_options(action, url=UNREACHABLE)),
    )


BENCHES = [
    sqlite_update,
    sqlite_update_unrecorded,
    sqlite_delete,
    sqlite_insert,
    sqlite_index,
    postgres_update,
    postgres_update_unrecorded,
    postgres_delete,
    postgres_insert,
    postgres_run,
    postgres_terminate,
    postgres_recycle,
    postgres_index,
    postgres_parameter,
    postgres_system_parameter,
]
HALVED = [postgres_index, postgres_system_parameter]
