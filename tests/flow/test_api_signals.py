"""Signals come in over HTTP: what is taken, what is refused, and that a refusal changes nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doorstep import BATCH, STRUCTURED, Doorstep, event, settings

CORPUS = Path(__file__).parents[1] / "corpus"
RECORDED = json.loads((CORPUS / "alertmanager_webhook.json").read_text())
ALERT = RECORDED["firing"]["body"]["alerts"][0]
LIMIT = 20_000


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    limits = {"max_body_bytes": LIMIT, "max_batch": 5}
    with Doorstep(settings(tmp_path_factory.mktemp("signals"), api=limits)) as door:
        yield door


def webhook(*alerts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"version": "4", "receiver": "penelope", "alerts": list(alerts), **changes}


# --- taken ------------------------------------------------------------------------------------------------


def test_the_recorded_webhook_is_taken_once_however_often_it_comes(door: Doorstep) -> None:
    body = RECORDED["firing"]["body"]
    first = door.ask("POST", "/api/v1/alertmanager", json=body)
    assert first.status_code == 202
    taken = first.json()
    assert (taken["accepted"], taken["duplicates"]) == (2, 0)
    assert sorted(taken["opened"]) == sorted(taken["incidents"])
    assert len(taken["opened"]) == 2
    for incident in taken["opened"]:
        door.wait_for(incident, "escalated")
    before = door.kept()
    again = door.ask("POST", "/api/v1/alertmanager", json=body).json()
    assert again == {"accepted": 0, "duplicates": 2, "incidents": [], "opened": []}
    assert door.kept() == before
    assert door.metric("penelope_signals_total", source="alertmanager", outcome="new") == 2
    assert door.metric("penelope_signals_total", source="alertmanager", outcome="duplicate") == 2


def test_an_event_may_be_structured(door: Doorstep) -> None:
    answer = door.ask(
        "POST", "/api/v1/events", json=event("s", type="S"), headers={"Content-Type": STRUCTURED}
    )
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)


def test_an_event_may_be_binary(door: Doorstep) -> None:
    attributes = {"ce-specversion": "1.0", "ce-id": "b", "ce-source": "/test", "ce-type": "B"}
    answer = door.ask("POST", "/api/v1/events", json={"service": "shop"}, headers=attributes)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)


def test_a_batch_is_one_incident_a_problem(door: Doorstep) -> None:
    answer = door.send(*(event(f"batch-{number}", type=f"T{number % 2}") for number in range(4))).json()
    assert answer["accepted"] == 4
    assert len(answer["opened"]) == 2


def test_an_empty_batch_is_nothing(door: Doorstep) -> None:
    answer = door.send()
    assert (answer.status_code, answer.json()["accepted"]) == (202, 0)


def test_what_no_playbook_is_for_becomes_an_incident_for_people(door: Doorstep) -> None:
    incident = door.open(id="nobody", type="NobodyKnows")
    ended = door.wait_for(incident, "escalated")
    assert (ended["service"], ended["name"], ended["signal_count"]) == ("shop", "NobodyKnows", 1)
    last = door.get(f"/api/v1/incidents/{incident}/timeline")["entries"][-1]
    assert last["event"] == "IncidentEscalated"
    assert "no playbook" in last["reason"]


def test_a_service_that_is_not_in_the_catalogue_is_an_incident_too(door: Doorstep) -> None:
    incident = door.open(id="stranger", subject="unheard-of")
    door.wait_for(incident, "escalated")
    last = door.get(f"/api/v1/incidents/{incident}/timeline")["entries"][-1]
    assert "not in the catalogue" in last["reason"]


# --- refused ----------------------------------------------------------------------------------------------

BAD_EVENTS = {
    "malformed JSON": (b'{"specversion": ', STRUCTURED, "invalid_request", "not JSON"),
    "a key twice": (b'{"id": "1", "id": "2"}', STRUCTURED, "invalid_request", "twice"),
    "not UTF-8": (b'{"id": "\xff"}', STRUCTURED, "invalid_request", "not JSON"),
    "nested too deeply": (b"[" * 5_000, BATCH, "invalid_request", "not JSON"),
    "no event at all": (b"{}", "application/json", "invalid_request", "CloudEvent"),
    "another format": (b"<x/>", "application/cloudevents+xml", "invalid_request", "not spoken"),
    "a batch that is none": (b"{}", BATCH, "invalid_request", "array"),
    "without an id": (json.dumps(event(id=None)), STRUCTURED, "invalid_signal", "id: "),
    "another version": (json.dumps(event(specversion="0.3")), STRUCTURED, "invalid_signal", "specversion"),
    "a name that is none": (json.dumps(event(Bad_Name="x")), STRUCTURED, "invalid_signal", "Bad_Name"),
    "a time that is none": (json.dumps(event(time="soon")), STRUCTURED, "invalid_request", "time"),
    "without a service": (json.dumps(event(subject=None)), STRUCTURED, "invalid_signal", "service"),
    "one of two": (json.dumps([event(7), event(8, source=5)]), BATCH, "invalid_signal", "[1].source"),
}


@pytest.mark.parametrize("name", BAD_EVENTS)
def test_a_bad_event_is_refused(door: Doorstep, name: str) -> None:
    body, media, code, where = BAD_EVENTS[name]
    refused = door.metric("penelope_signals_refused_total", source="cloudevents", code=code)
    problem = door.problem(
        400,
        code,
        lambda: door.ask("POST", "/api/v1/events", content=body, headers={"Content-Type": media}),
    )
    assert where in problem["detail"]
    assert door.metric("penelope_signals_refused_total", source="cloudevents", code=code) == refused + 1


BAD_ALERTS = {
    "without a service": (
        webhook({**ALERT, "labels": {"alertname": "Lost"}}),
        "invalid_signal",
        "alerts[0].labels",
    ),
    "without a name": (webhook({**ALERT, "labels": {"service": "shop"}}), "invalid_signal", "alertname"),
    "the second of two": (
        webhook({**ALERT, "fingerprint": "aa"}, {**ALERT, "startsAt": "soon"}),
        "invalid_request",
        "alerts[1].startsAt",
    ),
    "another version": (webhook(ALERT, version="3"), "invalid_request", "version"),
    "not an object": ([], "invalid_request", "version"),
}


@pytest.mark.parametrize("name", BAD_ALERTS)
def test_a_bad_alert_is_refused(door: Doorstep, name: str) -> None:
    body, code, where = BAD_ALERTS[name]
    refused = door.metric("penelope_signals_refused_total", source="alertmanager", code=code)
    problem = door.problem(400, code, lambda: door.ask("POST", "/api/v1/alertmanager", json=body))
    assert where in problem["detail"]
    assert door.metric("penelope_signals_refused_total", source="alertmanager", code=code) == refused + 1


def test_a_body_beyond_the_limit_is_refused_by_its_announced_length(door: Doorstep) -> None:
    problem = door.problem(
        413, "too_large", lambda: door.ask("POST", "/api/v1/events", content=b" " * (LIMIT + 1))
    )
    assert f"{LIMIT} bytes" in problem["detail"]
    assert "api.max_body_bytes" in problem["hint"]


def test_a_body_beyond_the_limit_is_refused_while_it_is_read(door: Doorstep) -> None:
    given = []

    async def endless() -> Any:
        while True:
            given.append(1)
            yield b" " * 1000

    problem = door.problem(413, "too_large", lambda: door.ask("POST", "/api/v1/events", content=endless()))
    assert f"{LIMIT} bytes" in problem["detail"]
    assert len(given) == LIMIT / 1000 + 1


def test_a_body_of_exactly_the_limit_is_read(door: Doorstep) -> None:
    body = json.dumps(event("full", type="Full")).encode().ljust(LIMIT)
    answer = door.ask("POST", "/api/v1/events", content=body, headers={"Content-Type": STRUCTURED})
    assert answer.status_code == 202


def test_a_batch_beyond_the_limit_is_refused_whole(door: Doorstep) -> None:
    events = [event(f"many-{number}") for number in range(6)]
    problem = door.problem(413, "too_large", lambda: door.send(*events))
    assert "6 signals" in problem["detail"]
    assert "api.max_batch" in problem["hint"]
    assert door.metric("penelope_signals_refused_total", source="cloudevents", code="too_large") >= 1
