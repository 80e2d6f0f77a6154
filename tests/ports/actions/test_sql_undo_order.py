"""What of a change of a database could be taken back wrongly, or not at all: the order of rows, and what hangs on them."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bench_sql import eventually
from benching import an_action

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.sql import SqlAdapter
from penelope.domain.action import Action, Snapshot
from penelope.errors import ActionFailed, InvalidCatalogue, PenelopeError
from penelope.rooms.act.run import perform, undo

TREE = """
CREATE TABLE folders (id int PRIMARY KEY, parent int REFERENCES folders (id), name text);
INSERT INTO folders VALUES (9, NULL, 'root');
INSERT INTO folders VALUES (5, 9, 'below');
INSERT INTO folders VALUES (1, 5, 'at the bottom');
"""
OWNED = """
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers (id) ON DELETE CASCADE);
"""
ACCOUNTS = """
CREATE TABLE accounts (id int PRIMARY KEY, locked boolean);
INSERT INTO accounts SELECT n, false FROM generate_series(1, 5) AS n;
"""


@pytest.fixture
def adapter(tmp_path: Path) -> SqlAdapter:
    return SqlAdapter(Keep(tmp_path / "keep"))


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    sqlite3.connect(tmp_path / "some.db").close()
    return f"sqlite:///{tmp_path / 'some.db'}"


def told(url: str, script: str) -> list[Any]:
    """Does it as somebody else would, and returns what the last statement gives."""
    statements = [each for each in script.split(";") if each.strip()]
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"), isolation_level=None)) as connection:
            return [connection.execute(each).fetchall() for each in statements][-1]
    with psycopg.connect(url, autocommit=True) as server:
        for each in statements:
            cursor = server.execute(each.encode())
        return cursor.fetchall() if cursor.description else []


def acting(url: str, operation: str, params: dict[str, Any], **options: Any) -> Action:
    return an_action("sql", operation, {"url": url, **options}, params)


def done(adapter: SqlAdapter, action: Action) -> Snapshot:
    snapshot = asyncio.run(adapter.snapshot(action))
    asyncio.run(perform(adapter, action, snapshot, first_attempt=True))
    return snapshot


@pytest.mark.parametrize("ledger", [None, "penelope_actions"])
def test_rows_that_hang_on_each_other_come_back_in_the_order_that_lets_them(
    adapter: SqlAdapter, url: str, ledger: str | None
) -> None:
    """They went one by one, from the bottom of the tree; so the last that went must be the first to come."""
    told(url, TREE)
    before = told(url, "SELECT * FROM folders ORDER BY id")
    params = {"table": "folders", "where": {"id": {"at_most": 9}}}
    action = acting(url, "delete_rows", params, ledger_table=ledger)
    snapshot = done(adapter, action)
    assert told(url, "SELECT * FROM folders") == []
    asyncio.run(undo(adapter, action, snapshot))
    assert told(url, "SELECT * FROM folders ORDER BY id") == before


def test_a_row_with_which_rows_of_others_would_go_is_not_inserted(adapter: SqlAdapter, url: str) -> None:
    """Taking it back would delete it, and with it whatever others have hung on it meanwhile."""
    told(url, OWNED)
    action = acting(url, "insert_rows", {"table": "customers", "rows": [{"id": 7, "name": "Penny"}]})
    with pytest.raises(ActionFailed, match="rows of other tables would go or change"):
        done(adapter, action)
    assert told(url, "SELECT * FROM customers") == []


def test_the_order_in_which_a_look_finds_its_rows_is_no_difference(
    adapter: SqlAdapter, postgres: str
) -> None:
    """PostgreSQL writes a changed row elsewhere: it comes last then, though nothing differs."""
    told(postgres, ACCOUNTS)
    statement = {
        "sql": "UPDATE accounts SET locked = true WHERE id <= :most",
        "undo": "UPDATE accounts SET locked = false WHERE id <= :most",
        "look": "SELECT id, locked FROM accounts",
        "params": ["most"],
        "max_rows": 3,
    }
    options = {"ledger_table": "penelope_actions", "statements": {"lock": statement}}
    action = acting(postgres, "run", {"statement": "lock", "params": {"most": 2}}, **options)
    snapshot = done(adapter, action)
    assert told(postgres, "SELECT count(*) FROM accounts WHERE locked") == [(2,)]
    asyncio.run(undo(adapter, action, snapshot))
    assert told(postgres, "SELECT count(*) FROM accounts WHERE locked") == [(0,)]
    assert asyncio.run(adapter.differences(action, snapshot)) == []


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("WITH gone AS (DELETE FROM accounts RETURNING id) SELECT count(*) FROM gone", InvalidCatalogue),
        (
            "WITH gone AS MATERIALIZED ( delete FROM accounts RETURNING id) INSERT INTO doors SELECT 1",
            InvalidCatalogue,
        ),
        ("WITH gone AS (SELECT purge()) SELECT * FROM gone", ActionFailed),
    ],
)
def test_a_statement_that_hides_how_many_rows_it_changes_changes_none(
    adapter: SqlAdapter, postgres: str, sql: str, error: type[Exception]
) -> None:
    """It says that it gives one row, and would have deleted five."""
    told(postgres, ACCOUNTS)
    told(postgres, "CREATE TABLE doors (id int)")
    told(postgres, "CREATE FUNCTION purge() RETURNS void LANGUAGE sql AS 'DELETE FROM accounts'")
    statement = {"sql": sql, "max_rows": 1}
    options = {"ledger_table": "penelope_actions", "statements": {"purge": statement}}
    action = acting(postgres, "run", {"statement": "purge"}, **options)
    with pytest.raises(error):
        done(adapter, action)
    assert told(postgres, "SELECT count(*) FROM accounts") == [(5,)]


def test_an_index_that_somebody_else_made_meanwhile_survives_our_failure(
    adapter: SqlAdapter, postgres: str
) -> None:
    """While ours waits for the table, another comes to be under the name; ours fails, and must not drop it."""
    told(postgres, ACCOUNTS)
    params = {"table": "accounts", "columns": ["locked"], "name": "accounts_locked"}
    action = acting(postgres, "create_index", params)
    snapshot = asyncio.run(adapter.snapshot(action))
    failed: list[BaseException] = []

    def execute() -> None:
        try:
            asyncio.run(adapter.execute(action, snapshot))
        except PenelopeError as error:
            failed.append(error)

    with psycopg.connect(postgres) as holder, psycopg.connect(postgres, autocommit=True) as other:
        holder.execute("LOCK TABLE accounts IN SHARE UPDATE EXCLUSIVE MODE")
        ours = threading.Thread(target=execute)
        ours.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE INDEX%'"
        eventually(lambda: other.execute(waiting.encode()).fetchone() == (1,))
        other.execute("CREATE TABLE doors (id int)")
        other.execute("CREATE INDEX accounts_locked ON doors (id)")
        other.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%'"
        )
        ours.join(20)
    assert failed
    kept = "SELECT tablename FROM pg_indexes WHERE indexname = 'accounts_locked'"
    assert told(postgres, kept) == [("doors",)]
