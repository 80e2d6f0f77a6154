"""Decisions explained, made again, and held against what came of them, over HTTP."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from doorstep import Doorstep, settings

from penelope.domain.outcome import OutcomeKind
from penelope.domain.precedent import PastCase, Stratum
from penelope.domain.signal import Severity
from penelope.flow.keys import Scope
from penelope.kit.clock import SystemClock
from penelope.rooms.decide.facts import SCHEMA


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    with Doorstep(settings(tmp_path_factory.mktemp("decisions"))) as door:
        yield door


@pytest.fixture(scope="module")
def asked(door: Doorstep) -> str:
    """An incident whose plan waits for a person."""
    incident = door.open(id="stuck", type="Stuck", data={"labels": {"stuck": "yes"}})
    door.wait_for(incident, "awaiting_approval")
    return incident


def total(figure: dict[str, Any]) -> float:
    reached = 0.0
    for item in figure["contributions"]:
        reached += item["value"]
    return reached


def test_a_decision_is_explained_by_three_questions(door: Doorstep, asked: str) -> None:
    found = door.get(f"/api/v1/decisions/{asked}/explanation")
    assert (found["incident"], found["version"], found["service"]) == (asked, 1, "shop")
    assert (found["judgement"], found["playbook"], found["needs_approval"]) == (
        "escalate",
        "free-the-lock",
        True,
    )
    assert (found["healing"], found["stratum"], found["schema_version"]) == (None, "unseen", SCHEMA)
    for name in ("risk", "cost", "confidence"):
        assert total(found[name]) == found[name]["value"] > 0
    low, high = found["confidence"]["interval"]
    assert 0 < low < found["confidence"]["value"] < high < 1
    assert found["briefing"]["steps"] == ["Free it"]
    by_number = door.get(f"/api/v1/decisions/{found['id']}/explanation", params={"version": 1})
    assert by_number == found


def test_an_explanation_lists_the_past_cases_that_it_leaned_on(door: Doorstep) -> None:
    async def lived(transaction: Any) -> None:
        await transaction.add_past_case(past(9, confidence=None, name="Likened", playbook=None), "")

    door.run(door.running.commands._engine.transaction("lived", lived))
    incident = door.open(id="likened", type="Likened")
    door.wait_for(incident, "escalated")
    (case,) = door.get(f"/api/v1/decisions/{incident}/explanation")["leaned_on"]
    assert (case["incident"], case["by"]) == ("inc_past_9", ["name"])
    assert (case["verified"], case["agrees"]) == (None, None)
    assert case["similarity"] == 0.6


def test_what_was_prepared_stands_on_the_incident(door: Doorstep, asked: str) -> None:
    prepared = door.get(f"/api/v1/incidents/{asked}")["briefing"]
    assert prepared["candidate"] == "free-the-lock"
    odd = door.open(id="odd", type="Odd")
    door.wait_for(odd, "escalated")
    prepared = door.get(f"/api/v1/incidents/{odd}")["briefing"]
    assert prepared["candidate"] == ""
    assert "write a playbook for Odd: none fits" in prepared["next_steps"]


def test_a_decision_is_made_again(door: Doorstep, asked: str) -> None:
    before = door.kept()
    answer = door.ask("POST", f"/api/v1/decisions/{asked}/replay", params={"version": 1}).json()
    assert (answer["incident"], answer["version"]) == (asked, 1)
    assert (answer["identical"], answer["differences"]) == (True, [])
    assert door.kept() == before


@pytest.mark.parametrize("path", ["explanation", "replay"])
def test_what_is_not_there_is_a_problem(door: Doorstep, asked: str, path: str) -> None:
    method = "GET" if path == "explanation" else "POST"
    for wrong, code in (
        ("inc_nowhere", "unknown_decision"),
        ("17", "unknown_decision"),
        ("a b", "invalid_request"),
    ):
        with door.refusing(code):
            answer = door.ask(method, f"/api/v1/decisions/{wrong}/{path}")
        assert answer.json()["code"] == code
    with door.refusing("unknown_decision"):
        assert (
            door.ask(method, f"/api/v1/decisions/{asked}/{path}", params={"version": 99}).status_code == 404
        )
    with door.refusing("forbidden"):
        door.ask(method, f"/api/v1/decisions/{asked}/{path}", key=door.key(Scope.WRITE))


def past(number: int, *, confidence: float | None, **changes: Any) -> PastCase:
    now = SystemClock().now()
    told = {
        "incident": f"inc_past_{number}",
        "service": "shop",
        "fingerprint": "f",
        "name": "Broken",
        "severity": Severity.ERROR,
        "labels": {},
        "summary": "",
        "playbook": "fix",
        "kind": OutcomeKind.HEALED,
        "verified": True,
        "alone_seconds": 1.0,
        "healed_itself": False,
        "stratum": Stratum.CONFIRMED,
        "confidence": confidence,
        "imported": False,
        "opened_at": now,
        "ended_at": now - timedelta(seconds=1),
    }
    return PastCase(**{**told, **changes})


def test_calibration_counts_what_acted_here(door: Doorstep, asked: str) -> None:
    assert asked
    nothing = door.get("/api/v1/calibration")
    assert (nothing["count"], nothing["brier"], nothing["curve"]) == (0, None, [])
    old = SystemClock().now() - timedelta(days=40)
    cases = [
        past(1, confidence=0.8),
        past(2, confidence=0.8, verified=False),
        past(3, confidence=0.6, playbook="other", service="bank"),
        past(4, confidence=0.1, ended_at=old),
        past(5, confidence=None),
        past(6, confidence=0.9, imported=True),
        past(7, confidence=None, playbook=None, verified=None),
    ]

    async def lived(transaction: Any) -> None:
        for case in cases:
            await transaction.add_past_case(case, "")

    door.run(door.running.commands._engine.transaction("lived", lived))
    found = door.get("/api/v1/calibration")
    assert (found["count"], found["base_rate"]) == (3, pytest.approx(2 / 3))
    assert found["brier"] == pytest.approx((0.04 + 0.64 + 0.16) / 3)
    assert [item["count"] for item in found["curve"]] == [1, 2]
    assert door.get("/api/v1/calibration", params={"days": 90})["count"] == 4
    for query in ({"service": "bank"}, {"playbook": "other"}):
        assert door.get("/api/v1/calibration", params=query)["count"] == 1
    assert door.ask("GET", "/metrics").status_code == 200
    assert door.metric("penelope_calibration_outcomes") == 3
    assert door.metric("penelope_calibration_brier") == pytest.approx(found["brier"])
    assert door.metric("penelope_calibration_error") == pytest.approx(found["expected_error"])
