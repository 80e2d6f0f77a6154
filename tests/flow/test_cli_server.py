"""The command line against a real server in a process of its own."""

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
from doorstep import SERVICES
from owner import unguarded
from serving import PATIENCE_SECONDS, PENELOPE, Server, start
from typer.testing import CliRunner

from penelope.entry.cli.main import app

# --- the way of a user ------------------------------------------------------------------------------------


def test_from_an_event_to_a_verified_ledger(server: Server) -> None:
    incident = server.open(id="walk", type="Walk")
    server.wait_for(incident, "escalated")
    listed = server.run("incidents", "--state", "escalated")
    assert listed.exit_code == 0
    assert re.search(rf"{incident} +escalated +warning +Walk on shop +\d\d-\d\d \d\d:\d\d", listed.stdout)
    shown = server.run("show", incident)
    assert shown.exit_code == 0
    assert "Walk on shop" in shown.stdout
    assert re.search(r"\d\d:\d\d:\d\d  signal     /test says Walk on shop", shown.stdout)
    assert re.search(r"\d\d:\d\d:\d\d  escalated  no playbook is for Walk", shown.stdout)
    assert max(map(len, shown.stdout.splitlines())) <= 80
    verified = server.run("ledger", "verify")
    assert verified.exit_code == 0
    assert re.search(r"The ledger is whole\.\n\d+ entries, root [0-9a-f]{64}", verified.stdout)


def test_the_status_is_shown(server: Server) -> None:
    server.wait_for(server.open(id="status", type="Status"), "escalated")
    shown = server.run("status")
    assert shown.exit_code == 0
    assert re.search(r"escalated +\d", shown.stdout)
    assert re.search(r"shop +2 +team-shop", shown.stdout)
    assert "playbooks: free-the-lock" in shown.stdout
    assert json.loads(server.run("status", "--json").stdout)["playbooks"] == ["free-the-lock"]


def test_incidents_are_listed_as_json_or_not_at_all(server: Server) -> None:
    incident = server.open(id="listed", type="Listed")
    newest = json.loads(server.run("incidents", "--limit", "1", "--json").stdout)["incidents"]
    assert [item["id"] for item in newest] == [incident]
    assert server.run("incidents", "--state", "healed").stdout == "There are no such incidents.\n"
    assert server.run("incidents", "--state", "asleep").exit_code == 2


@pytest.mark.parametrize(("word", "said"), [("approve", "Approved"), ("reject", "Rejected")])
def test_a_person_answers_once(server: Server, word: str, said: str) -> None:
    incident = server.open(id=word, type=word, data={"labels": {"stuck": "yes"}})
    server.wait_for(incident, "awaiting_approval")
    given = server.run(word, incident, "--comment", "by hand")
    assert (given.exit_code, given.stdout) == (0, f"{said} by key:anna: incident {incident}\n")
    again = server.run(word, incident)
    assert again.exit_code == 1
    message, hint = again.stderr.splitlines()
    assert "by key:anna" in message
    assert hint == "Look at the incident: it shows who decided what, and when."
    followed = server.run("show", incident, "--follow")
    assert "by hand" in followed.stdout
    assert followed.stdout.splitlines()[-1].strip()
    assert re.search(r"\d\d:\d\d:\d\d  escalated ", followed.stdout)


def test_a_person_halts_and_resumes(server: Server) -> None:
    halted = server.run("halt", "shop", "--reason", "the database moves", "--for", "2h")
    assert (halted.exit_code, halted.stdout[:25]) == (0, "service:shop: open until "), halted.output
    assert server.run("halt", "--all", "--reason", "enough").stdout == "fleet: open until resumed\n"
    shown = server.run("halts").stdout
    assert re.search(r"fleet +open +resumed +\d +key:anna: enough", shown)
    # The time of day is below its date where others need the width.
    assert re.search(r"service:shop +open +\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)? +\d +key:anna: the", shown)
    assert server.run("resume", "--all", "--reason", "all is well").stdout == "fleet: closed\n"
    assert server.run("resume", "shop", "--reset", "--reason", "moved").stdout == "service:shop: closed\n"
    found = {item["scope"]: item for item in json.loads(server.run("halts", "--json").stdout)["halts"]}
    assert found["fleet"]["state"] == "closed"
    assert (found["service:shop"]["state"], found["service:shop"]["failures"]) == ("closed", [])
    refused = server.run("halt", "shopp", "--reason", "a slip")
    assert refused.exit_code == 1
    assert "service 'shopp' is not in the catalogue" in refused.stderr


def test_an_incident_is_followed_as_json_lines(server: Server) -> None:
    incident = server.open(id="lines", type="Lines")
    lines = server.run("show", incident, "--follow", "--json").stdout.splitlines()
    events = [json.loads(text)["event"] for text in lines]
    assert (events[0], events[-1]) == ("IncidentOpened", "IncidentEscalated")


def test_an_altered_ledger_is_shown_to_be_so(server: Server) -> None:
    incident = server.open(id="altered", type="Altered", data={"annotations": {"summary": "it is late"}})
    server.wait_for(incident, "escalated")
    assert re.search(r"summary +it is late", server.run("show", incident).stdout)

    def alter(old: str, new: str) -> None:
        with unguarded(server.folder / "var" / "penelope.db") as database:
            change = "UPDATE history_payloads SET body = replace(body, ?, ?) WHERE unit = ? AND version = 1"
            words = (f'"actor":"{old}"', f'"actor":"{new}"', incident)
            assert database.exec_driver_sql(change, words).rowcount == 1

    alter("penelope", "nobody")
    try:
        shown, raw = server.run("ledger", "verify"), server.run("ledger", "verify", "--json")
    finally:
        alter("nobody", "penelope")
    assert (shown.exit_code, raw.exit_code) == (1, 1)
    assert shown.stdout.startswith("The ledger is NOT whole.\n")
    assert re.search(rf"{incident} +1 +was altered: its actor, reason, details", shown.stdout)
    assert json.loads(raw.stdout)["ok"] is False
    assert server.run("ledger", "verify").exit_code == 0


# --- what goes wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["show", "approve", "reject"])
def test_an_incident_that_is_not_there(server: Server, command: str) -> None:
    shown = server.run(command, "inc_nowhere")
    assert shown.exit_code == 1
    assert shown.stdout == ""
    assert shown.stderr.splitlines() == [
        "there is no incident 'inc_nowhere'",
        "List incidents with `penelope incidents`.",
    ]


def test_a_strange_id_stays_one_part_of_the_address(server: Server) -> None:
    shown = server.run("show", "../status")
    assert shown.exit_code == 1
    assert "nothing is served at this path" in shown.stderr or "path id" in shown.stderr


def test_a_key_that_lacks_the_scope_or_is_none(server: Server) -> None:
    reader = server.run("keys", "create", "reader", "--scope", "read").stdout.strip()
    assert server.run("status", key=reader).exit_code == 0
    lacking = server.run("approve", "inc_nowhere", key=reader)
    assert lacking.exit_code == 1
    assert "lacks the scope 'approve'" in lacking.stderr
    assert "not an API key" in server.run("status", key="nonsense").stderr
    assert (
        "carries no API key"
        in CliRunner(env={"PENELOPE_API_KEY": None})
        .invoke(app, ["status", "--server", server.address])
        .stderr
    )


def test_a_revoked_key_is_refused_by_the_running_server(server: Server) -> None:
    text = server.run("keys", "create", "short", "--scope", "read").stdout.strip()
    server.run("keys", "revoke", text.split("_")[1])
    assert "was revoked" in server.run("status", key=text).stderr


def test_nobody_at_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        shown = CliRunner().invoke(app, ["status", "--server", address])
    assert shown.exit_code == 1
    assert shown.stderr.splitlines() == [
        f"no server answers at {address}",
        "Start one with `penelope serve`, or name another with --server or PENELOPE_SERVER.",
    ]


def test_a_second_server_does_not_start_beside_the_first(server: Server) -> None:
    second = subprocess.run(
        [*PENELOPE, "serve"], cwd=server.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1, port {server.port}: Address already in use" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_server_with_a_broken_catalogue_says_where(tmp_path: Path) -> None:
    (tmp_path / "services.yaml").write_text("apiVersion: penelope.dev/v1\nkind: Cats\n")
    done = subprocess.run(
        [*PENELOPE, "serve", "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "services.yaml:2:7:" in done.stderr
    assert "Traceback" not in done.stderr


# --- the server itself ------------------------------------------------------------------------------------


def test_the_log_is_json_and_tells_the_address_and_each_problem_once(server: Server) -> None:
    identifier = f"only-{os.getpid()}"
    answer = httpx.get(f"{server.address}/nowhere", headers={"X-Request-Id": identifier}, trust_env=False)
    assert answer.status_code == 404
    lines = [json.loads(text) for text in server.log().splitlines()]
    assert any(f"serves {server.address}" in line["event"] for line in lines)
    (told,) = [line for line in lines if line.get("request_id") == identifier]
    assert (told["level"], told["code"]) == ("warning", "no_such_route")
    assert server.key not in server.log()


def test_it_stops_in_order_though_an_incident_waits(tmp_path: Path) -> None:
    server = start(tmp_path)
    try:
        server.wait_until_ready()
        server.key = server.run(
            "keys", "create", "anna", "--scope", "write", "--scope", "read"
        ).stdout.strip()
        incident = server.open(id="left", type="Left", data={"labels": {"stuck": "yes"}})
        server.wait_for(incident, "awaiting_approval")
        assert server.stop() == 0, server.log()
    finally:
        server.process.kill()
        server.process.wait()
    assert "Traceback" not in server.log()


def test_on_a_terminal_it_says_where_it_is_and_stops_at_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "services.yaml").write_text(SERVICES)
    terminal, theirs = os.openpty()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*PENELOPE, "serve", "--port", "0"], cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=log
        )
    os.close(theirs)
    try:
        with os.fdopen(terminal, "rb", buffering=0) as screen:
            said = screen.readline().decode()
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
    assert re.search(r"Penelope [\d.]+ serves (http://127\.0\.0\.1:\d+), .* \1/docs", said)
