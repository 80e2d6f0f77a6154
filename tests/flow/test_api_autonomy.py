"""Earned autonomy and the constitution over HTTP and from the command line."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from doorstep import Doorstep, settings
from serving import Server

from penelope.flow.keys import Scope

AUTONOMY, CONSTITUTION = "/api/v1/autonomy", "/api/v1/constitution"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    folder = tmp_path_factory.mktemp("autonomy")
    with Doorstep(settings(folder, autonomy={"cap": "supervised", "start": "shadow"})) as door:
        yield door


@pytest.fixture(scope="module")
def shadowed(door: Doorstep) -> str:
    """An incident that a playbook in shadow would have taken on."""
    incident = door.open(id="stuck", type="Stuck", data={"labels": {"stuck": "yes"}})
    door.wait_for(incident, "escalated")
    return incident


def placing(**changes: Any) -> dict[str, Any]:
    return {
        "playbook": "free-the-lock",
        "service": "shop",
        "level": "suggest",
        "reason": "it did well",
        **changes,
    }


def test_what_people_did_is_told_once_and_counts(door: Doorstep, shadowed: str) -> None:
    path = f"/api/v1/incidents/{shadowed}/report"
    told = {"did": "free-the-lock", "comment": "by hand"}
    read = door.key(Scope.READ, Scope.WRITE)
    door.problem(403, "forbidden", lambda: door.ask("POST", path, json=told, key=read))
    door.problem(400, "invalid_request", lambda: door.ask("POST", path, json={"did": ""}))
    door.problem(400, "invalid_request", lambda: door.ask("POST", path, json={**told, "agreed": True}))
    door.problem(404, "unknown_playbook", lambda: door.ask("POST", path, json={"did": "free"}))
    door.problem(
        404,
        "unknown_incident",
        lambda: door.ask("POST", "/api/v1/incidents/inc_none/report", json=told),
    )
    answer = door.ask("POST", path, json=told, key=door.key(Scope.APPROVE))
    assert answer.status_code == 200
    assert answer.json() == {
        "incident": shadowed,
        "service": "shop",
        "did": "free-the-lock",
        "playbook": "free-the-lock",
        "comparison": "agreed",
    }
    door.problem(409, "already_decided", lambda: door.ask("POST", path, json=told))
    listed = door.get(AUTONOMY)
    assert (listed["start"], listed["next"]) == ("shadow", None)
    (item,) = listed["standings"]
    assert (item["level"], item["agreements"], item["cap"]) == ("shadow", 1, "supervised")
    assert "3 more in a row" in item["hindrance"]
    assert 0 < item["lowest"] < item["highest"] <= 1
    assert door.metric("penelope_human_actions_total", comparison="agreed") == 1


def test_a_person_places_a_playbook_within_its_cap(door: Doorstep) -> None:
    def place(**changes: Any) -> Any:
        return door.ask("POST", AUTONOMY, json=placing(**changes))

    read = door.key(Scope.READ, Scope.WRITE)
    door.problem(403, "forbidden", lambda: door.ask("POST", AUTONOMY, json=placing(), key=read))
    door.problem(400, "invalid_request", lambda: place(level="autonomous"))
    door.problem(400, "invalid_request", lambda: place(level="omnipotent"))
    door.problem(400, "invalid_request", lambda: place(reason=""))
    door.problem(404, "unknown_playbook", lambda: place(playbook="free-the-lock "))
    door.problem(422, "unknown_service", lambda: place(service="SHOP"))
    placed = door.ask("POST", AUTONOMY, json=placing(), key=door.key(Scope.APPROVE)).json()
    assert (placed["level"], placed["agreements"], placed["reason"]) == (
        "suggest",
        0,
        "a person placed it here",
    )
    labels = {"playbook": "free-the-lock", "level": "suggest"}
    assert door.metric("penelope_autonomy_changes_total", **labels) == 1
    assert place(level="supervised").json()["capped"] is True
    door.problem(400, "invalid_request", lambda: place(reason=" "))
    for name in ("service", "playbook", "after"):
        door.problem(
            400, "invalid_request", lambda name=name: door.ask("GET", AUTONOMY, params={name: "a\x00"})
        )
    for other in ("bank", "SHOP", "sho_", "%", 'shop"'):
        assert door.get(AUTONOMY, params={"service": other})["standings"] == []
    assert len(door.get(AUTONOMY, params={"service": "shop"})["standings"]) == 1
    assert len(door.get(AUTONOMY, params={"playbook": "free-the-lock"})["standings"]) == 1
    page = door.get(AUTONOMY, params={"limit": 1})
    assert door.get(AUTONOMY, params={"after": page["next"]})["standings"] == []


def test_the_constitution_is_scored(door: Doorstep, shadowed: str) -> None:
    assert shadowed
    found = door.get(CONSTITUTION, params={"service": "shop", "days": 7})
    assert found["decisions"] >= 1
    assert found["score"] == pytest.approx(sum(item["weight"] * item["share"] for item in found["articles"]))
    assert len(found["articles"]) == 8
    assert [day["day"] for day in found["trend"]] == [f"{datetime.now(UTC):%Y-%m-%d}"]
    assert set(found["trend"][0]["shares"]) == {item["article"] for item in found["articles"]}
    nothing = door.get(CONSTITUTION, params={"service": "bank"})
    assert [nothing[name] for name in ("score", "decisions", "articles", "trend")] == [None, 0, [], []]
    door.problem(400, "invalid_request", lambda: door.ask("GET", CONSTITUTION, params={"days": 0}))
    assert door.metric("penelope_articles_total", article="Sophia", kept="true") >= 1


# --- the command line -------------------------------------------------------------------------------------


def shown(server: Server, *arguments: str) -> str:
    done = server.run(*arguments)
    assert done.exit_code == 0, done.stderr
    assert max(map(len, done.stdout.splitlines()), default=0) <= 80
    return done.stdout


def test_from_the_command_line(server: Server) -> None:
    assert shown(server, "autonomy") == "No playbook has a past yet. Playbooks begin at suggest.\n"
    assert shown(server, "constitution") == "No decision was weighed in the last 30 days.\n"
    incident = server.open(id="stuck", type="Stuck", data={"labels": {"stuck": "yes"}})
    server.wait_for(incident, "awaiting_approval")
    early = server.run("report", incident, "--did", "other")
    assert (early.exit_code, "still Penelope's to handle" in early.stderr) == (1, True)
    assert server.run("reject", incident, "--comment", "not now").exit_code == 0
    server.wait_for(incident, "escalated")
    assert "people did something else" in shown(server, "report", incident, "--did", "other")
    text = shown(server, "autonomy")
    assert "suggest" in text
    assert "free-the-lock" in text
    assert "0.00-0.79" in text
    raised = shown(server, "autonomy", "set", "free-the-lock", "shop", "supervised", "--reason", "known")
    assert raised == "free-the-lock on shop stands at supervised\n"
    (item,) = json.loads(server.run("autonomy", "--json").stdout)["standings"]
    assert item["level"] == "supervised"
    text = shown(server, "constitution", "--service", "shop")
    assert "of 100" in text
    assert "Tapeinophrosyne" in text
    assert "by day: " in text
    assert "HumanActionReported" in shown(server, "show", incident)
