"""Carries one action through: lease, execution in its turn, verification; and back, if it must."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from penelope.domain.action import Action, Snapshot
from penelope.domain.benchmark import SuiteName
from penelope.domain.incident import IncidentState
from penelope.domain.signal import Severity
from penelope.errors import PenelopeError
from penelope.flow import records
from penelope.flow.alarm import sound
from penelope.flow.benchmarking import declares, smoke
from penelope.flow.checking import Question, verify
from penelope.flow.engine import Engine, Turn
from penelope.flow.executing import ACT, Executing, Tried, unforeseen
from penelope.flow.halting import stopping
from penelope.flow.leases import place_of
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.rooms.act.run import undo

_LEASE_PAUSE_SECONDS = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An action that was tried. `trouble` is empty when it did what it said; `unknown` when nobody can tell.

    `touched` says that the target may have been changed, so that there is something to take back; `stopped` that a
    halt forbade it; `broke` that its execution broke off, and may have left the target held. `leased_at` orders the
    actions on one target.
    """

    action: Action
    snapshot: Snapshot = field(default_factory=Snapshot)
    trouble: str = ""
    unknown: bool = False
    touched: bool = True
    stopped: bool = False
    broke: bool = False
    leased_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leased:
    """The fencing token, the turn in the queue, and whether a smoke suite follows; or why the target cannot be had now, or must not be touched."""

    fence: int = 0
    at: str = ""
    priority: int = 1
    smoke: bool = False
    held_by: str = ""
    halted: str = ""


class Acting:
    """Acts for one incident."""

    def __init__(self, engine: Engine, parts: Parts, incident: str) -> None:
        self._engine = engine
        self._parts = parts
        self._incident = incident

    async def act(self, action: Action) -> Done:
        """Makes the action happen once, whatever crashes, as the only one on its target, and looks whether it did what it
        said.
        """
        leased = await self._lease(action)
        if leased.halted:
            await self._record(action, "halted", "ActionHalted", leased.halted, {})
            return Done(action=action, trouble=leased.halted, touched=False, stopped=True)
        action = replace(action, fence=leased.fence)
        try:
            return await self._in_turn(action, leased)
        except Exception as error:  # noqa: BLE001 - something may have been sent, so that it must not be left out
            _log.exception("what became of %s is not known", action.name)
            trouble = f"nobody knows what became of it: {unforeseen(error)}"
            return Done(action=action, trouble=trouble, unknown=True, broke=True, leased_at=leased.at)

    async def _in_turn(self, action: Action, leased: _Leased) -> Done:
        service = self._parts.services.get(action.target.service)
        turn = Turn(shard="" if service is None else service.shard, priority=leased.priority)
        given = await self._engine.queued(ACT, f"{action.key}:act", self._incident, to_data(action), turn)
        tried = from_data(Tried, given)
        done = Done(
            action=action,
            snapshot=tried.snapshot,
            trouble=tried.error,
            unknown=tried.unknown,
            touched=tried.attempt > 0,
            stopped=tried.halted,
            leased_at=leased.at,
        )
        if tried.effect is None:
            return done
        try:
            trouble = await self._looked_at(action, tried, smoked=leased.smoke)
        except Exception as error:  # noqa: BLE001 - what was done must be known, whatever breaks after it
            trouble = f"it could not be verified: {unforeseen(error)}"
        if trouble or action.contract is None:
            await self._engine.guarded(f"give back {action.name}", partial(self._free, action))
        return replace(done, trouble=trouble)

    async def take_back(self, done: Done) -> str:
        """Compensates an action and proves it; returns what went wrong, or nothing.

        What went wrong is the loudest event there is: nothing is mended on the service until a person has looked.
        """
        means = done.action.rollback or done.action
        leased = await self._lease(means, heeds_halts=False)
        means = replace(means, fence=leased.fence)
        if done.action.rollback is None:
            undo_it = partial(self._undo, means, done.snapshot)
            undone = dict(await self._engine.step(f"compensate {done.action.name}", undo_it))
        else:
            undone = await self._rolled_back(means)
        kept: dict[str, Json] = {"snapshot": to_data(done.snapshot), **undone}
        error = undone.get("error", "")
        status, event = (
            ("compensation_failed", "CompensationFailed") if error else ("compensated", "ActionCompensated")
        )
        reason = error or undone["effect"]["summary"]
        change = records.of_action(done.action, self._incident, status, event, reason, record=kept)

        async def body(transaction: Transaction) -> Json:
            await transaction.save(change)
            if error:
                await sound(transaction, self._parts.asking, done.action, self._incident, error)
            await transaction.leases.give_back(place_of(means), means.key)

        await self._engine.transaction(f"{event} {done.action.name}", body)
        return f"{done.action.name}: {error}" if error else ""

    async def _undo(self, action: Action, snapshot: Snapshot) -> dict[str, Json]:
        try:
            located = self._parts.located(action)
            return {"effect": to_data(await undo(self._parts.adapter(located), located, snapshot))}
        except PenelopeError as error:
            return {"error": error.message}
        except Exception as error:  # noqa: BLE001 - whatever breaks here must be as loud as what was foreseen
            return {"error": unforeseen(error)}

    async def _rolled_back(self, rollback: Action) -> dict[str, Json]:
        """By the action that the playbook names for it, carried out like any other. Its proof is its own effect."""
        executing = Executing(self._engine, self._parts, self._incident, heeds_halts=False)
        try:
            tried = await executing.execute(rollback)
        except Exception as error:  # noqa: BLE001 - whatever breaks here must be as loud as what was foreseen
            return {"error": f"{rollback.name}: {unforeseen(error)}"}
        if tried.effect is None:
            return {"error": f"{rollback.name}: {tried.error}"}
        return {"effect": to_data(tried.effect)}

    async def _lease(self, action: Action, *, heeds_halts: bool = True) -> _Leased:
        """Waits until nobody else acts on the target. The story that holds it comes to its end, so there is no expiry."""
        waited = False
        while True:
            leased = await self._ask_for(action, heeds_halts=heeds_halts)
            if not leased.held_by:
                return leased
            if not waited:
                await self._record(
                    action, "waiting", "ActionWaits", f"{place_of(action)}: {leased.held_by}", {}
                )
                waited = True
            await self._engine.pause(_LEASE_PAUSE_SECONDS)

    async def _ask_for(self, action: Action, *, heeds_halts: bool) -> _Leased:
        place = place_of(action)

        async def body(transaction: Transaction) -> Json:
            if heeds_halts and (why := await self._objection(transaction)):
                return to_data(_Leased(halted=why))
            fence = await transaction.leases.take(place, action.key, self._incident)
            if fence is None:
                other = await transaction.leases.of(place)
                holder = "another action" if other is None else f"action {other.holder} of {other.incident}"
                return to_data(_Leased(held_by=f"held by {holder}"))
            priority = await self._priority(transaction, action)
            smoked = declares(self._parts, action.target.service, SuiteName.SMOKE)
            moment = transaction.now().isoformat()
            return to_data(_Leased(fence=fence, at=moment, priority=priority, smoke=smoked))

        return from_data(_Leased, await self._engine.guarded(f"lease {action.name}", body))

    async def _objection(self, transaction: Transaction) -> str:
        """A halt; or that the incident has ended, for a branch goes on although the story that began it broke off."""
        if why := await stopping(transaction, self._incident):
            return why
        unit = (await transaction.peek([self._incident])).get(self._incident)
        ended = unit is not None and IncidentState(unit.status).ended
        return "its incident has been ended meanwhile" if ended else ""

    async def _priority(self, transaction: Transaction, action: Action) -> int:
        """By how much users suffer: the criticality of the service first, then the severity of the signal; 1 is first."""
        unit = (await transaction.peek([self._incident])).get(self._incident)
        severity = Severity.CRITICAL if unit is None else Severity(unit.attributes["severity"])
        service = self._parts.services.get(action.target.service)
        tier = 1 if service is None else service.tier
        return (tier - 1) * len(Severity) + len(Severity) - list(Severity).index(severity)

    async def _looked_at(self, action: Action, tried: Tried, *, smoked: bool) -> str:
        """What is wrong after the action, by the smoke suite of its service and by its own contract; or nothing.

        The verdict on the contract gives the target back, in its own transaction.
        """
        service = self._parts.service(action.target.service)
        key, trouble = f"{action.key}:smoke", ""
        if smoked:
            trouble = await smoke(self._engine, self._parts, service, self._incident, action.name, key)
        if trouble or action.contract is None:
            return trouble
        question = Question(
            unit=f"{action.key}:verdict",
            label=action.name,
            incident=self._incident,
            contract=action.contract,
            service=service,
            since=datetime.fromisoformat(tried.ended_at),
            action=action,
            before=tried.before,
        )
        verdict = await verify(self._engine, self._parts, question, partial(self._free, action))
        missed = ", ".join(item.clause.subject for item in verdict.drift)
        return "" if verdict.passed else f"it did not do what it said ({missed})"

    async def _free(self, action: Action, transaction: Transaction) -> None:
        await transaction.leases.give_back(place_of(action), action.key)

    async def _record(
        self, action: Action, status: str, event: str, reason: str, record: Mapping[str, Json]
    ) -> None:
        change = records.of_action(action, self._incident, status, event, reason, record=record)

        async def body(transaction: Transaction) -> Json:
            await transaction.save(change)

        await self._engine.guarded(f"{event} {action.name}", body)
