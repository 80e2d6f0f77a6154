"""Budgets under any sequence of plans, endings and waiting, on a real store, against a plain list of what was begun."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from penelope.domain.action import Action, Tier
from penelope.domain.contract import Contract
from penelope.domain.gate import Ruling
from penelope.domain.halt import ScopeKind
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.outcome import OutcomeKind
from penelope.domain.plan import Plan
from penelope.domain.service import Target
from penelope.domain.signal import Severity
from penelope.flow import records
from penelope.flow.ending import Ending, end
from penelope.flow.halting import Brakes, let_through, seen_by_gate
from penelope.rooms.gate.rate import Rate
from penelope.store.database import migrate, open_engine, parse_url
from penelope.store.transaction import SqlTransaction
from penelope.testing.gate import passage

START = datetime(2026, 11, 21, 7, tzinfo=UTC)
WINDOW = 100
MOST = {ScopeKind.SERVICE: 4, ScopeKind.PLAYBOOK: 6, ScopeKind.FLEET: 9}
AT_ONCE = {ScopeKind.PLAYBOOK: 2, ScopeKind.FLEET: 3}
RATE = Rate(actions=MOST, window_seconds=WINDOW)
BRAKES = Brakes(running=AT_ONCE, rate_seconds=WINDOW)


@dataclass
class Begun:
    """What the model keeps of a plan that was let through."""

    plan: Plan
    at: int
    running: bool = True

    def counts_for(self, kind: ScopeKind, plan: Plan) -> bool:
        same = {
            ScopeKind.SERVICE: self.plan.service == plan.service,
            ScopeKind.PLAYBOOK: self.plan.playbook == plan.playbook,
        }
        return same.get(kind, True)


def incident_of(plan: Plan, state: IncidentState) -> Incident:
    return Incident(
        id=plan.incident,
        service=plan.service,
        fingerprint=plan.incident,
        name="Broken",
        severity=Severity.ERROR,
        state=state,
        opened_at=START,
        updated_at=START,
        signal_count=1,
    )


def plan_of(number: int, service: str, playbook: str, steps: int) -> Plan:
    action = Action(
        key="k",
        name="restart",
        adapter="fake",
        operation="set",
        target=Target(name="one", service=service, adapter="fake"),
        params={},
        tier=Tier.LOCAL,
        timeout_seconds=1,
    )
    return Plan(
        id=f"plan-{number}",
        incident=f"inc_{number}",
        service=service,
        playbook=playbook,
        playbook_version="1",
        steps=(action,) * steps,
        verify=Contract(clauses=(), deadline_seconds=1),
    )


class Budgets(RuleBasedStateMachine):
    """Plans of few services and playbooks ask; whatever the gate says is held against the list."""

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="penelope-rate-"))
        self.engine = open_engine(parse_url(f"sqlite:///{self.folder}/penelope.db"))
        self.runner.run(migrate(self.engine))
        self.now = 0
        self.begun: list[Begun] = []

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.engine.dispose())
            self.runner.close()
            shutil.rmtree(self.folder)

    def _commit(self, body: Callable[[SqlTransaction], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            async with self.engine.begin() as connection:
                return await body(SqlTransaction(connection, START + timedelta(seconds=self.now)))

        return self.runner.run(run())

    def _ask(self, plan: Plan) -> str:
        """``go``, ``wait`` or ``refuse``; in one transaction with what follows from it."""

        async def body(transaction: SqlTransaction) -> str:
            incident = incident_of(plan, IncidentState.RECEIVED)
            seen = await seen_by_gate(transaction, BRAKES, incident, plan)
            asked = replace(passage(plan, transaction.now(), **seen), incident=incident)
            if RATE.check(asked).ruling is Ruling.REFUSE:
                return "refuse"
            if BRAKES.crowd(asked.usage):
                return "wait"
            acting = incident_of(plan, IncidentState.ACTING)
            changes = await let_through(transaction, asked)
            await transaction.save(*changes, records.of_incident(acting, "InterventionBegun", ""))
            return "go"

        return str(self._commit(body))

    def _expected(self, plan: Plan) -> str:
        recent = [item for item in self.begun if item.running or self.now - item.at <= WINDOW]
        for kind, most in MOST.items():
            done = sum(len(item.plan.steps) for item in recent if item.counts_for(kind, plan))
            if done + len(plan.steps) > most:
                return "refuse"
        for kind, most in AT_ONCE.items():
            if sum(item.running for item in self.begun if item.counts_for(kind, plan)) >= most:
                return "wait"
        return "go"

    @rule(
        service=st.sampled_from(["shop", "bakery", "smithy"]),
        playbook=st.sampled_from(["fix", "mend"]),
        steps=st.integers(1, 3),
        again=st.booleans(),
    )
    def a_plan_asks(self, service: str, playbook: str, steps: int, *, again: bool) -> None:
        plan = plan_of(len(self.begun), service, playbook, steps)
        answer = self._ask(plan)
        assert answer == self._expected(plan)
        if answer != "go":
            return
        if again:
            # After a crash it is asked anew: what it reserved itself does not stand in its way, nor count twice.
            assert self._ask(plan) == "go"
        self.begun.append(Begun(plan=plan, at=self.now))

    @precondition(lambda self: any(item.running for item in self.begun))
    @rule(data=st.data(), state=st.sampled_from([IncidentState.HEALED, IncidentState.ESCALATED]))
    def one_ends(self, data: st.DataObject, state: IncidentState) -> None:
        ending = data.draw(st.sampled_from([item for item in self.begun if item.running]))
        ending.running, ending.at = False, self.now
        ended = Ending(
            kind=OutcomeKind(state.value), reason="", playbook=ending.plan.playbook, acted=True, stopped=True
        )

        async def body(transaction: SqlTransaction) -> None:
            acting = incident_of(ending.plan, IncidentState.ACTING)
            await transaction.save(*await end(transaction, acting, ended, BRAKES))

        self._commit(body)

    @rule(seconds=st.integers(1, 60))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds


TestBudgets = Budgets.TestCase
TestBudgets.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
