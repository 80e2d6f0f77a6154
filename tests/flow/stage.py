"""A whole Penelope on fakes: the real engine, store and rooms; only adapters and figures follow a script."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penelope.domain.action import Action, Effect, Snapshot, Tier
from penelope.domain.analysis import AnalysisSpec
from penelope.domain.asking import AskingPolicy
from penelope.domain.autonomy import Level
from penelope.domain.benchmark import Benching
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.deployment import Course
from penelope.domain.deployment import Stage as Portion
from penelope.domain.halt import ScopeKind
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.plan import Match, Playbook, StepTemplate
from penelope.domain.rollout import RolloutLimits
from penelope.domain.service import (
    CounterQuery,
    ErrorSelector,
    HistogramQuery,
    MetricQueries,
    Objective,
    RouterReference,
    Service,
    Target,
)
from penelope.domain.signal import Severity, Signal, SignalStatus, problem_fingerprint
from penelope.domain.work import Entry
from penelope.flow.commands import Commands
from penelope.flow.deployments import DeploymentDesk
from penelope.flow.engine import Engine, EngineSettings, Pool, Story
from penelope.flow.halting import DEFAULTS, Brakes
from penelope.flow.parts import NothingAround, Parts, Timing
from penelope.flow.remediation import chapters, story
from penelope.flow.wisdom import NoRecall, Recall
from penelope.kit.clock import Clock, SystemClock
from penelope.rooms.context.ports import ContextReader
from penelope.rooms.decide.run import Limits as DecideLimits
from penelope.rooms.gate.approval import ApprovalRule
from penelope.rooms.gate.autonomy import AutonomyRule
from penelope.rooms.gate.halt import Halt
from penelope.rooms.gate.rate import Rate
from penelope.rooms.gate.rules import Rule
from penelope.rooms.intake.run import Rules
from penelope.rooms.learn.autonomy import Policy
from penelope.rooms.plan.ports import Twin
from penelope.rooms.rollout.ports import ArmCounter
from penelope.rooms.verify.ports import Prober
from penelope.store.database import migrate, open_engine, open_reader, open_workflow_engine, parse_url
from penelope.store.deployments import SqlDeployments
from penelope.store.reader import SqlReader
from penelope.store.transaction import SqlTransaction
from penelope.store.verification import SqlVerification
from penelope.testing.actions import FakeAction, Mood
from penelope.testing.counts import FakeCounter
from penelope.testing.metrics import FakeMetrics, Figures, figures
from penelope.testing.routers import FakeRouter

PATIENCE_SECONDS = 180.0

BAD = Figures(arms={"a": figures(100, 30, 0.6), "b": figures(100, 30, 0.6)})
GOOD = Figures(arms={"a": figures(100, 0, 0.02), "b": figures(100, 0, 0.02)})

DECIDE = DecideLimits(risk_limit=0.7, confidence_floor=0.4, observe_seconds=2.0, recheck_seconds=0.1)
HALT = Halt()
RATE = Rate(
    actions=dict.fromkeys((ScopeKind.SERVICE, ScopeKind.PLAYBOOK, ScopeKind.FLEET), 100), window_seconds=3600
)
APPROVAL = ApprovalRule(tier=Tier.HARD_TO_REVERSE)
AUTONOMY = AutonomyRule(low_risk=0.3)
GATE: Sequence[Rule] = (HALT, RATE, AUTONOMY, APPROVAL)
POLICY = Policy(start=Level.AUTONOMOUS)
TIMING = Timing(window_seconds=60, verify_poll_seconds=0.05, approval_expires_seconds=60)


def shop() -> Service:
    """A service with two instances, a router and one target."""
    return Service(
        name="shop",
        owner="team-shop",
        tier=2,
        objectives=(Objective(name="availability", metric="error_ratio", at_most=0.02),),
        metrics=MetricQueries(
            source="fake",
            instances={"a": "http://a", "b": "http://b"},
            requests=CounterQuery(counter="requests_total"),
            errors=ErrorSelector(label="code", pattern="5.."),
            latency=HistogramQuery(histogram="seconds"),
        ),
        router=RouterReference(kind="fake", options={}, arms={"a": "shop-a", "b": "shop-b"}),
        targets={
            name: Target(name=name, service="shop", adapter="fake", options={"password": "never-stored"})
            for name in ("one", "two")
        },
    )


def step(name: str, target: str = "one", **changes: Any) -> StepTemplate:
    template = StepTemplate(
        name=name,
        adapter="fake",
        operation="set",
        target=target,
        params={"value": name},
        tier=Tier.SNAPSHOT,
        timeout_seconds=2.0,
    )
    return replace(template, **changes)


def state_is(value: str, seconds: float = 1.0) -> Contract:
    clause = Clause(subject="state.value", comparator=Comparator.EQUALS, expected=value)
    return Contract(clauses=(clause,), deadline_seconds=seconds)


def healthy(seconds: float = 1.0) -> Contract:
    clause = Clause(subject="metric.error_ratio", comparator=Comparator.AT_MOST, expected=0.02)
    return Contract(clauses=(clause,), deadline_seconds=seconds)


def playbook(**changes: Any) -> Playbook:
    made = Playbook(
        name="fix",
        version="1",
        title="Fix it",
        match=Match(names=("Broken",)),
        steps=(step("first", expect=state_is("first")), step("second", "two")),
        verify=healthy(),
    )
    return replace(made, **changes)


def signal(number: int = 1, **changes: Any) -> Signal:
    """One of many observations of the same problem, unless it is told otherwise."""
    now = datetime.now(UTC)
    made = Signal(
        source="test",
        id=f"signal-{number}",
        service="shop",
        name="Broken",
        severity=Severity.CRITICAL,
        status=SignalStatus.FIRING,
        starts_at=now,
        received_at=now,
        fingerprint="",
        labels={"alertname": "Broken"},
    )
    made = replace(made, **changes)
    return replace(made, fingerprint=problem_fingerprint(made.service, made.name))


class Library:
    """The playbooks of a test."""

    def __init__(self, *playbooks: Playbook) -> None:
        self._playbooks = playbooks

    def playbooks(self) -> tuple[Playbook, ...]:
        return self._playbooks


class NoChanges:
    async def changes(self, target: Target) -> dict[str, Any]:  # noqa: ARG002 - of no target is anything known
        return {}


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def entry_recorded(self, entry: Entry) -> None:
        self.entries.append(entry)


@dataclass
class Stage:
    """What a test works with. `adapter` is the world that actions change."""

    commands: Commands
    reader: SqlReader
    verification: SqlVerification
    engine: Engine
    database: AsyncEngine
    parts: Parts
    adapter: FakeAction
    router: FakeRouter
    metrics: FakeMetrics
    heard: Heard
    deployments: DeploymentDesk

    async def until(self, incident: str, *states: IncidentState) -> Incident:
        """The incident, once it is in one of these states (any ended one by default)."""
        wanted = states or tuple(state for state in IncidentState if state.ended)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = await self.reader.incident(incident)
                if found is not None and found.state in wanted:
                    return found
                await asyncio.sleep(0.02)

    async def heard_of(self, incident: str, event: str, *, times: int = 1) -> None:
        """Waits until the incident's history has so many entries of an event."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await self.events(incident)).count(event) < times:  # noqa: ASYNC110 - another process may write it
                await asyncio.sleep(0.02)

    async def events(self, incident: str) -> list[str]:
        return [entry.event for entry in await self.reader.entries(incident=incident, after=0, limit=1000)]

    async def flaws(self) -> list[Any]:
        return [flaw async for flaw in self.verification.flaws()]


@dataclass(frozen=True)
class Script:
    """What is special about a test's Penelope."""

    playbooks: Sequence[Playbook] = field(default_factory=lambda: (playbook(),))
    decide: DecideLimits = DECIDE
    gate: Sequence[Rule] = GATE
    timing: Timing = TIMING
    autonomy: Policy = POLICY
    brakes: Brakes = DEFAULTS
    services: Sequence[Service] = field(default_factory=lambda: (shop(),))
    adapter: FakeAction = field(default_factory=FakeAction)
    router: FakeRouter = field(default_factory=FakeRouter)
    clock: Clock = field(default_factory=SystemClock)
    wisdom: Recall = field(default_factory=NoRecall)
    asking: AskingPolicy = field(default_factory=AskingPolicy)
    tell: Callable[[Engine, Parts], Story] = story
    probers: Mapping[str, Prober] = field(default_factory=dict)
    benching: Benching = field(default_factory=Benching)
    twin: Twin | None = None
    counter: ArmCounter | None = None
    surroundings: ContextReader = field(default_factory=NothingAround)


@asynccontextmanager
async def performing(databases: tuple[str, str], script: Script | None = None) -> AsyncIterator[Stage]:
    """Penelope on a database and an engine database; start it again on the same ones to see what survives."""
    script = script or Script()
    clock = script.clock
    metrics = FakeMetrics(clock)
    metrics.script("shop", BAD)
    parts = Parts(
        services={service.name: service for service in script.services},
        playbooks=Library(*script.playbooks),
        metrics=metrics,
        changes=NoChanges(),
        adapters={"fake": script.adapter},
        routers={"fake": script.router},
        clock=clock,
        decide=script.decide,
        gate=script.gate,
        timing=script.timing,
        autonomy=script.autonomy,
        wisdom=script.wisdom,
        brakes=script.brakes,
        asking=script.asking,
        probers=script.probers,
        benching=script.benching,
        twin=script.twin,
        surroundings=script.surroundings,
        counter=FakeCounter(clock, script.router) if script.counter is None else script.counter,
    )

    def transaction(connection: AsyncConnection) -> SqlTransaction:
        return SqlTransaction(connection, clock.now())

    async with AsyncExitStack() as stack:
        writer, reading = open_engine(parse_url(databases[0])), open_reader(parse_url(databases[0]))
        workflows = open_workflow_engine(parse_url(databases[1]))
        stack.callback(workflows.dispose)
        stack.push_async_callback(reading.dispose)
        stack.push_async_callback(writer.dispose)
        await migrate(writer)
        heard = Heard()
        engine = Engine(
            writer,
            workflows,
            transaction,
            heard,
            EngineSettings(
                executor_id="test", poll_seconds=0.02, stop_seconds=1, pool=Pool(poll_seconds=0.02)
            ),
        )
        await engine.launch(script.tell(engine, parts), chapters(engine, parts))
        stack.push_async_callback(engine.stop)
        yield Stage(
            commands=Commands(engine, Rules(hold_seconds=3600), script.autonomy),
            reader=SqlReader(reading),
            verification=SqlVerification(reading),
            engine=engine,
            database=writer,
            parts=parts,
            adapter=script.adapter,
            router=script.router,
            metrics=metrics,
            heard=heard,
            deployments=DeploymentDesk(engine, SqlDeployments(reading), parts.services),
        )


def canary(
    steps: Sequence[int] = (10, 100), *, max_seconds: float = 5.0, manual: bool = False, **analysis: Any
) -> Course:
    stages = (Portion(weight=weight, max_seconds=max_seconds, manual=manual) for weight in steps)
    limits = RolloutLimits(min_requests=10)
    asked = AnalysisSpec(limits=limits, silence_seconds=max_seconds, negligible_error_ratio=0.05)
    return Course(
        canary="b",
        control="a",
        stages=tuple(stages),
        interval_seconds=0.05,
        analysis=replace(asked, **analysis),
    )


def play(databases: tuple[str, str], scene: Callable[[Stage], Awaitable[None]], **script: Any) -> None:
    """One scene on a fresh stage."""

    async def run() -> None:
        async with performing(databases, Script(**script)) as stage:
            await scene(stage)

    asyncio.run(run())


async def begin(stage: Stage, *signals: Signal) -> str:
    """The incident that these signals (by default one) open."""
    receipt = await stage.commands.receive_signals(signals or [signal()])
    assert len(receipt.opened) == 1
    return receipt.opened[0]


class Moody(FakeAction):
    """Fails, hangs or loses its answer at the actions with these names, and `stubborn` ones cannot be taken back.

    `history` tells in order what was tried.
    """

    def __init__(self, moods: Mapping[str, Mood], *, stubborn: Collection[str] = ()) -> None:
        super().__init__()
        self.moods = moods
        self.stubborn = stubborn
        self.history: list[str] = []

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        self.history.append(f"do {action.name}")
        self.mood = self.moods.get(action.name, Mood.WELL)
        try:
            return await super().execute(action, snapshot)
        finally:
            self.mood = Mood.WELL

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        self.history.append(f"undo {action.name}")
        self.mood = Mood.FAILS if action.name in self.stubborn else Mood.WELL
        try:
            return await super().compensate(action, snapshot)
        finally:
            self.mood = Mood.WELL
