"""How much noisier than dice a service is, learned from two slices of it that are alike.

Requests fail together: an arm has its bad seconds. The tests of `eprocess` take requests for independent, so
that their logarithms are divided by a factor of over-dispersion, as a quasi-likelihood is (Wedderburn,
Biometrika 61, 1974; McCullagh and Nelder, Generalized Linear Models, 1989, section 4.5). That is
calibration, not a theorem: it holds as far as the service stays as noisy as it was.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from penelope.domain.analysis import Noise, Tempering
from penelope.rooms.rollout.eprocess import Array, Table

BLOCKS_SECONDS = (30.0, 60.0)
MARGIN = 1.3
"""What the measured factor is multiplied by, since half an hour of blocks measures it within about a quarter."""
LEAST_BLOCKS = 10
LEAST_EVENTS = 20.0
"""With fewer blocks of either length, or fewer events, nothing is learned."""
_TENTH = NormalDist().inv_cdf(0.9)


class Learned(NamedTuple):
    """The factors of the tests that compare, and what was to be seen when they were learned; the last axis are tests."""

    factor: Array
    scarcity: Array
    """Seconds an event; 0 where it is not known what was to be seen, so that the factor does not grow."""


def learned(tempering: Tempering, edges: int) -> Learned | None:
    """For errors, and for as many edges. None where no noise was learned. A simulation may give arrays as figures."""
    noises = (tempering.errors, *(tempering.latency,) * edges)
    if all(np.ndim(each.factor) == 0 and each.factor == 1.0 for each in noises):
        return None
    factor = _side_by_side([each.factor for each in noises])
    information = _side_by_side([each.information for each in noises])
    known = information > 0
    return Learned(factor, np.where(known, 1.0 / np.where(known, np.maximum(information, 1e-9), 1.0), 0.0))


def _side_by_side(figures: list[float]) -> Array:
    rows: list[Array] = [np.asarray(each, dtype=np.float64) for each in figures]
    return np.stack(np.broadcast_arrays(*rows), axis=-1)


def at(noise: Learned, table: Table, seconds: Array) -> Array:
    """The factors for a look; they only grow where there is more to be seen than when they were learned.

    Noise that comes and goes by arm grows in relation to dice with the events and with the evenness of the
    split. Of slow requests all that are timed count, since one factor is for all edges.
    """
    share = table.own_total / np.maximum(table.total, 1.0)
    seen = table.total * share * (1.0 - share)
    seen[..., 0] = table.events[..., 0] * share[..., 0] * (1.0 - share[..., 0])
    growth = np.maximum(1.0, seen * noise.scarcity / np.maximum(seconds, 1e-3)[..., None])
    factor: Array = 1.0 + (noise.factor - 1.0) * growth
    return factor


def learn(errors: Table, slow: Table, looks_seconds: float) -> Tempering:
    """What two slices of a stable version teach; the last axis are looks, `looks_seconds` apart.

    `errors` has that axis alone, `slow` one for the edges before it; the noisiest edge counts.
    """
    factor, information = measured(errors, looks_seconds)
    tempering = Tempering(errors=Noise(factor=float(factor), information=float(information)))
    if not slow.own.size:
        return tempering
    factors, _ = measured(slow, looks_seconds)
    share = slow.own_total / np.maximum(slow.total, 1.0)
    timed = float(np.mean((slow.total * share * (1.0 - share))[..., 0, :])) / looks_seconds
    return replace(tempering, latency=Noise(factor=float(np.max(factors)), information=timed))


def measured(table: Table, looks_seconds: float) -> tuple[Array, Array]:
    """The factor of over-dispersion between two slices that are alike, and how much was to be seen per second.

    For blocks of 30 and of 60 seconds: the mean square of what one slice had too much, over what dice would
    make of it; the greater of both, times `MARGIN`. Blocks see what lasts for several looks. The factor is 1
    where there is too little to learn from.
    """
    seen = moments(table)
    sizes = [max(1, round(each / looks_seconds)) for each in BLOCKS_SECONDS]
    ratios = [_dispersion(seen.excess, seen.spread, size) for size in sizes]
    blocks = [table.own.shape[-1] // size for size in sizes]
    factor = factor_of(ratios, blocks, table.events.sum(axis=-1))
    return factor, seen.information.mean(axis=-1) / looks_seconds


class Moments(NamedTuple):
    """Of a look: what one slice had too much, the variance of that by dice, and how much there was to be seen."""

    excess: Array
    spread: Array
    information: Array


def moments(table: Table) -> Moments:
    """What a look tells of noise."""
    share = table.own_total / np.maximum(table.total, 1.0)
    information = table.events * share * (1.0 - share)
    finite = (table.total - table.events) / np.maximum(table.total - 1.0, 1.0)
    return Moments(table.own - table.events * share, information * finite, information)


def factor_of(ratios: Sequence[Array], blocks: Sequence[int], events: Array) -> Array:
    """The factor, from the dispersion in the blocks of each length, their number, and the events in all looks."""
    noisy = np.logical_or.reduce(
        [ratio > _by_chance(number) for ratio, number in zip(ratios, blocks, strict=True)]
    )
    factor = np.maximum(1.0, MARGIN * np.maximum.reduce(list(ratios)))
    return np.where(enough(blocks, events) & noisy, factor, 1.0)


def enough(blocks: Sequence[int], events: Array) -> NDArray[np.bool_]:
    """Whether there was enough to learn from."""
    answer: NDArray[np.bool_] = (events >= LEAST_EVENTS) & (min(blocks) >= LEAST_BLOCKS)
    return answer


def _dispersion(excess: Array, spread: Array, size: int) -> Array:
    blocks = excess.shape[-1] // size
    if not blocks:
        return np.zeros(excess.shape[:-1])
    whole = excess[..., : blocks * size].reshape(*excess.shape[:-1], blocks, size).sum(axis=-1)
    expected = spread[..., : blocks * size].sum(axis=-1)
    ratio: Array = np.square(whole).sum(axis=-1) / np.maximum(expected, 1e-9)
    return ratio


def _by_chance(blocks: int) -> float:
    """The dispersion that one of ten noiseless services exceeds: a chi-square quantile (Wilson, Hilferty 1931)."""
    if not blocks:
        return math.inf
    part = 2.0 / (9.0 * blocks)
    return (1.0 - part + _TENTH * math.sqrt(part)) ** 3
