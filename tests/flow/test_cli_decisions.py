"""The commands about single decisions against a real server in a process of its own."""

import json
import re
import sqlite3

import pytest
from owner import unguarded
from serving import Server


@pytest.fixture(scope="module")
def asked(server: Server) -> str:
    incident = server.open(id="asked", type="Stuck", data={"labels": {"stuck": "yes"}})
    server.wait_for(incident, "awaiting_approval")
    return incident


def test_a_decision_is_explained_in_figures_and_bars(server: Server, asked: str) -> None:
    done = server.run("decision", "explain", asked)
    assert done.exit_code == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert f"escalate on {asked} (shop), decision 1" in done.stdout
    assert "Nothing is known of how such incidents last." in done.stdout
    assert re.search(r"confidence 0\.\d{3} +\(95 %: 0\.\d\d to 0\.\d\d\)", done.stdout)
    assert re.search(r"irreversibility +\+0\.020 +│? ", done.stdout)
    assert re.search(r"unseen +\+0\.550 +█{11} ", done.stdout)
    assert "It was never used here before." in done.stdout
    assert "What to do now" in done.stdout
    answer = json.loads(server.run("decision", "explain", asked, "--version", "1", "--json").stdout)
    assert f"risk {answer['risk']['value']:.3f}" in done.stdout
    number = server.run("decision", "explain", str(answer["id"]))
    assert number.stdout == done.stdout


def test_show_tells_what_is_prepared(server: Server, asked: str) -> None:
    text = server.run("show", asked).stdout
    assert "prepared for whoever takes it over" in text
    assert "read the plan of free-the-lock" in text


def test_a_decision_is_made_again_and_an_altered_one_is_named(server: Server, asked: str) -> None:
    done = server.run("decision", "replay", asked)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "is the same in every field" in done.stdout
    assert json.loads(server.run("decision", "replay", asked, "--version", "1", "--json").stdout)["identical"]
    odd = server.open(id="odd", type="Odd")
    server.wait_for(odd, "escalated")
    file = server.folder / "var" / "penelope.db"
    with sqlite3.connect(file) as database:
        database.execute("UPDATE decisions SET risk = 0.5, rationale = 'because' WHERE incident = ?", (odd,))
    database.close()
    done = server.run("decision", "replay", odd)
    assert done.exit_code == 1
    assert re.search(r"/listed/risk +0\.5 +0", done.stdout)
    assert re.search(r"/listed/rationale +because +", done.stdout)
    with unguarded(file) as owned:
        owned.exec_driver_sql(
            "UPDATE history_payloads SET body = replace(body, '\"schema\":2', '\"schema\":3') WHERE unit = ?",
            (f"{odd}:decision",),
        )
    done = server.run("decision", "replay", odd)
    assert done.exit_code == 1
    assert "was altered" in done.stderr


def test_calibration_without_plans_says_so(server: Server) -> None:
    done = server.run("calibration", "--days", "7")
    assert done.stdout == "No plan acted in that time, so nothing can be said.\n"
    file = server.folder / "var" / "penelope.db"
    columns = (
        "incident, service, fingerprint, name, severity, labels, summary, playbook, kind, verified, "
        "alone_seconds, healed_itself, stratum, confidence, imported, opened_at, ended_at"
    )
    with sqlite3.connect(file) as database:
        for number in range(8):
            values = (f"inc_{number}", number < 6)
            database.execute(
                f"INSERT INTO past_cases ({columns}) SELECT ?, 'shop', 'f', 'n', 'error', '{{}}', '', 'fix', "
                "'healed', ?, 1.0, 0, 'confirmed', 0.7, 0, datetime('now'), "
                "strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now')",
                values,
            )
    database.close()
    done = server.run("calibration", "--service", "shop", "--playbook", "fix")
    assert "8 plans acted; 75.0 % were verified" in done.stdout
    assert re.search(r"Brier score +0\.190", done.stdout)
    assert re.search(r"expected calibration error 0\.050", done.stdout)
    assert re.search(r"0\.7 to 0\.8 +8 +0\.70 +0\.75 +0\.41 to 0\.93 +█{14}│", done.stdout)
    assert json.loads(server.run("calibration", "--json").stdout)["count"] == 8
