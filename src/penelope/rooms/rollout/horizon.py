"""Judges a stage by Kayenta's judge: once, when its interval is over. A test of fixed horizon.

Repeated at each look such a test finds a fault in nearly every good release some day, so that it is not: until the end of
`min_seconds` samples are gathered, and only the limits and silence have a say. A marginal score begins another interval
with samples of its own, until the stage's time is over.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from penelope.domain.analysis import AnalysisState, ArmTotals, Assessment, Finding, Grounds, Otherwise
from penelope.domain.deployment import LEAST_SAMPLES, WHOLE, Deployment
from penelope.domain.rollout import Step
from penelope.rooms.rollout.kayenta import Classified, Direction, MetricConfig, Score, classify, score
from penelope.rooms.rollout.limits import guarded, limits_in, silenced, silent_seconds, told
from penelope.rooms.rollout.reckoning import added

MOST_SAMPLES = 120
"""Of a metric, in an interval; where there are more looks several make one sample."""

_PERCENT, _MILLISECONDS = 100.0, 1000.0
"""Kayenta finds its interval to within 1e-4: shares and seconds would be too small for that."""
_QUANTILES = (0.5, 0.99)
_ERRORS = "errors"
_LATENCIES = ("latency_p50", "latency_p99")
_DIGITS = 6

_NOTHING = ArmTotals()

Pairs = tuple[tuple[float, float], ...]
"""The canary's value and the control's, from the same looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The samples since it `began`, in the stage that got its traffic at `since`; and those that are not whole yet (`open_…`).

    Errors in percent, quantiles of latency in ms.
    """

    since: datetime
    began: datetime
    errors: Pairs = ()
    latencies: tuple[Pairs, ...] = ((),) * len(_QUANTILES)
    open_looks: int = 0
    open_canary: ArmTotals = _NOTHING
    open_control: ArmTotals = _NOTHING


def gathered(
    before: Interval | None,
    deployment: Deployment,
    arms: tuple[ArmTotals, ArmTotals] | None,
    edges: tuple[float, ...],
    now: datetime,
) -> Interval:
    """The interval with one more look at canary and control; a look without requests of both gives no sample."""
    since = deployment.since or now
    interval = before if before is not None and before.since == since else Interval(since=since, began=since)
    if arms is None or not all(arm.requests for arm in arms):
        return interval
    canary, control = (
        added(*pair) for pair in zip((interval.open_canary, interval.open_control), arms, strict=True)
    )
    looks = interval.open_looks + 1
    if looks < _stride(deployment):
        return replace(interval, open_looks=looks, open_canary=canary, open_control=control)
    errors = _pair(*(_PERCENT * arm.errors / arm.requests for arm in (canary, control)))
    latencies = interval.latencies
    if edges and canary.timed and control.timed:
        found = [
            _pair(*(_MILLISECONDS * quantile(arm, edges, part) for arm in (canary, control)))
            for part in _QUANTILES
        ]
        latencies = tuple(_kept(pairs, pair) for pairs, pair in zip(latencies, found, strict=True))
    return Interval(
        since=since, began=interval.began, errors=_kept(interval.errors, errors), latencies=latencies
    )


def quantile(arm: ArmTotals, edges: Sequence[float], part: float) -> float:
    """Seconds that this part of an arm's timed requests took at most, by straight lines between the edges of the
    histogram as Prometheus draws them; the last edge for what lies above it.
    """
    wanted = part * arm.timed
    below, reached = 0.0, 0.0
    for edge, slow in zip(edges, arm.slow, strict=True):
        within = arm.timed - slow
        if within >= wanted:
            return below + (edge - below) * (wanted - reached) / max(within - reached, 1e-9)
        below, reached = edge, within
    return below


def horizon_judged(
    deployment: Deployment, state: AnalysisState, interval: Interval, before: Assessment, now: datetime
) -> tuple[Interval, Assessment]:
    """The answer of a look, in place of what the comparison said `before`; after a verdict on it a new interval begins."""
    spec = deployment.course.analysis
    limits = guarded(spec, state)
    answer = replace(
        before,
        step=Step.HOLD,
        findings=(*_means(interval), *limits_in(before.findings)),
        harm=0.0,
        expected_seconds=None,
        grounds=Grounds.WORSE,
    )
    if limits.canary:
        why = "the canary breaks a limit"
        return interval, replace(answer, step=Step.ROLLBACK, reasons=(why, *told(before)))
    if silent := silent_seconds(state, now):
        step = Step.ROLLBACK if silenced(spec, state, now) else Step.HOLD
        why = f"no complete figures for {silent:.0f} s"
        return interval, replace(answer, step=step, reasons=(why,), grounds=Grounds.SILENCE)
    if limits.shared:
        why = "shared incident: the canary and the control break the same limit"
        return interval, replace(answer, reasons=(why, *told(before)))
    if deployment.weight >= WHOLE:
        return interval, _alone(deployment, state, answer, now, well=not limits.suspect)
    left = deployment.at.min_seconds - (now - interval.began).total_seconds()
    if left > 0 or len(interval.errors) < LEAST_SAMPLES:
        why = f"{len(interval.errors)} samples of both arms, to be judged when {deployment.at.min_seconds:g} s are over"
        held = replace(answer, reasons=(why,), expected_seconds=round(max(left, 0.0), 1))
        return interval, _in_time(deployment, state, held, now)
    return Interval(since=interval.since, began=now), _scored(deployment, state, interval, answer, now)


def _scored(
    deployment: Deployment, state: AnalysisState, interval: Interval, answer: Assessment, now: datetime
) -> Assessment:
    spec = deployment.course.analysis
    classified = _classified(interval, latency=spec.latency)
    found = score(classified, {}, passing=spec.kayenta.passing, marginal=spec.kayenta.marginal)
    reasons = (_verdict(found, len(interval.errors)), *(each.reason for each in classified if each.reason))
    judged = replace(answer, reasons=reasons)
    if found.label == "Fail":
        return replace(judged, step=Step.ROLLBACK)
    if found.label == "Pass" and state.canary.requests >= spec.limits.min_requests:
        return replace(judged, step=Step.PROMOTE)
    return _in_time(deployment, state, judged, now)


def _verdict(found: Score, samples: int) -> str:
    why = f", {found.reason}" if found.reason else ""
    return f"Kayenta's judge: {found.label}, {found.value:g} of 100 from {samples} samples{why}"


def _classified(interval: Interval, *, latency: bool) -> list[Classified]:
    named = [(_ERRORS, _ERRORS, interval.errors)]
    if latency:
        named += [
            (name, "latency", pairs) for name, pairs in zip(_LATENCIES, interval.latencies, strict=True)
        ]
    return [
        classify(
            MetricConfig(name=name, groups=(group,), direction=Direction.INCREASE, must_have_data=True),
            [one for one, _ in pairs],
            [other for _, other in pairs],
        )
        for name, group, pairs in named
    ]


def _alone(
    deployment: Deployment, state: AnalysisState, answer: Assessment, now: datetime, *, well: bool
) -> Assessment:
    """With all traffic there is nothing to compare with: the limits alone have a say."""
    why = "all traffic is on the canary, and the limits alone are judged"
    held = replace(answer, reasons=(why, *(each.reason for each in limits_in(answer.findings))))
    lasted = (now - (deployment.since or now)).total_seconds()
    enough = state.canary.requests >= deployment.course.analysis.limits.min_requests
    if well and enough and lasted >= deployment.at.min_seconds:
        return replace(held, step=Step.PROMOTE)
    return _in_time(deployment, state, held, now)


def _in_time(deployment: Deployment, state: AnalysisState, held: Assessment, now: datetime) -> Assessment:
    """What is held, while the stage has time; then what is to become of it. Too small a sample is never promoted."""
    spec = deployment.course.analysis
    lasted = (now - (deployment.since or now)).total_seconds()
    if lasted < deployment.patience_seconds:
        return held
    step = Step(spec.undecided.value)
    if spec.undecided is Otherwise.PROMOTE and state.canary.requests < spec.limits.min_requests:
        step = Step.HOLD
    reasons = (f"no verdict within {deployment.patience_seconds:g} s", *held.reasons)
    return replace(held, step=step, reasons=reasons, expected_seconds=None, grounds=Grounds.UNDECIDED)


def _means(interval: Interval) -> tuple[Finding, ...]:
    """What the samples say so far, in shares and in seconds."""
    named = [(_ERRORS, interval.errors, _PERCENT, "{:.2%}")]
    for name, pairs in zip(_LATENCIES, interval.latencies, strict=True):
        named.append((name, pairs, _MILLISECONDS, "{:.3g} s"))
    found = []
    for name, pairs, unit, form in named:
        if not pairs:
            continue
        canary, control = (sum(pair[arm] for pair in pairs) / len(pairs) / unit for arm in (0, 1))
        words = f"canary {form.format(canary)}, control {form.format(control)}"
        reason = f"{name}: {words}, mean of {len(pairs)} samples"
        found.append(
            Finding(metric=name, harm=0.0, cleared=None, canary=canary, control=control, reason=reason)
        )
    return tuple(found)


def _stride(deployment: Deployment) -> int:
    """So many looks make one sample."""
    looks = deployment.at.min_seconds / deployment.course.interval_seconds
    return max(1, math.ceil(looks / MOST_SAMPLES))


def _pair(canary: float, control: float) -> tuple[float, float]:
    return round(canary, _DIGITS), round(control, _DIGITS)


def _kept(pairs: Pairs, pair: tuple[float, float]) -> Pairs:
    return (*pairs, pair)[-MOST_SAMPLES:]
