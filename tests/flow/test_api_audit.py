"""The decision audit over HTTP."""

import csv
import io
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from doorstep import Doorstep, settings

from penelope.flow.keys import Scope

AUDIT = "/api/v1/audit/decisions"
MADE = 7


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    with Doorstep(settings(tmp_path_factory.mktemp("audit"))) as door:
        yield door


@pytest.fixture(scope="module")
def made(door: Doorstep) -> list[str]:
    """Incidents, newest decision first: plain ones, and one whose plan was refused before all of them."""
    refused = door.open(id="refused", type="Stuck", data={"labels": {"stuck": "yes"}})
    door.wait_for(refused, "awaiting_approval")
    answer = door.ask(
        "POST", f"/api/v1/incidents/{refused}/reject", key=door.key(Scope.APPROVE), json={"comment": "no"}
    )
    assert answer.status_code == 200
    incidents = [refused]
    door.wait_for(refused, "escalated")
    for number in range(MADE - 1):
        incidents.append(door.open(id=f"made-{number}", type=f"Odd{number}"))
        door.wait_for(incidents[-1], "escalated")
    return incidents[::-1]


def cursor(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def asked(door: Doorstep, path: str = "", **query: Any) -> Any:
    return door.get(f"{AUDIT}{path}", params=query)


def walked(door: Doorstep, path: str = "", **query: Any) -> list[dict[str, Any]]:
    """All decisions, page by page."""
    rows: list[dict[str, Any]] = []
    page = asked(door, path, limit=2, **query)
    while True:
        rows += page["decisions"]
        assert len(page["decisions"]) <= 2
        if page["next"] is None:
            return rows
        page = asked(door, path, limit=2, cursor=page["next"], **query)


# --- lists ------------------------------------------------------------------------------------------------


def test_decisions_are_listed_newest_first_and_page_by_page(door: Doorstep, made: list[str]) -> None:
    rows = walked(door)
    assert [row["incident"] for row in rows] == made
    last = rows[-1]
    assert (last["unit"], last["version"], last["service"]) == (f"{made[-1]}:decision", 1, "shop")
    assert (last["playbook"], last["actor"], last["precedents"]) == ("free-the-lock", "penelope", 0)
    assert last["judgement"] == "escalate"
    assert "for a person to approve" in last["rationale"]
    assert (last["overridden_by"], bool(last["overridden_at"])) == ("key:approve", True)
    assert 0 < last["risk"] < 1
    assert [row["overridden_by"] for row in rows[:-1]] == [None] * (MADE - 1)


def test_each_filter_reaches_the_store(door: Doorstep, made: list[str]) -> None:
    rows = walked(door)
    second = rows[1]
    for query, expected in (
        ({"service": "shop"}, made),
        ({"service": "bank"}, []),
        ({"judgement": "observe"}, [row["incident"] for row in rows if row["judgement"] == "observe"]),
        ({"actor": "penelope"}, made),
        ({"playbook": "free-the-lock"}, made[-1:]),
        ({"incident": made[2]}, made[2:3]),
        ({"text": "approve PERSON"}, made[-1:]),
        ({"since": second["decided_at"]}, made[:2]),
        ({"until": second["decided_at"]}, made[2:]),
        ({"risk_min": 1}, []),
        ({"risk_max": 1, "risk_min": 0}, made),
    ):
        assert [row["incident"] for row in walked(door, **query)] == expected, query


def test_the_riskiest_are_listed_from_a_threshold_on(door: Doorstep, made: list[str]) -> None:
    every = walked(door, "/high-risk", risk_min=0)
    assert {row["incident"] for row in every} == set(made)
    assert [row["risk"] for row in every] == sorted((row["risk"] for row in every), reverse=True)
    highest = every[0]["risk"]
    above = walked(door, "/high-risk", risk_min=highest, service="shop")
    assert {row["risk"] for row in above} == {highest}
    assert walked(door, "/high-risk") == [row for row in every if row["risk"] >= 0.7]
    assert walked(door, "/high-risk", risk_min=0, service="bank") == []


# --- figures ----------------------------------------------------------------------------------------------


def test_statistics_are_about_the_last_thirty_days(door: Doorstep, made: list[str]) -> None:
    found = asked(door, "/statistics")
    rows = walked(door)
    assert found["decisions"] == len(made) == sum(found["by_judgement"].values())
    assert set(found["by_judgement"]) == {"observe", "intervene", "escalate"}
    assert found["override_rate"] == pytest.approx(1 / MADE)
    assert found["precedent_rate"] == 0
    assert found["risk"]["p50"] == sorted(row["risk"] for row in rows)[(MADE + 1) // 2 - 1]
    assert found["risk"]["p50"] <= found["risk"]["p90"] <= found["risk"]["p99"]
    assert asked(door, "/statistics", service="shop")["decisions"] == MADE
    later = asked(door, "/statistics", since=rows[2]["decided_at"], until=rows[0]["decided_at"])
    assert later["decisions"] == 2
    empty = asked(door, "/statistics", until="1999-01-01T00:00:00+01:00")
    assert (empty["decisions"], empty["risk"], empty["override_rate"]) == (0, None, None)


def test_precedents_of_a_decision(door: Doorstep, made: list[str]) -> None:
    found = asked(door, f"/{made[-1]}/precedents")
    assert (found["decision"]["incident"], found["precedents"]) == (made[-1], [])
    assert asked(door, f"/{made[-1]}/precedents", version=1) == found
    for path in (f"/{made[-1]}/precedents?version=2", "/inc_nowhere/precedents"):
        door.problem(404, "unknown_incident", lambda path=path: door.ask("GET", AUDIT + path))


# --- exports ----------------------------------------------------------------------------------------------


def test_an_export_holds_every_decision_in_either_form(
    door: Doorstep, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penelope.entry.api.audit._PAGE", 3)
    rows = walked(door)
    answer = door.ask("GET", f"{AUDIT}/export")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == 'attachment; filename="decisions.json"'
    assert answer.json() == rows
    assert [row["incident"] for row in rows] == made
    answer = door.ask("GET", f"{AUDIT}/export", params={"format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="decisions.csv"'
    read = list(csv.DictReader(io.StringIO(answer.text)))
    told = [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
    assert read == told
    some = door.ask("GET", f"{AUDIT}/export", params={"playbook": "free-the-lock", "format": "csv"})
    assert len(some.text.splitlines()) == 2
    nothing = {"service": "bank"}
    assert asked(door, "/export", **nothing) == []
    assert len(door.ask("GET", f"{AUDIT}/export?service=bank&format=csv").text.splitlines()) == 1


@pytest.mark.parametrize("sign", ["=", "+", "-", "@"])
def test_no_cell_of_a_csv_export_is_a_formula(door: Doorstep, made: list[str], sign: str) -> None:
    assert made
    playbook = f"{sign}cmd|' /C calc'!A0,\n\"x\""

    async def disguise(name: str | None) -> None:
        # The names of services and playbooks are checked where they come in; other doors may be added.
        engine = door.running.commands._engine._database
        async with engine.begin() as connection:
            statement = "UPDATE decisions SET playbook = ? WHERE incident = ?"
            assert (await connection.exec_driver_sql(statement, (name, made[0]))).rowcount == 1

    before = walked(door)[0]["playbook"]
    door.run(disguise(playbook))
    try:
        answer = door.ask("GET", f"{AUDIT}/export", params={"format": "csv", "incident": made[0]})
        (row,) = csv.DictReader(io.StringIO(answer.text, newline=""))
        assert row["playbook"] == f"'{playbook}"
        assert asked(door, "/export", incident=made[0])[0]["playbook"] == playbook
    finally:
        door.run(disguise(before))


# --- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("?limit=0", "query limit"),
        ("?limit=501", "query limit"),
        ("?judgement=maybe", "query judgement"),
        ("?risk_min=1.01", "query risk_min"),
        ("?risk_max=-1", "query risk_max"),
        ("?risk_min=nan", "query risk_min"),
        ("?risk_min=0.5&risk_max=0.4", "`risk_min` must not exceed"),
        ("?since=yesterday", "query since"),
        ("?since=2026-01-01T00:00:00", "query since"),
        ("?until=9999-12-31T23:59:59-12:00", "query until"),
        ("?since=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z", "must lie before"),
        ("?text=%20--", "query text"),
        ("?text=", "query text"),
        ("?text=a%00", "query text"),
        ("?service=%00", "query service"),
        ("?service=", "query service"),
        ("?servce=shop", "query servce"),
        ("?cursor=a%20b", "query cursor"),
        ("?cursor=AAAA", "query cursor"),
        ("?cursor=a", "query cursor"),
        ("?cursor=" + cursor({"id": -1}), "query cursor"),
        ("?cursor=" + cursor({"id": 2**63}), "query cursor"),
        ("?cursor=" + cursor({"id": 1, "risk": 0.5}), "query cursor"),
        ("?cursor=" + cursor([1]), "query cursor"),
        ("/high-risk?cursor=" + cursor({"id": 1}), "query cursor"),
        ("/high-risk?cursor=" + cursor({"id": 1, "risk": 2}), "query cursor"),
        ("/high-risk?actor=me", "query actor"),
        ("/statistics?since=2199-01-01T00:00:00Z", "must lie before now"),
        ("/statistics?limit=1", "query limit"),
        ("/inc_1/precedents?version=0", "query version"),
        ("/inc%201/precedents", "path incident"),
        ("/export?format=xml", "query format"),
        ("/export?limit=5", "query limit"),
    ],
)
def test_a_bad_question_is_refused(door: Doorstep, query: str, where: str) -> None:
    problem = door.problem(400, "invalid_request", lambda: door.ask("GET", AUDIT + query))
    assert where in problem["detail"]
    assert "maybe" not in problem["detail"]


@pytest.mark.parametrize("path", ["", "/high-risk", "/statistics", "/inc_1/precedents", "/export"])
def test_it_needs_the_scope_to_read(door: Doorstep, path: str) -> None:
    key = door.key(Scope.WRITE, Scope.APPROVE)
    door.problem(403, "forbidden", lambda: door.ask("GET", AUDIT + path, key=key))
    door.problem(401, "unauthenticated", lambda: door.ask("GET", AUDIT + path, key=None))
