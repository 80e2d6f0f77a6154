"""Carries one action through: snapshot, claim, execution, verification; and back, if it must."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from penelope.domain.action import Action, Effect, Snapshot
from penelope.errors import OutcomeUnknown, PenelopeError
from penelope.flow import records
from penelope.flow.checking import Question, verify
from penelope.flow.engine import Engine
from penelope.flow.halting import stopping
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.rooms.act.run import perform, undo


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An action that was tried. `trouble` is empty when it did what it said; `unknown` when nobody can tell.

    `touched` says that the target may have been changed, so that there is something to take back; `stopped` that a
    halt forbade it.
    """

    action: Action
    snapshot: Snapshot = field(default_factory=Snapshot)
    trouble: str = ""
    unknown: bool = False
    touched: bool = True
    stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """What became of an attempt, as it is stored: an effect, or an error."""

    attempt: int
    effect: Effect | None = None
    error: str = ""
    unknown: bool = False
    halted: bool = False


class Acting:
    """Acts for one incident."""

    def __init__(self, engine: Engine, parts: Parts, incident: str) -> None:
        self._engine = engine
        self._parts = parts
        self._incident = incident

    async def act(self, action: Action) -> Done:
        """Makes the action happen once, whatever crashes: an attempt is counted before anything is sent, and from
        the second one on the target is asked first what became of the one before.
        """
        taken = await self._engine.step(f"snapshot {action.name}", lambda: self._snapshot(action))
        if "error" in taken:
            await self._record(action, "failed", "ActionFailed", taken["error"], {})
            return Done(action=action, trouble=taken["error"], touched=False)
        done = Done(action=action, snapshot=from_data(Snapshot, taken["snapshot"]))
        await self._record(action, "prepared", "ActionPrepared", "what was there is remembered", taken)
        tried = from_data(
            _Tried, await self._engine.step(f"perform {action.name}", lambda: self._perform(done, taken))
        )
        if tried.halted:
            await self._record(action, "halted", "ActionHalted", tried.error, taken)
            return replace(done, trouble=tried.error, touched=tried.attempt > 0, stopped=True)
        ended_at = await self._record_end(action, tried, taken)
        if tried.effect is None:
            return replace(done, trouble=tried.error, unknown=tried.unknown)
        return await self._verified(done, ended_at)

    async def take_back(self, done: Done) -> str:
        """Compensates an action; returns what went wrong, or nothing."""
        undone = await self._engine.step(f"compensate {done.action.name}", lambda: self._undo(done))
        kept = {"snapshot": to_data(done.snapshot), **undone}
        if "error" in undone:
            await self._record(
                done.action, "compensation_failed", "CompensationFailed", undone["error"], kept
            )
            return f"{done.action.name}: {undone['error']}"
        await self._record(done.action, "compensated", "ActionCompensated", undone["effect"]["summary"], kept)
        return ""

    async def _snapshot(self, action: Action) -> dict[str, Json]:
        try:
            located = self._parts.located(action)
            return {"snapshot": to_data(await self._parts.adapter(located).snapshot(located))}
        except PenelopeError as error:
            return {"error": error.message}

    async def _perform(self, done: Done, kept: dict[str, Json]) -> Json:
        action = done.action

        async def claim(transaction: Transaction) -> Json:
            if why := await stopping(transaction, self._incident):
                # One that was begun before the process died may have taken effect: it is taken back like any other.
                attempts = await transaction.attempts(action.key)
                return to_data(_Tried(attempt=attempts, error=why, halted=True))
            attempt = await transaction.claim(action.key, self._incident, action.target.service)
            reason = "first attempt" if attempt == 1 else f"attempt {attempt}: the one before was interrupted"
            record = {**kept, "attempt": attempt}
            await transaction.save(
                records.of_action(action, self._incident, "started", "ActionStarted", reason, record=record)
            )
            return to_data(_Tried(attempt=attempt))

        # Committed by itself, before anything is sent: after a crash the attempt shows, and the target is probed.
        claimed = from_data(_Tried, await self._engine.transaction("claim", claim))
        if claimed.halted:
            return to_data(claimed)
        attempt = claimed.attempt
        try:
            located = self._parts.located(action)
            adapter = self._parts.adapter(located)
            effect = await perform(adapter, located, done.snapshot, first_attempt=attempt == 1)
        except PenelopeError as error:
            unknown = isinstance(error, OutcomeUnknown)
            return to_data(_Tried(attempt=attempt, error=error.message, unknown=unknown))
        return to_data(_Tried(attempt=attempt, effect=effect))

    async def _undo(self, done: Done) -> dict[str, Json]:
        try:
            located = self._parts.located(done.action)
            return {"effect": to_data(await undo(self._parts.adapter(located), located, done.snapshot))}
        except PenelopeError as error:
            return {"error": error.message}

    async def _record_end(self, action: Action, tried: _Tried, kept: dict[str, Json]) -> datetime:
        kept = {**kept, "attempt": tried.attempt}
        if tried.effect is not None:
            kept["effect"] = to_data(tried.effect)
            return await self._record(action, "done", "ActionDone", tried.effect.summary, kept)
        status, event = ("unknown", "ActionUnknown") if tried.unknown else ("failed", "ActionFailed")
        kept["error"] = tried.error
        return await self._record(action, status, event, tried.error, kept)

    async def _verified(self, done: Done, since: datetime) -> Done:
        action = done.action
        if action.contract is None:
            return done
        question = Question(
            unit=f"{action.key}:verdict",
            label=action.name,
            incident=self._incident,
            contract=action.contract,
            service=self._parts.service(action.target.service),
            since=since,
            action=action,
        )
        verdict = await verify(self._engine, self._parts, question)
        if verdict.passed:
            return done
        missed = ", ".join(item.clause.subject for item in verdict.drift)
        return replace(done, trouble=f"it did not do what it said ({missed})")

    async def _record(
        self, action: Action, status: str, event: str, reason: str, record: dict[str, Json]
    ) -> datetime:
        """Saves the action's new state; returns the moment that its entry bears."""
        change = records.of_action(action, self._incident, status, event, reason, record=record)

        async def body(transaction: Transaction) -> Json:
            await transaction.save(change)
            return transaction.now().isoformat()

        return datetime.fromisoformat(await self._engine.transaction(f"{event} {action.name}", body))
