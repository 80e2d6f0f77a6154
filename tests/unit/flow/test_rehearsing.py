"""What a rehearsal comes to, whatever the twin does, is fit to be stored."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from penelope.domain.rehearsal import Check, Rehearsal, RehearsalOutcome
from penelope.domain.service import Service
from penelope.errors import UnknownService
from penelope.flow.rehearsing import of_rehearsal, rehearsed
from penelope.testing.gate import planned

PLAN = planned({})
SERVICE = Service(name="shop", owner="t", tier=2)


class Twin:
    def __init__(self, outcome: RehearsalOutcome) -> None:
        self.outcome = outcome

    async def rehearse(self, *_: Any) -> Rehearsal:
        check = Check(name="smoke", before="passes", after="ends with 1", held=False, seconds=0.5)
        return Rehearsal(
            outcome=self.outcome, reason="why", checks=(check,), seconds=1.23456, limits=("no network",)
        )


def told(twin: Twin, services: dict[str, Service]) -> Rehearsal:
    def service(name: str) -> Service:
        if name not in services:
            raise UnknownService(f"service {name!r} is not in the catalogue")
        return services[name]

    parts: Any = SimpleNamespace(service=service)
    return asyncio.run(rehearsed(twin, parts, PLAN))


@pytest.mark.parametrize("outcome", list(RehearsalOutcome))
def test_all_of_a_rehearsal_is_recorded_for_this_very_plan(outcome: RehearsalOutcome) -> None:
    change = of_rehearsal(told(Twin(outcome), {"shop": SERVICE}), PLAN, "inc_1")
    failed = outcome is RehearsalOutcome.FAILED
    assert change.event == ("RehearsalFailed" if failed else "PlanRehearsed")
    assert change.unit == f"{PLAN.id}:rehearsal:{PLAN.digest}"
    assert (change.status, change.reason) == (outcome.value, "why")
    assert change.details["seconds"] == 1.235
    assert change.details["checks"] == [{"name": "smoke", "held": False}]
    assert change.details["limits"] == ["no network"]
    assert change.attributes["digest"] == PLAN.digest


def test_service_that_is_gone_is_no_crash() -> None:
    held = told(Twin(RehearsalOutcome.PASSED), {})
    assert held.outcome is RehearsalOutcome.NOT_POSSIBLE
    assert "is not in the catalogue" in held.reason


class Broken(Twin):
    async def rehearse(self, *_: Any) -> Rehearsal:
        message = "no such thing\x00"
        raise KeyError(message)


def test_a_twin_that_breaks_stops_the_plan_and_nothing_else() -> None:
    held = told(Broken(RehearsalOutcome.PASSED), {"shop": SERVICE})
    assert held.outcome is RehearsalOutcome.FAILED
    assert held.reason.startswith("the twin broke: KeyError: 'no such thing")
    assert "\x00" not in held.reason


class Chatty(Twin):
    async def rehearse(self, *_: Any) -> Rehearsal:
        check = Check(name="\x1b[2J", before="\udcff", after="y" * 9999, held=True, seconds=0)
        return Rehearsal(outcome=self.outcome, reason="\x00", checks=(check,) * 9999, limits=("\r",))


def test_what_was_tried_cannot_flood_or_break_history() -> None:
    held = told(Chatty(RehearsalOutcome.PASSED), {"shop": SERVICE})
    assert (held.reason, held.limits, len(held.checks)) == ("\\x00", ("\\r",), 600)
    assert (held.checks[0].name, held.checks[0].before) == ("\\x1b[2J", "\\udcff")
    assert len(held.checks[0].after) == 400
