"""Brakes as they failed elsewhere: blind to relapses, disabled by an empty key, trusting what was tampered with."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from penelope.domain.action import Action, Tier
from penelope.domain.contract import Contract
from penelope.domain.gate import RuleVerdict, Ruling
from penelope.domain.halt import FLEET, Breaker, FailureKind, Hold, Limits, Scope, ScopeKind
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.intervention import Intervention, Usage
from penelope.domain.outcome import Outcome, OutcomeKind
from penelope.domain.plan import Plan
from penelope.domain.service import Target
from penelope.domain.signal import Severity
from penelope.domain.work import Change
from penelope.flow import records
from penelope.flow.halting import (
    Brakes,
    breakers,
    change_of,
    note_relapse,
    seen_by_gate,
    settle,
    stopping,
    unit_of,
)
from penelope.kit.codec import to_data
from penelope.rooms.gate.halt import Halt
from penelope.rooms.gate.loop import Loop
from penelope.rooms.gate.rate import Rate
from penelope.rooms.gate.rules import Request, Rule
from penelope.rooms.gate.run import gate
from penelope.store import guards
from penelope.store.database import migrate, open_engine, parse_url
from penelope.store.transaction import SqlTransaction
from penelope.testing.gate import passage

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
SHOP = Scope(kind=ScopeKind.SERVICE, name="shop")
BUDGETS = (ScopeKind.SERVICE, ScopeKind.PLAYBOOK, ScopeKind.FLEET)
RULES: tuple[Rule, ...] = (
    Halt(),
    Rate(actions=dict.fromkeys(BUDGETS, 10), window_seconds=3600),
    Loop(heals=3, window_seconds=3600),
)
THREE = Brakes(
    limits=dict.fromkeys(ScopeKind, Limits(failures=3, window_seconds=9000, cooldown_seconds=3600))
)
ACTION = Action(
    key="k",
    name="restart",
    adapter="fake",
    operation="set",
    target=Target(name="one", service="shop", adapter="fake"),
    params={},
    tier=Tier.LOCAL,
    timeout_seconds=1,
)
PLAN = Plan(
    id="p",
    incident="inc_1",
    service="shop",
    playbook="fix",
    playbook_version="1",
    steps=(ACTION,),
    verify=Contract(clauses=(), deadline_seconds=1),
)


def incident(name: str = "inc_1", **changes: Any) -> Incident:
    made = Incident(
        id=name,
        service="shop",
        fingerprint="problem",
        name="Broken",
        severity=Severity.CRITICAL,
        state=IncidentState.RECEIVED,
        opened_at=NOW,
        updated_at=NOW,
        signal_count=1,
    )
    return replace(made, **changes)


def refusal(request: Request) -> str:
    verdict = gate(request, RULES)
    assert verdict.ruling is Ruling.REFUSE
    return verdict.verdicts[-1].reason


# --- a guard that an empty key disables -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"service": ""}, "it has no service"),
        ({"service": "  "}, "it has no service"),
        ({"playbook": ""}, "it has no playbook"),
        ({"id": ""}, "the plan has no identity"),
        ({"steps": ()}, "the plan does nothing"),
        ({"steps": (replace(ACTION, target=replace(ACTION.target, name="")),)}, "has no target"),
        ({"steps": (ACTION, replace(ACTION, target=replace(ACTION.target, name=" ")))}, "has no target"),
        ({"after": (replace(ACTION, key=""),)}, "has no key"),
    ],
)
def test_a_plan_without_a_name_passes_no_breaker(changes: Mapping[str, Any], why: str) -> None:
    asked = replace(passage(PLAN, NOW), plan=replace(PLAN, **changes))
    assert why in refusal(asked)
    assert Halt().check(asked).final, "not even break-glass lets through what nobody could halt"


@pytest.mark.parametrize("fingerprint", ["", " "])
def test_a_problem_without_a_fingerprint_passes_no_breaker(fingerprint: str) -> None:
    asked = passage(PLAN, NOW)
    assert "it has no cause" in refusal(
        replace(asked, incident=replace(asked.incident, fingerprint=fingerprint))
    )


@pytest.mark.parametrize("field", ["breakers", "usage", "heals"])
def test_what_nobody_looked_at_is_no_all_clear(field: str) -> None:
    assert refusal(passage(PLAN, NOW, **{field: None}))


def test_figures_of_another_plan_are_no_all_clear() -> None:
    other = passage(replace(PLAN, service="bakery", playbook="bake"), NOW)
    assert "cannot be read" in refusal(passage(PLAN, NOW, breakers=other.breakers))
    assert refusal(passage(PLAN, NOW, usage=Usage(actions={ScopeKind.FLEET: 0})))


class Raises(dict[Any, Any]):
    """Whatever is asked of it breaks."""

    def get(self, key: Any, default: Any = None) -> Any:  # noqa: ARG002 - a dict's own
        raise TimeoutError("the database does not answer")

    def __getitem__(self, key: Any) -> Any:
        raise ValueError("garbage")


@pytest.mark.parametrize(
    "broken",
    [
        {"breakers": Raises()},
        {"breakers": 7},
        {"usage": Usage(actions=Raises())},
        {"usage": "none"},
        {"heals": [None]},
        {"heals": 3},
    ],
)
def test_a_rule_that_gets_garbage_refuses(broken: Mapping[str, Any]) -> None:
    assert refusal(passage(PLAN, NOW, **broken)).endswith("so it refuses")


@dataclass(frozen=True)
class Says:
    """A rule that answers something else than a verdict."""

    answer: Any
    name: str = "says"

    def check(self, request: Request) -> Any:  # noqa: ARG002 - whatever is asked
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [None, True, "pass", RuleVerdict(rule="says", ruling="allowed", reason="")],
)
def test_an_answer_that_is_no_verdict_refuses(answer: Any) -> None:
    assert gate(passage(PLAN, NOW), (*RULES, Says(answer))).ruling is Ruling.REFUSE


# --- a breaker blind to relapses --------------------------------------------------------------------------


def on_store(tmp_path: Path, scene: Any) -> None:
    """Runs a scene on a store; it gets a function that makes one transaction at a moment."""

    async def run() -> None:
        engine = open_engine(parse_url(f"sqlite:///{tmp_path}/penelope.db"))
        await migrate(engine)

        async def at(seconds: float, body: Any) -> Any:
            async with engine.begin() as connection:
                return await body(SqlTransaction(connection, NOW + timedelta(seconds=seconds)))

        try:
            await scene(engine, at)
        finally:
            await engine.dispose()

    asyncio.run(run())


def outcome(name: str, seconds: float, playbook: str) -> Outcome:
    return Outcome(
        incident=name,
        service="shop",
        kind=OutcomeKind.HEALED,
        reason="",
        acted=True,
        ended_at=NOW + timedelta(seconds=seconds),
        total_seconds=1,
        playbook=playbook,
        verified=True,
    )


async def heals(at: Any, number: int, playbook: str, seconds: float) -> None:
    async def body(transaction: SqlTransaction) -> None:
        healed = incident(f"inc_{number}", state=IncidentState.HEALED, ended_at=transaction.now())
        await transaction.save(records.of_incident(healed, "IncidentHealed", ""))
        await transaction.add_outcome(outcome(f"inc_{number}", seconds, playbook))

    await at(seconds, body)


async def comes_back(at: Any, number: int, seconds: float, times: int = 1) -> Request:
    """What the gate sees of a problem that is back; `times` is how often its first assessment is made again."""

    async def body(transaction: SqlTransaction) -> Request:
        back = incident(f"inc_{number}", opened_at=transaction.now())
        await note_relapse(transaction, THREE, back)
        seen = await seen_by_gate(transaction, THREE, back, PLAN)
        return replace(passage(PLAN, transaction.now(), **seen), incident=back)

    for _ in range(times):
        request = await at(seconds, body)
    return request


def test_each_fix_succeeds_and_none_of_them_lasts(tmp_path: Path) -> None:
    """Three playbooks take turns: each one's own record is spotless, and the service never stands."""

    async def scene(_engine: Any, at: Any) -> None:
        for number, playbook in enumerate(("restart", "scale", "fix")):
            await heals(at, number, playbook, number * 100)
            asked = await comes_back(at, number + 1, number * 100 + 50, times=3)
            assert asked.breakers is not None
            failures = asked.breakers[SHOP].failures  # type: ignore[union-attr]  # it can be read
            assert [failure.incident for failure in failures] == [f"inc_{item}" for item in range(number + 1)]
            assert (Halt().check(asked).ruling is Ruling.REFUSE) is (number == 2)
        reason = Halt().check(asked).reason
        assert reason.startswith("service:shop is halted after 3 failures, 3 of them relapses")

    on_store(tmp_path, scene)


def test_the_loop_is_seen_even_where_each_relapse_comes_late(tmp_path: Path) -> None:
    async def scene(_engine: Any, at: Any) -> None:
        late = replace(THREE, relapse_seconds=10)
        for number in range(3):
            await heals(at, number, f"playbook-{number}", number * 1000)

        async def body(transaction: SqlTransaction) -> Any:
            back = incident("inc_9", opened_at=transaction.now())
            await note_relapse(transaction, late, back)
            seen = await seen_by_gate(transaction, late, back, PLAN)
            return replace(passage(PLAN, transaction.now(), **seen), incident=back)

        asked = await at(2500, body)
        assert "healed 3 times within 3600 s and back again: the fix is not a fix" in refusal(asked)

    on_store(tmp_path, scene)


# --- rows that say something else -------------------------------------------------------------------------


async def look(at: Any) -> Request:
    async def body(transaction: SqlTransaction) -> Request:
        asked = passage(PLAN, transaction.now())
        seen = await seen_by_gate(transaction, THREE, asked.incident, PLAN)
        return replace(asked, **seen)

    found: Request = await at(1, body)
    return found


async def hold(at: Any) -> None:
    async def body(transaction: SqlTransaction) -> None:
        held = Breaker(scope=FLEET).opened(Hold(actor="key:ada", reason="stop", since=NOW))
        await transaction.save(change_of(held, NOW, "HaltOpened", "stop", actor="key:ada"))

    await at(0, body)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE units_of_work SET attributes = '{}' WHERE id = 'halt:fleet'",
        "UPDATE units_of_work SET attributes = 'no JSON' WHERE id = 'halt:fleet'",
        "UPDATE units_of_work SET status = 'closed' WHERE id = 'halt:fleet'",
        "UPDATE units_of_work SET attributes = replace(attributes, 'key:ada', 'key:eve') WHERE id = 'halt:fleet'",
        "DELETE FROM units_of_work WHERE id = 'halt:fleet'",
    ],
)
def test_a_row_that_somebody_has_put_there_lets_nothing_through(tmp_path: Path, statement: str) -> None:
    async def scene(engine: Any, at: Any) -> None:
        await hold(at)
        assert "fleet was halted by key:ada" in refusal(await look(at))
        async with engine.begin() as connection:
            await connection.run_sync(guards.remove)
            await connection.execute(text(statement))
        assert refusal(await look(at)) == "the breaker of fleet cannot be read"

        async def claim(transaction: SqlTransaction) -> str:
            await transaction.reserve(
                Intervention(
                    incident="inc_1",
                    service="shop",
                    playbook="fix",
                    fingerprint="problem",
                    actions=1,
                    counted_from=NOW,
                )
            )
            return await stopping(transaction, "inc_1")

        assert await at(2, claim) == "halt: the breaker of fleet cannot be read"

    on_store(tmp_path, scene)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"scope": 7},
        {"scope": {"kind": "fleet", "name": ""}, "failures": "many"},
        to_data(Breaker(scope=SHOP)),
    ],
)
def test_a_breaker_in_a_form_of_another_time_lets_nothing_through(
    tmp_path: Path, attributes: dict[str, Any]
) -> None:
    async def scene(_engine: Any, at: Any) -> None:
        async def body(transaction: SqlTransaction) -> None:
            await transaction.save(
                Change(
                    unit=unit_of(FLEET),
                    kind="halt",
                    incident="",
                    status="closed",
                    attributes=attributes,
                    event="HaltClosed",
                    actor="penelope",
                    reason="",
                )
            )

        await at(0, body)
        assert refusal(await look(at)) == "the breaker of fleet cannot be read"

    on_store(tmp_path, scene)


def test_what_ends_is_not_held_up_by_a_breaker_that_cannot_be_read(tmp_path: Path) -> None:
    async def scene(engine: Any, at: Any) -> None:
        await hold(at)
        async with engine.begin() as connection:
            await connection.execute(
                text("UPDATE units_of_work SET attributes = '{}' WHERE id = 'halt:fleet'")
            )

        async def ends(transaction: SqlTransaction) -> Any:
            await transaction.reserve(
                Intervention(
                    incident="inc_1",
                    service="shop",
                    playbook="fix",
                    fingerprint="problem",
                    actions=1,
                    counted_from=NOW,
                )
            )
            failed = replace(outcome("inc_1", 2, "fix"), kind=OutcomeKind.ESCALATED, verified=False)
            await transaction.save(*await settle(transaction, THREE, incident(), failed))
            return (await breakers(transaction, [SHOP]))[SHOP]

        counted = await at(2, ends)
        assert [failure.kind for failure in counted.failures] == [FailureKind.FAILED]

    on_store(tmp_path, scene)


def test_a_plan_that_no_gate_let_through_does_nothing(tmp_path: Path) -> None:
    async def scene(_engine: Any, at: Any) -> None:
        why = await at(0, lambda transaction: stopping(transaction, "inc_of_nobody"))
        assert why == "halt: nothing shows that the gate let this plan through"

    on_store(tmp_path, scene)


def test_a_breaker_s_row_cannot_be_written_anew_over_its_history(tmp_path: Path) -> None:
    """Deleting the row and starting over would forget every failure."""

    async def scene(engine: Any, at: Any) -> None:
        await hold(at)
        async with engine.begin() as connection:
            await connection.execute(text("DELETE FROM units_of_work WHERE id = 'halt:fleet'"))

        async def anew(transaction: SqlTransaction) -> None:
            closed = Breaker(scope=FLEET)
            await transaction.save(change_of(closed, NOW, "HaltClosed", "nothing happened"))

        with pytest.raises(Exception, match="another writer was first"):
            await at(1, anew)
        assert refusal(await look(at)) == "the breaker of fleet cannot be read"

    on_store(tmp_path, scene)
