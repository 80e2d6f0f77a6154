"""A rehearsal is held once, recorded, and stops a plan only where it failed."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from penelope.domain.rehearsal import Check, Rehearsal, RehearsalOutcome
from penelope.domain.service import Service
from penelope.domain.work import Change
from penelope.errors import UnknownService
from penelope.flow.rehearsing import rehearse
from penelope.testing.gate import planned

PLAN = planned({})
SERVICE = Service(name="shop", owner="t", tier=2)


class Engine:
    """Runs each step at once, and keeps what was saved."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.saved: list[Change] = []

    async def step(self, name: str, body: Callable[[], Awaitable[Any]]) -> Any:
        self.steps.append(name)
        return await body()

    async def transaction(self, name: str, body: Callable[[Any], Awaitable[Any]]) -> Any:
        self.steps.append(name)
        return await body(self)

    async def save(self, *changes: Change) -> None:
        self.saved += changes


class Twin:
    def __init__(self, outcome: RehearsalOutcome) -> None:
        self.outcome = outcome

    async def rehearse(self, *_: Any) -> Rehearsal:
        check = Check(name="smoke", before="passes", after="ends with 1", held=False, seconds=0.5)
        return Rehearsal(
            outcome=self.outcome, reason="why", checks=(check,), seconds=1.23456, limits=("no network",)
        )


def told(engine: Engine, twin: Twin | None, services: dict[str, Service]) -> str:
    def service(name: str) -> Service:
        if name not in services:
            raise UnknownService(f"service {name!r} is not in the catalogue")
        return services[name]

    parts: Any = SimpleNamespace(twin=twin, service=service)
    standing: Any = engine
    return asyncio.run(rehearse(standing, parts, PLAN, "inc_1"))


def test_a_twin_that_is_gone_since_the_plan_was_made_takes_the_same_steps() -> None:
    engine = Engine()
    assert told(engine, None, {}) == ""
    assert engine.steps == ["rehearse", "rehearsal"]
    assert (engine.saved[0].status, engine.saved[0].reason) == ("not_possible", "there is no twin any more")


@pytest.mark.parametrize("outcome", list(RehearsalOutcome))
def test_only_a_failure_stops_a_plan_and_all_is_recorded(outcome: RehearsalOutcome) -> None:
    engine = Engine()
    failed = outcome is RehearsalOutcome.FAILED
    trouble = told(engine, Twin(outcome), {"shop": SERVICE})
    assert trouble == ("the rehearsal of fix failed: why" if failed else "")
    (change,) = engine.saved
    assert change.event == ("RehearsalFailed" if failed else "PlanRehearsed")
    assert change.unit == f"{PLAN.id}:rehearsal"
    assert change.status == outcome.value
    assert change.details["seconds"] == 1.235
    assert change.details["checks"] == [{"name": "smoke", "held": False}]
    assert change.details["limits"] == ["no network"]
    assert change.attributes["digest"] == PLAN.digest


def test_service_that_is_gone_is_no_crash() -> None:
    engine = Engine()
    assert told(engine, Twin(RehearsalOutcome.PASSED), {}) == ""
    assert engine.saved[0].status == "not_possible"
    assert "is not in the catalogue" in engine.saved[0].reason


class Broken(Twin):
    async def rehearse(self, *_: Any) -> Rehearsal:
        message = "no such thing"
        raise KeyError(message)


def test_a_twin_that_breaks_stops_the_plan_and_nothing_else() -> None:
    engine = Engine()
    trouble = told(engine, Broken(RehearsalOutcome.PASSED), {"shop": SERVICE})
    assert trouble == "the rehearsal of fix failed: the twin broke: KeyError: 'no such thing'"
    assert engine.saved[0].event == "RehearsalFailed"
