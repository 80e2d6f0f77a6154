"""The formulas of the sequential tests, on arrays: leading axes are rollouts, then tests, then tilts.

An e-process is a non-negative figure whose mean is at most 1 at every moment while the null hypothesis
holds, so that it ever reaches 1/alpha with a chance of at most alpha (Ville 1939; Ramdas et al., Statistical
Science 38(4), 2023). One canary is judged with the same functions as ten thousand simulated ones.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NOTHING = -700.0
"""The logarithm of a mass that is not there: finite, because JSON knows no infinity."""

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
_LOG_RIVALS = np.log(RIVALS)
_RIVALS_EXCESS = RIVALS - 1.0
_LOG_MODEST = np.log(MODEST)
_LOG_REFUTATION_WEIGHTS = np.log(REFUTATION_WEIGHTS)
LOG_ODDS_WEIGHTS = np.log(ODDS_WEIGHTS)


class Table(NamedTuple):
    """Events in one look, an array each: among `total` requests `events`, of which `own_total` and `own` are the canary's."""

    own: Array
    own_total: Array
    events: Array
    total: Array


def log_harm(table: Table, tempering: Array) -> Array:
    """The logarithms of the e-values of "the canary has these odds, not at most the control's", by `ODDS`.

    Given all four margins, the canary's events are hypergeometric where both arms are alike. The mean of
    odds^own is then at most (1 + share (odds - 1))^events, and as much with the roles of the margins
    exchanged (Hoeffding, JASA 58, 1963, theorem 4: sampling without replacement is dominated by sampling with
    it); the smaller bound is the divisor. Where the canary is better, own is stochastically smaller. The
    result is divided by `tempering` >= 1, which keeps the mean at most 1 (Jensen).
    """
    share = _share(table.own_total, table.total)
    rate = _share(table.events, table.total)
    bound = np.minimum(
        table.events[..., None] * np.log1p(share[..., None] * _ODDS_EXCESS),
        table.own_total[..., None] * np.log1p(rate[..., None] * _ODDS_EXCESS),
    )
    return _tempered(table.own[..., None] * _LOG_ODDS - bound, tempering)


def log_breach(own: Array, own_total: Array, limit: Array, tempering: Array) -> Array:
    """The same for "the rate of an arm is above `limit`", which needs no other arm: binomial, exact at the limit."""
    bound = own_total[..., None] * np.log1p(limit[..., None] * _ODDS_EXCESS)
    return _tempered(own[..., None] * _LOG_ODDS - bound, tempering)


def log_refutation(table: Table, factor: float, negligible: Array, tempering: Array) -> Array:
    """The logarithms of the e-values against "the canary's rate is at least `factor` times the control's, and `negligible`".

    The first two refute the factor (against the ratios `RIVALS`), the others that the rate is as high as
    `negligible` (against the shares `MODEST` of it); one of both refutes the claim. The likelihood ratio of two
    Poisson pairs given their sum is, for independent binomial counts, of mean at most 1 wherever the ratio of
    the rates is at least `factor` (1 + x <= e^x, arm by arm).
    """
    share = _share(table.own_total, table.total)[..., None]
    own = table.own[..., None]
    ratio = own * (_LOG_RIVALS - math.log(factor)) + table.events[..., None] * (
        np.log1p(share * (factor - 1.0)) - np.log1p(share * _RIVALS_EXCESS)
    )
    ceiling = negligible[..., None]
    modest = own * _LOG_MODEST + (table.own_total - table.own)[..., None] * (
        np.log1p(-ceiling * MODEST) - np.log1p(-ceiling)
    )
    return _tempered(np.concatenate([ratio, modest], axis=-1), tempering)


def entering(elapsed: Array, seconds: Array) -> Array:
    """The share of the mixture that enters in a look which ends `seconds` after `elapsed`; all shares sum to 1 at most."""
    late = remaining(elapsed) - remaining(elapsed + seconds)
    return np.where(elapsed > 0, late, FROM_THE_START + late)


def remaining(elapsed: Array) -> Array:
    """The share of the mixture that has not entered `elapsed` seconds after the start, but for the first half."""
    return (1.0 - FROM_THE_START) / (1.0 + elapsed / ONSET_SECONDS)


def advance(log_mass: Array, log_entry: Array, log_increment: Array) -> Array:
    """What was there and what enters now, both moved by this look: an e-process for every onset at once."""
    return np.maximum(NOTHING, np.logaddexp(log_mass, log_entry) + log_increment)


def log_sum(values: Array) -> Array:
    """log(sum(exp(values))) over the last axis, without overflow."""
    top = values.max(axis=-1, keepdims=True)
    total: Array = np.log(np.exp(values - top).sum(axis=-1)) + top[..., 0]
    return total


def log_harm_value(log_mass: Array, elapsed: Array) -> Array:
    """The log e-value of each harm test, with what has not entered yet, which is worth what it weighs."""
    return np.logaddexp(log_sum(log_mass + LOG_ODDS_WEIGHTS), np.log(remaining(elapsed))[..., None])


def log_refutation_value(log_ratios: Array) -> Array:
    """The log e-value of each refutation; the first is that of errors."""
    weights = _LOG_REFUTATION_WEIGHTS[np.minimum(np.arange(log_ratios.shape[-2]), 1)]
    return log_sum(log_ratios + weights)


def _share(part: Array, whole: Array) -> Array:
    share: Array = part / np.maximum(whole, 1.0)
    return share


def _tempered(log_ratio: Array, tempering: Array) -> Array:
    result: Array = log_ratio / tempering[..., None]
    return result
