"""Carries a deployment out: shifts traffic, waits, looks, records. Where each of these leads, the room says."""

from dataclasses import dataclass, replace
from datetime import datetime

from penelope.domain.action import Action, Snapshot
from penelope.domain.analysis import AnalysisState, Assessment, Scrape
from penelope.domain.analysis import ArmCounts as AnalysedCounts
from penelope.domain.counts import ArmCounts, Counts, Doubt, Totals, counted
from penelope.domain.deployment import WHOLE, Cause, Course, Deployment, DeploymentStatus
from penelope.domain.halt import FLEET, Scope, ScopeKind
from penelope.domain.rollout import Step
from penelope.domain.service import Service
from penelope.domain.work import Change, UnitOfWork
from penelope.errors import PenelopeError, UnknownDeployment
from penelope.flow import records
from penelope.flow.acting import Acting, Done
from penelope.flow.engine import Chapter, Engine
from penelope.flow.executing import unforeseen
from penelope.flow.halting import breakers
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.rooms.rollout.assess import assess, at_step, begin
from penelope.rooms.rollout.course import (
    Judged,
    Look,
    Over,
    Rest,
    Settle,
    Shift,
    halted,
    judged,
    next_move,
    refused,
    settled,
    shifted,
)
from penelope.rooms.rollout.ports import Router
from penelope.rooms.rollout.share import Share, ShareRecord, ShareRule, explained, started
from penelope.rooms.rollout.share import judged as share_judged
from penelope.rooms.rollout.share import looked as share_looked

DEPLOY = "deploy"
"""The chapter that carries one deployment out."""

KIND = "deployment"
"""The kind of these units; they belong to no incident."""

_SHARE = ShareRule()

_LONGEST_PAUSE_SECONDS = 8.0
"""Between two tries to make a router obey."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is remembered from one look to the next: the counters as they stood, and what the analysis made of them."""

    totals: Totals | None = None
    analysis: AnalysisState | None = None
    share: ShareRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of a deployment: how it stands, what its looks remember, and what the last one came to."""

    deployment: Deployment
    memory: Memory = Memory()
    look: Json = None

    def going(self, deployment: Deployment) -> "Kept":
        """With the deployment further on; of an earlier revision nothing is remembered."""
        if deployment.epoch != self.deployment.epoch:
            return Kept(deployment=deployment)
        return replace(self, deployment=deployment)


def kept_from(unit: UnitOfWork) -> Kept:
    return from_data(Kept, unit.attributes)


def place_of(service: str) -> str:
    """What the lease on a service's traffic is kept under; no target can bear this name."""
    return f"{service}/~traffic"


def change_of(kept: Kept, event: str, actor: str, reason: str, version: int | None = 0) -> Change:
    """A deployment's new state, to be saved."""
    deployment = kept.deployment
    look = kept.look if event == "CanaryLooked" else None
    return Change(
        unit=deployment.id,
        kind=KIND,
        incident="",
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
    course: Course
    tries: int = 0
    status: DeploymentStatus = DeploymentStatus.PROGRESSING

    @property
    def back(self) -> bool:
        """Whether its traffic is taken away: nothing else may get in the way of that."""
        return self.status in {DeploymentStatus.ROLLING_BACK, DeploymentStatus.CANCELLING}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a look saw: counters, or why there are none."""

    totals: Totals | None = None
    silence: str = ""


def _judged(kept: Kept, seen: _Seen, now: datetime) -> Kept:
    """After a look. The first one of a revision only has the counters to begin from."""
    deployment, memory = kept.deployment, kept.memory
    course, at = deployment.course, deployment.since or now
    state = memory.analysis or begin(deployment.revision, deployment.weight, at)
    state = replace(at_step(state, deployment.revision, deployment.weight, at), step_started_at=at)
    spec = replace(course.analysis, max_step_seconds=deployment.patience_seconds)
    counts, doubts = _counts(memory.totals, seen)
    state, assessment = assess(spec, state, None if counts is None else _scrape(counts, course), now)
    share = _shared(memory.share, deployment, counts)
    if share_judged(share, _SHARE) is Share.NOT_AS_PLANNED:
        doubts = (*doubts, f"traffic drifts: {explained(share, _SHARE)}")
        if assessment.step is Step.PROMOTE:
            assessment = replace(assessment, step=Step.HOLD)
    answer = Judged(
        step=assessment.step,
        reason="; ".join((*assessment.reasons, *doubts)),
        cause=_cause(assessment, counts),
        control_alive=seen.totals is None or bool(seen.totals.arms.get(course.control)),
    )
    look = {
        "at": to_data(now),
        "weight": deployment.weight,
        "assessment": to_data(assessment),
        "counts": to_data(counts),
        "share": share.measured,
        "doubts": list(doubts),
    }
    return Kept(
        deployment=judged(deployment, answer, now),
        memory=Memory(totals=seen.totals or memory.totals, analysis=state, share=share),
        look=look,
    )


def _shared(before: ShareRecord | None, deployment: Deployment, counts: Counts | None) -> ShareRecord:
    """The share of the requests since the weight was set; the look in which it changed is left out."""
    if before is None or before.planned != deployment.weight / WHOLE or deployment.looked_at is None:
        return started(deployment.weight)
    course = deployment.course
    if counts is None or not {course.canary, course.control} <= counts.arms.keys():
        return before
    return share_looked(before, counts.arms[course.canary].requests, counts.arms[course.control].requests)


def _cause(assessment: Assessment, counts: Counts | None) -> Cause:
    if assessment.reasons and assessment.reasons[0].startswith("no verdict within"):
        return Cause.UNDECIDED
    return Cause.SILENCE if counts is None else Cause.WORSE


def _counts(before: Totals | None, seen: _Seen) -> tuple[Counts | None, tuple[str, ...]]:
    """What happened since the look before, and what is to be said of it."""
    if seen.totals is None:
        return None, (seen.silence,)
    if before is None:
        return None, ()
    found = counted(before, seen.totals)
    return (None, found.reasons) if isinstance(found, Doubt) else (found, found.notes)


def _scrape(counts: Counts, course: Course) -> Scrape:
    return Scrape(
        seconds=counts.seconds,
        canary=_arm(counts.arms.get(course.canary)),
        control=_arm(counts.arms.get(course.control)),
    )


def _arm(counts: ArmCounts | None) -> AnalysedCounts | None:
    if counts is None:
        return None
    buckets = {float(upper): float(count) for upper, count in counts.buckets.items()}
    return AnalysedCounts(requests=counts.requests, errors=counts.errors, buckets=buckets)


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
        """A halt of its service, or of all, takes its traffic away."""
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
            reason = trouble or f"{weight} % to {turn.course.canary}"
            await transaction.save(change_of(kept.going(after), event, records.PENELOPE, reason, version))

        await self._engine.transaction("shifted", body)
        if trouble:
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
        """Of a look that an order or a new revision overtook nothing is kept."""
        seen = await self._engine.step("look", lambda: self._count(turn))

        async def body(transaction: Transaction) -> Json:
            kept, version = await self._read(transaction)
            if kept.deployment.epoch != turn.epoch or kept.deployment.moving:
                return
            after = _judged(kept, from_data(_Seen, seen), transaction.now())
            reason = after.deployment.reason
            await transaction.save(change_of(after, "CanaryLooked", records.PENELOPE, reason, version))

        await self._engine.transaction("judged", body)

    async def _count(self, turn: _Turn) -> Json:
        """The counters of all arms, and whether the other arm could take the traffic; or why nobody can say."""
        try:
            service = self._parts.service(turn.service)
            if self._parts.counter is None:
                return to_data(_Seen(silence="there is no source of counts"))
            totals = await self._parts.counter.totals(service)
        except PenelopeError as error:
            return to_data(_Seen(silence=error.message))
        except Exception as error:  # noqa: BLE001 - whatever breaks a source, silence is what is judged
            return to_data(_Seen(silence=unforeseen(error)))
        return to_data(_Seen(totals=totals))

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
            if trouble:
                # The traffic is well where it is: what is left over is said, and does not keep the deployment open.
                after = replace(after, reason=f"{after.reason}; {trouble}" if after.reason else trouble)
            await transaction.save(
                change_of(kept.going(after), _ENDS[turn.status], records.PENELOPE, after.reason, version)
            )
            await transaction.leases.give_back(place_of(after.service), after.id)

        await self._engine.transaction("settled", body)

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
