"""The server itself over HTTP: health, metrics, request ids, the ledger, and errors that nobody expected."""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from doorstep import Doorstep, settings
from owner import unguarded
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

import penelope
from penelope.entry.api.app import create_app
from penelope.errors import ChainBroken, InvalidCatalogue


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def door(folder: Path) -> Iterator[Doorstep]:
    door = Doorstep(settings(folder, api={"max_body_bytes": 1000}))

    @door.app.get("/broken/{name}")
    async def broken(name: str) -> None:
        raise {"chain": ChainBroken("entry 7 was altered"), "bug": ValueError("the pepper is salt")}[name]

    with door:
        yield door


# --- what it is -------------------------------------------------------------------------------------------


def test_the_status_tells_what_there_is(door: Doorstep) -> None:
    incident = door.open(id="status", type="Status")
    door.wait_for(incident, "escalated")
    status = door.get("/api/v1/status")
    assert status["version"] == penelope.__version__
    assert status["incidents"]["escalated"] >= 1
    assert status["services"] == [{"name": "shop", "owner": "team-shop", "tier": 2}]
    assert status["playbooks"] == ["free-the-lock"]


def test_the_playbooks_in_force_are_listed(door: Doorstep) -> None:
    (playbook,) = door.get("/api/v1/playbooks")["playbooks"]
    assert playbook == {
        "name": "free-the-lock",
        "version": "1",
        "title": "Free the lock",
        "tier": 1,
        "approval": True,
        "names": [],
        "labels": {"stuck": "yes"},
        "services": [],
        "steps": ["Free it"],
        "rollout": False,
    }


# --- health and metrics -----------------------------------------------------------------------------------


def test_it_is_alive_and_ready(door: Doorstep) -> None:
    for path in ("/health/live", "/health/ready"):
        assert door.get(path) == {"status": "ok"}


def test_before_it_has_started_it_lives_but_is_not_ready(tmp_path: Path) -> None:
    app = create_app(settings(tmp_path))

    async def ask(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://penelope.test") as client:
            return await client.get(path, headers={"Authorization": "Bearer x"})

    assert asyncio.run(ask("/health/live")).status_code == 200
    for path in ("/health/ready", "/api/v1/status", "/metrics"):
        with capture_logs() as lines:
            answer = asyncio.run(ask(path))
        assert answer.status_code == 503
        assert (answer.json()["code"], answer.json()["retryable"]) == ("unavailable", True)
        assert len(lines) == 1
        assert "exc_info" not in lines[0] or lines[0]["exc_info"] is None


class Gone:
    """A database that has gone away."""

    async def counts(self) -> Any:
        raise OSError("no such host: db.internal")


def test_without_its_database_it_is_not_ready(door: Doorstep) -> None:
    running = door.running
    door.app.state.running = replace(running, reader=Gone())
    try:
        answer = door.ask("GET", "/health/ready", key=None)
    finally:
        door.app.state.running = running
    assert answer.status_code == 503
    assert "db.internal" not in answer.text


def test_an_app_that_cannot_start_says_why_and_stays_closed(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    (tmp_path / "services.yaml").write_text("apiVersion: penelope.dev/v0\n")
    app = create_app(wanted)

    async def start() -> None:
        async with app.router.lifespan_context(app):
            pytest.fail("it started")

    with pytest.raises(InvalidCatalogue, match=r"services.yaml:1:"):
        asyncio.run(start())
    assert app.state.running is None


def test_the_metrics_can_be_scraped(door: Doorstep) -> None:
    door.ask("GET", "/api/v1/incidents/inc_none")
    answer = door.ask("GET", "/metrics", key=None)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    route = ("route", "/api/v1/incidents/{id}")
    labels = (("method", "GET"), route, ("status", "404"))
    assert found["penelope_http_requests_total", *labels] == 1
    assert found["penelope_http_request_seconds_count", route] >= 1
    assert ("penelope_incidents_open", ("state", "observing")) in found


def test_requests_to_nowhere_share_one_label(door: Doorstep) -> None:
    labels = {"method": "GET", "route": "unmatched", "status": "404"}
    before = door.metric("penelope_http_requests_total", **labels)
    for name in "abc":
        door.ask("GET", f"/nowhere/{name}")
    assert door.metric("penelope_http_requests_total", **labels) == before + 3


# --- request ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["a", "trace-01.B_c", "x" * 64])
def test_a_sane_request_id_is_kept(door: Doorstep, given: str) -> None:
    answer = door.ask("GET", "/health/live", headers={"X-Request-Id": given})
    assert answer.headers.get_list("x-request-id") == [given]


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", "é", '"', "a,b"])
def test_another_request_id_is_replaced(door: Doorstep, given: str) -> None:
    answer = door.ask("GET", "/health/live", headers={"X-Request-Id": given.encode()})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


def test_two_requests_have_two_ids(door: Doorstep) -> None:
    first, second = (door.ask("GET", "/health/live").headers["x-request-id"] for _ in range(2))
    assert first != second


# --- what is not there, and what nobody expected ----------------------------------------------------------


def test_a_path_that_is_not_served(door: Doorstep) -> None:
    problem = door.problem(404, "no_such_route", lambda: door.ask("GET", "/no where"))
    assert problem["instance"] == "/no%20where"


def test_a_method_that_is_not_known(door: Doorstep) -> None:
    door.problem(405, "method_not_allowed", lambda: door.ask("DELETE", "/api/v1/status"))
    assert door.ask("DELETE", "/api/v1/status").headers["allow"] == "GET"


def test_an_error_of_ours_that_is_not_the_callers_fault(door: Doorstep) -> None:
    problem = door.problem(500, "chain_broken", lambda: door.ask("GET", "/broken/chain"))
    assert problem["detail"] == "entry 7 was altered"


def test_a_bug_is_logged_whole_and_told_without_its_insides(door: Doorstep) -> None:
    with capture_logs() as lines:
        answer = door.ask("GET", "/broken/bug")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert "pepper" not in answer.text
    assert [repr(line["exc_info"]) for line in lines] == ["ValueError('the pepper is salt')"]
    labels = {"method": "GET", "route": "/broken/{name}", "status": "500"}
    assert door.metric("penelope_http_requests_total", **labels) >= 1
    door.problem(500, "internal_error", lambda: door.ask("GET", "/broken/bug"))


# --- the ledger -------------------------------------------------------------------------------------------


def test_the_checkpoint_grows_with_the_log(door: Doorstep) -> None:
    def signed(size: int) -> dict[str, Any]:
        path = "/api/v1/ledger/checkpoint"
        found: dict[str, Any] = door.until(lambda: door.get(path), lambda answer: answer["size"] >= size)
        return found

    door.wait_for(door.open(id="seed", type="Seed"), "escalated")
    door.until(lambda: door.ask("GET", "/api/v1/ledger/checkpoint").status_code, (200).__eq__)
    size, _ = door.kept()
    before = signed(size)
    assert before["size"] == size
    incident = door.open(id="grow", type="Grow")
    door.wait_for(incident, "escalated")
    added = door.get(f"/api/v1/incidents/{incident}/timeline")["entries"]
    after = signed(size + len(added))
    assert after["size"] == size + len(added)
    assert after["root"] != before["root"]
    assert f"\n{after['size']}\n" in after["note"]


def _with_reason(payload: str, reason: str) -> str:
    return json.dumps({**json.loads(payload), "reason": reason})


def test_an_altered_ledger_does_not_verify(door: Doorstep, folder: Path) -> None:
    incident = door.open(id="altered", type="Altered")
    door.wait_for(incident, "escalated")
    whole = door.get("/api/v1/ledger/verify")
    assert (whole["ok"], whole["flaws"]) == (True, [])
    update = "UPDATE history_payloads SET body = ? WHERE unit = ? AND version = ?"
    with unguarded(folder / "penelope.db") as database:
        found = database.exec_driver_sql(
            "SELECT payload.body, unit, version FROM history_payloads AS payload "
            "JOIN units_of_work_history USING (unit, version) WHERE incident = ? ORDER BY seq",
            (incident,),
        ).all()
        forged = [(_with_reason(body, "all is well"), *key) for body, *key in found]
        database.exec_driver_sql(update, forged)
    try:
        broken = door.get("/api/v1/ledger/verify")
    finally:
        with unguarded(folder / "penelope.db") as database:
            database.exec_driver_sql(update, [tuple(row) for row in found])
    assert broken["ok"] is False
    assert len([flaw for flaw in broken["flaws"] if "altered" in flaw["problem"]]) == len(found)
    assert broken["size"] >= whole["size"]
    assert door.get("/api/v1/ledger/verify")["ok"]


# --- the document -----------------------------------------------------------------------------------------


PROVEN_OTHERWISE = {"/api/v1/approval-links", "/api/v1/slack/actions"}
"""By a signature of their own instead of an API key."""


def test_the_document_describes_problems_and_not_what_fastapi_would_say(door: Doorstep) -> None:
    document = door.get("/openapi.json")
    assert "ValidationError" not in document["components"]["schemas"]
    assert document["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path.startswith("/api/") and path not in PROVEN_OTHERWISE:
                assert operation["security"] == [{"ApiKey": []}], (method, path)
                assert {"401", "403", "503"} <= operation["responses"].keys()
                assert "scope `" in operation["description"]
            assert "HTTPValidationError" not in str(operation["responses"])
            for status, response in operation["responses"].items():
                assert (int(status) >= 400) == ("application/problem+json" in response.get("content", {}))


def test_a_served_problem_has_the_documented_fields(door: Doorstep) -> None:
    schema = door.get("/openapi.json")["components"]["schemas"]["Problem"]
    problem = door.ask("GET", "/nowhere").json()
    assert problem.keys() == set(schema["required"])
