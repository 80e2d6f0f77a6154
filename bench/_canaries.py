"""Made-up traffic of many canaries at once, with known truth, and the ways of judging that ours is compared with."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from statistics import NormalDist

import numpy as np

from penelope.domain.analysis import Noise, Tempering
from penelope.rooms.rollout.eprocess import Array, Table
from penelope.rooms.rollout.evidence import (
    Arm,
    Counts,
    Rules,
    certified,
    condemned,
    nothing_yet,
    observe,
    standing,
)
from penelope.rooms.rollout.kayenta import Direction, Label, MetricConfig, classify
from penelope.rooms.rollout.shift import ranks
from penelope.rooms.rollout.tempering import measured

LOOK_SECONDS = 5.0
EDGES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
MEDIAN_SECONDS, SIGMA = 0.05, 0.6
"""Latencies are log-normal with these; p99 is 0.20 s."""


@dataclass(frozen=True)
class World:
    """What is true of the canaries: requests a second of both arms, shares and ratios 0…1, seconds."""

    requests: float = 100.0
    share: float = 0.1
    errors: float = 0.02
    canary_errors: float = 0.02
    variation: float = 0.0
    """The coefficient of variation of each arm's own error ratio, from look to look."""
    latency_variation: float = 0.0
    """The same of how long an arm's answers take, all of them; in whole rollouts alone."""
    autocorrelation: float = 0.0
    onset_seconds: float = 0.0
    both_from_seconds: float = np.inf
    both_times: float = 1.0
    slower: float = 1.0
    """How many times slower the canary answers."""
    edges: tuple[float, ...] = ()
    looks: int = 2880


@dataclass
class Fate:
    """When each canary was first condemned, and first let go on while it was not; infinite for never."""

    condemned: Array
    cleared: Array
    names: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, number: int) -> "Fate":
        return cls(np.full(number, np.inf), np.full(number, np.inf))

    def note(self, seconds: float, bad: Array, good: Array | None = None) -> None:
        self.condemned[bad & np.isinf(self.condemned)] = seconds
        if good is not None:
            self.cleared[good & np.isinf(self.cleared) & np.isinf(self.condemned)] = seconds

    def rolled_back(self) -> float:
        return float(np.isfinite(self.condemned).mean())

    def wrongly_cleared(self) -> float:
        return float(np.isfinite(self.cleared).mean())


def looks(world: World, number: int, rng: np.random.Generator) -> Iterator[Counts]:
    """One look after the other, each with `number` canaries on its leading axis."""
    noises = [_noise(world, number, rng) for _ in range(2)]
    span = np.full(number, LOOK_SECONDS)
    for index in range(world.looks):
        now = index * LOOK_SECONDS
        times = world.both_times if now >= world.both_from_seconds else 1.0
        begun = now >= world.onset_seconds
        ratios = (world.canary_errors if begun else world.errors, world.errors)
        shares = (world.share, 1.0 - world.share)
        arms: list[Arm] = []
        for arm in range(2):
            total = rng.poisson(world.requests * shares[arm] * LOOK_SECONDS, number)
            ratio = np.minimum(1.0, times * ratios[arm] * next(noises[arm]))
            slow = _slow(world, total, world.slower if begun and arm == 0 else 1.0, rng)
            arms.append(Arm(total * 1.0, rng.binomial(total, ratio) * 1.0, total * 1.0, slow))
        yield Counts.of(span, *arms)


def _noise(world: World, number: int, rng: np.random.Generator) -> Iterator[Array]:
    sigma = np.sqrt(np.log1p(world.variation**2))
    state = rng.standard_normal(number)
    keep = world.autocorrelation
    while True:
        yield np.exp(sigma * state - sigma**2 / 2) if sigma else np.ones(number)
        if sigma:
            state = keep * state + np.sqrt(1 - keep**2) * rng.standard_normal(number)


def _slow(world: World, total: np.ndarray, slower: float, rng: np.random.Generator) -> Array:
    normal = NormalDist(np.log(MEDIAN_SECONDS * slower), SIGMA)
    above, before = total, 1.0
    columns = []
    for edge in world.edges:
        share = 1.0 - normal.cdf(float(np.log(edge)))
        above = rng.binomial(above, share / before if before > 0 else 0.0)
        before = share
        columns.append(above * 1.0)
    return np.stack(columns, axis=-1) if columns else np.zeros((len(total), 0))


def tempering(world: World, number: int, rng: np.random.Generator) -> Tempering:
    """What each canary's service learned in half an hour of two halves of its stable version."""
    stable = replace(
        world,
        share=0.5,
        canary_errors=world.errors,
        slower=1.0,
        both_times=1.0,
        edges=(),
        looks=int(1800 / LOOK_SECONDS),
    )
    seen = np.stack([each.rows[..., 0] for each in looks(stable, number, rng)], axis=-1)
    own_errors, own, other_errors, other = np.moveaxis(seen, 1, 0)
    factor, information = measured(
        Table(own_errors, own, own_errors + other_errors, own + other), LOOK_SECONDS
    )
    return Tempering(errors=Noise(factor=factor, information=information))


def ours(world: World, number: int, seed: int, *, learned: bool, rules: Rules | None = None) -> Fate:
    """The tests that Penelope ships, on arrays."""
    rng = np.random.default_rng(seed)
    learning = np.random.default_rng(seed + 1)
    rules = replace(rules or Rules(min_requests=20), edges=world.edges, latency=bool(world.edges))
    if learned:
        rules = replace(rules, tempering=tempering(world, number, learning))
    evidence, fate = nothing_yet(rules, (number,)), Fate.of(number)
    for index, counts in enumerate(looks(world, number, rng), start=1):
        evidence = observe(rules, evidence, counts)
        stands = standing(rules, evidence)
        fate.note(index * LOOK_SECONDS, condemned(rules, stands), certified(rules, evidence, stands))
    return fate


def thresholds(world: World, number: int, seed: int) -> Fate:
    """At each look: errors since the start above 2 % on the canary and not on the control; three good looks clear it."""
    fate, totals, good = Fate.of(number), np.zeros((4, number)), np.zeros(number)
    for index, counts in enumerate(looks(world, number, np.random.default_rng(seed)), start=1):
        totals += counts.rows[..., [1, 0, 3, 2], 0].T
        enough = totals[0] >= 20
        canary, control = (totals[row + 1] / np.maximum(totals[row], 1) for row in (0, 2))
        bad = enough & (canary > 0.02) & (control <= 0.02)
        good = np.where(enough & (canary <= 0.02), good + 1, 0)
        fate.note(index * LOOK_SECONDS, bad, good >= 3)
    return fate


def repeated_ranks(world: World, number: int, seed: int) -> Fate:
    """A one-sided Mann-Whitney test at 5 % of all looks so far, at every look from the sixth on."""
    limit = NormalDist().inv_cdf(0.95)
    fate, rows = Fate.of(number), ([], [])
    for index, counts in enumerate(looks(world, number, np.random.default_rng(seed)), start=1):
        for arm in (0, 1):
            rows[arm].append(counts.rows[:, 2 * arm, 0] / np.maximum(counts.rows[:, 2 * arm + 1, 0], 1))
        if index < 6:
            continue
        open_ones = np.flatnonzero(np.isinf(fate.condemned))
        both = np.concatenate([np.array(rows[0]), np.array(rows[1])])
        bad = np.zeros(number, bool)
        for each in open_ones:
            ranked = ranks(both[:, each])
            _, ties = np.unique(ranked, return_counts=True)
            spread = (
                index**2 / 12 * (2 * index + 1 - (ties**3.0 - ties).sum() / (2 * index * (2 * index - 1)))
            )
            excess = ranked[:index].sum() - index * (index + 1) / 2 - index**2 / 2
            bad[each] = spread > 0 and (excess - 0.5) / np.sqrt(spread) > limit
        fate.note(index * LOOK_SECONDS, bad)
    return fate


def kayenta(world: World, number: int, seed: int) -> Fate:
    """Kayenta's test of the error ratio in minutes, critical, every five minutes on all minutes so far."""
    config = MetricConfig(name="errors", direction=Direction.INCREASE, critical=True)
    fate, minutes = Fate.of(number), []
    sums = np.zeros((4, number))
    for index, counts in enumerate(looks(world, number, np.random.default_rng(seed)), start=1):
        sums += counts.rows[..., [1, 0, 3, 2], 0].T
        if index % 12:
            continue
        minutes.append((sums[1] / np.maximum(sums[0], 1), sums[3] / np.maximum(sums[2], 1)))
        sums = np.zeros((4, number))
        if index % 60:
            continue
        canary, control = (np.array([minute[arm] for minute in minutes]) for arm in (0, 1))
        bad = np.zeros(number, bool)
        for each in np.flatnonzero(np.isinf(fate.condemned)):
            bad[each] = classify(config, canary[:, each], control[:, each]).label is Label.HIGH
        fate.note(index * LOOK_SECONDS, bad, ~bad)
    return fate
