"""Missions over HTTP, and their screens."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from doorstep import Doorstep, settings
from rich.console import Console

from penelope.domain.halt import Scope as HaltScope
from penelope.domain.halt import ScopeKind
from penelope.domain.mission import Members
from penelope.entry.cli import missions as cli
from penelope.flow.keys import Scope
from penelope.flow.missions import NewMission
from penelope.flow.switching import Order

PATH = "/api/v1/missions"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    with Doorstep(settings(tmp_path_factory.mktemp("missions"))) as door:
        yield door


@pytest.fixture(scope="module")
def waiting(door: Doorstep) -> str:
    """An incident that waits for an approval."""
    incident = door.open(id="stuck", type="Stuck", data={"labels": {"stuck": "yes"}})
    door.wait_for(incident, "awaiting_approval")
    return incident


@pytest.fixture(scope="module")
def escalated(door: Doorstep) -> str:
    incident = door.open(id="odd")
    door.wait_for(incident, "escalated")
    return incident


def wanted(**changes: Any) -> dict[str, Any]:
    return {"name": "Calm the shop", "goal": "no errors before the sale", **changes}


def shown(screen: Any, answer: Any) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(screen(answer))
    return captured.get()


def test_a_mission_is_made_once_under_a_key(door: Doorstep) -> None:
    read = door.key(Scope.READ)
    door.problem(403, "forbidden", lambda: door.ask("POST", PATH, json=wanted(), key=read))
    write = door.key(Scope.WRITE)
    made = [door.ask("POST", PATH, json=wanted(key="sale-1"), key=write).json() for _ in range(2)]
    assert made[0] == made[1]
    assert made[0]["status"] == "open"
    history = door.run(door.running.reader.history(made[0]["id"], 0, 9))
    assert [entry.event for entry in history] == ["MissionCreated"]
    assert history[0].reason == "no errors before the sale"
    door.problem(
        400, "invalid_request", lambda: door.ask("POST", PATH, json=wanted(key="sale-1", name="B"), key=write)
    )
    # Another caller's key is another key.
    assert door.ask("POST", PATH, json=wanted(key="sale-1")).json()["id"] != made[0]["id"]
    unkeyed = {door.ask("POST", PATH, json=wanted()).json()["id"] for _ in range(2)}
    assert len(unkeyed) == 2


def test_two_that_ask_at_once_make_one(door: Doorstep) -> None:
    new = NewMission(name="A", goal="B", actor="key:ada", key="at-once", members=Members())

    async def both() -> list[Any]:
        return await asyncio.gather(*(door.running.missions.create(new) for _ in range(5)))

    assert len({mission.id for mission in door.run(both())}) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "  "},
        {"name": "a" * 121},
        {"name": "a\nb"},
        {"name": "a\x00"},
        {"name": "\x1b[31mred"},
        {"name": 7},
        {"goal": " "},
        {"goal": "a" * 4097},
        {"key": "a b"},
        {"key": "a" * 129},
        {"incidents": ["../etc"]},
        {"incidents": ["inc_1"] * 201},
        {"owner": "ada"},
    ],
)
def test_hostile_missions_are_refused(door: Doorstep, changes: dict[str, Any]) -> None:
    door.problem(400, "invalid_request", lambda: door.ask("POST", PATH, json=wanted(**changes)))


def test_half_characters_are_refused(door: Doorstep) -> None:
    body = b'{"name": "a\\ud800", "goal": "b"}'
    headers = {"Content-Type": "application/json"}
    door.problem(400, "invalid_request", lambda: door.ask("POST", PATH, content=body, headers=headers))


def test_members_must_be_there(door: Doorstep, waiting: str) -> None:
    door.problem(
        404, "unknown_incident", lambda: door.ask("POST", PATH, json=wanted(incidents=[waiting, "inc_none"]))
    )
    door.problem(404, "unknown_incident", lambda: door.ask("POST", PATH, json=wanted(actions=[waiting])))
    door.problem(404, "unknown_mission", lambda: door.ask("GET", f"{PATH}/mission_none"))
    # An incident is no mission.
    door.problem(404, "unknown_mission", lambda: door.ask("GET", f"{PATH}/{waiting}"))
    close = {"reason": "over"}
    door.problem(404, "unknown_mission", lambda: door.ask("POST", f"{PATH}/{waiting}/close", json=close))


def test_progress_and_what_blocks_it(door: Doorstep, waiting: str, escalated: str) -> None:
    made = door.ask("POST", PATH, json=wanted(incidents=[waiting, escalated, waiting])).json()
    assert made["incidents"] == [waiting, escalated]
    path = f"{PATH}/{made['id']}"
    progress = door.get(path)["progress"]
    # Free the lock, and its end; the other one's end.
    assert (progress["percent"], progress["done"], progress["total"]) == (0, 0, 3)
    assert (progress["remaining"], progress["blocked"]) == (2, 2)
    stuck, odd = progress["members"]
    (block,) = stuck["blocked"]
    assert block["by"] == "approval"
    assert door.get(f"/api/v1/approvals/{block['of']}")["incident"] == waiting
    assert odd["blocked"] == [{"by": "people", "of": escalated}]
    halt = Order(scope=HaltScope(kind=ScopeKind.SERVICE, name="shop"), actor="key:ada", reason="stop")
    door.run(door.running.switch.open(halt))
    blocks = door.get(path)["progress"]["members"][0]["blocked"]
    assert {"by": "halt", "of": "service:shop"} in blocks
    door.run(door.running.switch.close(halt))
    assert len(door.get(path)["progress"]["members"][0]["blocked"]) == 1
    screen = shown(cli._detail, door.get(path))
    assert "0 %, 0 of 3 pieces of work" in screen
    assert "approval" in screen


def test_members_come_and_go_until_it_is_closed(door: Doorstep, waiting: str, escalated: str) -> None:
    made = door.ask("POST", PATH, json=wanted(incidents=[waiting])).json()
    path = f"{PATH}/{made['id']}"
    change = {"add": {"incidents": [escalated]}, "remove": {"incidents": [waiting]}, "reason": "mixed up"}
    for _ in range(2):
        changed = door.ask("POST", f"{path}/members", json=change).json()
        assert changed["incidents"] == [escalated]
    door.problem(
        400, "invalid_request", lambda: door.ask("POST", f"{path}/members", json={**change, "reason": ""})
    )
    read = door.key(Scope.READ)
    door.problem(403, "forbidden", lambda: door.ask("POST", f"{path}/members", json=change, key=read))
    for _ in range(2):
        closed = door.ask("POST", f"{path}/close", json={"reason": "the sale is over"}).json()
        assert closed["status"] == "closed"
        assert closed["closed_at"]
    back = {"add": {"incidents": [waiting]}, "reason": "again"}
    door.problem(409, "already_decided", lambda: door.ask("POST", f"{path}/members", json=back))
    history = door.run(door.running.reader.history(made["id"], 0, 9))
    assert [entry.event for entry in history] == ["MissionCreated", "MissionChanged", "MissionClosed"]
    assert history[-1].details["percent"] == 0
    assert history[-1].details["remaining"] == 1
    assert all(entry.actor.startswith("key:") for entry in history)


def test_missions_are_listed_in_pages(door: Doorstep) -> None:
    made = [door.ask("POST", PATH, json=wanted(name=f"number {n}")).json()["id"] for n in range(3)]
    first = door.get(PATH, params={"limit": 2})
    assert [item["id"] for item in first["missions"]] == [made[2], made[1]]
    second = door.get(PATH, params={"limit": 2, "before": first["next"]})
    assert second["missions"][0]["id"] == made[0]
    door.ask("POST", f"{PATH}/{made[1]}/close", json={"reason": "over"})
    closed = door.get(PATH, params={"status": "closed"})["missions"]
    assert made[1] in {item["id"] for item in closed}
    assert {item["status"] for item in closed} == {"closed"}
    door.problem(400, "invalid_request", lambda: door.ask("GET", PATH, params={"status": "lost"}))
    assert "number 2" in shown(cli._table, first)
    assert "no missions" in shown(cli._table, {"missions": []})


def test_too_many_members_are_refused(door: Doorstep, waiting: str) -> None:
    made = door.ask("POST", PATH, json=wanted(incidents=[waiting])).json()
    many = {"add": {"incidents": [f"inc_{n}" for n in range(200)]}, "reason": "all"}
    door.problem(413, "too_large", lambda: door.ask("POST", f"{PATH}/{made['id']}/members", json=many))
