"""The formulas of the sequential tests, on arrays: leading axes are rollouts, then tests, then tilts.

An e-process is a non-negative figure whose mean is at most 1 at every moment while the null hypothesis
holds, so that it ever reaches 1/alpha with a chance of at most alpha (Ville 1939; Ramdas et al., Statistical
Science 38(4), 2023). One canary is judged with the same functions as ten thousand simulated ones.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NOTHING = -700.0
"""The logarithm of a mass that is not there: finite, because JSON knows no infinity."""
_NO_OVERFLOW = 700.0

ODDS = np.array([1.1, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0])
"""How much worse a canary may be, by which the harm tests are mixed."""
ODDS_WEIGHTS = np.array([0.02, 0.18, 0.42, 0.18, 0.10, 0.06, 0.04])

FROM_THE_START = 0.5
"""The share of the mixture that waits for no onset; the rest enters bit by bit."""
ONSET_SECONDS = 1800.0
"""Half of what enters late has entered after this time."""

RIVALS = np.array([1.0, 0.25])
"""The rate ratios that are held against the refuted one."""
MODEST = np.array([0.35, 0.05])
"""The shares of a negligible rate that are held against it."""
REFUTATION_WEIGHTS = np.array([[0.90, 0.02, 0.04, 0.04], [0.40, 0.04, 0.36, 0.20]])
"""For errors, and for slow requests, of which a share that does not matter is common."""

_LOG_ODDS = np.log(ODDS)
_ODDS_EXCESS = ODDS - 1.0


class Table(NamedTuple):
    """Events in one look, an array each: among `total` requests `events`, of which `own_total` and `own` are the canary's."""

    own: Array
    own_total: Array
    events: Array
    total: Array


def log_harm(table: Table, tempering: Array | None = None) -> Array:
    """The logarithms of the e-values of "the canary has these odds, not at most the control's", by `ODDS`.

    Given all four margins, the canary's events are hypergeometric where both arms are alike. The mean of
    odds^own is then at most (1 + share (odds - 1))^events, and as much with the roles of the margins
    exchanged (Hoeffding, JASA 58, 1963, theorem 4: sampling without replacement is dominated by sampling with
    it); the smaller bound is the divisor. Where the canary is better, own is stochastically smaller. The
    result is divided by `tempering` >= 1, which keeps the mean at most 1 (Jensen).
    """
    return _log_excess(table.own, _harm_bound(table), tempering)


def log_breach(own: Array, own_total: Array, bound: Array, tempering: Array | None = None) -> Array:
    """The same for "the rate of an arm is above a limit", which needs no other arm: binomial, exact at the limit.

    `bound` is `breach_bound` of the limit.
    """
    return _log_excess(own, own_total[..., None] * bound, tempering)


def _harm_bound(table: Table) -> Array:
    """The logarithms of the divisors of `log_harm`."""
    whole = np.maximum(table.total, 1.0)
    by_share = np.log1p(np.multiply.outer(table.own_total / whole, _ODDS_EXCESS))
    by_rate = np.log1p(np.multiply.outer(table.events / whole, _ODDS_EXCESS))
    by_share *= table.events[..., None]
    by_rate *= table.own_total[..., None]
    smaller: Array = np.minimum(by_share, by_rate, out=by_share)
    return smaller


def breach_bound(limit: Array) -> Array:
    """The logarithms of the divisors of `log_breach`, for one request."""
    bound: Array = np.log1p(np.multiply.outer(limit, _ODDS_EXCESS))
    return bound


def _log_excess(own: Array, bound: Array, tempering: Array | None) -> Array:
    """The logarithms of odds^own over a bound of its mean, by `ODDS`; `tempering` None is 1."""
    ratio: Array = np.multiply.outer(own, _LOG_ODDS)
    ratio -= bound
    return ratio if tempering is None else ratio / tempering[..., None]


def log_refutation(table: Table, factor: float, calm: Array, tempering: Array | None = None) -> Array:
    """The logarithms of the e-values against "the canary's rate is at least `factor` times the control's, and negligible".

    The first two refute the factor (against the ratios `RIVALS`), the others that the rate is as high as
    a negligible one (against the shares `MODEST` of it; `calm` is of that rate); one of both refutes the claim.
    The likelihood ratio of two Poisson pairs given their sum is, for independent binomial counts, of mean at
    most 1 wherever the ratio of the rates is at least `factor` (1 + x <= e^x, arm by arm).
    """
    share = table.own_total / np.maximum(table.total, 1.0)
    steps, excesses = _against(factor)
    ratio: Array = np.multiply.outer(table.own, steps)
    bounds = np.log1p(np.multiply.outer(share, excesses))
    rivals, modest = ratio[..., : len(RIVALS)], ratio[..., len(RIVALS) :]
    rivals += (bounds[..., :1] - bounds[..., 1:]) * table.events[..., None]
    modest += calm * (table.own_total - table.own)[..., None]
    return ratio if tempering is None else ratio / tempering[..., None]


def calm_of(negligible: Array) -> Array:
    """What one request without an event says, as a logarithm, for the shares `MODEST` of a rate against that rate."""
    calm: Array = np.log1p(-np.multiply.outer(negligible, MODEST)) - np.log1p(-negligible)[..., None]
    return calm


@lru_cache(maxsize=64)
def _against(factor: float) -> tuple[Array, Array]:
    """What one event adds, by column, and what the factor and its rivals have in excess of 1."""
    steps = np.log(np.concatenate([RIVALS / factor, MODEST]))
    return steps, np.array([factor, *RIVALS]) - 1.0


def entering(elapsed: Array, seconds: Array) -> Array:
    """The share of the mixture that enters in a look which ends `seconds` after `elapsed`; all shares sum to 1 at most."""
    late = remaining(elapsed) - remaining(elapsed + seconds)
    share: Array = late + FROM_THE_START * (elapsed <= 0)
    return share


def remaining(elapsed: Array) -> Array:
    """The share of the mixture that has not entered `elapsed` seconds after the start, but for the first half."""
    return (1.0 - FROM_THE_START) / (1.0 + elapsed / ONSET_SECONDS)


def advance(log_mass: Array, log_entry: Array, log_increment: Array) -> Array:
    """What was there and what enters now, both moved by this look: an e-process for every onset at once."""
    moved: Array = np.logaddexp(log_mass, log_entry)
    moved += log_increment
    return np.maximum(NOTHING, moved, out=moved)


def log_sum(values: Array, weights: Array | None = None) -> Array:
    """log(sum(weights exp(values))) over the last axis, without overflow; weights are 1 where none are given."""
    if weights is None:
        plain: Array = np.logaddexp.reduce(values, axis=-1)
        return plain
    top = np.maximum.reduce(values, axis=-1)
    total: Array = np.log(np.vecdot(np.exp(values - top[..., None]), weights)) + top
    return total


def log_harm_value(log_mass: Array, elapsed: Array) -> Array:
    """The log e-value of each harm test, with what has not entered yet, which is worth what it weighs."""
    if np.maximum.reduce(log_mass, axis=None) < _NO_OVERFLOW:
        # What is too small to be a number is nothing beside what has not entered.
        value: Array = np.log(np.vecdot(np.exp(log_mass), ODDS_WEIGHTS) + remaining(elapsed)[..., None])
        return value
    return np.logaddexp(log_sum(log_mass, ODDS_WEIGHTS), np.log(remaining(elapsed))[..., None])


def refutation_weights(tests: int) -> Array:
    """By test; the first is that of errors."""
    weights: Array = REFUTATION_WEIGHTS[np.minimum(np.arange(tests), 1)]
    return weights
