"""What is special about databases: guards, hostile input, others who write meanwhile, rows that must come back exactly."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bench_sql import FREE, NEW, STUCK, Client, eventually, postgres_jobs, sqlite_jobs
from benching import an_action, with_options

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.sql import SqlAdapter
from penelope.domain.action import Action, Progress, Snapshot
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InvalidCatalogue,
    InvalidPlaybook,
    OutcomeUnknown,
    Timeout,
    Unavailable,
)
from penelope.rooms.act.run import perform, undo


@pytest.fixture
def adapter(tmp_path: Path) -> SqlAdapter:
    return SqlAdapter(Keep(tmp_path / "keep"))


@pytest.fixture(params=["sqlite", "postgres"])
def jobs(request: pytest.FixtureRequest) -> str:
    return sqlite_jobs(request) if request.param == "sqlite" else postgres_jobs(request)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> str:
    return postgres_jobs(request)


def told(url: str, *statements: str) -> list[Any]:
    """Does it as somebody else would, and returns what the last one gives."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"), isolation_level=None)) as connection:
            return [connection.execute(each).fetchall() for each in statements][-1]
    with psycopg.connect(url, autocommit=True) as connection:
        for each in statements:
            cursor = connection.execute(each.encode())
        return cursor.fetchall() if cursor.description else []


def acting(url: str, operation: str, params: dict[str, Any], **options: Any) -> Action:
    return an_action("sql", operation, {"url": url, "allow_triggers": True, **options}, params)


def taken(adapter: SqlAdapter, action: Action) -> Snapshot:
    return asyncio.run(adapter.snapshot(action))


def done(adapter: SqlAdapter, action: Action) -> Snapshot:
    snapshot = taken(adapter, action)
    asyncio.run(perform(adapter, action, snapshot, first_attempt=True))
    return snapshot


EVERYTHING = "SELECT * FROM jobs ORDER BY id"


def rows(url: str) -> str:
    """All jobs, as a text: NaN equals itself there."""
    return str(told(url, EVERYTHING))


@pytest.mark.parametrize("ledger", [None, "penelope_actions"])
@pytest.mark.parametrize(
    ("operation", "params"), [("update_rows", FREE), ("delete_rows", STUCK), ("insert_rows", NEW)]
)
def test_rows_come_back_exactly(
    adapter: SqlAdapter, jobs: str, operation: str, params: dict[str, Any], ledger: str | None
) -> None:
    """Bytes, NaN, arrays, documents, times and negative zero included."""
    before = rows(jobs)
    action = acting(jobs, operation, params, ledger_table=ledger)
    snapshot = done(adapter, action)
    assert rows(jobs) != before
    asyncio.run(undo(adapter, action, snapshot))
    assert rows(jobs) == before
    assert asyncio.run(adapter.differences(action, snapshot)) == []


@pytest.mark.parametrize("ledger", [None, "penelope_actions"])
def test_a_row_that_somebody_else_changed_since_is_not_put_back(
    adapter: SqlAdapter, jobs: str, ledger: str | None
) -> None:
    action = acting(jobs, "update_rows", FREE, ledger_table=ledger)
    snapshot = done(adapter, action)
    told(jobs, "UPDATE jobs SET note = 'mine' WHERE id = 2")
    after = rows(jobs)
    with pytest.raises(CompensationFailed, match="1 of 2"):
        asyncio.run(undo(adapter, action, snapshot))
    assert rows(jobs) == after, "nothing half put back"
    assert [each.subject for each in asyncio.run(adapter.differences(action, snapshot))] == [
        "row 1 of jobs",
        "row 2 of jobs",
    ]


def test_a_default_of_an_inserted_row_that_somebody_changed_keeps_it_from_being_deleted(
    adapter: SqlAdapter, jobs: str
) -> None:
    action = acting(jobs, "insert_rows", NEW, ledger_table="penelope_actions")
    snapshot = done(adapter, action)
    told(jobs, "UPDATE jobs SET weight = 3 WHERE id = 7")
    with pytest.raises(CompensationFailed):
        asyncio.run(undo(adapter, action, snapshot))
    assert len(told(jobs, EVERYTHING)) == 6


@pytest.mark.parametrize("ledger", [None, "penelope_actions"])
def test_a_row_that_changed_after_the_snapshot_stops_the_action(
    adapter: SqlAdapter, jobs: str, ledger: str | None
) -> None:
    action = acting(jobs, "delete_rows", STUCK, ledger_table=ledger)
    snapshot = taken(adapter, action)
    told(jobs, "UPDATE jobs SET state = 'done' WHERE id = 1")
    with pytest.raises(ActionFailed, match="1 of 2 rows of jobs changed"):
        asyncio.run(adapter.execute(action, snapshot))
    assert len(told(jobs, EVERYTHING)) == 4
    assert asyncio.run(adapter.probe(action, snapshot)) in {Progress.NOT_APPLIED, Progress.UNKNOWN}


def test_two_who_execute_the_same_action_at_once_make_one_effect(adapter: SqlAdapter, jobs: str) -> None:
    action = acting(jobs, "update_rows", FREE, ledger_table="penelope_actions")
    snapshot = taken(adapter, action)

    async def race() -> list[bool]:
        effects = await asyncio.gather(*(adapter.execute(action, snapshot) for _ in range(4)))
        return sorted(effect.repeated for effect in effects)

    assert asyncio.run(race()) == [False, True, True, True]
    assert told(jobs, "SELECT count(*) FROM audit") == [(2,)]


def test_more_rows_than_allowed_or_none_at_all_are_left_alone(adapter: SqlAdapter, jobs: str) -> None:
    with pytest.raises(ActionFailed, match="more than 1"):
        taken(adapter, acting(jobs, "delete_rows", {**STUCK, "max_rows": 1}))
    with pytest.raises(ActionFailed, match="no row"):
        taken(adapter, acting(jobs, "delete_rows", {"table": "jobs", "where": {"worker": "' OR 1=1 --"}}))
    assert len(told(jobs, EVERYTHING)) == 4


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({"worker": None}, [4]),
        ({"id": {"at_least": 2}, "state": "running"}, [2, 3]),
        ({"id": {"at_most": 1}}, [1]),
        ({"worker": {"one_of": ["w2", None]}}, [3, 4]),
        ({"note": "a%b'c"}, [2]),
        ({"weight": 0.1}, [1]),
    ],
)
def test_conditions_pick_rows(adapter: SqlAdapter, jobs: str, where: dict[str, Any], ids: list[int]) -> None:
    done(adapter, acting(jobs, "delete_rows", {"table": "jobs", "where": where}))
    left = [row[0] for row in told(jobs, EVERYTHING)]
    assert left == [each for each in (1, 2, 3, 4) if each not in ids]


def test_times_are_compared_in_seconds_and_in_texts(adapter: SqlAdapter, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    old = "datetime('now', '-100 seconds')"
    told(url, "CREATE TABLE t (id INTEGER PRIMARY KEY, at)")
    told(url, f"INSERT INTO t VALUES (1, {old}), (2, unixepoch() - 100), (3, datetime('now')), (4, NULL)")
    done(adapter, acting(url, "delete_rows", {"table": "t", "where": {"at": {"older_than_seconds": 60}}}))
    assert told(url, "SELECT id FROM t ORDER BY id") == [(3,), (4,)]


@pytest.mark.parametrize(
    "params",
    [
        {"table": "jobs; DROP TABLE jobs", "where": {"id": 1}},
        {"table": 'jobs" --', "where": {"id": 1}},
        {"table": "a.b.c", "where": {"id": 1}},
        {"table": ".jobs", "where": {"id": 1}},
        {"table": "jobs", "where": {}},
        {"table": "jobs", "where": {"id = 1 OR 1": 1}},
        {"table": "jobs", "where": {"id": {}}},
        {"table": "jobs", "where": {"id": {"at_least": 1, "at_most": 2}}},
        {"table": "jobs", "where": {"id": {"raw": "1"}}},
        {"table": "jobs", "where": {"id": [1]}},
        {"table": "jobs", "where": {"note": "a\x00b"}},
        {"table": "jobs", "where": {"note": "\ud800"}},
        {"table": "jobs", "where": {"id": 2**64}},
        {"table": "jobs", "where": {"id": float("inf")}},
        {"table": "jobs", "where": {"id": {"one_of": []}}},
        {"table": "jobs", "where": {"id": 1}, "max_rows": 10**6},
        {"table": "jobs", "where": {"id": 1}, "sql": "DROP TABLE jobs"},
    ],
)
def test_hostile_parameters_are_refused_before_anything_runs(
    adapter: SqlAdapter, params: dict[str, Any]
) -> None:
    with pytest.raises(InvalidPlaybook) as caught:
        adapter.validate("delete_rows", params)
    assert "DROP" not in caught.value.message


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("update_rows", {"table": "jobs", "where": {"id": 1}, "set": {"id": 9}}),
        ("update_rows", {"table": "jobs", "where": {"id": 1}, "set": {"nowhere": 9}}),
        ("update_rows", {"table": "penelope_nothing", "where": {"id": 1}, "set": {"id": 9}}),
        ("delete_rows", {"table": "audit", "where": {"what": "x"}}),
        ("insert_rows", {"table": "jobs", "rows": [{"id": 1, "state": "x"}]}),
        ("insert_rows", {"table": "jobs", "rows": [{"id": 9, "state": "x"}, {"id": 9, "state": "y"}]}),
    ],
)
def test_what_could_not_be_taken_back_is_not_begun(
    adapter: SqlAdapter, jobs: str, operation: str, params: dict[str, Any]
) -> None:
    before = rows(jobs)
    with pytest.raises(ActionFailed):
        taken(adapter, acting(jobs, operation, params))
    assert rows(jobs) == before


def test_tables_with_triggers_and_rows_that_others_hang_on_are_refused(
    adapter: SqlAdapter, jobs: str
) -> None:
    with pytest.raises(ActionFailed, match="triggers"):
        taken(adapter, acting(jobs, "delete_rows", STUCK, allow_triggers=False))
    told(jobs, "CREATE TABLE logs (id int PRIMARY KEY, job int REFERENCES jobs (id) ON DELETE CASCADE)")
    with pytest.raises(ActionFailed, match="other tables"):
        taken(adapter, acting(jobs, "delete_rows", STUCK))


def test_a_column_that_a_trigger_writes_is_left_out_where_the_catalogue_says_so(
    adapter: SqlAdapter, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    told(
        url,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, version INTEGER)",
        "INSERT INTO t VALUES (1, 'a', 1)",
        "CREATE TRIGGER bump AFTER UPDATE OF v ON t BEGIN"
        " UPDATE t SET version = version + 1 WHERE id = new.id; END",
    )
    params = {"table": "t", "where": {"id": 1}, "set": {"v": "b"}}
    with pytest.raises(ActionFailed, match="did not become"):
        done(adapter, acting(url, "update_rows", params))
    assert told(url, "SELECT * FROM t") == [(1, "a", 1)]
    action = acting(url, "update_rows", params, ignored_columns=["version"], ledger_table="penelope_actions")
    snapshot = done(adapter, action)
    asyncio.run(undo(adapter, action, snapshot))
    assert told(url, "SELECT v FROM t") == [("a",)]
    assert asyncio.run(adapter.differences(action, snapshot)) == []


def test_a_value_that_does_not_fit_its_column_changes_nothing_and_is_not_shown(
    adapter: SqlAdapter, server: str
) -> None:
    before = rows(server)
    for values in ({"state": "s3cret-longer-than-ten"}, {"amount": "s3cret"}, {"doc": "{s3cret"}):
        action = acting(server, "update_rows", {"table": "jobs", "where": {"id": 1}, "set": values})
        with pytest.raises(ActionFailed) as caught:
            done(adapter, action)
        assert "s3cret" not in caught.value.message
    assert rows(server) == before


def test_private_values_are_neither_in_the_snapshot_nor_in_what_is_shown(
    adapter: SqlAdapter, jobs: str
) -> None:
    action = acting(jobs, "delete_rows", {"table": "jobs", "where": {"note": "s3cret"}})
    snapshot = taken(adapter, action)
    preview = asyncio.run(adapter.dry_run(action, snapshot))
    asyncio.run(adapter.execute(action, snapshot))
    shown = f"{snapshot} {preview} {asyncio.run(adapter.differences(action, snapshot))}"
    assert "s3cret" not in shown
    assert set(snapshot.state) == {"table", "rows", "kept"}


def test_a_database_that_is_held_gives_up_in_time_and_changes_nothing(adapter: SqlAdapter, jobs: str) -> None:
    action = acting(jobs, "update_rows", FREE, lock_timeout_seconds=0.2)
    snapshot = taken(adapter, action)
    holder: Any = (
        sqlite3.connect(jobs.removeprefix("sqlite://"), isolation_level=None)
        if jobs.startswith("sqlite")
        else psycopg.connect(jobs, autocommit=True)
    )
    with closing(holder):
        holder.execute("BEGIN")
        holder.execute("UPDATE jobs SET note = 'held' WHERE id = 1")
        begun = time.monotonic()
        with pytest.raises(Timeout):
            asyncio.run(adapter.execute(action, snapshot))
        assert time.monotonic() - begun < 5
        holder.execute("ROLLBACK")
    assert asyncio.run(adapter.probe(action, snapshot)) is Progress.NOT_APPLIED


def test_an_action_that_is_cut_off_leaves_nothing_at_work(adapter: SqlAdapter, server: str) -> None:
    statement = {"sql": "UPDATE jobs SET note = pg_sleep(30)::text WHERE id = 1", "max_rows": 1}
    options = {"statements": {"slow": statement}, "ledger_table": "penelope_actions"}
    action = replace(acting(server, "run", {"statement": "slow"}, **options), timeout_seconds=0.5)
    snapshot = taken(adapter, action)
    with pytest.raises(ActionFailed):
        asyncio.run(perform(adapter, action, snapshot, first_attempt=True))
    busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'penelope' AND state = 'active'"
    assert told(server, busy) == [(0,)]
    assert asyncio.run(adapter.probe(action, snapshot)) is Progress.NOT_APPLIED


def _running(**changes: Any) -> dict[str, Any]:
    statement = {
        "sql": "UPDATE jobs SET note = :note WHERE worker = :worker",
        "params": ["note", "worker"],
        "max_rows": 2,
    }
    return {"statements": {"it": {**statement, **changes}}, "ledger_table": "penelope_actions"}


RUN = {"statement": "it", "params": {"note": "'; DROP TABLE jobs; --", "worker": "w1"}}


def test_a_statement_runs_once_and_its_values_are_never_sql(adapter: SqlAdapter, jobs: str) -> None:
    action = acting(jobs, "run", RUN, **_running())
    snapshot = done(adapter, action)
    assert asyncio.run(perform(adapter, action, snapshot, first_attempt=False)).repeated
    assert told(jobs, "SELECT note FROM jobs WHERE worker = 'w1'") == [("'; DROP TABLE jobs; --",)] * 2
    with pytest.raises(CompensationFailed, match="names no undo"):
        asyncio.run(undo(adapter, action, snapshot))


def test_a_statement_that_would_change_more_rows_than_declared_changes_none(
    adapter: SqlAdapter, jobs: str
) -> None:
    action = acting(jobs, "run", RUN, **_running(max_rows=1))
    with pytest.raises(ActionFailed, match="2 rows"):
        done(adapter, action)
    assert told(jobs, "SELECT count(*) FROM audit") == [(0,)]


def test_an_undo_that_does_not_restore_is_rolled_back_and_said(adapter: SqlAdapter, jobs: str) -> None:
    wrong = "UPDATE jobs SET note = 'wrong' WHERE worker = :worker AND :note <> ''"
    if not jobs.startswith("sqlite"):
        wrong = wrong.replace(":note", ":note::text")
    options = _running(undo=wrong, look="SELECT id, note FROM jobs WHERE worker = :worker ORDER BY id")
    action = acting(jobs, "run", RUN, **options)
    snapshot = done(adapter, action)
    after = rows(jobs)
    with pytest.raises(CompensationFailed, match="does not restore"):
        asyncio.run(undo(adapter, action, snapshot))
    assert rows(jobs) == after


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE jobs",
        "SELECT 1",
        "VACUUM",
        "UPDATE jobs SET note = :other",
        "COMMIT",
        "PRAGMA foreign_keys=0",
    ],
)
def test_a_catalogue_lists_only_single_changes_of_rows(adapter: SqlAdapter, jobs: str, sql: str) -> None:
    with pytest.raises((InvalidCatalogue, ActionFailed)):
        done(adapter, acting(jobs, "run", RUN, **_running(sql=sql)))
    assert len(told(jobs, EVERYTHING)) == 4


def test_two_statements_in_one_are_refused(adapter: SqlAdapter, jobs: str) -> None:
    sql = "UPDATE jobs SET note = :note WHERE worker = :worker; DELETE FROM jobs"
    with pytest.raises(ActionFailed):
        done(adapter, acting(jobs, "run", RUN, **_running(sql=sql)))
    assert len(told(jobs, EVERYTHING)) == 4


@pytest.mark.parametrize(
    "params",
    [{"statement": "other"}, {"statement": "it"}, {**RUN, "params": {"note": "", "worker": "", "x": 1}}],
)
def test_a_statement_that_is_not_listed_or_not_fully_given_is_refused(
    adapter: SqlAdapter, jobs: str, params: dict[str, Any]
) -> None:
    with pytest.raises(InvalidPlaybook):
        taken(adapter, acting(jobs, "run", params, **_running()))


@pytest.mark.parametrize(
    "url",
    [
        "mysql://x",
        "sqlite://relative.db",
        "sqlite:///relative.db",
        "/etc/passwd",
        "postgresql://?nonsense=1&s3cret=1",
    ],
)
def test_urls_that_name_no_database_are_refused_unseen(adapter: SqlAdapter, url: str) -> None:
    with pytest.raises((InvalidCatalogue, Unavailable)) as caught:
        taken(adapter, acting(url, "delete_rows", STUCK))
    assert "s3cret" not in caught.value.message
    assert not Path("relative.db").exists()


def test_a_file_that_is_no_database_is_out_of_reach(adapter: SqlAdapter, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("not a database at all, but long enough to look like a header" * 20)
    with pytest.raises(Unavailable):
        taken(adapter, acting(f"sqlite:///{tmp_path}/note.txt", "delete_rows", STUCK))


@pytest.fixture
def client(postgres: str, request: pytest.FixtureRequest) -> Callable[..., Client]:
    def made(sql: str, application: str = "shop", *, block: bool = True) -> Client:
        found = Client(postgres, sql, application, block=block)
        request.addfinalizer(found.close)
        return found

    return made


ENDED = {"older_than_seconds": 0.1, "application": "shop"}


def test_a_query_that_ends_by_cancelling_keeps_its_connection(
    adapter: SqlAdapter, postgres: str, client: Callable[..., Client]
) -> None:
    victim, other = client("SELECT pg_sleep(60)"), client("SELECT pg_sleep(60)", "mail")
    done(adapter, acting(postgres, "terminate_query", ENDED))
    eventually(lambda: victim.error is not None)
    assert isinstance(victim.error, psycopg.errors.QueryCanceled)
    assert victim.connection.execute("SELECT 1").fetchone() == (1,)
    assert not other.ended()


def test_a_query_that_does_not_heed_a_cancel_loses_its_connection(
    adapter: SqlAdapter, postgres: str, client: Callable[..., Client]
) -> None:
    deaf = (
        "DO $$BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END;"
        " END LOOP; END$$"
    )
    victim = client(deaf)
    done(adapter, acting(postgres, "terminate_query", {**ENDED, "grace_seconds": 0.3}))
    assert not victim.there()


def test_more_queries_than_allowed_are_all_left_alone(
    adapter: SqlAdapter, postgres: str, client: Callable[..., Client]
) -> None:
    both = [client("SELECT pg_sleep(60)"), client("SELECT pg_sleep(60)")]
    with pytest.raises(ActionFailed, match="2 queries fit"):
        taken(adapter, acting(postgres, "terminate_query", ENDED))
    assert not any(each.ended() for each in both)


def test_the_next_query_of_the_same_connection_is_not_the_one_that_was_seen(
    adapter: SqlAdapter, postgres: str, client: Callable[..., Client]
) -> None:
    victim = client("SELECT pg_sleep(60)")
    action = acting(postgres, "terminate_query", ENDED)
    snapshot = taken(adapter, action)
    victim.connection.cancel_safe()
    eventually(lambda: victim.error is not None)
    next_one = threading.Thread(target=victim._run, args=["SELECT pg_sleep(2)"])
    next_one.start()
    eventually(lambda: not victim.ended())
    victim.error = None
    assert asyncio.run(perform(adapter, action, snapshot, first_attempt=False)).repeated
    assert asyncio.run(adapter.execute(action, snapshot)).details["ended"] == 0
    assert not victim.ended()
    next_one.join()
    assert victim.error is None


def test_superusers_and_penelope_herself_are_never_ended(adapter: SqlAdapter, postgres: str) -> None:
    with psycopg.connect(postgres, application_name="shop", autocommit=True) as mine:
        mine.execute("SELECT 1")
        time.sleep(0.2)
        action = acting(postgres, "recycle_connections", {"application": "*", "idle_seconds": 0.1})
        with pytest.raises(ActionFailed, match="no connections"):
            taken(adapter, action)


def test_only_the_oldest_idle_connections_go(
    adapter: SqlAdapter, postgres: str, client: Callable[..., Client]
) -> None:
    clients = [client("SELECT 1", block=False) for _ in range(3)]
    params = {"application": "shop", "idle_seconds": 0.1, "at_most": 2}
    done(adapter, acting(postgres, "recycle_connections", params))
    assert [each.there() for each in clients] == [False, False, True]


INDEX = {"table": "jobs", "columns": ["worker"], "name": "jobs_worker"}


def test_an_index_that_was_there_before_stays(adapter: SqlAdapter, jobs: str) -> None:
    told(jobs, "CREATE INDEX jobs_worker ON jobs (worker)")
    action = acting(jobs, "create_index", INDEX)
    snapshot = taken(adapter, action)
    assert asyncio.run(perform(adapter, action, snapshot, first_attempt=True)).repeated
    asyncio.run(undo(adapter, action, snapshot))
    assert asyncio.run(adapter.observe(action)) == {"index": "valid"}


@pytest.mark.parametrize(
    "there",
    [
        "CREATE INDEX jobs_worker ON jobs (state)",
        "CREATE UNIQUE INDEX jobs_worker ON jobs (worker, id)",
        "CREATE INDEX jobs_worker ON jobs (worker) WHERE id > 2",
        "CREATE INDEX jobs_worker ON audit (what)",
        "CREATE TABLE jobs_worker (id int PRIMARY KEY)",
    ],
)
def test_something_else_under_the_name_is_never_touched(adapter: SqlAdapter, jobs: str, there: str) -> None:
    action = acting(jobs, "create_index", INDEX)
    earlier = taken(adapter, action)
    told(jobs, there)
    with pytest.raises(ActionFailed, match="something else"):
        taken(adapter, action)
    with pytest.raises(ActionFailed, match="something else"):
        asyncio.run(adapter.execute(action, earlier))
    with pytest.raises(CompensationFailed, match="something else"):
        asyncio.run(adapter.compensate(action, earlier))


def test_an_index_waits_for_old_transactions_but_not_for_ever_and_leaves_none_half_made(
    adapter: SqlAdapter, server: str
) -> None:
    action = replace(acting(server, "create_index", INDEX), timeout_seconds=1.0)
    snapshot = taken(adapter, action)
    with psycopg.connect(server) as old:
        old.execute("INSERT INTO audit VALUES ('open')")
        old.execute("UPDATE jobs SET note = 'held' WHERE id = 1")
        with pytest.raises((ActionFailed, OutcomeUnknown)):
            asyncio.run(perform(adapter, action, snapshot, first_attempt=True))
        old.rollback()
    again = replace(action, timeout_seconds=10.0)
    asyncio.run(undo(adapter, again, snapshot))
    assert asyncio.run(adapter.observe(again)) == {"index": "absent"}
    assert asyncio.run(adapter.differences(again, snapshot)) == []


def test_a_parameter_must_be_listed_and_is_quoted_by_the_server(
    adapter: SqlAdapter, postgres: str, request: pytest.FixtureRequest
) -> None:
    params = {"scope": "database", "name": "application_name", "value": "x'; DROP TABLE jobs; --"}
    request.addfinalizer(lambda: told(postgres, "ALTER DATABASE postgres RESET application_name"))
    with pytest.raises(InvalidPlaybook, match="not among"):
        taken(adapter, acting(postgres, "set_parameter", params))
    action = acting(postgres, "set_parameter", params, parameters=["application_name"])
    snapshot = done(adapter, action)
    assert asyncio.run(adapter.observe(action)) == {"value": params["value"]}
    told(postgres, "ALTER DATABASE postgres SET application_name = 'theirs'")
    with pytest.raises(CompensationFailed, match="something else"):
        asyncio.run(undo(adapter, action, snapshot))


@pytest.mark.parametrize(
    "name",
    ["archive_command", "shared_preload_libraries", "ssl_key_file", "listen_addresses", "role", "fsync"],
)
def test_parameters_that_open_a_server_or_run_programs_are_never_set(adapter: SqlAdapter, name: str) -> None:
    with pytest.raises(InvalidPlaybook, match="never set"):
        adapter.validate("set_parameter", {"scope": "system", "name": name, "value": "x"})


def test_a_parameter_that_needs_a_restart_is_not_set(adapter: SqlAdapter, postgres: str) -> None:
    params = {"scope": "system", "name": "max_connections", "value": 5}
    action = acting(postgres, "set_parameter", params, parameters=["max_connections"])
    with pytest.raises(ActionFailed, match="restart"):
        done(adapter, action)
    assert asyncio.run(adapter.observe(action)) == {"value": None}


def test_a_parameter_of_a_role_comes_back(
    adapter: SqlAdapter, postgres: str, client: Callable[..., Client], request: pytest.FixtureRequest
) -> None:
    client("SELECT 1", block=False)  # makes the role
    told(postgres, "ALTER ROLE app SET statement_timeout = '7s'")
    request.addfinalizer(lambda: told(postgres, "ALTER ROLE app RESET ALL"))
    params = {"scope": "role", "role": "app", "name": "statement_timeout", "value": "2s"}
    action = acting(postgres, "set_parameter", params, parameters=["statement_timeout"])
    snapshot = done(adapter, action)
    assert asyncio.run(adapter.observe(action)) == {"value": "2s"}
    asyncio.run(undo(adapter, action, snapshot))
    assert asyncio.run(adapter.observe(action)) == {"value": "7s"}


def test_what_only_postgresql_can_do_is_refused_elsewhere(
    adapter: SqlAdapter, request: pytest.FixtureRequest
) -> None:
    action = acting(sqlite_jobs(request), "terminate_query", ENDED)
    with pytest.raises(ActionFailed, match="postgresql"):
        taken(adapter, action)


def test_options_that_do_not_fit_are_refused_unseen(adapter: SqlAdapter) -> None:
    action = with_options(acting("sqlite:////x", "delete_rows", STUCK), lock_timeout_seconds="s3cret")
    with pytest.raises(InvalidCatalogue) as caught:
        taken(adapter, action)
    assert "s3cret" not in caught.value.message
