"""`penelope ledger sweep` and `penelope actors` against a real server in a process of its own."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from owner import unguarded
from serving import Server


@contextmanager
def altered(server: Server, incident: str, word: str) -> Iterator[None]:
    """The incident's attributes say another word for as long as the block runs."""

    def alter(old: str, new: str) -> None:
        with unguarded(server.folder / "var" / "penelope.db") as database:
            change = "UPDATE units_of_work SET attributes = replace(attributes, ?, ?) WHERE id = ?"
            assert database.exec_driver_sql(change, (old, new, incident)).rowcount == 1

    alter("Told", word)
    try:
        yield
    finally:
        alter(word, "Told")


def test_a_sweep_tells_what_does_not_fit_by_its_exit_code(server: Server) -> None:
    incident = server.open(id="told", type="Told")
    server.wait_for(incident, "escalated")
    clean, raw = server.run("ledger", "sweep"), server.run("ledger", "sweep", "--json")
    assert (clean.exit_code, clean.stdout) == (0, "All stored history fits.\n")
    assert (raw.exit_code, json.loads(raw.stdout)) == (0, {"count": 0, "flaws": [], "incident": None})
    with altered(server, incident, "T[red]old"):
        shown, again = server.run("ledger", "sweep"), server.run("ledger", "sweep")
        raw = server.run("ledger", "sweep", "--json")
    assert (shown.exit_code, again.exit_code, raw.exit_code) == (1, 1, 1)
    found = json.loads(raw.stdout)
    assert shown.stdout.startswith(f"{found['count']} flaws in stored history\n")
    assert re.search(rf"{incident} +\d+ +its attributes were altered", shown.stdout)
    told = re.search(r"^incident (inc_\w+)$", shown.stdout, re.MULTILINE)
    assert told is not None
    assert again.stdout.endswith("told before on this day (UTC), in an incident named LedgerDrift\n")
    assert found["incident"] is None
    server.wait_for(told[1], "escalated")
    assert "LedgerDrift on penelope" in server.run("show", told[1]).stdout
    assert server.run("ledger", "sweep").exit_code == 0


def test_actors_are_listed_with_who_is_alive(server: Server) -> None:
    server.wait_for(server.open(id="lives", type="Lives"), "escalated")
    shown = server.run("actors")
    assert shown.exit_code == 0
    assert re.search(r"worker:local +worker +yes +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", shown.stdout)
    assert re.search(r"penelope +engine +- +", shown.stdout)
    with unguarded(server.folder / "var" / "penelope.db") as database:
        database.exec_driver_sql(
            "INSERT INTO local_actors (id, kind, name, last_heartbeat_at) "
            "VALUES ('act_gone', 'worker', 'worker:gone', '2026-01-01T00:00:00.000000Z')"
        )
    assert re.search(r"worker:gone +worker +no +2026-01-01T00:00:00", server.run("actors").stdout)
    found = {actor["name"]: actor["alive"] for actor in json.loads(server.run("actors", "--json").stdout)}
    assert (found["worker:local"], found["worker:gone"], found["penelope"]) == (True, False, None)


def test_without_the_scope_nothing_is_swept(server: Server) -> None:
    reader = server.run("keys", "create", "reader", "--scope", "read").stdout.strip()
    refused = server.run("ledger", "sweep", key=reader)
    assert refused.exit_code == 1
    assert "lacks the scope 'write'" in refused.stderr
