"""Brakes where an assessment is made again, or comes late: nothing stays lent, and nothing goes uncounted."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from committing import decided
from stage import BAD, GATE, Stage, healthy, play, playbook, signal

from penelope.domain.gate import RuleVerdict, Ruling
from penelope.domain.halt import Breaker, FailureKind, Scope, ScopeKind, Trip
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.outcome import Outcome, OutcomeKind
from penelope.domain.plan import Match
from penelope.flow import records
from penelope.flow.assessment import Assessment, Next
from penelope.flow.deciding import assess
from penelope.flow.ending import Ending, finish
from penelope.flow.halting import breakers, change_of
from penelope.flow.parts import Parts
from penelope.kit.clock import SystemClock
from penelope.rooms.context.run import gather
from penelope.rooms.gate.rules import Request

Databases = tuple[str, str]
SHOP = Scope(kind=ScopeKind.SERVICE, name="shop")
FIX = Scope(kind=ScopeKind.PLAYBOOK, name="fix")
ANYTHING = playbook(match=Match(), verify=healthy(0.1))


class Hurried(SystemClock):
    """The system's clock, put forward as a test likes."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


class Waits:
    name = "waits"

    def check(self, request: Request) -> RuleVerdict:  # noqa: ARG002 - whatever is asked
        return RuleVerdict(rule=self.name, ruling=Ruling.WAIT, reason="not now")


def incident(stage: Stage, **changes: Any) -> Incident:
    seen, now = signal(), stage.parts.clock.now()
    made = Incident(
        id="inc_1",
        service="shop",
        fingerprint=seen.fingerprint,
        name=seen.name,
        severity=seen.severity,
        state=IncidentState.RECEIVED,
        opened_at=now,
        updated_at=now,
        signal_count=1,
    )
    return replace(made, **changes)


async def save(stage: Stage, *changes: Any) -> None:
    async def body(transaction: Any) -> None:
        await transaction.save(*changes)

    await stage.engine.transaction("save", body)


async def opened(stage: Stage, **changes: Any) -> str:
    """An incident whose story nobody tells: it is assessed by hand."""
    made = incident(stage, **changes)
    await save(stage, records.of_incident(made, "IncidentOpened", ""))
    return made.id


async def assessed(stage: Stage, name: str, parts: Parts | None = None) -> Assessment:
    now = stage.parts.clock.now()
    stage.metrics.script("shop", BAD)
    service = stage.parts.service("shop")
    dossier = await gather(service, stage.parts.metrics, stage.parts.changes, window_seconds=60, now=now)

    async def body(transaction: Any) -> Any:
        return await assess(transaction, parts or stage.parts, name, dossier)

    return await decided(stage.engine, parts or stage.parts, body)


async def breaker(stage: Stage, scope: Scope) -> Breaker:
    async def body(transaction: Any) -> Any:
        return (await breakers(transaction, [scope]))[scope]

    found: Any = await stage.engine.transaction("look", body)
    assert isinstance(found, Breaker)
    return found


def test_a_trial_that_was_given_before_a_crash_is_free_when_the_plan_then_waits(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        now = stage.parts.clock.now()
        tripped = Trip(since=now - timedelta(hours=2), until=now - timedelta(hours=1))
        await save(stage, change_of(Breaker(scope=FIX, trip=tripped), now, "HaltOpened", "a test"))
        name = await opened(stage)
        assert (await assessed(stage, name)).next is Next.ACT
        lent = (await breaker(stage, FIX)).trip
        assert lent is not None
        assert lent.trial == name
        # The process dies before the story knows, and by then there is something to wait for.
        assert (await assessed(stage, name, replace(stage.parts, gate=(*GATE, Waits())))).next is Next.OBSERVE
        assert (await breaker(stage, FIX)).trip == tripped
        assert (await assessed(stage, name)).next is Next.ACT
        assert (await breaker(stage, FIX)).trip == lent

    play(databases, scene, playbooks=[ANYTHING])


def test_a_plan_that_is_let_through_again_counts_from_then_on(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        name = await opened(stage)
        assert (await assessed(stage, name)).next is Next.ACT
        clock.ahead += timedelta(hours=2)
        assert (await assessed(stage, name)).next is Next.ACT
        await ended(stage, name)

        async def recent(transaction: Any) -> Any:
            return await transaction.usage("shop", "fix", "another", clock.now() - timedelta(hours=1))

        usage = await stage.engine.transaction("look", recent)
        assert usage.actions[ScopeKind.SERVICE] == len(ANYTHING.steps)

    clock = Hurried()
    play(databases, scene, playbooks=[ANYTHING], clock=clock)


async def ended(stage: Stage, name: str) -> None:
    """So that it is no longer under way."""
    now = stage.parts.clock.now()
    over = incident(stage, id=name, state=IncidentState.ESCALATED, ended_at=now)
    await save(stage, records.of_incident(over, "IncidentEscalated", ""))


def test_what_is_let_through_counts_until_its_end_is_a_window_ago(databases: Databases) -> None:
    """A story that goes on hours later, after a restart, acts then: it must not have left the window by that."""

    async def scene(stage: Stage) -> None:
        name = await opened(stage)
        assert (await assessed(stage, name)).next is Next.ACT
        clock.ahead += timedelta(hours=2)

        async def recent(transaction: Any) -> Any:
            return await transaction.usage("shop", "fix", "another", clock.now() - timedelta(hours=1))

        assert set((await stage.engine.transaction("look", recent)).actions.values()) == {2}
        ending = Ending(kind=OutcomeKind.ESCALATED, reason="", playbook="fix", acted=True)
        await finish(stage.engine, name, ending)
        clock.ahead += timedelta(minutes=59)
        assert set((await stage.engine.transaction("look", recent)).actions.values()) == {2}
        clock.ahead += timedelta(minutes=2)
        assert set((await stage.engine.transaction("look", recent)).actions.values()) == {0}

    clock = Hurried()
    play(databases, scene, playbooks=[ANYTHING], clock=clock)


def test_what_came_back_and_went_before_anybody_looked_is_a_relapse(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        now = stage.parts.clock.now()
        first = incident(stage, id="inc_0", state=IncidentState.HEALED, ended_at=now)
        await save(stage, records.of_incident(first, "IncidentHealed", ""))

        async def heal(transaction: Any) -> None:
            await transaction.add_outcome(
                Outcome(
                    incident=first.id,
                    service="shop",
                    kind=OutcomeKind.HEALED,
                    reason="",
                    acted=True,
                    ended_at=now,
                    total_seconds=1,
                    playbook="fix",
                    verified=True,
                )
            )

        await stage.engine.transaction("heal", heal)
        name = await opened(stage, resolved_at=stage.parts.clock.now())
        assert (await assessed(stage, name)).next is Next.RESOLVED
        for scope in (SHOP, FIX):
            (failure,) = (await breaker(stage, scope)).failures
            assert (failure.incident, failure.kind) == (first.id, FailureKind.RELAPSED)

    play(databases, scene, playbooks=[ANYTHING])
