"""The twin of a real PostgreSQL: another server in a sandbox, and the real one stays as it is."""

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penelope.adapters.actions.sql import SqlAdapter
from penelope.adapters.actions.sql_model import SqlOptions
from penelope.adapters.twin import pg_programs, pg_source
from penelope.adapters.twin.capabilities import look
from penelope.adapters.twin.copies import Bounds, CannotCopy
from penelope.adapters.twin.limits import MIB, Limits
from penelope.adapters.twin.pg_programs import Programs
from penelope.adapters.twin.twin import Rules, SandboxTwin
from penelope.domain.action import Tier
from penelope.domain.rehearsal import Check, Rehearsal, RehearsalOutcome
from penelope.domain.service import Service, Target, TwinCheck, TwinSpec
from penelope.testing.gate import planned

PASSWORD = "planted-9Zw4"
RULES = Rules(
    limits=Limits(seconds=60), bounds=Bounds(size=16 * MIB, files=200), required=False, timeout_seconds=300
)
SCHEMA = """
CREATE TYPE public.state AS ENUM ('stuck', 'new', 'done');
CREATE TABLE public.customer (id integer PRIMARY KEY, name text NOT NULL);
CREATE TABLE public.job (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer integer NOT NULL REFERENCES public.customer (id),
  state public.state NOT NULL, note text, twice bigint GENERATED ALWAYS AS (id * 2) STORED
);
CREATE INDEX job_state ON public.job (state);
CREATE SCHEMA other;
CREATE VIEW other.open AS SELECT * FROM public.job WHERE state <> 'done';
INSERT INTO public.customer SELECT n, 'person ' || n FROM generate_series(1, 50) AS n;
INSERT INTO public.job (customer, state, note)
  SELECT 1 + n % 50, CASE WHEN n > 297 THEN 'stuck' ELSE 'done' END::public.state, E'tab\t\\\\ ' || n
  FROM generate_series(1, 300) AS n;
"""


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where workshops are made: a folder of the test's own, for other runs make theirs meanwhile."""
    if missing := asyncio.run(look()).missing:
        pytest.skip(f"no isolation here: {missing}")
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """A shop's database on a server that nothing but the test writes on."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET autovacuum = off")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("DROP SCHEMA IF EXISTS other CASCADE")
        connection.execute(SCHEMA)
    yield postgres
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS other CASCADE")
        connection.execute("ALTER SYSTEM RESET autovacuum")
        connection.execute("SELECT pg_reload_conf()")


def service(url: str, *checks: TwinCheck, rows: dict[str, int] | None = None, **options: Any) -> Service:
    named = {"url": url, "twin": {"rows": rows or {}}, **options}
    target = Target(name="db", service="shop", adapter="sql", options=named)
    return Service(name="shop", owner="t", tier=2, targets={"db": target}, twin=TwinSpec(checks=checks))


def step(operation: str, params: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "name": operation,
        "adapter": "sql",
        "operation": operation,
        "target": Target(name="db", service="shop", adapter="sql"),
        "params": params,
        "tier": Tier.SNAPSHOT,
        "timeout_seconds": 60,
        **changes,
    }


FREE = step("update_rows", {"table": "job", "where": {"state": "stuck"}, "set": {"state": "new"}})
INDEX = step("create_index", {"table": "job", "columns": ["customer"], "name": "job_customer"})


def rehearsed(of: Service, *steps: dict[str, Any], rules: Rules = RULES) -> Rehearsal:
    return asyncio.run(SandboxTwin({"sql": SqlAdapter}, rules).rehearse(planned(*steps), of))


def named(held: Rehearsal, name: str) -> Check:
    return next(check for check in held.checks if check.name == name)


def next_transaction(url: str) -> int:
    """What writes takes a number; who only reads takes none."""
    with psycopg.connect(url) as connection:
        ((number,),) = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    return int(number)


def checking(sql: str, wanted: str) -> TwinCheck:
    """A check that asks the copy as any client of PostgreSQL does."""
    programs = asyncio.run(pg_programs.newest())
    assert programs is not None
    script = f'test "$({programs.folder}/psql -XAtc "$1")" = "$2"'
    return TwinCheck(name="asked", argv=("/bin/sh", "-c", script, "sh", sql, wanted), timeout_seconds=60)


def test_changes_are_tried_on_a_server_of_their_own(database: str, scratch: Path) -> None:
    before = next_transaction(database)
    held = rehearsed(service(database, rows={"job": 10}), FREE, INDEX)
    assert held.outcome is RehearsalOutcome.PASSED, held
    for name in ("update_rows", "create_index"):
        assert named(held, name).after == "done"
        assert named(held, f"take back: {name}").after == "as before"
    assert "of public.job 13 rows were copied, not all" in held.reason
    assert any("no network" in line for line in held.limits)
    assert next_transaction(database) == before
    assert list(scratch.iterdir()) == []
