"""A deployment: traffic that goes over to a changed arm stage by stage, and how far it is."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from penelope.domain import calibration
from penelope.domain.analysis import AnalysisSpec, Mode, Tempering
from penelope.domain.calibration import Learned
from penelope.domain.traffic import Affinity, Mirror, Pin, unfit
from penelope.errors import InvalidRequest

WHOLE = 100
"""Percent of the traffic: the weights of a deployment run from 0 to this."""

MOST_STAGES = 20
LEAST_SAMPLES = 10
"""Kayenta's judge needs so many looks of both arms in an interval; its makers recommend 50."""
LONGEST_NAME = 256
LONGEST_SECONDS = 30 * 86_400.0
SHORTEST_INTERVAL_SECONDS = 0.05
LONGEST_INTERVAL_SECONDS = 3600.0
MOST_REQUESTS = 1_000_000_000
"""The largest sample that may be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A weight in percent for the changed arm.

    It lasts at least `min_seconds`. Without a verdict within `max_seconds` it ends as the analysis says. A `manual` one
    ends only by a person's word, and waits for it for ever. A rollback is never held up by either.
    """

    weight: int
    min_seconds: float = 0.0
    max_seconds: float = 900.0
    manual: bool = False


CANARY = tuple(Stage(weight=weight) for weight in (10, 25, 50, WHOLE))


def fixed_split(weight: int) -> tuple[Stage, ...]:
    """The stages of an A/B comparison: one split, until a person ends it either way."""
    return (Stage(weight=weight, manual=True),)


def alike(seconds: float = calibration.USUAL_SECONDS, weight: int = WHOLE // 2) -> tuple[Stage, ...]:
    """The stage of a calibration: it looks until it has seen `seconds`, and gives up after twice that time."""
    longest = min(2 * seconds, LONGEST_SECONDS)
    return (Stage(weight=weight, min_seconds=seconds, max_seconds=longest),)


def blue_green(*, manual: bool = True) -> tuple[Stage, ...]:
    """The stages of blue-green: all traffic stays where it is until the changed arm is switched to at once.

    Before that it is seen through what is pinned or mirrored to it.
    """
    return (Stage(weight=0, manual=manual), Stage(weight=WHOLE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a deployment is to go. Without `auto_promote` each stage waits for a person; without `auto_rollback` a person
    is told that a rollback is due, and the weight stays. One look each `interval_seconds`, judged by `analysis`.
    `mirror`, `pin` and `affinity` are in force from the first stage to the end.

    An analysis that names no tempering has what was learned of the service, unless `learned_noise` is False. A course
    that `calibrates` is what that is learned by: both arms run the same revision, and no traffic stays on the canary.
    """

    canary: str
    control: str
    stages: tuple[Stage, ...] = CANARY
    auto_promote: bool = True
    auto_rollback: bool = True
    interval_seconds: float = 5.0
    analysis: AnalysisSpec = field(default_factory=AnalysisSpec)
    mirror: Mirror | None = None
    pin: Pin | None = None
    affinity: Affinity | None = None
    learned_noise: bool = True
    calibrates: bool = False

    def __post_init__(self) -> None:
        """Raises InvalidRequest for stages that cannot be gone through, and for what is beyond all reason."""
        weights = list(self.weights)
        if not weights:
            raise InvalidRequest("a deployment has at least one stage")
        if any(not 0 <= weight <= WHOLE for weight in weights):
            raise InvalidRequest(f"weights are 0 to {WHOLE} percent: {weights}")
        if any(after <= before for before, after in pairwise(weights)):
            raise InvalidRequest(f"each stage has a larger weight than the one before: {weights}")
        if self.canary == self.control:
            raise InvalidRequest(f"{self.canary!r} cannot be compared with itself")
        wrongs = (
            *_wrong_times(self),
            *_wrong_limits(self.analysis),
            *_wrong_extras(self),
            *_wrong_calibration(self),
            *_wrong_intervals(self),
        )
        for wrong in wrongs:
            raise InvalidRequest(wrong)

    @property
    def weights(self) -> tuple[int, ...]:
        """The changed arm's, in percent, stage by stage."""
        return tuple(stage.weight for stage in self.stages)

    @property
    def asks_for_noise(self) -> bool:
        """Whether it is to be tempered by what was learned of the service."""
        return self.learned_noise and not self.calibrates and self.analysis.tempering == Tempering()


def _wrong_times(course: Course) -> Iterator[str]:
    if len(course.stages) > MOST_STAGES:
        yield f"a deployment has at most {MOST_STAGES} stages"
    if not SHORTEST_INTERVAL_SECONDS <= course.interval_seconds <= LONGEST_INTERVAL_SECONDS:
        yield f"between two looks are {SHORTEST_INTERVAL_SECONDS} to {LONGEST_INTERVAL_SECONDS:.0f} seconds"
    times = [seconds for stage in course.stages for seconds in (stage.min_seconds, stage.max_seconds)]
    # Written so that NaN is refused as well.
    if not all(0 <= seconds <= LONGEST_SECONDS for seconds in (*times, course.analysis.silence_seconds)):
        yield f"stages and silence last 0 to {LONGEST_SECONDS:.0f} seconds"


def _wrong_limits(analysis: AnalysisSpec) -> Iterator[str]:
    limits = analysis.limits
    if not 0 <= limits.min_success_ratio <= 1:
        yield "min_success_ratio lies between 0 and 1"
    if not 0 <= limits.max_latency_p99_increase_seconds <= LONGEST_INTERVAL_SECONDS:
        yield f"max_latency_p99_increase_seconds is 0 to {LONGEST_INTERVAL_SECONDS:.0f}"
    if not 0 <= limits.min_requests <= MOST_REQUESTS:
        yield f"min_requests is 0 to {MOST_REQUESTS}"


def _wrong_extras(course: Course) -> Iterator[str]:
    names = [course.canary, course.control]
    for extra in (course.mirror, course.pin, course.affinity):
        if extra is not None and (why := unfit(extra)):
            yield why
        if isinstance(extra, Mirror | Pin):
            names.append(extra.arm)
    if not all(0 < len(name) <= LONGEST_NAME and "\0" not in name for name in names):
        yield f"arms have names of 1 to {LONGEST_NAME} letters"


def _wrong_calibration(course: Course) -> Iterator[str]:
    if not course.calibrates:
        return
    stage, *more = course.stages
    if more or not 0 < stage.weight < WHOLE or stage.manual:
        yield "a calibration has one stage, in which both arms have traffic and which ends by itself"
    if not calibration.SHORTEST_SECONDS <= stage.min_seconds <= stage.max_seconds:
        yield f"a calibration lasts at least {calibration.SHORTEST_SECONDS:.0f} seconds, and max_seconds is no less"
    if course.interval_seconds > calibration.LONGEST_LOOK_SECONDS:
        yield f"a calibration looks at least each {calibration.LONGEST_LOOK_SECONDS:.0f} seconds"
    if not course.auto_rollback:
        yield "a calibration that breaks a limit ends by itself: auto_rollback cannot be off"


def _wrong_intervals(course: Course) -> Iterator[str]:
    """Kayenta's judge speaks at the end of a stage's min_seconds: there must be such an end, and enough before it."""
    if course.analysis.mode is not Mode.KAYENTA or course.calibrates:
        return
    least = LEAST_SAMPLES * course.interval_seconds
    compared = [stage for stage in course.stages if 0 < stage.weight < WHOLE]
    if any(stage.min_seconds < least for stage in compared):
        yield f"in the mode kayenta a stage has min_seconds of at least {LEAST_SAMPLES} looks, here {least:g}"
    if any(stage.max_seconds < stage.min_seconds and not stage.manual for stage in compared):
        yield "in the mode kayenta the max_seconds of a stage are no less than its min_seconds"


class Cause(StrEnum):
    """Why a deployment goes back."""

    WORSE = "worse"
    SILENCE = "silence"
    UNDECIDED = "undecided"
    ROUTER = "router"
    HALT = "halt"
    PERSON = "person"


class DeploymentStatus(StrEnum):
    """PROGRESSING includes being paused, or waiting for a word. Those that begin with an -ING but that one go on to
    their end whatever is said, but for an abort of a promotion. CONCLUDED is a calibration that came to its end.
    """

    PROGRESSING = "progressing"
    PROMOTING = "promoting"
    ROLLING_BACK = "rolling_back"
    CANCELLING = "cancelling"
    CONCLUDING = "concluding"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"
    CONCLUDED = "concluded"

    @property
    def ended(self) -> bool:
        return self in {self.PROMOTED, self.ROLLED_BACK, self.CANCELLED, self.CONCLUDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One rollout as it stands.

    `weight` is the last that was seen in force, in percent. `wanted` is what is to be in force; while it is `moving` there
    nobody knows which of the two is. `since` is when the stage got its traffic, `looked_at` when it was judged last.
    `epoch` counts the revisions: what was seen of an earlier one says nothing of this one. `awaits` is the word that a
    person is asked for; `tries` how often on end the router did not obey; `strays` how often it
    had given other weights than it was told; `cause` why it goes back, if it does.
    `incident` is whose fix it is: what halts that takes its traffic away. `learned` is the noise that its looks are
    tempered by where the course names none, and what a calibration has learned at its end; `noise` says which, or why
    there is none.
    """

    id: str
    service: str
    course: Course
    created_by: str
    created_at: datetime
    revision: str = ""
    patch: str = ""
    incident: str = ""
    epoch: int = 0
    status: DeploymentStatus = DeploymentStatus.PROGRESSING
    stage: int = 0
    weight: int = 0
    wanted: int = 0
    moving: bool = False
    since: datetime | None = None
    looked_at: datetime | None = None
    paused: bool = False
    awaits: str = ""
    reason: str = ""
    tries: int = 0
    strays: int = 0
    cause: Cause | None = None
    ended_at: datetime | None = None
    learned: Learned | None = None
    noise: str = ""

    @property
    def tempering(self) -> Tempering:
        """What its looks are tempered by: what the course names, or what was learned of the service."""
        named = self.course.analysis.tempering
        return self.learned.tempering if self.learned and self.course.asks_for_noise else named

    @property
    def at(self) -> Stage:
        """The stage that it is in."""
        return self.course.stages[self.stage]

    @property
    def patience_seconds(self) -> float:
        """How long the stage may be without a verdict; what waits for a person waits for ever."""
        return math.inf if self.paused or self.at.manual or self.awaits else self.at.max_seconds

    @property
    def planned(self) -> frozenset[int]:
        """The only weights that it may ever have."""
        return frozenset({0, WHOLE, *(stage.weight for stage in self.course.stages)})


class Order(StrEnum):
    """What a person may say to a deployment. ABORT takes its traffic away and holds it for bad; CANCEL takes its traffic
    away and says nothing about it.
    """

    PAUSE = "pause"
    RESUME = "resume"
    STEP = "step"
    PROMOTE = "promote"
    ABORT = "abort"
    CANCEL = "cancel"
