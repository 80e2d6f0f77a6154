"""Puts into words what the tests of a canary say, metric by metric, and how long the rest will take."""

import math
from typing import SupportsFloat

from penelope.domain.analysis import AnalysisSpec, AnalysisState, Finding
from penelope.rooms.rollout.evidence import Standing
from penelope.rooms.rollout.foresight import Pace, seconds_to_clear

_LOG_TEN = math.log(10.0)


def findings(
    spec: AnalysisSpec, state: AnalysisState, stands: Standing, *, alone: bool
) -> tuple[Finding, ...]:
    """Errors, latency and the two limits; latency and its limit only where it is judged and was seen."""
    errors = _errors(spec, state, stands, alone=alone)
    limit = _error_limit(spec, state, stands)
    if not state.edges:
        return errors, limit
    return errors, _latency(spec, state, stands, alone=alone), limit, _p99_limit(spec, stands)


def forecast(spec: AnalysisSpec, state: AnalysisState, stands: Standing, *, alone: bool) -> float | None:
    """The seconds until a canary that is as good as the control will probably be promoted; None if that cannot be told."""
    seconds = state.step_seconds
    canary, control = state.canary, state.control
    if seconds <= 0 or canary.requests <= 0 or (not alone and not control.requests):
        return None
    clear = _seconds_to_clear(spec, state, stands.refuted.tolist(), alone=alone)
    sample = max(0.0, spec.limits.min_requests - canary.requests) * seconds / canary.requests
    longest = max(clear, sample)
    return round(longest, 1) if longest < spec.max_step_seconds * 100 else None


def _seconds_to_clear(
    spec: AnalysisSpec, state: AnalysisState, refuted: list[float], *, alone: bool
) -> float:
    """Of all metrics the longest time that is left."""
    canary, control, needed = state.canary, state.control, -math.log(spec.beta)
    longest = seconds_to_clear(
        needed - refuted[0],
        _pace(state, canary.requests, control.requests, canary.errors + control.errors),
        factor=spec.factor,
        negligible=spec.limits.max_error_ratio if alone else spec.negligible_error_ratio,
        noise=spec.tempering.errors.factor,
    )
    if alone:
        return longest
    for reached, one, two in zip(refuted[1:], canary.slow, control.slow, strict=True):
        if reached < needed:
            edge = seconds_to_clear(
                needed - reached,
                _pace(state, canary.timed, control.timed, one + two),
                factor=spec.factor,
                negligible=spec.negligible_slow_ratio,
                noise=spec.tempering.latency.factor,
            )
            longest = max(longest, edge)
    return longest


def _pace(state: AnalysisState, own: float, other: float, events: float) -> Pace:
    total = own + other
    whole = max(total, 1.0)
    return Pace(total / state.step_seconds, own / whole, events / whole)


def _errors(spec: AnalysisSpec, state: AnalysisState, stands: Standing, *, alone: bool) -> Finding:
    canary, control = (
        _share(state.canary.errors, state.canary.requests),
        _share(state.control.errors, state.control.requests),
    )
    harm, cleared = _power(stands.by_test[0]), _power(stands.refuted[0])
    verdict = _verdict(spec, harm, cleared, "errors")
    against = "alone" if alone else f"control {_percent(control)} of {state.control.requests:.0f}"
    return Finding(
        metric="errors",
        harm=harm,
        cleared=cleared,
        canary=canary,
        control=control,
        reason=f"{verdict}: canary {_percent(canary)} of {state.canary.requests:.0f} requests, {against}",
    )


def _latency(spec: AnalysisSpec, state: AnalysisState, stands: Standing, *, alone: bool) -> Finding:
    edges = len(state.edges)
    by_edge, refuted = stands.by_test[1 : edges + 1].tolist(), stands.refuted[1:].tolist()
    most, least = max(by_edge), min(refuted)
    harm = _power(most + math.log(math.fsum([math.exp(each - most) for each in by_edge]) / edges))
    cleared = None if alone else _power(least)
    worst = by_edge.index(most) if harm > 0 or alone else refuted.index(least)
    canary = _share(state.canary.slow[worst], state.canary.timed)
    control = _share(state.control.slow[worst], state.control.timed)
    verdict = _verdict(spec, harm, cleared, "slow requests")
    return Finding(
        metric="latency",
        harm=harm,
        cleared=cleared,
        canary=canary,
        control=control,
        reason=f"{verdict}: above {state.edges[worst]:g} s canary {_percent(canary)}, control {_percent(control)}",
    )


def _error_limit(spec: AnalysisSpec, state: AnalysisState, stands: Standing) -> Finding:
    limits = spec.limits
    canary = _share(state.canary.errors, state.canary.requests)
    control = _share(state.control.errors, state.control.requests)
    harm = _power(stands.by_test[-2])
    if limits.max_error_ratio <= 1.0 - limits.min_success_ratio:
        limit = f"at most {limits.max_error_ratio:.1%} errors"
    else:
        limit = f"at least {limits.min_success_ratio:.1%} success"
    return Finding(
        metric="error_limit",
        harm=harm,
        cleared=None,
        canary=canary,
        control=control,
        reason=_kept(limit, harm, shared=bool(stands.shared[0]), suspect=bool(stands.suspect[0])),
    )


def _p99_limit(spec: AnalysisSpec, stands: Standing) -> Finding:
    harm = _power(stands.by_test[-1])
    limit = f"p99 at most {spec.limits.max_latency_p99_increase_seconds:g} s above the control"
    return Finding(
        metric="p99_limit",
        harm=harm,
        cleared=None,
        canary=None,
        control=None,
        reason=_kept(limit, harm, shared=bool(stands.shared[1]), suspect=bool(stands.suspect[1])),
    )


def _kept(limit: str, harm: float, *, shared: bool, suspect: bool) -> str:
    if shared:
        return f"limit ({limit}): the control breaks it{' too' if suspect else ''}"
    return f"limit ({limit}): {'looks broken' if suspect else 'no sign of a breach'} (e-value {_plain(harm)})"


def _verdict(spec: AnalysisSpec, harm: float, cleared: float | None, metric: str) -> str:
    if harm >= -math.log10(spec.alpha):
        return f"{metric} are more frequent (e-value {_plain(harm)})"
    if cleared is not None and cleared >= -math.log10(spec.beta):
        return f"{metric} are not {spec.factor:g} times as frequent (e-value {_plain(cleared)})"
    return f"{metric}: undecided (e-values {_plain(harm)} against, {_plain(cleared)} for the canary)"


def _plain(power: float | None) -> str:
    """An e-value in words: its logarithm to ten, where it is out of the ordinary."""
    if power is None:
        return "-"
    return f"{10.0**power:.2g}" if -3 <= power <= 6 else f"1e{power:+.0f}"


def _power(log_value: SupportsFloat) -> float:
    return round(float(log_value) / _LOG_TEN, 3)


def _share(part: float, whole: float) -> float | None:
    return min(1.0, part / whole) if whole > 0 else None


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.2%}"
