"""Carries a deployment out: shifts traffic, waits, looks, records. Where each of these leads, the room says."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from penelope.domain.action import Action, Snapshot
from penelope.domain.deployment import WHOLE, Cause, Course, Deployment, DeploymentStatus
from penelope.domain.halt import FLEET, Scope, ScopeKind
from penelope.domain.notice import NoticeKind
from penelope.domain.service import Service
from penelope.domain.work import Change, UnitOfWork
from penelope.errors import AlreadyDecided, PenelopeError, UnknownDeployment
from penelope.flow import records
from penelope.flow.acting import Acting, Done
from penelope.flow.engine import Chapter, Engine
from penelope.flow.executing import unforeseen
from penelope.flow.halting import breakers, stopping
from penelope.flow.noise import concluded, with_noise
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.rooms.rollout.course import (
    BACK,
    Look,
    Over,
    Rest,
    Settle,
    Shift,
    astray,
    begun,
    halted,
    is_stuck,
    next_move,
    refused,
    settled,
    shifted,
)
from penelope.rooms.rollout.look import Kept, Seen, judge_look
from penelope.rooms.rollout.ports import Router

DEPLOY = "deploy"
"""The chapter that carries one deployment out."""

KIND = "deployment"
"""The kind of these units. One that a playbook began belongs to its incident, any other to none."""

_log = logging.getLogger(__name__)

_LONGEST_PAUSE_SECONDS = 8.0
"""Between two tries to make a router obey."""


def kept_from(unit: UnitOfWork) -> Kept:
    return from_data(Kept, unit.attributes)


def place_of(service: str) -> str:
    """What the lease on a service's traffic is kept under; no target can bear this name."""
    return f"{service}/~traffic"


async def set_out(transaction: Transaction, deployment: Deployment) -> Deployment:
    """A new deployment on its way, with its service's traffic and what is known of its noise; it is yet to be saved.

    Raises AlreadyDecided where another rollout has the traffic.
    """
    place = place_of(deployment.service)
    if await transaction.leases.take(place, deployment.id, "") is None:
        lease = await transaction.leases.of(place)
        holder = "another rollout" if lease is None else lease.holder
        raise AlreadyDecided(
            f"the traffic of {deployment.service!r} is held by {holder}",
            hint="Wait until it has ended, or cancel it.",
        )
    return await with_noise(transaction, begun(deployment))


def change_of(kept: Kept, event: str, actor: str, reason: str, version: int | None = 0) -> Change:
    """A deployment's new state, to be saved."""
    deployment = kept.deployment
    look = kept.look if event == "CanaryLooked" else None
    return Change(
        unit=deployment.id,
        kind=KIND,
        incident=deployment.incident,
        status=deployment.status.value,
        attributes=to_data(kept),
        event=event,
        actor=actor,
        reason=reason,
        details={
            "service": deployment.service,
            "deployment": deployment.id,
            "weight": deployment.weight,
            "wanted": deployment.wanted,
            "stage": deployment.stage,
            "revision": deployment.revision,
            "awaits": deployment.awaits,
            "cause": deployment.cause and deployment.cause.value,
            "noise": None if look else deployment.noise,
            "look": look,
            "step": look and look["assessment"]["step"],
            "seconds": _lasted_seconds(deployment),
        },
        version=version,
    )


def _lasted_seconds(deployment: Deployment) -> float | None:
    """From its beginning to its end; None before that."""
    if deployment.ended_at is None:
        return None
    return (deployment.ended_at - deployment.created_at).total_seconds()


def deploy_chapter(engine: Engine, parts: Parts) -> Chapter:
    """The chapter that brings a deployment to its end; it is told once for each."""

    async def deploy(identifier: str, _: Json) -> Json:
        return await Deploying(engine, parts, identifier).run()

    return deploy


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """What is to be done now, as it was decided in a transaction: a move, and a weight or seconds with it."""

    move: str
    number: float = 0
    epoch: int = 0
    service: str = ""
    incident: str = ""
    course: Course
    tries: int = 0
    status: DeploymentStatus = DeploymentStatus.PROGRESSING

    @property
    def back(self) -> bool:
        """Whether its traffic is taken away: nothing else may get in the way of that."""
        return self.status in BACK


async def _set_beside(router: Router, service: Service, course: Course) -> None:
    """What the course has beside its weights; each is set as it is, so that setting it again is harmless."""
    if course.mirror is not None:
        await router.mirror(service, course.mirror)
    if course.pin is not None:
        await router.pin(service, course.pin)
    if course.affinity is not None:
        await router.stick(service, course.affinity)


_ENDS = {
    DeploymentStatus.PROMOTING: "RolloutPromoted",
    DeploymentStatus.ROLLING_BACK: "RolloutRolledBack",
    DeploymentStatus.CANCELLING: "RolloutCancelled",
    DeploymentStatus.CONCLUDING: "RolloutConcluded",
}


class Deploying:
    """Carries one deployment out."""

    def __init__(self, engine: Engine, parts: Parts, identifier: str) -> None:
        self._engine = engine
        self._parts = parts
        self._id = identifier

    async def run(self) -> Json:
        """To its end, whatever people say meanwhile; the status that it ended with."""
        while True:
            turn = from_data(_Turn, await self._engine.transaction("turn", self._turn))
            match turn.move:
                case "over":
                    return turn.status.value
                case "shift":
                    await self._shift(turn)
                case "look":
                    await self._look(turn)
                case "settle":
                    await self._settle(turn)
                case _:
                    await self._engine.wait(turn.number)

    async def _turn(self, transaction: Transaction) -> Json:
        kept, version = await self._read(transaction)
        before = kept.deployment
        after = await self._heeding_halts(transaction, before)
        if after != before:
            await transaction.save(
                change_of(kept.going(after), "RolloutHalted", records.PENELOPE, after.reason, version)
            )
        turn = _Turn(
            move="over",
            epoch=after.epoch,
            service=after.service,
            incident=after.incident,
            course=after.course,
            tries=after.tries,
            status=after.status,
        )
        match next_move(after, transaction.now()):
            case Over():
                found = turn
            case Shift(weight):
                found = replace(turn, move="shift", number=weight)
            case Look():
                found = replace(turn, move="look")
            case Settle():
                found = replace(turn, move="settle")
            case Rest(seconds):
                found = replace(turn, move="rest", number=seconds)
        return to_data(found)

    async def _heeding_halts(self, transaction: Transaction, deployment: Deployment) -> Deployment:
        """A halt of its service, of all, or of the fix that it belongs to takes its traffic away."""
        if deployment.incident and (why := await stopping(transaction, deployment.incident)):
            return halted(deployment, why)
        scopes = [FLEET, Scope(kind=ScopeKind.SERVICE, name=deployment.service)]
        for scope, breaker in (await breakers(transaction, scopes)).items():
            unread = f"the breaker of {scope.label} cannot be read"
            why = unread if breaker is None else breaker.stops(self._id, transaction.now())
            if why:
                return halted(deployment, f"halt: {why}")
        return deployment

    async def _read(self, transaction: Transaction) -> tuple[Kept, int]:
        unit = await transaction.unit(self._id)
        if unit is None:
            raise UnknownDeployment(f"there is no deployment '{self._id}'")
        return kept_from(unit), unit.version

    async def _shift(self, turn: _Turn) -> None:
        """The weight is absolute, so that after a crash it can be put in force again."""
        weight = int(turn.number)
        trouble = await self._engine.step(f"shift to {weight} %", lambda: self._set(turn, weight))

        async def body(transaction: Transaction) -> Json:
            kept, version = await self._read(transaction)
            now = transaction.now()
            after = refused(kept.deployment, trouble) if trouble else shifted(kept.deployment, weight, now)
            event = "TrafficNotShifted" if trouble else "TrafficShifted"
            if is_stuck(after) and not is_stuck(kept.deployment):
                event = "RolloutStuck"
            reason = trouble or f"{weight} % to {turn.course.canary}"
            await transaction.save(change_of(kept.going(after), event, records.PENELOPE, reason, version))
            if event == "RolloutStuck":
                await self._tell(transaction, after, NoticeKind.ROLLOUT_STUCK)

        await self._engine.transaction("shifted", body)
        if trouble:
            if turn.back and turn.incident:
                await self._engine.nudge(turn.incident)
            await self._engine.wait(min(_LONGEST_PAUSE_SECONDS, 0.25 * 2**turn.tries))

    async def _set(self, turn: _Turn, weight: int) -> Json:
        """Empty when it was done; else why not."""
        canary, control = turn.course.canary, turn.course.control
        try:
            service = self._parts.service(turn.service)
            arms = service.router.arms if service.router else {}
            weights = dict.fromkeys(arms, 0) | {canary: weight, control: WHOLE - weight}
            router = self._parts.router(service)
            await router.set_weights(service, weights)
            if not turn.back:
                await _set_beside(router, service, turn.course)
        except PenelopeError as error:
            return error.message
        except Exception as error:  # noqa: BLE001 - a fault of the router's must not end what takes traffic back
            return unforeseen(error)
        return ""

    async def _look(self, turn: _Turn) -> None:
        """Of a look that an order or a new revision overtook nothing is kept; nor of one at traffic that went astray."""
        seen = from_data(Seen, await self._engine.step("look", lambda: self._see(turn)))

        async def body(transaction: Transaction) -> Json:
            kept, version = await self._read(transaction)
            before = kept.deployment
            if before.epoch != turn.epoch or before.moving:
                return
            strayed = before if seen.weights is None else astray(before, seen.weights)
            if strayed != before:
                drift = change_of(
                    kept.going(strayed), "TrafficDrifted", records.PENELOPE, strayed.reason, version
                )
                await transaction.save(drift)
                return
            after = judge_look(kept, seen, transaction.now())
            reason = after.deployment.reason
            await transaction.save(change_of(after, "CanaryLooked", records.PENELOPE, reason, version))

        await self._engine.transaction("judged", body)

    async def _see(self, turn: _Turn) -> Json:
        seen, weights = await asyncio.gather(self._count(turn), self._weights(turn))
        return to_data(replace(seen, weights=weights))

    async def _weights(self, turn: _Turn) -> Mapping[str, int] | None:
        """Those in force. Somebody may have changed them, and while nobody was there to look."""
        try:
            service = self._parts.service(turn.service)
            return await self._parts.router(service).weights(service)
        except PenelopeError as error:
            why = error.message
        except Exception as error:  # noqa: BLE001 - what a router that cannot be read does to traffic, the counts tell
            why = unforeseen(error)
        _log.warning("the weights of %s cannot be read: %s", turn.service, why)
        return None

    async def _count(self, turn: _Turn) -> Seen:
        """The counters of all arms, and whether the other arm could take the traffic; or why nobody can say."""
        try:
            service = self._parts.service(turn.service)
            if self._parts.counter is None:
                return Seen(silence="there is no source of counts")
            totals = await self._parts.counter.totals(service)
        except PenelopeError as error:
            return Seen(silence=error.message)
        except Exception as error:  # noqa: BLE001 - whatever breaks a source, silence is what is judged
            return Seen(silence=unforeseen(error))
        if not totals.finite:
            return Seen(silence="the source of counts said what is no number")
        return Seen(totals=totals)

    async def _settle(self, turn: _Turn) -> None:
        """Its traffic is where it stays: what served the comparison goes, and what it was made by, if it was bad."""
        trouble = await self._engine.step("finalise", lambda: self._finalise(turn))
        if not trouble and turn.status is DeploymentStatus.ROLLING_BACK:
            trouble = await self._take_patch_back()

        async def body(transaction: Transaction) -> Json:
            kept, version = await self._read(transaction)
            after = settled(kept.deployment, transaction.now())
            if not after.status.ended:
                return  # an abort overtook it: its traffic is to move again, and stays its own
            changes: tuple[Change, ...] = ()
            if after.status is DeploymentStatus.CONCLUDED:
                after, changes = await concluded(transaction, kept, after)
            if trouble:
                # The traffic is well where it is: what is left over is said, and does not keep the deployment open.
                after = replace(after, reason=f"{after.reason}; {trouble}" if after.reason else trouble)
            ended = change_of(kept.going(after), _ENDS[turn.status], records.PENELOPE, after.reason, version)
            await transaction.save(ended, *changes)
            await transaction.leases.give_back(place_of(after.service), after.id)
            if after.status is DeploymentStatus.ROLLED_BACK and after.cause is not Cause.PERSON:
                await self._tell(transaction, after, NoticeKind.ROLLED_BACK)

        await self._engine.transaction("settled", body)
        if turn.incident:
            await self._engine.nudge(turn.incident)

    async def _tell(self, transaction: Transaction, deployment: Deployment, kind: NoticeKind) -> None:
        """People hear by every channel of what nobody of them ordered."""
        notices = self._parts.asking.to_all(kind, deployment.id, deployment.incident, transaction.now())
        if notices:
            await transaction.outbox.add(notices)

    async def _finalise(self, turn: _Turn) -> Json:
        try:
            service = self._parts.service(turn.service)
            await self._parts.router(service).finalise(service)
        except PenelopeError as error:
            return error.message
        except Exception as error:  # noqa: BLE001 - as above: the deployment must come to its end
            return unforeseen(error)
        return ""

    async def _take_patch_back(self) -> str:
        """Takes back the change that the canary ran, where Penelope made it; what went wrong, or nothing."""
        found = await self._engine.transaction("patch", self._patch)
        if found is None:
            return ""
        done = Done(
            action=from_data(Action, found["action"]), snapshot=from_data(Snapshot, found.get("snapshot", {}))
        )
        return await Acting(self._engine, self._parts, found["incident"]).take_back(done)

    async def _patch(self, transaction: Transaction) -> Json:
        """The action as it was carried out; None where there is none, or it was taken back by somebody else."""
        kept, _ = await self._read(transaction)
        unit = (await transaction.peek([kept.deployment.patch])).get(kept.deployment.patch)
        if unit is None or unit.kind != "action" or unit.status != "done":
            return None
        return {**unit.attributes, "incident": unit.incident}
