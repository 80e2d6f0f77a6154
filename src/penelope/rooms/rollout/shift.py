"""By how much one sample lies above another: the Mann-Whitney interval, computed as Kayenta and R compute it.

The interval and the estimate are roots of the standardised rank sum as a function of the shift, with normal
approximation, ties and continuity correction (Hollander and Wolfe, Nonparametric Statistical Methods, 1999,
section 4.2; wilcox.test of R with exact = FALSE). The roots are found by Brent's method (Algorithms for Minimization
Without Derivatives, 1973, chapter 4) to within 1e-4, as both do: of smaller figures the interval is that coarse.
"""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from penelope.rooms.rollout.eprocess import Array

_WITHIN = 1e-4
_MOST_STEPS = 1000
_EPSILON = float(np.finfo(np.float64).eps)


class Shift(NamedTuple):
    """How much higher the first sample lies than the second: the bounds of the interval, and the estimate."""

    low: float
    high: float
    estimate: float


def shift(first: Array, second: Array, confidence: float) -> Shift:
    """The shift between two samples that are not empty. Raises ValueError where all values are the same."""
    least, most = float(first.min() - second.max()), float(first.max() - second.min())

    def excess(quantile: float) -> Callable[[float], float]:
        return lambda by: _standardised(by, first, second) - quantile

    def root(quantile: float) -> float:
        function = excess(quantile)
        below, above = function(least), function(most)
        if below <= 0:
            return least
        return most if above >= 0 else _brent(function, (least, below), (most, above))

    quantile = NormalDist().inv_cdf((1.0 - confidence) / 2.0)
    middle = excess(0.0)
    estimate = _brent(middle, (least, middle(least)), (most, middle(most)))
    return Shift(root(-quantile), root(quantile), estimate)


def ranks(values: Array) -> Array:
    """Ranks from 1, ties sharing their mean."""
    _, places, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    shared: Array = (ends - (sizes - 1) / 2.0)[places]
    return shared


def _standardised(by: float, first: Array, second: Array) -> float:
    """The rank sum of the first sample, moved down by `by`, in standard deviations."""
    one, two = float(len(first)), float(len(second))
    ranked = ranks(np.concatenate([first - by, second]))
    excess = float(ranked[: len(first)].sum()) - one * (one + 1) / 2 - one * two / 2
    _, ties = np.unique(ranked, return_counts=True)
    tied = float((ties.astype(np.float64) ** 3 - ties).sum()) / ((one + two) * (one + two - 1))
    variance = one * two / 12 * (one + two + 1 - tied)
    if variance <= 0:
        raise ValueError("all observations are the same")
    corrected = excess - float(np.sign(excess)) * 0.5
    return corrected / math.sqrt(variance)


def _brent(function: Callable[[float], float], one: tuple[float, float], two: tuple[float, float]) -> float:
    """A root between two points with their values."""
    (a, at_a), (b, at_b) = one, two
    if at_a == 0.0:
        return a
    c, at_c = a, at_a
    for _ in range(_MOST_STEPS):
        before = b - a
        if abs(at_c) < abs(at_b):
            a, b, c = b, c, b
            at_a, at_b, at_c = at_b, at_c, at_b
        tolerance = 2 * _EPSILON * abs(b) + _WITHIN / 2
        half = (c - b) / 2
        if abs(half) <= tolerance or at_b == 0.0:
            return b
        step = half
        if abs(before) >= tolerance and abs(at_a) > abs(at_b):
            step = _interpolated((a, at_a), (b, at_b), (c, at_c), (before, tolerance))
        if abs(step) < tolerance:
            step = tolerance if step > 0 else -tolerance
        a, at_a = b, at_b
        b += step
        at_b = function(b)
        if at_b * at_c > 0:
            c, at_c = a, at_a
    return b


def _interpolated(
    a: tuple[float, float], b: tuple[float, float], c: tuple[float, float], bounds: tuple[float, float]
) -> float:
    """The step from `b` by inverse quadratic or linear interpolation; half the interval where that is no better."""
    before, tolerance = bounds
    width, half = c[0] - b[0], (c[0] - b[0]) / 2
    if a[0] == c[0]:
        slope = b[1] / a[1]
        above, under = width * slope, 1.0 - slope
    else:
        q, first, second = a[1] / c[1], b[1] / c[1], b[1] / a[1]
        above = second * (width * q * (q - first) - (b[0] - a[0]) * (first - 1.0))
        under = (q - 1.0) * (first - 1.0) * (second - 1.0)
    above, under = (above, -under) if above > 0 else (-above, under)
    fits = above < 0.75 * width * under - abs(tolerance * under) / 2 and above < abs(before * under / 2)
    return above / under if fits else half
