"""Two workers on one PostgreSQL at once: never a second trial, never over a budget, no failure lost, no late claim."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from committing import Body, commit, decided
from sqlalchemy.ext.asyncio import AsyncEngine
from stage import APPROVAL, BAD, DECIDE, HALT, RATE, TIMING, Library, NoChanges, playbook, shop, step

from penelope.domain.evidence import Dossier
from penelope.domain.halt import FLEET, Breaker, Scope, ScopeKind, Trip
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.outcome import OutcomeKind
from penelope.domain.plan import Match
from penelope.domain.service import Target
from penelope.domain.signal import Severity
from penelope.flow import records
from penelope.flow.assessment import Assessment, Next
from penelope.flow.deciding import assess
from penelope.flow.ending import Ending, end
from penelope.flow.halting import DEFAULTS, Brakes, breakers, change_of, stopping
from penelope.flow.parts import Parts
from penelope.flow.switching import HaltSwitch, Order
from penelope.rooms.gate.rules import Rule
from penelope.store.database import migrate, open_engine, parse_url
from penelope.store.transaction import SqlTransaction
from penelope.testing.actions import FakeAction
from penelope.testing.clock import FakeClock
from penelope.testing.metrics import FakeMetrics

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
INCIDENTS = 12
SURE = replace(DECIDE, confidence_floor=0.0, risk_limit=1.0)
FIX = Scope(kind=ScopeKind.PLAYBOOK, name="fix")


@dataclass(frozen=True)
class Worker:
    """A process as far as the database can tell: connections of its own; what collides is made again."""

    database: AsyncEngine

    async def transaction(self, name: str, body: Body) -> Any:  # noqa: ARG002 - as the engine has it
        return await commit(self.database, NOW, body)

    async def guarded(self, name: str, body: Body) -> Any:  # noqa: ARG002 - as the engine has it
        return await commit(self.database, NOW, body, "READ COMMITTED")


@asynccontextmanager
async def two_workers(url: str) -> AsyncIterator[tuple[Worker, Worker]]:
    one, two = (open_engine(parse_url(url)) for _ in range(2))
    try:
        await migrate(one)
        yield Worker(one), Worker(two)
    finally:
        await one.dispose()
        await two.dispose()


def parts(gate: Sequence[Rule] = (HALT, RATE, APPROVAL), brakes: Brakes = DEFAULTS) -> Parts:
    names = [f"shop-{number}" for number in range(INCIDENTS)]
    metrics = FakeMetrics(FakeClock())
    for name in names:
        metrics.script(name, BAD)
    return Parts(
        services={
            name: replace(
                shop(), name=name, targets={"one": Target(name="one", service=name, adapter="fake")}
            )
            for name in names
        },
        playbooks=Library(playbook(match=Match(), steps=(step("first"), step("second")))),
        metrics=metrics,
        changes=NoChanges(),
        adapters={"fake": FakeAction()},
        routers={},
        clock=FakeClock(NOW),
        decide=SURE,
        gate=gate,
        timing=TIMING,
        brakes=brakes,
    )


def incident(number: int) -> Incident:
    return Incident(
        id=f"inc_{number:02}",
        service=f"shop-{number}",
        fingerprint=f"problem-{number}",
        name="Broken",
        severity=Severity.CRITICAL,
        state=IncidentState.RECEIVED,
        opened_at=NOW,
        updated_at=NOW,
        signal_count=1,
    )


async def assessed(workers: Sequence[Worker], given: Parts) -> list[Assessment]:
    """All incidents, at once, by both workers in turn."""

    async def opening(transaction: SqlTransaction) -> None:
        await transaction.save(
            *(records.of_incident(incident(number), "IncidentOpened", "") for number in range(INCIDENTS))
        )

    await workers[0].transaction("open", opening)

    def one(number: int) -> Awaitable[Assessment]:
        dossier = Dossier(service=f"shop-{number}", gathered_at=NOW, evidence=())
        return decided(
            workers[number % 2],
            given,
            lambda transaction: assess(transaction, given, f"inc_{number:02}", dossier),
        )

    return list(await asyncio.gather(*map(one, range(INCIDENTS))))


async def breaker(worker: Worker, scope: Scope) -> Breaker:
    async def look(transaction: SqlTransaction) -> Breaker | None:
        return (await breakers(transaction, [scope]))[scope]

    found = await worker.transaction("look", look)
    assert isinstance(found, Breaker)
    return found


def play(url: str, scene: Callable[[tuple[Worker, Worker]], Awaitable[None]]) -> None:
    async def run() -> None:
        async with two_workers(url) as workers:
            await scene(workers)

    asyncio.run(run())


@pytest.mark.parametrize("scope", [FLEET, FIX], ids=lambda scope: scope.label)
def test_of_many_that_ask_at_once_one_has_the_trial(postgres: str, scope: Scope) -> None:
    async def scene(workers: tuple[Worker, Worker]) -> None:
        async def trip(transaction: SqlTransaction) -> None:
            since = NOW - timedelta(hours=2)
            tripped = Breaker(scope=scope, trip=Trip(since=since, until=NOW - timedelta(hours=1)))
            await transaction.save(change_of(tripped, since, "HaltOpened", "a test"))

        await workers[0].transaction("trip", trip)
        answers = await assessed(workers, parts())
        (trial,) = [answer for answer in answers if answer.next is Next.ACT]
        assert trial.plan is not None
        assert all(
            f"incident {trial.plan.incident} is its trial" in answer.reason
            for answer in answers
            if answer is not trial
        )
        held = (await breaker(workers[1], scope)).trip
        assert held is not None
        assert held.trial == trial.plan.incident

    play(postgres, scene)


@pytest.mark.parametrize("kind", [ScopeKind.PLAYBOOK, ScopeKind.FLEET])
def test_a_budget_of_actions_is_never_exceeded(postgres: str, kind: ScopeKind) -> None:
    async def scene(workers: tuple[Worker, Worker]) -> None:
        rate = replace(RATE, actions={kind: 7})
        answers = await assessed(workers, parts((HALT, rate, APPROVAL)))
        nexts = [answer.next for answer in answers]
        # Two actions each: three plans fit into seven.
        assert (nexts.count(Next.ACT), nexts.count(Next.ESCALATE)) == (3, INCIDENTS - 3)

    play(postgres, scene)


@pytest.mark.parametrize("kind", [ScopeKind.PLAYBOOK, ScopeKind.FLEET])
def test_no_more_interventions_at_once_than_allowed(postgres: str, kind: ScopeKind) -> None:
    async def scene(workers: tuple[Worker, Worker]) -> None:
        answers = await assessed(workers, parts(brakes=Brakes(running={kind: 4})))
        nexts = [answer.next for answer in answers]
        assert (nexts.count(Next.ACT), nexts.count(Next.OBSERVE)) == (4, INCIDENTS - 4)

    play(postgres, scene)


def test_failures_at_once_are_each_counted_once(postgres: str) -> None:
    async def scene(workers: tuple[Worker, Worker]) -> None:
        answers = await assessed(workers, parts())
        assert {answer.next for answer in answers} == {Next.ACT}

        def fail(number: int) -> Awaitable[None]:
            async def body(transaction: SqlTransaction) -> None:
                found = await records.incident_of(transaction, f"inc_{number:02}")
                reason = "its contract failed"
                ending = Ending(kind=OutcomeKind.ESCALATED, reason=reason, playbook="fix", acted=True)
                await transaction.save(*await end(transaction, found, ending))

            return workers[number % 2].transaction("finish", body)

        await asyncio.gather(*map(fail, range(INCIDENTS)))
        for scope in (FLEET, FIX):
            failures = [failure.incident for failure in (await breaker(workers[0], scope)).failures]
            assert sorted(failures) == [f"inc_{number:02}" for number in range(INCIDENTS)]

    play(postgres, scene)


def test_no_claim_is_committed_once_the_switch_has_returned(postgres: str) -> None:
    async def scene(workers: tuple[Worker, Worker]) -> None:
        await assessed(workers, parts())
        claimed: list[int] = []

        def claim(number: int, step_number: int) -> Awaitable[None]:
            name = f"inc_{number:02}"

            async def body(transaction: SqlTransaction) -> bool:
                if await stopping(transaction, name):
                    return False
                await transaction.claim(f"{name}:{step_number}", name, f"shop-{number}")
                return True

            return workers[0].guarded("claim", body)

        async def act(number: int) -> None:
            for step_number in range(50):
                if not await claim(number, step_number):
                    return
                claimed.append(number)

        async def how_many(transaction: SqlTransaction) -> int:
            keys = [(number, item) for number in range(INCIDENTS) for item in range(50)]
            counts = [await transaction.attempts(f"inc_{number:02}:{item}") for number, item in keys]
            return sum(counts)

        acting = [asyncio.create_task(act(number)) for number in range(INCIDENTS)]
        while len(claimed) < INCIDENTS:  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.001)
        switch = HaltSwitch(workers[1], (), lambda: ())  # type: ignore[arg-type]  # all that it asks of an engine
        await switch.open(Order(scope=FLEET, actor="key:ada", reason="a test"))
        begun = await workers[1].transaction("count", how_many)
        await asyncio.gather(*acting)
        assert await workers[1].transaction("count", how_many) == begun
        assert INCIDENTS <= begun < INCIDENTS * 50

    play(postgres, scene)
