"""Past incidents over HTTP: taken in, found, shown, and leaned on by decisions."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doorstep import Doorstep, settings

from penelope.flow.keys import Scope

EXAMPLES = Path(__file__).parents[2] / "examples" / "past-incidents.jsonl"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    wanted = settings(
        tmp_path_factory.mktemp("wisdom"), wisdom={"refresh_seconds": 0.1, "patience_seconds": 20}
    )
    with Doorstep(wanted) as stood:
        yield stood


def line(**changes: Any) -> bytes:
    made = {
        "service": "shop",
        "name": "Odd",
        "opened_at": "2026-01-02T03:04:05Z",
        "duration": "5m",
        "outcome": "resolved",
        **changes,
    }
    return json.dumps({name: value for name, value in made.items() if value is not None}).encode()


def send(door: Doorstep, *lines: bytes, query: str = "") -> Any:
    return door.ask("POST", f"/api/v1/wisdom/import{query}", content=b"\n".join(lines))


def found(door: Doorstep, question: str, **query: Any) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = door.get("/api/v1/wisdom", params={"q": question, **query})["found"]
    return listed


def test_the_example_is_taken_in_once_and_found_by_meaning(door: Doorstep) -> None:
    body = EXAMPLES.read_bytes()
    looked = send(door, body, query="?dry_run=true").json()
    assert (looked["new"], looked["known"], looked["dry_run"]) == (35, 0, True)
    assert found(door, "") == []
    taken = send(door, body).json()
    assert (taken["new"], taken["known"]) == (35, 0)
    assert taken["digest"] == looked["digest"]
    again = send(door, body).json()
    assert (again["new"], again["known"]) == (0, 35)
    hits = door.until(
        lambda: found(door, "too little storage left to write to the log", limit=3),
        lambda hits: any("meaning" in hit["by"] for hit in hits),
    )
    assert "ShopDiskFull" in [hit["case"]["name"] for hit in hits]
    assert all(0 <= hit["likeness"] <= 1 for hit in hits)
    assert found(door, "disk", service="nobody") == []


def test_an_import_is_an_entry_of_the_ledger(door: Doorstep) -> None:
    digest = send(door, line(summary="an import of one")).json()["digest"]
    entries = door.run(door.running.reader.entries(incident=None, after=0, limit=1000))
    (entry,) = [entry for entry in entries if entry.unit == f"wisdom:{digest}"]
    assert entry.event == "PastCasesImported"
    assert entry.actor.startswith("key:")
    assert entry.details == {"digest": digest, "new": 1, "known": 0}


def test_a_case_can_be_looked_at(door: Doorstep) -> None:
    send(door, line(summary="to be looked at", labels={"region": "eu"}, reference="INC-1"))
    newest = found(door, "", service="shop", limit=100)
    (case,) = [hit["case"] for hit in newest if hit["case"]["summary"] == "to be looked at"]
    assert door.get(f"/api/v1/wisdom/{case['incident']}") == case
    assert case["labels"] == {"region": "eu", "reference": "INC-1"}
    assert case["imported"]
    assert case["healed_itself"]
    assert case["alone_seconds"] == 300
    door.problem(404, "unknown_incident", lambda: door.ask("GET", "/api/v1/wisdom/past_nothing"))


def test_a_decision_lists_what_it_leaned_on_and_the_audit_shows_it(door: Doorstep) -> None:
    send(door, line(name="Leaning", summary="it went away by itself"))
    incident = door.open(id="leaning", type="Leaning")
    door.wait_for(incident, "escalated")
    units = {unit["kind"]: unit for unit in door.get(f"/api/v1/incidents/{incident}")["units"]}
    leaned_on = units["decision"]["attributes"]["leaned_on"]
    assert leaned_on[0]["by"][0] == "fingerprint"
    assert leaned_on[0]["similarity"] >= 0.9
    # No plan is at hand that it could speak for.
    assert leaned_on[0]["agrees"] is None
    shown = door.get(f"/api/v1/audit/decisions/{incident}/precedents")["leaned_on"]
    assert [item["incident"] for item in shown] == [item["incident"] for item in leaned_on]
    assert shown[0]["case"]["name"] == "Leaning"
    assert shown[0]["case"]["kind"] == "resolved"


def test_a_new_problem_finds_cases_of_like_meaning(door: Doorstep) -> None:
    send(door, EXAMPLES.read_bytes())
    door.until(lambda: found(door, "storage"), lambda hits: any("meaning" in hit["by"] for hit in hits))
    data = {"annotations": {"summary": "no free space on the file system, writing fails"}}
    incident = door.open(id="new", type="VolumeExhausted", data=data)
    door.wait_for(incident, "escalated")
    units = {unit["kind"]: unit for unit in door.get(f"/api/v1/incidents/{incident}")["units"]}
    leaned_on = units["decision"]["attributes"]["leaned_on"]
    cases = [door.get(f"/api/v1/wisdom/{item['incident']}") for item in leaned_on]
    assert "ShopDiskFull" in [case["name"] for case in cases]
    assert "meaning" in leaned_on[0]["by"]


# --- what is refused --------------------------------------------------------------------------------------


def test_one_wrong_line_and_nothing_is_taken(door: Doorstep) -> None:
    lines = [line(summary="good"), b"", line(duration=None), b"not json", line(nonsense=1)]
    told = door.problem(400, "invalid_request", lambda: send(door, *lines))["detail"]
    assert "line 3: give either" in told
    assert "line 4: it: not JSON" in told
    assert "line 5: nonsense" in told
    assert told.startswith("line 3")
    assert [hit for hit in found(door, "", limit=100) if hit["case"]["summary"] == "good"] == []
    told = door.problem(400, "invalid_request", lambda: send(door, b"x", query="?first_line=501"))["detail"]
    assert told.startswith("line 501:")


def test_scopes_are_asked_for(door: Doorstep) -> None:
    reader, writer = door.key(Scope.READ), door.key(Scope.WRITE)
    door.problem(
        403, "forbidden", lambda: door.ask("POST", "/api/v1/wisdom/import", content=line(), key=reader)
    )
    door.problem(403, "forbidden", lambda: door.ask("GET", "/api/v1/wisdom", key=writer))
