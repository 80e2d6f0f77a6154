"""One look at a deployment: from what was seen to what becomes of it, and what is remembered for the next."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from penelope.domain.analysis import AnalysisState, ArmTotals, Assessment, Mode, Scrape
from penelope.domain.analysis import ArmCounts as AnalysedCounts
from penelope.domain.counts import ArmCounts, Counts, Doubt, Totals, counted
from penelope.domain.deployment import WHOLE, Cause, Course, Deployment
from penelope.domain.rollout import Step
from penelope.kit.canonical import Json
from penelope.kit.codec import to_data
from penelope.rooms.rollout.assess import assess, at_step, begin
from penelope.rooms.rollout.calibrating import calibration_judged
from penelope.rooms.rollout.course import Judged, judged
from penelope.rooms.rollout.horizon import Interval, gathered, horizon_judged
from penelope.rooms.rollout.lesson import Lesson, broken, heard
from penelope.rooms.rollout.reckoning import sound, span, timed, untimed
from penelope.rooms.rollout.share import Share, ShareRecord, ShareRule, explained, started
from penelope.rooms.rollout.share import judged as share_judged
from penelope.rooms.rollout.share import looked as share_looked

_SHARE = ShareRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is remembered from one look to the next: the counters as they stood, and what the analysis made of them;
    of a calibration, what it has seen of noise, and of one that Kayenta's judge judges the samples of its interval.
    """

    totals: Totals | None = None
    analysis: AnalysisState | None = None
    share: ShareRecord | None = None
    lesson: Lesson | None = None
    interval: Interval | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a look saw: counters, or why there are none; and the weights in force, None where the router did not say."""

    totals: Totals | None = None
    silence: str = ""
    weights: Mapping[str, int] | None = None


def judge_look(kept: Kept, seen: Seen, now: datetime) -> Kept:
    """After a look. The first one of a revision only has the counters to begin from."""
    deployment, memory = kept.deployment, kept.memory
    course, at = deployment.course, deployment.since or now
    state = memory.analysis or begin(deployment.revision, deployment.weight, at)
    state = replace(at_step(state, deployment.revision, deployment.weight, at), step_started_at=at)
    spec = replace(
        course.analysis, max_step_seconds=deployment.patience_seconds, tempering=deployment.tempering
    )
    counts, doubts = _counts(memory.totals, seen)
    scrape = None if counts is None else _scrape(counts, course)
    state, assessment = assess(spec, state, scrape, now)
    remembered = replace(memory, totals=seen.totals or memory.totals, analysis=state)
    remembered, assessment = _by_course(deployment, remembered, scrape, assessment, now)
    share = _shared(memory.share, deployment, counts)
    if share_judged(share, _SHARE) is Share.NOT_AS_PLANNED:
        doubts = (*doubts, f"traffic drifts: {explained(share, _SHARE)}")
        # Noise is learned from the shares as they are.
        if assessment.step is Step.PROMOTE and not course.calibrates:
            assessment = replace(assessment, step=Step.HOLD)
    answer = Judged(
        step=assessment.step,
        reason="; ".join((*assessment.reasons, *doubts)),
        cause=Cause(assessment.grounds),
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
        memory=replace(remembered, share=share),
        look=look,
    )


def _by_course(
    deployment: Deployment, memory: Memory, scrape: Scrape | None, assessment: Assessment, now: datetime
) -> tuple[Memory, Assessment]:
    """What is remembered and answered where the comparison has no say: in a calibration, and in the mode of Kayenta."""
    state, course = memory.analysis, deployment.course
    if state is None or not (course.calibrates or course.analysis.mode is Mode.KAYENTA):
        return memory, assessment
    arms = _arms(scrape, state.edges)
    if course.calibrates:
        before = memory.lesson or Lesson()
        lesson = heard(before, *arms, span(scrape)) if scrape and arms else broken(before)
        return replace(memory, lesson=lesson), calibration_judged(deployment, state, lesson, assessment, now)
    interval = gathered(memory.interval, deployment, arms, state.edges, now)
    interval, answer = horizon_judged(deployment, state, interval, assessment, now)
    return replace(memory, interval=interval), answer


def _arms(scrape: Scrape | None, edges: tuple[float, ...]) -> tuple[ArmTotals, ArmTotals] | None:
    """The canary and the control, where both could be read."""
    canary = _totals(scrape.canary if scrape else None, edges)
    control = _totals(scrape.control if scrape else None, edges)
    return None if canary is None or control is None else (canary, control)


def _totals(arm: AnalysedCounts | None, edges: tuple[float, ...]) -> ArmTotals | None:
    counts = sound(arm)
    return None if counts is None else timed(counts, edges) or untimed(counts, edges)


def _shared(before: ShareRecord | None, deployment: Deployment, counts: Counts | None) -> ShareRecord:
    """The share of the requests since the weight was set; the look in which it changed is left out."""
    if before is None or before.planned != deployment.weight / WHOLE or deployment.looked_at is None:
        return started(deployment.weight)
    course = deployment.course
    if counts is None or not {course.canary, course.control} <= counts.arms.keys():
        return before
    return share_looked(before, counts.arms[course.canary].requests, counts.arms[course.control].requests)


def _counts(before: Totals | None, seen: Seen) -> tuple[Counts | None, tuple[str, ...]]:
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
