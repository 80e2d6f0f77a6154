"""The way of a deployment: what is to be done next, and where each thing that happens leads."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from penelope.domain.deployment import WHOLE, Cause, Deployment, DeploymentStatus, Order
from penelope.domain.rollout import Step
from penelope.errors import AlreadyDecided, InvalidRequest

TRIES = 3
"""So often the router is asked for more traffic before it is given up. To take traffic away it is asked for ever."""

BACK = frozenset({DeploymentStatus.ROLLING_BACK, DeploymentStatus.CANCELLING, DeploymentStatus.CONCLUDING})
"""What is on its way to no traffic."""

_RISING = frozenset({Order.STEP, Order.PROMOTE})


@dataclass(frozen=True, slots=True)
class Shift:
    """Put this weight in force, in percent."""

    weight: int


@dataclass(frozen=True, slots=True)
class Look:
    """Look at both arms and judge."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do for so many seconds, unless somebody speaks."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Settle:
    """The traffic is where it is to stay: take away what was only for the comparison."""


@dataclass(frozen=True, slots=True)
class Over:
    """It has ended."""


Move = Shift | Look | Rest | Settle | Over


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a look came to; `cause` where it is a rollback. `control_alive` is False where the other arm cannot take the
    traffic.
    """

    step: Step
    reason: str
    cause: Cause = Cause.WORSE
    control_alive: bool = True


def begun(deployment: Deployment) -> Deployment:
    """On its way to its first stage. Which weight is in force is not known until one was set."""
    return replace(deployment, wanted=deployment.course.stages[0].weight, moving=True)


def next_move(deployment: Deployment, now: datetime) -> Move:
    """What is to be done now."""
    if deployment.status.ended:
        return Over()
    if deployment.moving:
        return Shift(deployment.wanted)
    if deployment.status is not DeploymentStatus.PROGRESSING:
        return Settle()
    last = deployment.looked_at or deployment.since
    due = now if last is None else last + timedelta(seconds=deployment.course.interval_seconds)
    return Look() if now >= due else Rest((due - now).total_seconds())


def shifted(deployment: Deployment, weight: int, now: datetime) -> Deployment:
    """The router has put a weight in force, which need not be the one that is wanted by now."""
    if deployment.status.ended:
        return deployment
    moving = weight != deployment.wanted
    return replace(deployment, weight=weight, moving=moving, since=now, looked_at=None, tries=0)


def refused(deployment: Deployment, why: str) -> Deployment:
    """The router did not obey, or did not say so."""
    if deployment.status.ended:
        return deployment
    tried = replace(deployment, tries=deployment.tries + 1)
    if deployment.status in BACK or tried.tries < TRIES:
        return tried
    return _back(tried, Cause.ROUTER, f"traffic could not be shifted: {why}")


def judged(deployment: Deployment, answer: Judged, now: datetime) -> Deployment:
    """After a look. Neither a pause nor a stage that waits for a person holds up a rollback."""
    if deployment.status is not DeploymentStatus.PROGRESSING:
        return deployment
    looked = replace(deployment, looked_at=now, reason=answer.reason)
    if answer.step is Step.ROLLBACK:
        return _due(looked, answer)
    if deployment.paused:
        return looked
    if answer.step is Step.PROMOTE and _lasted(deployment, now):
        if deployment.course.calibrates:
            return _concluding(looked, answer)
        waits = deployment.at.manual or not deployment.course.auto_promote
        return replace(looked, awaits="promotion") if waits else _onward(looked)
    return looked


def _lasted(deployment: Deployment, now: datetime) -> bool:
    """Whether the stage may end. A calibration lasts by what it has seen, and that is judged by who looked."""
    lasted = (now - (deployment.since or now)).total_seconds()
    return deployment.course.calibrates or lasted >= deployment.at.min_seconds


def _concluding(looked: Deployment, answer: Judged) -> Deployment:
    """A calibration has seen enough; its traffic goes back, if there is anybody to take it."""
    if not answer.control_alive:
        return _due(looked, answer)
    return replace(_toward(looked, 0), status=DeploymentStatus.CONCLUDING)


def _due(looked: Deployment, answer: Judged) -> Deployment:
    """Where a rollback is due. With no other arm that could take the traffic, and without leave, a person decides."""
    if not answer.control_alive:
        reason = f"{answer.reason}; the other arm cannot take its traffic"
        return replace(looked, awaits="rollback", reason=reason)
    if not looked.course.auto_rollback:
        return replace(looked, awaits="rollback")
    return _back(looked, answer.cause, answer.reason)


def ordered(deployment: Deployment, order: Order, reason: str, now: datetime) -> Deployment:
    """After a person's word; one that changes nothing is harmless. Raises AlreadyDecided where it comes too late, and
    InvalidRequest for one that would give a calibration more traffic.
    """
    if deployment.course.calibrates and order in _RISING:
        raise InvalidRequest(
            f"deployment {deployment.id} is a calibration, which ends with no traffic on the canary",
            hint="Begin a rollout of its own for what is to be promoted.",
        )
    if _said_before(deployment, order):
        return deployment
    if deployment.status is not DeploymentStatus.PROGRESSING:
        aborted = deployment.status is DeploymentStatus.PROMOTING and order in {Order.ABORT, Order.CANCEL}
        if not aborted:
            raise AlreadyDecided(f"deployment {deployment.id} is {deployment.status.replace('_', ' ')}")
    return _obeyed(replace(deployment, reason=reason), order, now)


def _obeyed(told: Deployment, order: Order, now: datetime) -> Deployment:
    match order:
        case Order.PAUSE:
            return replace(told, paused=True)
        case Order.RESUME:
            # The time in which it was to stand still is not held against it.
            return replace(told, paused=False, since=told.since and now)
        case Order.STEP:
            return _onward(told)
        case Order.PROMOTE:
            return _promoted(told)
        case Order.ABORT:
            return _back(told, Cause.PERSON, told.reason)
        case Order.CANCEL:
            return replace(_toward(told, 0), status=DeploymentStatus.CANCELLING)


_SAID = {
    Order.ABORT: {DeploymentStatus.ROLLING_BACK, DeploymentStatus.ROLLED_BACK},
    Order.CANCEL: {DeploymentStatus.CANCELLING, DeploymentStatus.CANCELLED},
    Order.PROMOTE: {DeploymentStatus.PROMOTING, DeploymentStatus.PROMOTED},
}


def _said_before(deployment: Deployment, order: Order) -> bool:
    if deployment.status is DeploymentStatus.PROGRESSING:
        return deployment.paused if order is Order.PAUSE else order is Order.RESUME and not deployment.paused
    return deployment.status in _SAID.get(order, set())


def halted(deployment: Deployment, reason: str) -> Deployment:
    """After a halt: its traffic is taken away. What is on its way back, or has ended, is left alone."""
    if deployment.status in {DeploymentStatus.PROGRESSING, DeploymentStatus.PROMOTING}:
        return _back(deployment, Cause.HALT, reason)
    return deployment


def astray(deployment: Deployment, weights: Mapping[str, int]) -> Deployment:
    """After a reading of the weights in force (percent by arm). Where they are not those that were put in force, they are put
    in force again; who undoes that again and again is stronger, and what cannot be judged goes back.
    """
    course, weight = deployment.course, deployment.weight
    planned = {course.canary: weight, course.control: WHOLE - weight}
    found = {arm: share for arm, share in weights.items() if share}
    if deployment.moving or found == {arm: share for arm, share in planned.items() if share}:
        return deployment
    given = ", ".join(f"{arm} {share} %" for arm, share in sorted(found.items())) or "nobody anything"
    reason = f"the router gives {given}, where {course.canary} {weight} % was put in force"
    strayed = replace(deployment, strays=deployment.strays + 1, moving=True, reason=reason)
    if strayed.strays <= TRIES or deployment.status is not DeploymentStatus.PROGRESSING:
        return strayed
    return _back(strayed, Cause.ROUTER, f"{reason}, time and again: somebody else moves this traffic")


def is_stuck(deployment: Deployment) -> bool:
    """Whether its traffic is to be taken away, and the router has refused so often that a person must hear of it."""
    return deployment.status in BACK and deployment.moving and deployment.tries >= TRIES


def overdue(deployment: Deployment, now: datetime) -> bool:
    """Whether its stage lasts longer than it may: a shared incident holds it for as long as that lasts. What waits for a
    person never is.
    """
    if deployment.status is not DeploymentStatus.PROGRESSING or deployment.since is None:
        return False
    grace = 2 * deployment.course.interval_seconds
    return (now - deployment.since).total_seconds() >= deployment.patience_seconds + grace


def revised(deployment: Deployment, revision: str) -> Deployment:
    """With a new revision in the changed arm: from the first stage, and nothing that was seen before counts.

    Raises AlreadyDecided for one that is on its way back, or has ended, and InvalidRequest for a calibration.
    """
    if deployment.course.calibrates:
        raise InvalidRequest(
            f"deployment {deployment.id} is a calibration, in which both arms run the same",
            hint="Cancel it, and begin it anew once both arms run the new revision.",
        )
    if revision == deployment.revision:
        return deployment
    if deployment.status not in {DeploymentStatus.PROGRESSING, DeploymentStatus.PROMOTING}:
        raise AlreadyDecided(f"deployment {deployment.id} is {deployment.status.replace('_', ' ')}")
    return replace(
        _toward(deployment, deployment.course.stages[0].weight),
        revision=revision,
        epoch=deployment.epoch + 1,
        status=DeploymentStatus.PROGRESSING,
        stage=0,
        since=None,
        looked_at=None,
        reason=f"revision {revision}",
    )


def settled(deployment: Deployment, now: datetime) -> Deployment:
    """At its end, once its traffic is where it is to stay."""
    ends = {
        DeploymentStatus.PROMOTING: (WHOLE, DeploymentStatus.PROMOTED),
        DeploymentStatus.ROLLING_BACK: (0, DeploymentStatus.ROLLED_BACK),
        DeploymentStatus.CANCELLING: (0, DeploymentStatus.CANCELLED),
        DeploymentStatus.CONCLUDING: (0, DeploymentStatus.CONCLUDED),
    }
    weight, status = ends.get(deployment.status, (None, deployment.status))
    if deployment.moving or weight is None or deployment.weight != weight:
        return deployment
    return replace(deployment, status=status, ended_at=now, awaits="")


def _onward(deployment: Deployment) -> Deployment:
    following = deployment.stage + 1
    if following == len(deployment.course.stages):
        return _promoted(deployment)
    onward = _toward(deployment, deployment.course.stages[following].weight)
    return replace(onward, stage=following, since=None, looked_at=None)


def _promoted(deployment: Deployment) -> Deployment:
    return replace(_toward(deployment, WHOLE), status=DeploymentStatus.PROMOTING)


def _back(deployment: Deployment, cause: Cause, reason: str) -> Deployment:
    status = DeploymentStatus.ROLLING_BACK
    return replace(_toward(deployment, 0), status=status, reason=reason, cause=cause)


def _toward(deployment: Deployment, weight: int) -> Deployment:
    """With another weight wanted. What the router was asked for before may be in force unseen, so it is asked again."""
    moving = deployment.moving or weight != deployment.wanted
    return replace(deployment, wanted=weight, moving=moving, awaits="", tries=0)
