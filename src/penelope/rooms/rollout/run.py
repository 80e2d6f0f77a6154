"""Judges one look at a canary, and says which weight comes next."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import TypeGuard

from penelope.domain.metrics import Reading
from penelope.domain.rollout import ArmFigures, Look, RolloutLimits, RolloutSpec, Step


@dataclass(frozen=True, slots=True)
class _Breach:
    """A limit that the canary exceeds. A shared one is exceeded by the control as well."""

    reason: str
    shared: bool = False


def judge(
    spec: RolloutSpec,
    weight: int,
    looks: Sequence[Look],
    reading: Reading | None,
    *,
    step_started_at: datetime,
    now: datetime,
) -> Look:
    """One look at the canary at `weight` percent, after the earlier `looks` of this step.

    `reading` covers the time since the step began; None says that there were no figures. The canary is
    promoted after `looks_per_step` good looks on end, rolled back when it breaks a limit that the control
    keeps, and also when `max_step_seconds` bring no verdict: silence is never health. A control that does
    badly never speaks against a good canary, which may be the one that heals it.
    """
    arms = reading.arms if reading else {}
    canary, control = arms.get(spec.canary), arms.get(spec.control)
    step, reasons = _assess(spec, weight, looks, canary, control)
    if step is Step.HOLD and (now - step_started_at).total_seconds() >= spec.max_step_seconds:
        step, reasons = Step.ROLLBACK, (f"no verdict within {spec.max_step_seconds:g} s", *reasons)
    return Look(weight=weight, step=step, reasons=reasons, canary=canary, control=control, looked_at=now)


def next_weight(spec: RolloutSpec, weight: int) -> int | None:
    """The planned weight that follows; None after the last one."""
    return min((step for step in spec.steps if step > weight), default=None)


def _assess(
    spec: RolloutSpec,
    weight: int,
    looks: Sequence[Look],
    canary: ArmFigures | None,
    control: ArmFigures | None,
) -> tuple[Step, tuple[str, ...]]:
    lack = _lack(spec.limits, canary)
    if canary is None or lack:
        return Step.HOLD, (lack,)
    breaches = _breaches(spec.limits, canary, control)
    own = tuple(breach.reason for breach in breaches if not breach.shared)
    if own:
        return Step.ROLLBACK, own
    if breaches:
        return Step.HOLD, tuple(
            f"shared incident: {breach.reason}, and the control breaks the same limit" for breach in breaches
        )
    earlier = takewhile(lambda look: look.weight == weight and _good(spec.limits, look), reversed(looks))
    good = 1 + sum(1 for _ in earlier)
    step = Step.PROMOTE if good >= spec.looks_per_step else Step.HOLD
    return step, (f"good look {good} of {spec.looks_per_step}: {_summary(canary)}",)


def _good(limits: RolloutLimits, look: Look) -> bool:
    return (
        look.canary is not None
        and not _lack(limits, look.canary)
        and not _breaches(limits, look.canary, look.control)
    )


def _lack(limits: RolloutLimits, canary: ArmFigures | None) -> str:
    """What is missing for a judgement; empty where there is enough."""
    if canary is None:
        return "no figures of the canary"
    if not canary.requests >= limits.min_requests:
        return f"too little traffic: {canary.requests:.0f} of {limits.min_requests} requests"
    if not _known(canary.error_ratio):
        return "the canary's error ratio is unknown"
    if not _known(canary.latency_p99_seconds):
        return "the canary's latency is unknown"
    return ""


def _breaches(limits: RolloutLimits, canary: ArmFigures, control: ArmFigures | None) -> list[_Breach]:
    """The limits that the canary breaks. A control with too little traffic is no comparison."""
    compared = control if control and control.requests >= limits.min_requests else None
    broken = _broken(limits, compared.error_ratio) if compared else {}
    found = [
        _Breach(f"canary {reason}", shared=limit in broken)
        for limit, reason in _broken(limits, canary.error_ratio).items()
    ]
    if compared and _known(canary.latency_p99_seconds) and _known(compared.latency_p99_seconds):
        increase = canary.latency_p99_seconds - compared.latency_p99_seconds
        most = limits.max_latency_p99_increase_seconds
        if increase > most:
            found.append(_Breach(f"canary p99 is {increase:.3f} s above the control, {most:g} s are allowed"))
    return found


def _broken(limits: RolloutLimits, error_ratio: float | None) -> dict[str, str]:
    """Why an arm breaks the absolute limits, by limit."""
    if not _known(error_ratio):
        return {}
    broken = {}
    success = 1 - error_ratio
    if success < limits.min_success_ratio:
        broken["min_success_ratio"] = f"success {success:.1%} is below {limits.min_success_ratio:.1%}"
    if error_ratio > limits.max_error_ratio:
        broken["max_error_ratio"] = f"errors {error_ratio:.1%} are above {limits.max_error_ratio:.1%}"
    return broken


def _known(figure: float | None) -> TypeGuard[float]:
    return figure is not None and math.isfinite(figure)


def _summary(canary: ArmFigures) -> str:
    return (
        f"{canary.requests:.0f} requests, {1 - (canary.error_ratio or 0):.1%} success, "
        f"p99 {canary.latency_p99_seconds or 0:.3f} s"
    )
