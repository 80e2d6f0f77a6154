"""The waiting loop of a canary: shifts traffic, waits, looks, records; what a look means the room says."""

from dataclasses import replace
from datetime import datetime

from penelope.domain.metrics import Reading
from penelope.domain.plan import Plan
from penelope.domain.rollout import ArmFigures, Look, RolloutSpec, Step
from penelope.domain.work import Change
from penelope.errors import DependencyError, PenelopeError
from penelope.flow import records
from penelope.flow.engine import Engine
from penelope.flow.halting import stopping
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.rooms.rollout.run import judge, next_weight


class Canary:
    """One rollout of one plan."""

    def __init__(self, engine: Engine, parts: Parts, plan: Plan, spec: RolloutSpec) -> None:
        self._engine = engine
        self._parts = parts
        self._plan = plan
        self._spec = spec
        self._service = parts.service(plan.service)
        self.stopped = False
        """Whether a halt ended it."""

    @property
    def name(self) -> str:
        """The arm that takes traffic step by step."""
        return self._spec.canary

    async def run(self) -> str:
        """Promotes the canary through all weights, or takes its traffic away; returns why not, or nothing."""
        weight: int | None = self._spec.steps[0]
        while weight is not None:
            started_at = await self._shift(weight, "TrafficShifted", f"{weight} % to {self._spec.canary}")
            if started_at is None:
                return await self._give_up(weight, "traffic could not be shifted")
            look = await self._watch(weight, started_at)
            if look.step is Step.ROLLBACK:
                return await self._give_up(weight, "; ".join(look.reasons))
            weight = next_weight(self._spec, weight)
        await self._record(self._spec.steps[-1], "promoted", "RolloutPromoted", "every step was good")
        return ""

    async def _watch(self, weight: int, started_at: datetime) -> Look:
        looks: list[Look] = []
        while True:
            await self._engine.pause(self._spec.interval_seconds)
            found = await self._engine.step(
                f"look at {weight} %", lambda: self._look(weight, looks, started_at)
            )
            look = from_data(Look, found)
            self.stopped = look.halted
            looks.append(look)
            await self._record(weight, look.step.value, "CanaryLooked", "; ".join(look.reasons), look)
            if look.step is not Step.HOLD:
                return look

    async def _look(self, weight: int, looks: list[Look], started_at: datetime) -> Json:
        reading: Reading | None = None
        now = self._parts.clock.now()
        try:
            elapsed = (now - started_at).total_seconds()
            reading = await self._parts.metrics.read_since(self._service, started_at, elapsed)
        except DependencyError:
            pass  # silence is judged, too
        look = judge(self._spec, weight, looks, reading, step_started_at=started_at, now=now)
        if why := await self._engine.transaction("halt", self._halted):
            look = replace(look, step=Step.ROLLBACK, reasons=(why,), halted=True)
        return to_data(look)

    async def _halted(self, transaction: Transaction) -> Json:
        return await stopping(transaction, self._plan.incident)

    async def _give_up(self, weight: int, reason: str) -> str:
        if await self._shift(0, "RolloutRolledBack", reason) is None:
            reason = f"{reason}; and its traffic of {weight} % could not be taken away"
            await self._record(weight, "stuck", "RolloutStuck", reason)
        return reason

    async def _shift(self, weight: int, event: str, reason: str) -> datetime | None:
        """Puts a weight in force and records it; None when the router does not obey."""
        trouble = await self._engine.step(f"shift to {weight} %", lambda: self._set(weight))
        if isinstance(trouble, dict):
            self.stopped = True
        if trouble:
            return None
        status = "rolled_back" if event == "RolloutRolledBack" else "shifted"
        return await self._record(weight, status, event, reason)

    async def _set(self, weight: int) -> Json:
        """Empty when it was done; else why not, as an object where a halt forbids it. Nothing forbids taking it away."""
        if weight and (why := await self._engine.transaction("halt", self._halted)):
            return {"halted": why}
        arms = self._service.router.arms if self._service.router else {}
        weights = dict.fromkeys(arms, 0) | {self._spec.canary: weight, self._spec.control: 100 - weight}
        try:
            await self._parts.router(self._service).set_weights(self._service, weights)
        except PenelopeError as error:
            return error.message
        return ""

    async def _record(
        self, weight: int, status: str, event: str, reason: str, look: Look | None = None
    ) -> datetime:
        details: dict[str, Json] = {"weight": weight}
        if look is not None:
            details |= {
                "step": look.step.value,
                "canary": _figures(look.canary),
                "control": _figures(look.control),
            }
        change = Change(
            unit=f"{self._plan.id}:rollout",
            kind="rollout",
            incident=self._plan.incident,
            status=status,
            attributes={
                "plan": self._plan.id,
                "spec": to_data(self._spec),
                "weight": weight,
                "reason": reason,
                "look": None if look is None else to_data(look),
            },
            event=event,
            actor=records.PENELOPE,
            reason=reason,
            details=details,
        )

        async def body(transaction: Transaction) -> Json:
            await transaction.save(change)
            return transaction.now().isoformat()

        return datetime.fromisoformat(await self._engine.transaction(f"{event} at {weight} %", body))


def _figures(arm: ArmFigures | None) -> Json:
    return None if arm is None else to_data(arm)
