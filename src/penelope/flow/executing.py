"""Makes one action happen, once, whatever crashes: snapshot, claim, execution, and what became of it."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace

from penelope.domain.action import Action, Effect, Snapshot
from penelope.domain.work import Change
from penelope.errors import ActionError, OutcomeUnknown, PenelopeError
from penelope.flow import records
from penelope.flow.engine import Chapter, Engine
from penelope.flow.halting import stopping
from penelope.flow.leases import place_of
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.rooms.act.run import perform
from penelope.rooms.verify.run import observe

ACT = "act"
"""The chapter that waits in the queue for a free place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of an action, as it is stored: an effect, or an error. `attempt` is 0 where nothing was sent; `before`
    is what its contract measures changes against.
    """

    attempt: int = 0
    snapshot: Snapshot = field(default_factory=Snapshot)
    effect: Effect | None = None
    error: str = ""
    unknown: bool = False
    halted: bool = False
    ended_at: str = ""
    before: Mapping[str, Json] = field(default_factory=dict)


UNFORESEEN = "unforeseen error"
"""What the story says of an error that an adapter did not put into the words of the house."""


def unforeseen(error: Exception) -> str:
    """Such an error as a reason."""
    return f"{UNFORESEEN}: {type(error).__name__}: {error}"


class _Stopped(Exception):
    """Why an action under way was cut short."""


def act_chapter(engine: Engine, parts: Parts) -> Chapter:
    """The chapter that carries an action out; it takes the action and gives what became of it."""

    async def act(incident: str, given: Json) -> Json:
        return to_data(await Executing(engine, parts, incident).execute(from_data(Action, given)))

    return act


class Executing:
    """Carries out actions of one incident. `heeds_halts` is False where something is taken back: that is never stopped."""

    def __init__(self, engine: Engine, parts: Parts, incident: str, *, heeds_halts: bool = True) -> None:
        self._engine = engine
        self._parts = parts
        self._incident = incident
        self._heeds_halts = heeds_halts

    async def execute(self, action: Action) -> Tried:
        """An attempt is counted before anything is sent, and from the second one on the target is asked first what became
        of the one before.
        """
        taken = await self._engine.step(f"prepare {action.name}", lambda: self._prepare(action))
        if "error" in taken:
            return await self._end(action, Tried(error=taken["error"]))
        snapshot = from_data(Snapshot, taken["snapshot"])
        tried = await self._engine.step(f"perform {action.name}", lambda: self._attempts(action, snapshot))
        return await self._end(
            action, replace(from_data(Tried, tried), snapshot=snapshot, before=taken["before"])
        )

    async def _prepare(self, action: Action) -> dict[str, Json]:
        try:
            located = self._parts.located(action)
            adapter = self._parts.adapter(located)
            adapter.validate(located.operation, located.params)
            async with asyncio.timeout(action.timeout_seconds):
                before = await self._before(located)
                return {"snapshot": to_data(await adapter.snapshot(located)), "before": before}
        except TimeoutError:
            return {"error": f"what is there could not be read within {action.timeout_seconds:g} s"}
        except PenelopeError as error:
            return {"error": error.message}
        except Exception as error:  # noqa: BLE001 - nothing has been touched, and a person must hear why not
            return {"error": unforeseen(error)}

    async def _before(self, located: Action) -> Mapping[str, Json]:
        """What the action's contract measures changes against, as it is before anything changes."""
        if located.contract is None or not located.contract.relative:
            return {}
        service, window = self._parts.service(located.target.service), self._parts.timing.window_seconds
        state = self._parts.adapter(located)
        return await observe(
            located.contract, service, located, self._parts.metrics, state, window_seconds=window
        )

    async def _attempts(self, action: Action, snapshot: Snapshot) -> Json:
        """Tries as often as the action may be tried; only what certainly did not happen is tried again."""
        tried = Tried()
        for number in range(action.retry.attempts):
            if number:
                await asyncio.sleep(action.retry.pause_seconds)
            tried = await self._attempt(action, snapshot, nothing_sent=number > 0)
            if tried.effect is not None or tried.unknown or tried.halted:
                break
        return to_data(tried)

    async def _attempt(self, action: Action, snapshot: Snapshot, *, nothing_sent: bool) -> Tried:
        claimed = await self._claim(action, snapshot)
        if claimed.halted or claimed.error:
            return claimed
        first = claimed.attempt == 1 or nothing_sent
        try:
            located = self._parts.located(action)
            adapter = self._parts.adapter(located)
            effect = await self._watched(action, perform(adapter, located, snapshot, first_attempt=first))
        except _Stopped as stopped:
            return replace(claimed, error=str(stopped), halted=True)
        except PenelopeError as error:
            # An attempt before this one may have taken effect: only the target can tell, and it was not asked.
            unasked = not first and not isinstance(error, ActionError)
            unknown = unasked or isinstance(error, OutcomeUnknown)
            return replace(claimed, error=error.message, unknown=unknown)
        except Exception as error:  # noqa: BLE001 - a fault of the adapter's: nobody knows what it did before
            return replace(claimed, error=unforeseen(error), unknown=True)
        return replace(claimed, effect=effect)

    async def _claim(self, action: Action, snapshot: Snapshot) -> Tried:
        """Committed by itself, before anything is sent: after a crash the attempt shows, and the target is probed."""

        async def body(transaction: Transaction) -> Json:
            before = await transaction.attempts(action.key)
            if why := await self._objection(transaction):
                # One that was begun before the process died may have taken effect: it is taken back like any other.
                return to_data(Tried(attempt=before, error=why, halted=True))
            if not await transaction.leases.beat(place_of(action), action.key, action.fence):
                error = f"the lease on {place_of(action)} has passed on"
                return to_data(Tried(attempt=before, error=error, unknown=before > 0))
            attempt = await transaction.claim(action.key, self._incident, action.target.service)
            reason = "first attempt" if attempt == 1 else f"attempt {attempt}"
            kept = {"snapshot": to_data(snapshot)}
            changes = [self._change(action, "started", "ActionStarted", reason, {**kept, "attempt": attempt})]
            if attempt == 1:
                reason = "what was there is remembered"
                changes.insert(0, self._change(action, "prepared", "ActionPrepared", reason, kept))
            await transaction.save(*changes)
            return to_data(Tried(attempt=attempt))

        return from_data(Tried, await self._engine.guarded("claim", body))

    async def _objection(self, transaction: Transaction) -> str:
        return await stopping(transaction, self._incident) if self._heeds_halts else ""

    async def _watched(self, action: Action, doing: Awaitable[Effect]) -> Effect:
        """Waits for the effect; every heartbeat shows that the action is alive, and looks whether it must be cut short."""
        task = asyncio.ensure_future(doing)
        try:
            while not (await asyncio.wait({task}, timeout=self._parts.timing.heartbeat_seconds))[0]:
                if why := await self._engine.guarded("heartbeat", lambda tx: self._beat(tx, action)):
                    raise _Stopped(why)
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _beat(self, transaction: Transaction, action: Action) -> str:
        # In the order of claims, the intervention before the lease: in any other, two transactions could block each other.
        why = await self._objection(transaction)
        if not await transaction.leases.beat(place_of(action), action.key, action.fence):
            return f"the lease on {place_of(action)} has passed on"
        return why

    async def _end(self, action: Action, tried: Tried) -> Tried:
        """Records the end; the lease goes back where there is no effect to be looked at."""
        status, event = _END[_which(tried)]
        kept: dict[str, Json] = {"snapshot": to_data(tried.snapshot), "attempt": tried.attempt}
        if tried.effect is not None:
            kept["effect"] = to_data(tried.effect)
        if tried.error:
            kept["error"] = tried.error
        reason = tried.error if tried.effect is None else tried.effect.summary
        change = self._change(action, status, event, reason, kept)

        async def body(transaction: Transaction) -> Json:
            await transaction.save(change)
            if tried.effect is None:
                await transaction.leases.give_back(place_of(action), action.key)
            return transaction.now().isoformat()

        return replace(tried, ended_at=await self._engine.guarded(f"{event} {action.name}", body))

    def _change(
        self, action: Action, status: str, event: str, reason: str, record: Mapping[str, Json]
    ) -> Change:
        return records.of_action(action, self._incident, status, event, reason, record=record)


_END = {
    "done": ("done", "ActionDone"),
    "failed": ("failed", "ActionFailed"),
    "unknown": ("unknown", "ActionUnknown"),
    "halted": ("halted", "ActionHalted"),
}


def _which(tried: Tried) -> str:
    if tried.effect is not None:
        return "done"
    if tried.halted:
        return "halted"
    return "unknown" if tried.unknown else "failed"
