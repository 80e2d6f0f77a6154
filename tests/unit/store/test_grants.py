"""The service's own role runs all of Penelope, and cannot touch history."""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner, Result

from penelope.domain.work import Change, Entry
from penelope.entry.cli.main import app
from penelope.errors import BadSettings
from penelope.flow.engine import Engine, EngineSettings, make_tables
from penelope.store import grants, guards
from penelope.store.database import migrate, open_engine, open_workflow_engine, parse_url
from penelope.store.tables import metadata
from penelope.store.transaction import SqlTransaction

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)

ROLE = 'the service"; DROP TABLE signals; --%s%(x)s :y'
OWNER = "the owner"
"""No superuser, so that nothing works by accident."""

CHANGE = Change(
    unit="u",
    kind="decision",
    incident="inc_1",
    status="made",
    attributes={"n": 1},
    event="DecisionMade",
    actor="penelope",
    reason="because",
    details={
        "judgement": "escalate",
        "service": "shop",
        "risk": {"value": 0.5, "contributions": []},
        "confidence": {"value": 0.5, "contributions": []},
        "playbook": None,
        "precedents": [],
    },
)
"""A real one, which the decision audit lists."""


class Deaf:
    """An observer that keeps nothing."""

    def entry_recorded(self, entry: Entry) -> None:
        pass


def as_role(url: str, role: str) -> str:
    return make_url(url).set(username=role, password=None).render_as_string(hide_password=False)


@pytest.fixture
def owned(postgres: str) -> Iterator[str]:
    """The URL of an owner, over all tables, with a second role that may do nothing yet."""
    roles = [sql.Identifier(OWNER), sql.Identifier(ROLE)]
    with psycopg.connect(postgres, autocommit=True) as connection:
        for role in roles:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        connection.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(roles[0]))
        # As PostgreSQL itself makes it.
        connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE postgres TO {}").format(roles[0]))
    try:
        yield as_role(postgres, OWNER)
    finally:
        with psycopg.connect(postgres, autocommit=True) as connection:
            for role in roles:
                connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
                connection.execute(sql.SQL("DROP ROLE {}").format(role))


def ask(url: str, question: Callable[[Any], Any]) -> Any:
    """What a transaction of a URL says."""

    async def run() -> Any:
        engine = open_engine(parse_url(url))
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(question)
        finally:
            await engine.dispose()

    return asyncio.run(run())


def execute(url: str, statement: str) -> None:
    ask(url, lambda connection: connection.exec_driver_sql(statement))


def make(url: str) -> None:
    async def run() -> None:
        engine = open_engine(parse_url(url))
        await migrate(engine)
        await engine.dispose()

    asyncio.run(run())
    make_tables(url, parse_url(url).render_as_string(hide_password=False))


@pytest.fixture
def service(owned: str) -> str:
    """The URL of the service's role, with its grants."""
    make(owned)
    ask(owned, lambda connection: grants.grant(connection, ROLE))
    return as_role(owned, ROLE)


def save(url: str) -> None:
    async def run() -> None:
        engine = open_engine(parse_url(url))
        try:
            await migrate(engine)
            async with engine.connect() as connection, connection.begin():
                await SqlTransaction(connection, NOW).save(CHANGE)
        finally:
            await engine.dispose()

    asyncio.run(run())


# --- what it may ------------------------------------------------------------------------------------------


def test_it_saves_and_migrating_does_nothing(service: str) -> None:
    save(service)
    make_tables(service, service)
    found = ask(
        service, lambda c: c.exec_driver_sql("SELECT unit FROM units_of_work_history").scalars().all()
    )
    assert found == ["u"]
    assert ask(service, guards.missing) == []
    assert ask(service, grants.powers_over_history) == []
    ask(service, lambda c: c.exec_driver_sql("DELETE FROM history_payloads"))


def test_the_engine_tells_a_story_as_it(service: str) -> None:
    async def run() -> None:
        writer, workflows = open_engine(parse_url(service)), open_workflow_engine(parse_url(service))
        settings = EngineSettings(executor_id="test", poll_seconds=0.02, stop_seconds=1)
        engine = Engine(writer, workflows, lambda c: SqlTransaction(c, NOW), Deaf(), settings)

        async def told(incident: str, _service: str) -> str:
            async def body(transaction: Any) -> Any:
                await transaction.save(CHANGE)

            async def step() -> Any:
                return 1

            await engine.transaction("save", body)
            await engine.step("count", step)
            await engine.wait(10)
            return incident

        try:
            await engine.launch(told)
            await engine.start("inc_1", "shop")
            await engine.nudge("inc_1")
            deadline = time.monotonic() + 10
            while not (await engine.has_ended(["inc_1"]))["inc_1"]:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            await engine.stop()
            async with writer.connect() as connection:
                found = await connection.exec_driver_sql("SELECT status FROM dbos.workflow_status")
                assert found.scalars().all() == ["SUCCESS"]
        finally:
            workflows.dispose()
            await writer.dispose()

    asyncio.run(run())


def test_it_may_do_just_what_is_listed(service: str) -> None:
    rights = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")

    def held(connection: Any) -> dict[str, str]:
        return {
            table: " ".join(
                right
                for right in rights
                if connection.exec_driver_sql(
                    "SELECT has_table_privilege(%s, %s)", (table, right)
                ).scalar_one()
            )
            for table in (*metadata.tables, "alembic_version")
        }

    found = ask(service, held)
    assert found.pop("alembic_version") == "SELECT"
    for table, rights_held in found.items():
        expected = "SELECT INSERT UPDATE DELETE"
        if table in guards.APPEND_ONLY:
            expected = "SELECT INSERT"
        elif table in guards.ERASABLE:
            expected = "SELECT INSERT DELETE"
        assert rights_held == expected, table


# --- what it may not --------------------------------------------------------------------------------------


def test_history_is_out_of_its_reach(service: str) -> None:
    save(service)
    for table in guards.APPEND_ONLY:
        name = f"guard_{table}_update"
        for attack in (
            f"UPDATE {table} SET {metadata.tables[table].columns.keys()[-1]} = NULL",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
            f"ALTER TABLE {table} ADD COLUMN more text",
            f"ALTER TABLE {table} RENAME TO other",
            f"ALTER TABLE {table} DISABLE TRIGGER ALL",
            f"DROP TRIGGER {name} ON {table}",
            f"DROP TABLE {table}",
            f"CREATE TRIGGER mine BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION guard_refuse()",
            f"CREATE RULE mine AS ON INSERT TO {table} DO INSTEAD NOTHING",
        ):
            expect_denial(service, attack)
    for attack in (
        "UPDATE history_payloads SET body = ''",
        "TRUNCATE history_payloads",
        "SET session_replication_role = replica",
        "CREATE OR REPLACE FUNCTION guard_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "ALTER FUNCTION guard_refuse() RESET ALL",
        "SELECT setval('units_of_work_history_seq_seq', 1)",
        "SELECT nextval('units_of_work_history_seq_seq')",
        "UPDATE alembic_version SET version_num = '0001'",
        "UPDATE dbos.dbos_migrations SET version = 1",
        "CREATE TRIGGER mine BEFORE INSERT ON dbos.workflow_status FOR EACH ROW EXECUTE FUNCTION guard_refuse()",
        "CREATE TABLE mine (id int)",
    ):
        expect_denial(service, attack)


def expect_denial(url: str, attack: str) -> None:
    with pytest.raises(DBAPIError) as caught:
        ask(url, lambda connection: connection.exec_driver_sql(attack))
    assert isinstance(caught.value.orig, psycopg.errors.InsufficientPrivilege), attack


# --- granting ---------------------------------------------------------------------------------------------


def test_what_it_had_beyond_is_taken_away(owned: str) -> None:
    make(owned)
    role = sql.Identifier(ROLE).as_string()
    for extra in ("UPDATE ON units_of_work_history", "ALL ON SEQUENCE interaction_logs_seq_seq"):
        execute(owned, f"GRANT {extra} TO {role}".replace("%", "%%"))
    ask(owned, lambda connection: grants.grant(connection, ROLE))
    ask(owned, lambda connection: grants.grant(connection, ROLE))
    expect_denial(as_role(owned, ROLE), "UPDATE units_of_work_history SET body = ''")
    expect_denial(as_role(owned, ROLE), "SELECT setval('interaction_logs_seq_seq', 1)")


@pytest.mark.parametrize("role", ["nobody", "public", "PUBLIC", "", 'x" TO postgres; --'])
def test_an_unknown_role_is_refused(owned: str, role: str) -> None:
    make(owned)
    with pytest.raises(BadSettings, match="knows no role"):
        ask(owned, lambda connection: grants.grant(connection, role))
    with pytest.raises(BadSettings, match="knows no role"):
        ask(owned, lambda connection: grants.grant_engine(connection, role))


def test_a_role_that_could_change_history_is_refused(owned: str, postgres: str) -> None:
    make(owned)
    with pytest.raises(BadSettings, match="units_of_work_history: its owner"):
        ask(owned, lambda connection: grants.grant(connection, OWNER))
    with pytest.raises(BadSettings, match="its owner"):
        ask(owned, lambda connection: grants.grant(connection, "postgres"))
    ask(owned, lambda c: c.exec_driver_sql("GRANT DELETE ON log_leaves TO PUBLIC"))
    with pytest.raises(BadSettings, match="log_leaves: DELETE"):
        ask(owned, lambda connection: grants.grant(connection, ROLE))
    expect_denial(as_role(owned, ROLE), "SELECT * FROM signals")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(OWNER), sql.Identifier(ROLE)))
    with pytest.raises(BadSettings, match="its owner"):
        ask(owned, lambda connection: grants.grant(connection, ROLE))


def test_a_role_that_cannot_enter_the_schema_is_refused(owned: str, postgres: str) -> None:
    make(owned)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    with pytest.raises(BadSettings, match="may not use the schema public"):
        ask(owned, lambda connection: grants.grant(connection, ROLE))


def test_only_an_owner_grants_and_only_what_is_there(owned: str) -> None:
    with pytest.raises(BadSettings, match="not there yet"):
        ask(owned, lambda connection: grants.grant(connection, ROLE))
    with pytest.raises(BadSettings, match="engine's tables are not there yet"):
        ask(owned, lambda connection: grants.grant_engine(connection, ROLE))
    make(owned)
    with pytest.raises(BadSettings, match="does not own"):
        ask(as_role(owned, ROLE), lambda connection: grants.grant(connection, ROLE))


# --- the commands -----------------------------------------------------------------------------------------


def penelope(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--set", f"database.url={url}", "database", *arguments])


def test_the_commands_set_both_roles_up(owned: str) -> None:
    assert "migrate" in penelope(owned, "grant", ROLE).stderr
    assert "guard_log_leaves_update" in penelope(owned, "check").stdout
    assert penelope(owned, "migrate").exit_code == 0
    assert penelope(owned, "grant", ROLE).exit_code == 0
    seen = penelope(owned, "check")
    assert (seen.exit_code, seen.stdout) == (0, "all guards of history are in force\n")
    assert "This role could change history (units_of_work_history: its owner" in seen.stderr
    service = as_role(owned, ROLE)
    assert penelope(service, "migrate").exit_code == 0
    seen = penelope(service, "check")
    assert (seen.exit_code, seen.stderr) == (0, "")
    ask(owned, lambda c: c.exec_driver_sql("ALTER TABLE log_leaves DISABLE TRIGGER guard_log_leaves_update"))
    seen = penelope(service, "check")
    assert (seen.exit_code, seen.stdout) == (1, "missing: guard_log_leaves_update\n")


def test_the_engine_may_have_a_database_of_its_own(owned: str, postgres: str) -> None:
    other = make_url(owned).set(database="engines")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE engines OWNER {}").format(sql.Identifier(OWNER)))
    try:
        address = other.render_as_string(hide_password=False)
        given = ["--set", f"database.url={owned}", "--set", f"database.engine_url={address}", "database"]
        for command in (["migrate"], ["grant", ROLE]):
            assert CliRunner().invoke(app, [*given, *command]).exit_code == 0
        role = as_role(address, ROLE)
        found = ask(
            role, lambda c: c.exec_driver_sql("SELECT count(*) FROM dbos.workflow_status").scalar_one()
        )
        assert found == 0
    finally:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute("DROP DATABASE engines")


def test_sqlite_has_no_roles(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/penelope.db"
    missing = penelope(url, "check")
    assert missing.exit_code == 1
    assert "there is no file" in missing.stderr
    assert not (tmp_path / "penelope.db").exists()
    assert penelope(url, "migrate").exit_code == 0
    assert (tmp_path / "penelope-engine.db").exists()
    refused = penelope(url, "grant", "somebody")
    assert refused.exit_code == 1
    assert "SQLite has no roles" in refused.stderr
    seen = penelope(url, "check")
    assert (seen.exit_code, seen.stdout) == (0, "all guards of history are in force\n")
    assert "whoever may write the file" in seen.stderr
    ask(url, lambda c: c.exec_driver_sql("DROP TRIGGER guard_log_leaves_update"))
    assert penelope(url, "check").exit_code == 1


def test_a_database_that_does_not_answer_is_named(tmp_path: Path) -> None:
    seen = penelope(f"postgresql://me@/gone?host={tmp_path}", "check")
    assert seen.exit_code == 1
    assert "the database does not answer" in seen.stderr
