"""How long an analysis will take: the power of a rollout before it starts, and the rest of one that runs.

A log e-value grows like a random walk. Its drift and its variance a second give the time at which it first
reaches a level: inverse Gaussian (Wald, Sequential Analysis, 1947; Folks and Chhikara, JRSS B 40, 1978).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from penelope.domain.analysis import AnalysisSpec
from penelope.rooms.rollout.eprocess import (
    FROM_THE_START,
    MODEST,
    ODDS,
    ODDS_WEIGHTS,
    REFUTATION_WEIGHTS,
    RIVALS,
)
from penelope.rooms.rollout.evidence import GUARD_SHARE, LATENCY_SHARE

_LONGEST_SECONDS = 1e7


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What is expected of a service: requests a second of both arms, the canary's share of them, its usual error ratio."""

    requests_per_second: float
    share: float
    error_ratio: float

    def __post_init__(self) -> None:
        """Raises ValueError for what is no traffic."""
        if not 0.0 < self.requests_per_second <= 1e9:
            raise ValueError("requests_per_second must be above 0 and at most 1e9")
        if not 0.0 < self.share < 1.0 or not 0.0 <= self.error_ratio < 1.0:
            raise ValueError("share must lie between 0 and 1, error_ratio from 0 to below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When something will be seen: in half and in nine of ten rollouts. Infinite where it never will be."""

    p50_seconds: float
    p90_seconds: float
    p90_requests: float
    """Of both arms."""
    within_a_step: float
    """The chance that it is seen before a step's time is up."""


def _normal(value: float) -> float:
    return 0.5 * math.erfc(-value / math.sqrt(2.0))


@dataclass(frozen=True, slots=True)
class _Walk:
    """A log e-value's way: up to `level`, at `drift` a second with `variance` a second."""

    level: float
    drift: float
    variance: float

    def reached(self, seconds: float) -> float:
        """The chance that the level was reached by then."""
        if self.level <= 0:
            return 1.0
        if seconds <= 0 or (self.drift <= 0 and self.variance <= 0):
            return 0.0
        spread: float = math.sqrt(max(self.variance, 1e-12) * seconds)
        ahead = _normal((self.drift * seconds - self.level) / spread)
        power = 2.0 * self.drift * self.level / max(self.variance, 1e-12)
        behind = _normal(-(self.drift * seconds + self.level) / spread)
        again = math.exp(min(0.0, power + math.log(behind))) if behind > 0 else 0.0
        return min(1.0, ahead + again)

    def quantile(self, chance: float) -> float:
        """The time by which it is reached with this chance, in seconds."""
        low, high = 0.0, 1.0
        while self.reached(high) < chance:
            low, high = high, 2.0 * high
            if high > _LONGEST_SECONDS:
                return math.inf
        for _ in range(60):
            middle = (low + high) / 2.0
            low, high = (low, middle) if self.reached(middle) >= chance else (middle, high)
        return high


def forecast_detection(spec: AnalysisSpec, traffic: Traffic, error_ratio: float) -> Forecast:
    """When a canary whose error ratio is `error_ratio` will be rolled back for it."""
    rates = _rates(traffic, error_ratio)
    weight = (1.0 - LATENCY_SHARE if spec.latency else 1.0) * (1.0 - GUARD_SHARE) * FROM_THE_START
    scale = spec.tempering.errors.factor
    steps = np.log(ODDS)
    norm = np.log1p(traffic.share * (ODDS - 1.0))
    walks = [
        _walk(rates, own, -bound, -math.log(spec.alpha * weight * part), scale)
        for own, bound, part in zip(steps - norm, norm, ODDS_WEIGHTS, strict=True)
    ]
    return _soonest(spec, traffic, walks)


def forecast_clearance(spec: AnalysisSpec, traffic: Traffic) -> Forecast:
    """When the errors of a canary that is as good as the control will be cleared."""
    rates = _rates(traffic, traffic.error_ratio)
    scale = spec.tempering.errors.factor
    weights = REFUTATION_WEIGHTS[0]
    gain = math.log1p(traffic.share * (spec.factor - 1.0))
    walks = []
    for rival, part in zip(RIVALS, weights[: len(RIVALS)], strict=True):
        other = gain - math.log1p(traffic.share * (rival - 1.0))
        own = math.log(rival / spec.factor) + other
        walks.append(_walk(rates, own, other, -math.log(spec.beta * part), scale))
    negligible = spec.negligible_error_ratio
    for modest, part in zip(MODEST, weights[len(RIVALS) :], strict=True):
        calm = math.log1p(-negligible * modest) - math.log1p(-negligible)
        requests = traffic.requests_per_second * traffic.share
        failing = requests * traffic.error_ratio
        drift = failing * math.log(modest) + (requests - failing) * calm
        variance = failing * math.log(modest) ** 2
        walks.append(_Walk(-math.log(spec.beta * part), drift / scale, variance / scale))
    return _soonest(spec, traffic, walks)


class Pace(NamedTuple):
    """One metric of a rollout that runs: both arms' requests a second, the canary's share, the ratio of events in both."""

    requests_per_second: float
    share: float
    ratio: float


def seconds_to_clear(left: float, pace: Pace, *, factor: float, negligible: float, noise: float) -> float:
    """The expected time until a refutation whose logarithm lacks `left` is there, for a canary without fault."""
    if left <= 0.0:
        return 0.0
    total, share, ratio = pace
    compared = total * ratio * (math.log1p(share * (factor - 1.0)) - share * math.log(factor))
    modestly = max(
        total * share * (ratio * log_modest + (1.0 - ratio) * calm)
        for log_modest, calm in _modest(negligible)
    )
    return left / max(max(compared, modestly) / noise, 1.0 / _LONGEST_SECONDS)


@lru_cache(maxsize=256)
def _modest(negligible: float) -> tuple[tuple[float, float], ...]:
    """For each of the modest shares: what an event says, and what a request without one."""
    return tuple(
        (math.log(share), math.log1p(-negligible * share) - math.log1p(-negligible))
        for share in MODEST.tolist()
    )


def _rates(traffic: Traffic, error_ratio: float) -> tuple[float, float]:
    """Errors a second of the canary and of the control."""
    requests = traffic.requests_per_second
    return requests * traffic.share * error_ratio, requests * (1.0 - traffic.share) * traffic.error_ratio


def _walk(rates: tuple[float, float], own: float, other: float, level: float, scale: float) -> _Walk:
    """Tempering divides the drift; the noise that it stands for makes the variance larger by as much."""
    canary, control = rates
    drift = canary * own + control * other
    variance = canary * own**2 + control * other**2
    return _Walk(level, drift / scale, variance / scale)


def _soonest(spec: AnalysisSpec, traffic: Traffic, walks: list[_Walk]) -> Forecast:
    """The mixture is there when its first part alone would be, or sooner."""
    half, most = (min(walk.quantile(chance) for walk in walks) for chance in (0.5, 0.9))
    return Forecast(
        p50_seconds=half,
        p90_seconds=most,
        p90_requests=most * traffic.requests_per_second,
        within_a_step=max(walk.reached(spec.max_step_seconds) for walk in walks),
    )
