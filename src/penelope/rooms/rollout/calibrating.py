"""Judges a look at a calibration: two arms of the same revision, from which the noise of the service is learned.

The comparison has no say here: it is what is being calibrated, and noise would fire it. Limits and silence end a
calibration; PROMOTE says that it has come to its end.
"""

from dataclasses import replace
from datetime import datetime

from penelope.domain.analysis import AnalysisState, Assessment, Finding, Grounds
from penelope.domain.calibration import Learned
from penelope.domain.deployment import Deployment
from penelope.domain.rollout import Step
from penelope.rooms.rollout.lesson import Lesson, taught
from penelope.rooms.rollout.limits import guarded, limits_in, silenced, silent_seconds, told


def calibration_judged(
    deployment: Deployment, state: AnalysisState, lesson: Lesson, before: Assessment, now: datetime
) -> Assessment:
    """The answer of a look at a calibration, in place of what the comparison said `before`."""
    spec, stage = deployment.course.analysis, deployment.at
    limits = guarded(spec, state)
    silent = silent_seconds(state, now)
    lasted = (now - (deployment.since or now)).total_seconds()
    seen = f"{lesson.seconds:.0f} of {stage.min_seconds:.0f} s seen"
    found = (_so_far(seen, learned_of(deployment, lesson, now)), *limits_in(before.findings))
    answer = replace(before, findings=found, harm=0.0, expected_seconds=None)
    if limits.canary or limits.control:
        whose = "the canary" if limits.canary else "the control"
        why = f"{whose} breaks a limit, and what is not well teaches nothing"
        return replace(answer, step=Step.ROLLBACK, reasons=(why, *told(before)), grounds=Grounds.WORSE)
    if silenced(spec, state, now):
        why = f"no complete figures for {silent:.0f} s, {seen}"
        return replace(answer, step=Step.ROLLBACK, reasons=(why,), grounds=Grounds.SILENCE)
    if lesson.seconds >= stage.min_seconds or (lasted >= stage.max_seconds and not deployment.paused):
        return replace(answer, step=Step.PROMOTE, reasons=(seen,))
    left = max(0.0, stage.min_seconds - lesson.seconds)
    gap = ("no complete figures",) if silent else ()
    return replace(
        answer, step=Step.HOLD, reasons=(seen, *gap, *told(before)), expected_seconds=round(left, 1)
    )


def _so_far(seen: str, learned: Learned) -> Finding:
    words = f"{seen}; {learned.words}" if learned.taught else seen
    return Finding(metric="noise", harm=0.0, cleared=None, canary=None, control=None, reason=words)


def learned_of(deployment: Deployment, lesson: Lesson, at: datetime) -> Learned:
    """What a calibration has come to."""
    found = taught(lesson)
    return Learned(
        service=deployment.service,
        deployment=deployment.id,
        at=at,
        seconds=lesson.seconds,
        requests=lesson.requests,
        tempering=found.tempering,
        errors=found.errors,
        latency=found.latency,
    )
