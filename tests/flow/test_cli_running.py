"""`penelope running` against a real server in a process of its own."""

import json
import re

from owner import unguarded
from serving import Server


def test_what_is_being_changed_is_listed(server: Server) -> None:
    assert server.run("running").stdout == "Nothing is being changed.\n"
    with unguarded(server.folder / "var" / "penelope.db") as database:
        database.exec_driver_sql(
            "INSERT INTO leases (target, fence, holder, incident, since, beat_at) VALUES "
            "('shop/[red]b', 7, 'act_1', 'inc_1', '2026-01-01T10:00:00.000000Z', '2026-01-01T10:00:05.000000Z'), "
            "('shop/free', 3, NULL, 'inc_0', '2026-01-01T09:00:00.000000Z', '2026-01-01T09:00:00.000000Z')"
        )
    try:
        shown, raw = server.run("running"), server.run("running", "--json")
    finally:
        with unguarded(server.folder / "var" / "penelope.db") as database:
            database.exec_driver_sql("DELETE FROM leases")
    assert (shown.exit_code, raw.exit_code) == (0, 0)
    assert re.search(r"shop/\[red\]b +- +prepared +10:00:00 +10:00:05 +inc_1", shown.stdout)
    assert "free" not in shown.stdout
    ((found),) = json.loads(raw.stdout)
    assert (found["fence"], found["action"], found["beat_at"]) == (7, None, "2026-01-01T10:00:05Z")
