"""Halts over HTTP: what is listed, who may switch, and what is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from doorstep import Doorstep, settings

from penelope.flow.keys import Scope


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    folder: Path = tmp_path_factory.mktemp("halts")
    with Doorstep(settings(folder)) as door:
        yield door


def switched(door: Doorstep, path: str, **body: Any) -> dict[str, Any]:
    answer = door.ask("POST", f"/api/v1/halts/{path}", json={"reason": "a test", **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def listed(door: Doorstep) -> dict[str, Any]:
    return {item["scope"]: item for item in door.get("/api/v1/halts")["halts"]}


def state_metric(door: Doorstep, scope: str) -> float:
    assert door.ask("GET", "/metrics", key=None).status_code == 200
    return door.metric("penelope_halt_state", scope=scope)


def test_a_service_is_halted_and_resumed(door: Doorstep) -> None:
    opened = switched(door, "service:shop/open", reason="the database moves")
    assert (opened["state"], opened["until"], opened["reason"]) == ("open", None, "the database moves")
    assert opened["held_by"].startswith("key:")
    assert listed(door)["service:shop"] == opened
    assert state_metric(door, "service:shop") == 2
    assert door.metric("penelope_halts_opened_total", kind="service", by="person") >= 1
    closed = switched(door, "service:shop/close")
    assert (closed["state"], closed["held_by"], closed["reason"]) == ("closed", None, "")
    assert state_metric(door, "service:shop") == 0


def test_everything_is_halted_for_a_while(door: Doorstep) -> None:
    opened = switched(door, "fleet/open", seconds=3600)
    assert opened["state"] == "open"
    assert opened["until"] is not None
    assert switched(door, "fleet/reset")["state"] == "closed"


def test_resuming_what_was_never_halted_leaves_no_trace(door: Doorstep) -> None:
    assert switched(door, "playbook:free-the-lock/close")["state"] == "closed"
    assert "playbook:free-the-lock" not in listed(door)


def test_every_turn_of_the_switch_is_history(door: Doorstep) -> None:
    switched(door, "playbook:free-the-lock/open", reason="it breaks locks")
    switched(door, "playbook:free-the-lock/close", reason="mended")
    history = door.run(door.running.reader.history("halt:playbook:free-the-lock", 0, 10))
    assert [(entry.event, entry.reason) for entry in history] == [
        ("HaltOpened", "it breaks locks"),
        ("HaltClosed", "mended"),
    ]
    assert {entry.actor for entry in history} == {"key:admin"}


@pytest.mark.parametrize("scope", ["everything", "service:", "fleet:all", "team:shop", "service"])
def test_what_names_nothing_is_refused(door: Doorstep, scope: str) -> None:
    door.problem(400, "invalid_request", lambda: _open(door, scope))


@pytest.mark.parametrize("turn", ["open", "close", "reset"])
def test_a_name_that_no_database_may_be_asked_for_is_refused(door: Doorstep, turn: str) -> None:
    path = f"/api/v1/halts/cause:a%00b/{turn}"
    door.problem(400, "invalid_request", lambda: door.ask("POST", path, json={"reason": "a test"}))


def test_a_misspelt_name_is_refused(door: Doorstep) -> None:
    door.problem(422, "unknown_service", lambda: _open(door, "service:shopp"))
    door.problem(404, "unknown_playbook", lambda: _open(door, "playbook:free-the-look"))


@pytest.mark.parametrize(
    "body",
    [{}, {"reason": ""}, {"reason": "   "}, {"reason": "x", "seconds": 0}, {"reason": "x", "until": "1"}, []],
)
def test_a_word_without_a_reason_or_with_too_much_is_refused(door: Doorstep, body: Any) -> None:
    answer = door.problem(
        400, "invalid_request", lambda: door.ask("POST", "/api/v1/halts/fleet/open", json=body)
    )
    assert answer["detail"]


@pytest.mark.parametrize("turn", ["open", "close", "reset"])
def test_the_switch_needs_the_scope_approve(door: Doorstep, turn: str) -> None:
    path, body = f"/api/v1/halts/fleet/{turn}", {"reason": "a test"}
    key = door.key(Scope.READ, Scope.WRITE)
    door.problem(403, "forbidden", lambda: door.ask("POST", path, json=body, key=key))
    door.problem(401, "unauthenticated", lambda: door.ask("POST", path, json=body, key=None))
    assert door.ask("POST", path, json=body, key=door.key(Scope.APPROVE)).status_code == 200
    switched(door, "fleet/reset")


def _open(door: Doorstep, scope: str) -> httpx.Response:
    return door.ask("POST", f"/api/v1/halts/{scope}/open", json={"reason": "a test"})


@pytest.mark.parametrize("turn", ["close", "reset"])
def test_an_agent_may_stop_healing_and_not_let_it_go_on(door: Doorstep, turn: str) -> None:
    name = f"agent-{turn}"
    _, key = door.new_key(name=name, scopes=frozenset({Scope.APPROVE}), owner=f"agent:{name}")
    path, why = "/api/v1/halts/service:shop", {"json": {"reason": "because"}}
    assert door.ask("POST", f"{path}/open", key=key, **why).status_code == 200
    problem = door.problem(403, "forbidden", lambda: door.ask("POST", f"{path}/{turn}", key=key, **why))
    assert "only a person" in problem["detail"]
    assert door.ask("POST", f"{path}/close", key=door.key(Scope.APPROVE), **why).status_code == 200
