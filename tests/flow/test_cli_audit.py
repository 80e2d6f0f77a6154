"""The audit's commands against a real server in a process of its own."""

import csv
import io
import json
import re
import sqlite3
from pathlib import Path

import pytest
from serving import Server


@pytest.fixture(scope="module")
def refused(server: Server) -> str:
    """An incident whose plan was refused, older than another one that nothing fits."""
    incident = server.open(id="refused", type="Stuck", data={"labels": {"stuck": "yes"}})
    server.wait_for(incident, "awaiting_approval")
    assert server.run("reject", incident, "--comment", "not now").exit_code == 0
    server.wait_for(server.open(id="odd", type="Odd"), "escalated")
    return incident


def shown(server: Server, *arguments: str) -> str:
    done = server.run("audit", *arguments)
    assert done.exit_code == 0, done.stderr
    assert max(map(len, done.stdout.splitlines()), default=0) <= 80
    return done.stdout


def test_decisions_are_listed(server: Server, refused: str) -> None:
    text = shown(server, "list")
    assert re.search(rf"\d\d-\d\d \d\d:\d\d +{refused} +escalate +0\.\d\d +free-the-lock", text)
    assert re.search(r"overridden +shop", text)
    rows = json.loads(shown_raw(server, "list", "--json"))["decisions"]
    assert [row["incident"] == refused for row in rows] == [False, True]
    assert "There are more" in shown(server, "list", "--limit", "1")
    page = json.loads(shown_raw(server, "list", "--limit", "1", "--json"))
    assert refused in shown(server, "list", "--cursor", page["next"])
    assert shown(server, "list", "--service", "bank") == "There are no such decisions.\n"


def shown_raw(server: Server, *arguments: str) -> str:
    return server.run("audit", *arguments).stdout


@pytest.mark.parametrize(
    "filters",
    [
        ["--playbook", "free-the-lock"],
        ["--text", "PERSON approve"],
        ["--judgement", "escalate", "--playbook", "free-the-lock", "--actor", "penelope"],
        ["--risk-min", "0", "--risk-max", "1", "--since", "2026-01-01", "--text", "person"],
    ],
)
def test_filters_are_passed_on(server: Server, refused: str, filters: list[str]) -> None:
    rows = json.loads(shown_raw(server, "list", "--json", *filters))["decisions"]
    assert [row["incident"] for row in rows] == [refused]
    assert json.loads(shown_raw(server, "export", "--format", "json", *filters)) == rows
    assert shown(server, "list", "--incident", "inc_nowhere", *filters) == "There are no such decisions.\n"


def test_risky_ones_are_listed_from_a_threshold_on(server: Server, refused: str) -> None:
    rows = json.loads(shown_raw(server, "high-risk", "--risk-min", "0", "--json"))["decisions"]
    assert len(rows) == 2
    assert rows[0]["risk"] >= rows[1]["risk"]
    assert refused in shown(server, "high-risk", "--risk-min", "0", "--service", "shop")
    assert shown(server, "high-risk", "--risk-min", "1") == "There are no such decisions.\n"


def test_statistics(server: Server, refused: str) -> None:
    assert refused
    text = shown(server, "stats", "--service", "shop")
    assert text.startswith("2 decisions about shop, ")
    assert re.search(r"escalate +\d +\d+", text)
    assert re.search(r"99 % +0\.\d\d", text)
    assert "were overridden:    50.0 %" in text
    assert json.loads(shown_raw(server, "stats", "--json"))["decisions"] == 2
    before = shown(server, "stats", "--until", "2020-01-31")
    assert before == "There were no decisions from 2020-01-01 00:00 to 2020-01-31 00:00 UTC.\n"


def test_precedents(server: Server, refused: str) -> None:
    text = shown(server, "precedents", refused)
    assert re.search(rf"UTC: escalate on {refused}\n", text)
    assert text.endswith("It rested on no precedent.\n")
    assert json.loads(shown_raw(server, "precedents", refused, "--json"))["precedents"] == []
    precedent = {"playbook": "free-the-lock", "service": "shop", "successes": 1, "failures": 1}
    with sqlite3.connect(server.folder / "var" / "penelope.db") as database:
        for number, verified in enumerate((True, False)):
            values = (
                f"inc_old_{number}",
                "shop",
                "free-the-lock",
                verified,
                f"2026-01-0{number + 1}T00:00:00Z",
            )
            database.execute("INSERT INTO outcomes VALUES (?, ?, ?, ?, ?)", values)
        found = (json.dumps([precedent]), refused)
        database.execute("UPDATE decisions SET precedent_list = ? WHERE incident = ?", found)
    database.close()
    text = shown(server, "precedents", refused, "--version", "1")
    assert "free-the-lock on shop: healed 1 of 2 times" in text
    assert re.search(r"2026-01-02 00:00 +inc_old_1 +failed *\n *2026-01-01 00:00 +inc_old_0 +healed", text)


def test_an_export_goes_into_a_file(server: Server, refused: str, tmp_path: Path) -> None:
    file = tmp_path / "decisions.csv"
    done = server.run("audit", "export", "-o", str(file))
    assert (done.exit_code, done.stdout) == (0, "")
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["incident"] == refused for row in rows] == [False, True]
    printed = server.run("audit", "export").stdout
    assert list(csv.DictReader(io.StringIO(printed, newline=""))) == rows
    kept = file.read_bytes()
    assert server.run("audit", "export", "--text", "?!", "-o", str(file)).exit_code == 1
    assert file.read_bytes() == kept
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "--since", "yesterday"], "'yesterday' is no time"),
        (["list", "--cursor", "nonsense"], "query cursor"),
        (["list", "--text", "--"], "query text"),
        (["precedents", "inc_nowhere"], "no such decision about an incident 'inc_nowhere'"),
        (["export", "--text", "?!"], "query text"),
        (["export", "-o", "/nowhere/at/all.csv"], "cannot be written: No such file"),
    ],
)
def test_what_cannot_be_answered_says_why(server: Server, arguments: list[str], said: str) -> None:
    done = server.run("audit", *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
