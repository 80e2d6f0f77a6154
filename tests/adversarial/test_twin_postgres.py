"""Databases that attack whoever makes a twin of them, and twins that attack what they run on.

`pytest -s tests/adversarial/test_twin_postgres.py` prints what stopped each attack, and how long it took.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penelope.adapters.actions.sql import SqlAdapter
from penelope.adapters.twin import pg_programs
from penelope.adapters.twin.capabilities import look
from penelope.adapters.twin.copies import Bounds
from penelope.adapters.twin.limits import MIB, Limits
from penelope.adapters.twin.twin import Rules, SandboxTwin
from penelope.adapters.twin.workshop import sweep
from penelope.domain.action import Tier
from penelope.domain.rehearsal import Rehearsal, RehearsalOutcome
from penelope.domain.service import Service, Target, TwinCheck, TwinSpec
from penelope.testing.gate import planned

LIMITS = Limits(seconds=60, cpu_seconds=20, memory=256 * MIB, process_memory=1024 * MIB, disk=192 * MIB)
RULES = Rules(limits=LIMITS, bounds=Bounds(size=4 * MIB, files=50), required=False, timeout_seconds=150)
SCHEMA = """
CREATE TABLE public.job (id integer PRIMARY KEY, state varchar NOT NULL);
CREATE TABLE public.loot (word text);
INSERT INTO public.job VALUES (1, 'stuck'), (2, 'done');
"""
CHANGE = {"table": "job", "where": {"id": 1}, "set": {"state": "new"}}


pytestmark = pytest.mark.usefixtures("scratch")


@pytest.fixture(autouse=True)
def isolated() -> None:
    """Every test here needs isolation."""
    if missing := asyncio.run(look()).missing:
        pytest.skip(f"no isolation here: {missing}")


@pytest.fixture
def canary() -> Iterator[Path]:
    """Anybody can write here, so that nothing but a wall keeps who wants to."""
    folder = Path(tempfile.mkdtemp(prefix="twin-canary-", dir="/tmp"))
    folder.chmod(0o777)
    yield folder / "sings"
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def service(url: str, *checks: TwinCheck, **options: Any) -> Service:
    named = {"url": url, "twin": {"rows": {"job": 10}}, "allow_triggers": True, **options}
    target = Target(name="db", service="shop", adapter="sql", options=named)
    return Service(name="shop", owner="t", tier=2, targets={"db": target}, twin=TwinSpec(checks=checks))


def change(seconds: float = 30) -> dict[str, Any]:
    return {
        "name": "change",
        "adapter": "sql",
        "operation": "update_rows",
        "target": Target(name="db", service="shop", adapter="sql"),
        "params": CHANGE,
        "tier": Tier.SNAPSHOT,
        "timeout_seconds": seconds,
    }


def attacked(
    url: str, *statements: str, seconds: float = 30, checks: tuple[TwinCheck, ...] = ()
) -> Rehearsal:
    """The rehearsal of a change of a row, on a database that was prepared by these statements. The real one is as before."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (SCHEMA, *statements):
            connection.execute(statement.encode())
        before = connection.execute("SELECT id, state FROM job ORDER BY id").fetchall()
    held = asyncio.run(
        SandboxTwin({"sql": SqlAdapter}, RULES).rehearse(planned(change(seconds)), service(url, *checks))
    )
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT id, state FROM job ORDER BY id").fetchall() == before
        assert connection.execute("SELECT count(*) FROM loot").fetchone() == (0,)
    return held


def show(name: str, held: Rehearsal) -> None:
    print(f"\n  {name:44} {held.outcome.value:14} {held.seconds:7.2f}  {held.reason[:150]}")


def on_change(body: str, *declared: str) -> tuple[str, ...]:
    """A trigger that does something when a row is changed."""
    function = f"CREATE FUNCTION public.evil() RETURNS trigger LANGUAGE plpgsql AS $evil$ {body} RETURN NEW; END $evil$"
    trigger = "CREATE TRIGGER evil BEFORE UPDATE ON public.job FOR EACH ROW EXECUTE FUNCTION public.evil()"
    return (*declared, function, trigger)


def test_an_operator_that_writes_when_it_is_asked_writes_nothing(postgres: str) -> None:
    """It is found before the built-in one, and so runs on the real server with all of Penelope's rights there."""
    held = attacked(
        postgres,
        """CREATE FUNCTION public.evil(varchar, varchar) RETURNS boolean LANGUAGE plpgsql AS
        $evil$ BEGIN INSERT INTO public.loot VALUES ('taken'); RETURN true; END $evil$""",
        "CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.evil)",
        # So that the condition of the plan meets it.
        "ALTER TABLE public.job DROP CONSTRAINT job_pkey; ALTER TABLE public.job ALTER COLUMN id TYPE varchar;"
        "ALTER TABLE public.job ADD PRIMARY KEY (id)",
    )
    show("operator that writes", held)
    assert held.outcome is RehearsalOutcome.NOT_POSSIBLE
    assert "ReadOnlySqlTransaction (25006)" in held.reason


def test_a_constraint_that_runs_a_program_runs_none(postgres: str, canary: Path) -> None:
    held = attacked(
        postgres,
        f"""CREATE FUNCTION public.evil(text) RETURNS boolean LANGUAGE plpgsql AS $evil$ BEGIN
        IF inet_server_addr() IS NULL AND current_database() = 'base' THEN
          COPY (SELECT 1) TO PROGRAM 'touch {canary}'; END IF; RETURN true; END $evil$""",
        "ALTER TABLE public.job ADD CHECK (public.evil(state))",
    )
    show("COPY TO PROGRAM while rows are loaded", held)
    assert held.outcome is RehearsalOutcome.NOT_POSSIBLE
    assert "the sample of public.job cannot be loaded" in held.reason
    assert not canary.exists()


def test_a_trigger_that_calls_out_reaches_nobody(postgres: str, canary: Path) -> None:
    """To the real server, by the very socket on which it listens."""
    where = psycopg.conninfo.conninfo_to_dict(postgres)
    target = f"host={where['host']} user={where.get('user', 'postgres')} dbname={where['dbname']}"
    held = attacked(
        postgres,
        *on_change(
            f"""BEGIN IF current_database() = 'twin' THEN
            PERFORM public.dblink_exec('{target}', $$INSERT INTO public.loot VALUES ('reached')$$); END IF;""",
            "CREATE EXTENSION IF NOT EXISTS dblink SCHEMA public",
        ),
    )
    show("trigger that calls out", held)
    assert held.outcome is RehearsalOutcome.FAILED
    assert "change: the database refused" in held.reason
    held = attacked_again(postgres, canary)
    show("trigger that writes files and reads them", held)
    assert held.outcome is RehearsalOutcome.FAILED
    assert "InsufficientPrivilege (42501)" in held.reason
    assert not canary.exists()


def attacked_again(url: str, canary: Path) -> Rehearsal:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE job, loot; DROP FUNCTION evil; DROP EXTENSION dblink")
    return attacked(url, *on_change(f"BEGIN COPY (SELECT 1) TO '{canary}';"))


@pytest.mark.parametrize(
    ("name", "body", "stopped_by"),
    [
        ("trigger that sleeps for ever", "BEGIN PERFORM pg_sleep(3600);", ("not done within", "longer than it may")),
        ("trigger that never ends", "BEGIN LOOP END LOOP;", ("not done within", "longer than it may")),
        (
            "trigger that wants all memory",
            "DECLARE held text[]; BEGIN FOR n IN 1..2000 LOOP held := held || repeat(n::text, 4000000); END LOOP;",
            ("stopped by memory", "53200"),
        ),
        (
            "trigger that fills the disk",
            "BEGIN INSERT INTO public.loot SELECT repeat(md5(n::text), 200) FROM generate_series(1, 10000000) n;",
            ("53100", "XX000", "stopped by memory", "it ended with"),
        ),
    ],
)  # fmt: skip
def test_a_trigger_that_takes_too_much_is_stopped(
    postgres: str, scratch: Path, name: str, body: str, stopped_by: tuple[str, ...]
) -> None:
    held = attacked(postgres, *on_change(body), seconds=8)
    show(name, held)
    assert held.outcome is RehearsalOutcome.FAILED, held
    assert any(word in held.reason for word in stopped_by), held
    assert held.seconds < 100
    assert list(scratch.iterdir()) == []


def test_names_that_would_be_commands_are_names(postgres: str, canary: Path) -> None:
    held = attacked(
        postgres,
        f'CREATE TABLE public."x\n\\! touch {canary}\n;" ("\\! touch {canary}" text)',
        f"""CREATE FUNCTION public.harmless() RETURNS text LANGUAGE sql AS $evil$ SELECT '
\\! touch {canary}
' $evil$""",
        f"ALTER TABLE public.job ADD COLUMN \"a\n\\! touch {canary}\n\" text DEFAULT E'x\\n\\\\.\\n\\\\! touch {canary}'",
    )
    show("names and texts that would be commands", held)
    assert held.outcome is RehearsalOutcome.PASSED, held
    assert not canary.exists()


def test_a_huge_schema_is_not_copied(postgres: str) -> None:
    held = attacked(
        postgres,
        "DO $do$ BEGIN EXECUTE format('CREATE FUNCTION public.huge() RETURNS text LANGUAGE sql AS %L',"
        " 'SELECT ' || quote_literal(repeat('x', 8000000))); END $do$",
    )
    show("huge schema", held)
    assert held.outcome is RehearsalOutcome.NOT_POSSIBLE
    assert held.reason == "db: it holds more than 4194304 bytes (setting twin.copy_mib)"


def test_a_check_that_wrecks_the_server_harms_only_the_rehearsal(postgres: str, canary: Path) -> None:
    """It lets no superuser in, runs no program, and whoever floods it is refused."""
    programs = asyncio.run(pg_programs.newest())
    assert programs is not None
    psql = f"{programs.folder}/psql"
    script = f"""
    {psql} -U penelope_admin -Xc 'SELECT 1' && exit 0
    {psql} -Xc "COPY (SELECT 1) TO PROGRAM 'touch {canary}'" && exit 0
    {psql} -Xc "ALTER ROLE penelope_twin SUPERUSER" && exit 0
    for n in $(seq 40); do {psql} -Xc 'SELECT pg_sleep(30)' & done
    sleep 2
    exit 1
    """
    check = TwinCheck(name="wrecks", argv=("/bin/sh", "-c", script), timeout_seconds=20)
    held = attacked(postgres, checks=(check,))
    show("check that wrecks the server", held)
    (wrecks,) = [each for each in held.checks if each.name == "wrecks"]
    # It ends with 1 at the earliest: nothing of what it tried was let pass.
    assert wrecks.before == wrecks.after == "ends with 1"
    assert held.outcome is RehearsalOutcome.PASSED, held
    assert not canary.exists()


def servers() -> set[int]:
    """The processes of servers in sandboxes, by what only they are called with."""
    found = set()
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and b"/restore/data" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def test_nothing_is_left_of_a_server_whose_penelope_is_killed(postgres: str, scratch: Path) -> None:
    script = scratch.parent / "rehearse.py"
    script.write_text(
        "import asyncio, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_twin_postgres import RULES, SqlAdapter, SandboxTwin, TwinCheck, change, planned, service\n"
        "check = TwinCheck(name='waits', argv=('/bin/sleep', '100'), timeout_seconds=100)\n"
        f"of = service({postgres!r}, check)\n"
        "asyncio.run(SandboxTwin({'sql': SqlAdapter}, RULES).rehearse(planned(change()), of))\n"
    )
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(SCHEMA)
    before = servers()
    process = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "TMPDIR": str(scratch)})
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not servers() - before and process.poll() is None:
        time.sleep(0.05)
    begun, left = servers() - before, list(scratch.iterdir())
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert begun
    assert left
    while time.monotonic() < deadline and servers() - before:
        time.sleep(0.05)
    assert servers() - before == set()
    sweep()
    assert list(scratch.iterdir()) == []


def test_nothing_is_left_of_a_server_whose_rehearsal_is_cancelled(postgres: str, scratch: Path) -> None:
    check = TwinCheck(name="waits", argv=("/bin/sleep", "100"), timeout_seconds=100)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(SCHEMA)
    before = servers()

    async def cancelled() -> None:
        twin = SandboxTwin({"sql": SqlAdapter}, RULES)
        run = asyncio.create_task(twin.rehearse(planned(change()), service(postgres, check)))
        # Nothing tells when a server in a sandbox begins.
        while not run.done() and not servers() - before:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)
        assert not run.done()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(cancelled())
    assert servers() - before == set()
    assert list(scratch.iterdir()) == []


def dumping(url: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('pg_dump', 'penelope')"
        ).fetchone()
    assert found is not None
    return int(found[0])


def waiting(url: str) -> bool:
    """Whether pg_dump waits for a lock."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event_type = 'Lock'"
        )
        return found.fetchone() is not None


def test_nothing_is_left_of_a_dump_that_is_cancelled(postgres: str, scratch: Path) -> None:
    async def cancelled() -> float:
        run = asyncio.create_task(
            SandboxTwin({"sql": SqlAdapter}, RULES).rehearse(planned(change()), service(postgres))
        )
        # Nothing tells when another process waits.
        while not run.done() and not await asyncio.to_thread(waiting, postgres):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)
        assert not run.done()
        started = time.monotonic()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return time.monotonic() - started

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(SCHEMA)
    with psycopg.connect(postgres) as holder:
        holder.execute("LOCK TABLE public.loot IN ACCESS EXCLUSIVE MODE")
        assert asyncio.run(cancelled()) < 5
        assert list(scratch.iterdir()) == []
    deadline = time.monotonic() + 20
    while dumping(postgres) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert dumping(postgres) == 0


def test_a_dump_ends_with_the_penelope_that_is_killed(postgres: str, scratch: Path) -> None:
    script = scratch.parent / "dump.py"
    script.write_text(
        "import asyncio, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_twin_postgres import RULES, SqlAdapter, SandboxTwin, change, planned, service\n"
        f"asyncio.run(SandboxTwin({{'sql': SqlAdapter}}, RULES).rehearse(planned(change()), service({postgres!r})))\n"
    )
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(SCHEMA)
    with psycopg.connect(postgres) as holder:
        holder.execute("LOCK TABLE public.loot IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "TMPDIR": str(scratch)})
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not waiting(postgres) and process.poll() is None:
            time.sleep(0.02)
        assert waiting(postgres)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # The lock stays held: what waits for it must give up by itself.
        while time.monotonic() < deadline and dumping(postgres):
            time.sleep(0.05)
        assert dumping(postgres) == 0
    sweep()
    assert list(scratch.iterdir()) == []
