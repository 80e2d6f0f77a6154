"""The twin of a real PostgreSQL: another server in a sandbox, and the real one stays as it is."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penelope.adapters.actions.sql import SqlAdapter
from penelope.adapters.actions.sql_model import SqlOptions, TwinCopy
from penelope.adapters.twin import pg_programs, pg_source
from penelope.adapters.twin.capabilities import look
from penelope.adapters.twin.copies import Bounds, CannotCopy
from penelope.adapters.twin.limits import MIB, Limits
from penelope.adapters.twin.pg_programs import Programs
from penelope.adapters.twin.twin import Rules, SandboxTwin
from penelope.domain.action import Tier
from penelope.domain.plan import Node, NodeKind
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


pytestmark = pytest.mark.usefixtures("scratch")


@pytest.fixture(autouse=True)
def isolated() -> None:
    """Every test here needs isolation."""
    if missing := asyncio.run(look()).missing:
        pytest.skip(f"no isolation here: {missing}")


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


def rehearsed(of: Service, *steps: dict[str, Any], rules: Rules = RULES, **parts: Any) -> Rehearsal:
    return asyncio.run(SandboxTwin({"sql": SqlAdapter}, rules, **parts).rehearse(planned(*steps), of))


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


def test_each_check_has_a_copy_of_what_the_plan_made(database: str) -> None:
    """The first destroys its own; the second sees none of that, but what the plan has changed."""
    wreck = replace(
        checking("DELETE FROM job; SELECT nextval('job_id_seq')", "DELETE 300\n301"), name="wrecks"
    )
    stuck = replace(checking("SELECT count(*) FROM other.open WHERE state = 'stuck'", "3"), name="stuck")
    held = rehearsed(service(database, wreck, stuck, rows={"job": 10_000}), FREE)
    assert held.outcome is RehearsalOutcome.FAILED, held
    assert [
        (check.name, check.before, check.after) for check in held.checks if check.name != "update_rows"
    ] == [
        ("wrecks", "passes", "passes"),
        ("stuck", "passes", "ends with 1"),
        ("take back: update_rows", "done", "as before"),
    ]
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM job WHERE state = 'stuck'").fetchone() == (3,)


def test_both_branches_begin_with_the_database_as_it_is(database: str) -> None:
    """Only rows that are stuck are freed: where the other branch had freed them before, none would be left."""
    plan = planned(FREE, {**FREE, "name": "free them again"})
    first, second = (Node(kind=NodeKind.ACTION, key=action.key, name=action.name) for action in plan.steps)
    choice = Node(kind=NodeKind.CONDITION, key="c", name="in a hurry", children=(first,), otherwise=(second,))
    twin = SandboxTwin({"sql": SqlAdapter}, RULES)
    held = asyncio.run(twin.rehearse(replace(plan, course=(choice,)), service(database, rows={"job": 1})))
    assert held.outcome is RehearsalOutcome.PASSED, held
    assert [check.name for check in held.checks] == [
        "update_rows [in a hurry]",
        "take back: update_rows [in a hurry]",
        "free them again [not in a hurry]",
        "take back: free them again [not in a hurry]",
    ]


def test_what_a_copy_cannot_show_is_not_tried_and_said(database: str) -> None:
    runaway = step("terminate_query", {"older_than_seconds": 60})
    held = rehearsed(service(database), FREE, runaway)
    assert held.outcome is RehearsalOutcome.NOT_POSSIBLE
    assert "no rows of public.job may be copied (the target's option twin.rows)" in held.reason
    assert "terminate_query is not rehearsed: it is about what the running server does" in held.reason
    undeclared = service(database)
    target = replace(undeclared.targets["db"], options={"url": database})
    held = rehearsed(replace(undeclared, targets={"db": target}), INDEX)
    assert held.outcome is RehearsalOutcome.NOT_POSSIBLE
    assert "for which the option `twin` says so" in held.reason


async def no_programs() -> Programs | None:
    return None


async def old_programs() -> Programs | None:
    return Programs(15, Path("/nonexistent"))


def test_without_fitting_programs_nothing_is_tried_and_the_reason_is_said(database: str) -> None:
    held = rehearsed(service(database), INDEX, programs=no_programs)
    assert held.outcome is RehearsalOutcome.NOT_POSSIBLE
    assert held.reason == "db: there are no programs of PostgreSQL 15 or newer here to copy it with"
    held = rehearsed(service(database), INDEX, programs=old_programs, rules=replace(RULES, required=True))
    assert held.outcome is RehearsalOutcome.FAILED
    assert "db: the server is PostgreSQL 18, and the newest programs here are of 15" in held.reason


def test_a_schema_that_cannot_be_restored_is_no_rehearsal(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION public.noted() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'"
        )
        connection.execute("CREATE EVENT TRIGGER noted ON ddl_command_end EXECUTE FUNCTION public.noted()")
        try:
            held = rehearsed(service(database), INDEX)
        finally:
            connection.execute("DROP EVENT TRIGGER noted")
    assert held.outcome is RehearsalOutcome.NOT_POSSIBLE
    assert "db: the copy of the database cannot be made: pg_restore ends with 1" in held.reason
    assert "permission denied to create event trigger" in held.reason


def test_extensions_roles_and_policies_come_along(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute('CREATE ROLE "odd; role"')
        try:
            connection.execute(
                """CREATE SCHEMA tools; CREATE EXTENSION hstore SCHEMA tools; CREATE EXTENSION pageinspect;
                CREATE TABLE public.bag (id integer PRIMARY KEY, label text, held tools.hstore NOT NULL);
                INSERT INTO public.bag VALUES (1, 'old', 'a=>1'); ALTER TABLE public.bag ENABLE ROW LEVEL SECURITY;
                CREATE POLICY odd ON public.bag TO "odd; role" USING (true)"""
            )
            change = step("update_rows", {"table": "bag", "where": {"id": 1}, "set": {"label": "new"}})
            held = rehearsed(service(database, rows={"bag": 1}), change)
        finally:
            connection.execute("DROP TABLE IF EXISTS public.bag; DROP SCHEMA tools CASCADE")
            connection.execute('DROP EXTENSION pageinspect; DROP ROLE "odd; role"')
    assert held.outcome is RehearsalOutcome.PASSED, held
    assert named(held, "take back: update_rows").after == "as before"


def recording(folder: Path) -> Programs:
    """The real programs, but for a pg_dump that writes down how it was called."""
    real = asyncio.run(pg_programs.newest())
    assert real is not None
    (folder / "bin").mkdir()
    for program in real.folder.iterdir():
        (folder / "bin" / program.name).symlink_to(program)
    (folder / "bin" / "pg_dump").unlink()
    script = f'#!/bin/sh\nprintf \'%s\\n\' "$@" > {folder}/argv\nenv > {folder}/env\nexec {real.folder}/pg_dump "$@"\n'
    (folder / "bin" / "pg_dump").write_text(script)
    (folder / "bin" / "pg_dump").chmod(0o755)
    return Programs(real.major, folder / "bin")


def test_the_password_goes_nowhere_but_to_the_server(database: str, tmp_path: Path) -> None:
    programs = recording(tmp_path)
    (tmp_path / "dump").mkdir()
    options = SqlOptions(
        url=f"{database}&keepalives_idle=7&connect_timeout=9"
        if "?" in database
        else f"{database}?connect_timeout=9",
        password=PASSWORD,
        twin=TwinCopy(rows={"customer": 5}),
    )
    place = tmp_path / "dump"
    told = asyncio.run(pg_source.dumped(options, [], programs, place, RULES.bounds, 60))
    assert PASSWORD in (tmp_path / "env").read_text()
    assert "--schema-only" in (tmp_path / "argv").read_text()
    assert PASSWORD not in (tmp_path / "argv").read_text()
    assert PASSWORD not in repr(told)
    assert sorted(path.name for path in place.iterdir()) == ["rows-0", "schema.dump"]
    assert all(PASSWORD.encode() not in path.read_bytes() for path in place.iterdir())
    assert "5 rows" in told.notes[0]


def test_a_secret_that_no_variable_can_carry_is_refused() -> None:
    options = SqlOptions(url=f"postgresql://db.example/shop?sslpassword={PASSWORD}&sslkey=/k")
    with pytest.raises(CannotCopy, match="sslpassword") as caught:
        pg_source.connection(options, {})
    assert PASSWORD not in str(caught.value)
    fine = SqlOptions(
        url=f"postgresql://me:{PASSWORD}@db.example:5433/shop?sslmode=require&tcp_user_timeout=3"
    )
    environment, rest = pg_source.connection(
        fine, {"PATH": "/bin", "SECRET_OTHER": "x", "PGSSLROOTCERT": "/c"}
    )
    assert environment == {"PATH": "/bin", "PGSSLROOTCERT": "/c", "PGPASSWORD": PASSWORD}
    assert psycopg.conninfo.conninfo_to_dict(rest) == {
        "host": "db.example",
        "port": "5433",
        "user": "me",
        "dbname": "shop",
        "sslmode": "require",
        "tcp_user_timeout": "3",
    }


def test_the_secrets_of_a_target_are_read_for_its_copy_and_kept_out_of_what_is_said(database: str) -> None:
    class Vault:
        async def read(self, reference: str) -> str:
            return {"secret://env/URL": database, "secret://env/PASSWORD": PASSWORD}[reference]

    of = service("secret://env/URL", rows={"job": 1}, password="secret://env/PASSWORD")
    held = rehearsed(of, FREE, secrets=Vault())
    assert held.outcome is RehearsalOutcome.PASSED, held
    assert PASSWORD not in repr(held)
    missing = rehearsed(
        service("secret://env/URL", rows={PASSWORD.replace("-", "_"): 1}), INDEX, secrets=Vault()
    )
    assert missing.outcome is RehearsalOutcome.NOT_POSSIBLE
    assert database not in repr(missing)


def test_what_is_larger_than_a_copy_may_be_is_not_copied(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE customer SET name = repeat('x', 100000)")
    small = replace(RULES, bounds=Bounds(size=MIB, files=10))
    held = rehearsed(service(database, rows={"customer": 50}), INDEX, rules=small)
    assert held.outcome is RehearsalOutcome.NOT_POSSIBLE
    assert held.reason == "db: it holds more than 1048576 bytes (setting twin.copy_mib)"


def test_a_table_that_somebody_has_locked_is_not_waited_for_long(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("LOCK TABLE customer IN ACCESS EXCLUSIVE MODE")
        held = rehearsed(service(database), INDEX)
    assert held.outcome is RehearsalOutcome.NOT_POSSIBLE
    assert "the schema cannot be dumped (pg_dump ends with 1)" in held.reason
    assert held.seconds < 60


def test_no_variable_leads_from_the_copy_to_a_real_server(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The surroundings speak of a server that would let anybody in; the plan is still tried on the copy."""
    services = tmp_path / "services"
    where = psycopg.conninfo.conninfo_to_dict(database)
    services.write_text(
        f"[real]\nhost={where['host']}\nhostaddr=127.0.0.1\nport=1\ndbname=postgres\nuser=postgres\n"
    )
    real = replace(service(database, rows={"job": 1}).targets["db"])
    with psycopg.connect(database) as connection:
        port = connection.info.port
    surroundings = (
        ("PGSERVICEFILE", str(services)), ("PGSERVICE", "real"), ("PGHOSTADDR", "127.0.0.1"), ("PGPORT", "1"),
        ("PGHOST", str(where["host"])), ("PGUSER", "postgres"), ("PGDATABASE", "postgres"), ("PGPASSWORD", PASSWORD),
    )  # fmt: skip
    # The real one is named as fully as the copy is, so that it is found all the same.
    url = f"postgresql:///{where['dbname']}?host={where['host']}&hostaddr=&port={port}&user={where.get('user', 'postgres')}"
    of = replace(service(url), targets={"db": replace(real, options={**real.options, "url": url})})
    with monkeypatch.context() as changed:
        for name, value in surroundings:
            changed.setenv(name, value)
        held = rehearsed(of, FREE)
    assert held.outcome is RehearsalOutcome.PASSED, held
