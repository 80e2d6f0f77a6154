"""Incidents over HTTP: lists, pages, timelines and a person's word."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from doorstep import Doorstep, event, settings

from penelope.flow.keys import Scope


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    with Doorstep(settings(tmp_path_factory.mktemp("incidents"))) as door:
        yield door


@pytest.fixture(scope="module")
def five(door: Doorstep) -> list[str]:
    """Five incidents that were escalated, newest first."""
    opened = [door.open(id=f"five-{number}", type=f"Five{number}") for number in range(5)]
    for incident in opened:
        door.wait_for(incident, "escalated")
    return opened[::-1]


def waiting(door: Doorstep, name: str) -> str:
    """An incident that waits for an approval."""
    incident = door.open(id=name, type=name, data={"labels": {"stuck": "yes"}})
    door.wait_for(incident, "awaiting_approval")
    return incident


def answer(door: Doorstep, incident: str, word: str, **content: Any) -> Any:
    return door.ask("POST", f"/api/v1/incidents/{incident}/{word}", key=door.key(Scope.APPROVE), **content)


# --- lists ------------------------------------------------------------------------------------------------


def test_incidents_are_listed_newest_first_and_page_by_page(door: Doorstep, five: list[str]) -> None:
    listed: list[str] = []
    before = None
    while True:
        page = door.get("/api/v1/incidents", params={"limit": 2} | ({"before": before} if before else {}))
        listed += [item["id"] for item in page["incidents"]]
        assert len(page["incidents"]) <= 2
        if page["next"] is None:
            break
        before = page["next"]
        assert before == listed[-1]
    assert [item for item in listed if item in five] == five
    assert len(set(listed)) == len(listed)


def test_incidents_are_listed_by_state(door: Doorstep, five: list[str]) -> None:
    escalated = door.get("/api/v1/incidents", params={"state": ["escalated", "healed"], "limit": 500})
    assert set(five) <= {item["id"] for item in escalated["incidents"]}
    assert {item["state"] for item in escalated["incidents"]} == {"escalated"}
    assert door.get("/api/v1/incidents", params={"state": "healed"}) == {"incidents": [], "next": None}


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("limit=0", "query limit"),
        ("limit=501", "query limit"),
        ("limit=many", "query limit"),
        ("state=asleep", "query state"),
        ("before=a%20b", "query before"),
        ("before=%00", "query before"),
    ],
)
def test_a_bad_question_is_refused(door: Doorstep, query: str, where: str) -> None:
    problem = door.problem(400, "invalid_request", lambda: door.ask("GET", f"/api/v1/incidents?{query}"))
    assert problem["detail"].startswith(where)
    assert "asleep" not in problem["detail"]


# --- one of them ------------------------------------------------------------------------------------------


def test_an_incident_shows_what_was_done_about_it(door: Doorstep) -> None:
    incident = waiting(door, "shown")
    found = door.get(f"/api/v1/incidents/{incident}")
    assert found["incident"]["state"] == "awaiting_approval"
    kinds = [unit["kind"] for unit in found["units"]]
    assert kinds == ["preview", "rehearsal", "decision", "plan", "gate", "approval"]
    preview, rehearsal, decision, plan, gate, approval = found["units"]
    assert preview["attributes"]["plan"] == rehearsal["attributes"]["plan"] == plan["id"]
    assert decision["attributes"]["risk"]["contributions"]
    assert plan["attributes"]["playbook"] == "free-the-lock"
    assert gate["status"] == "ask"
    assert approval["status"] == "pending"
    assert answer(door, incident, "reject", json={"comment": "no"}).status_code == 200
    door.wait_for(incident, "escalated")


def test_a_timeline_is_told_in_order_and_can_be_followed(door: Doorstep, five: list[str]) -> None:
    path = f"/api/v1/incidents/{five[0]}/timeline"
    whole = door.get(path)
    events = [entry["event"] for entry in whole["entries"]]
    assert (events[0], events[-1]) == ("IncidentOpened", "IncidentEscalated")
    assert "DecisionMade" in events
    assert sorted(entry["seq"] for entry in whole["entries"]) == [entry["seq"] for entry in whole["entries"]]
    assert {entry["incident"] for entry in whole["entries"]} == {five[0]}
    first = door.get(path, params={"limit": 2})
    rest = door.get(path, params={"after": first["next"]})
    assert first["entries"] + rest["entries"] == whole["entries"]
    assert door.get(path, params={"after": whole["next"]}) == {"entries": [], "next": whole["next"]}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/timeline"), ("POST", "/approve"), ("POST", "/reject")],
)
def test_an_incident_that_is_not_there_is_said_to_be_so(door: Doorstep, method: str, path: str) -> None:
    where = f"/api/v1/incidents/inc_nowhere{path}"
    problem = door.problem(404, "unknown_incident", lambda: door.ask(method, where))
    assert "inc_nowhere" in problem["detail"]
    assert problem["instance"] == where


def test_the_id_of_another_unit_is_no_incident(door: Doorstep, five: list[str]) -> None:
    decision = door.get(f"/api/v1/incidents/{five[0]}")["units"][0]["id"]
    door.problem(400, "invalid_request", lambda: door.ask("GET", f"/api/v1/incidents/{decision}"))


# --- a person's word --------------------------------------------------------------------------------------


def test_an_approval_names_the_key_and_is_given_once(door: Doorstep) -> None:
    incident = waiting(door, "approved")
    given = answer(door, incident, "approve", json={"comment": "the window is open"})
    assert given.status_code == 200
    approval = given.json()
    assert (approval["status"], approval["decided_by"]) == ("approved", "key:approve")
    assert approval["comment"] == "the window is open"
    door.wait_for(incident, "escalated")  # the target is not there
    for word in ("approve", "reject"):
        problem = door.problem(409, "already_decided", lambda word=word: answer(door, incident, word))
        assert "approved by key:approve" in problem["detail"]
    told = {entry["event"]: entry for entry in door.get(f"/api/v1/incidents/{incident}/timeline")["entries"]}
    assert told["ApprovalGiven"]["actor"] == "key:approve"
    assert told["ApprovalGiven"]["reason"] == "the window is open"
    assert "ActionStarted" in told


def test_a_rejection_hands_the_incident_over(door: Doorstep) -> None:
    incident = waiting(door, "rejected")
    for silent in ({}, {"json": {"comment": " "}}):
        why = door.problem(
            400, "invalid_request", lambda said=silent: answer(door, incident, "reject", **said)
        )
        assert why["detail"] == "a rejection needs a reason"
    given = answer(door, incident, "reject", json={"comment": "not on a Friday"})
    assert (given.status_code, given.json()["status"]) == (200, "rejected")
    door.wait_for(incident, "escalated")
    events = [entry["event"] for entry in door.get(f"/api/v1/incidents/{incident}/timeline")["entries"]]
    assert "ApprovalRefused" in events
    assert "ActionStarted" not in events


def test_nothing_can_be_approved_that_does_not_wait(door: Doorstep, five: list[str]) -> None:
    problem = door.problem(409, "already_decided", lambda: answer(door, five[0], "approve"))
    assert "does not wait" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"{", "not JSON"),
        (b'"yes"', "the body"),
        (b'{"comment": 5}', "comment"),
        (b'{"comment": "\\u0000"}', "U+0000"),
        (b'{"reason": "x"}', "the body"),
        (json.dumps({"comment": "x" * 5000}).encode(), "comment"),
    ],
)
def test_a_bad_word_is_refused_and_the_plan_goes_on_waiting(door: Doorstep, body: bytes, where: str) -> None:
    pending = door.get("/api/v1/incidents", params={"state": "awaiting_approval"})["incidents"]
    incident = pending[0]["id"] if pending else waiting(door, f"bad word {where}")
    problem = door.problem(400, "invalid_request", lambda: answer(door, incident, "approve", content=body))
    assert where in problem["detail"]
    assert door.incident(incident)["state"] == "awaiting_approval"


def test_who_lacks_the_scope_is_refused_before_the_body_is_looked_at(door: Doorstep) -> None:
    path = "/api/v1/incidents/inc_none/approve"
    key = door.key(Scope.READ, Scope.WRITE)
    door.problem(403, "forbidden", lambda: door.ask("POST", path, key=key, content=b"{"))


def test_an_open_incident_takes_further_signals_in(door: Doorstep) -> None:
    incident = door.open(id="again-1", type="Again")
    answered = door.send(event("again-2", type="Again")).json()
    assert (answered["incidents"], answered["opened"]) == ([incident], [])
    assert door.incident(incident)["signal_count"] == 2
