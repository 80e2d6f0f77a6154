"""The dependency rule waits for what broke upstream before, up to its limit, and then names the oldest."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.gate import GateVerdict, RuleVerdict, Ruling
from penelope.rooms.gate.dependency import Dependency
from penelope.rooms.gate.rules import Upstream
from penelope.testing.gate import passage, planned

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
RULE = Dependency(wait_seconds=100, recheck_seconds=30)


def verdict(age_seconds: float, *services: str) -> RuleVerdict:
    given = passage(planned({}), NOW)
    opened = NOW - timedelta(seconds=age_seconds)
    upstream = [
        Upstream(id=f"inc_{name}", service=name, opened_at=opened - timedelta(seconds=number))
        for number, name in enumerate(services, start=1)
    ]
    return RULE.check(replace(given, incident=replace(given.incident, opened_at=opened), upstream=upstream))


def test_nothing_upstream_passes() -> None:
    assert verdict(500).ruling is Ruling.PASS


@pytest.mark.parametrize(("age", "until"), [(0, 30), (50, 30), (80, 20)])
def test_it_waits_and_looks_again_no_later_than_its_limit(age: float, until: float) -> None:
    found = verdict(age, "cache", "database")
    assert (found.ruling, found.until) == (Ruling.WAIT, NOW + timedelta(seconds=until))
    assert "database has been broken since" in found.reason


def test_at_its_limit_it_refuses_and_names_the_cause() -> None:
    found = verdict(100, "database")
    assert found.ruling is Ruling.REFUSE
    assert "inc_database" in found.reason


@pytest.mark.parametrize(
    ("rulings", "strictest"),
    [
        ("pass wait ask", Ruling.WAIT),
        ("ask wait refuse", Ruling.REFUSE),
        ("pass ask", Ruling.ASK),
        ("pass wait", Ruling.WAIT),
    ],
)
def test_waiting_comes_after_refusing_and_before_asking(rulings: str, strictest: Ruling) -> None:
    items = tuple(RuleVerdict(rule="r", ruling=Ruling(word), reason="") for word in rulings.split())
    assert GateVerdict(verdicts=items).ruling is strictest
