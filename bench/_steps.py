"""Whole rollouts of many canaries at once, 10 to 25 to 50 to 100 percent, on noisy traffic whose noise was learned first."""

from dataclasses import dataclass, replace

import numpy as np
from _canaries import LOOK_SECONDS, MEDIAN_SECONDS, SIGMA, World
from scipy.special import ndtr

from penelope.domain.analysis import Noise, Tempering
from penelope.rooms.rollout.eprocess import Array, Table
from penelope.rooms.rollout.evidence import (
    Arm,
    Counts,
    Evidence,
    Rules,
    certified,
    condemned,
    next_step,
    nothing_yet,
    observe,
    standing,
)
from penelope.rooms.rollout.tempering import learn

SHARES = (0.10, 0.25, 0.50, 1.0)
STEP_SECONDS = 900.0
"""A step that has no verdict by then is undecided; here it goes on, lest that hides a rollback."""
LEARNING_SECONDS = 1800.0


@dataclass(frozen=True)
class Ends:
    """What became of each canary: seconds until it was rolled back or had all traffic, infinite for never; whether a step was too long."""

    condemned: Array
    done: Array
    undecided: np.ndarray


class Traffic:
    """Two arms of many services; each arm's errors and latencies have bad times of their own."""

    def __init__(self, world: World, number: int, rng: np.random.Generator) -> None:
        self._world, self._rng = world, rng
        self._state = rng.standard_normal((2, 2, number))

    def look(self, share: Array, among: np.ndarray) -> Counts:
        """The next look at some of the services; `share` is by service."""
        world, rng = self._world, self._rng
        keep = world.autocorrelation
        arms = []
        for arm, part in enumerate((share, 1.0 - share)):
            errors, speed = (
                np.exp(np.sqrt(np.log1p(cv**2)) * state - np.log1p(cv**2) / 2)
                for cv, state in zip(
                    (world.variation, world.latency_variation), self._state[arm][:, among], strict=True
                )
            )
            total = rng.poisson(world.requests * part * LOOK_SECONDS)
            ratio = np.minimum(1.0, world.errors * errors)
            arms.append(
                Arm(total * 1.0, rng.binomial(total, ratio) * 1.0, total * 1.0, self._slow(total, speed))
            )
        fresh = rng.standard_normal(self._state.shape)
        self._state = keep * self._state + np.sqrt(1 - keep**2) * fresh
        return Counts.of(np.full(len(among), LOOK_SECONDS), *arms)

    def _slow(self, total: np.ndarray, speed: Array) -> Array:
        """Requests above each edge, all latencies being `speed` times as long."""
        above, before = total, np.ones(len(total))
        columns = []
        for edge in self._world.edges:
            tail = ndtr(-(np.log(edge / MEDIAN_SECONDS) - np.log(speed)) / SIGMA)
            above = self._rng.binomial(above, np.clip(tail / np.maximum(before, 1e-300), 0.0, 1.0))
            before = tail
            columns.append(above * 1.0)
        return np.stack(columns, axis=-1)


def learned(world: World, number: int, rng: np.random.Generator) -> Tempering:
    """What the shipped `learn` makes of half an hour of two halves of each stable version, errors and latency."""
    traffic = Traffic(world, number, rng)
    everyone, half = np.arange(number), np.full(number, 0.5)
    rows = np.stack([traffic.look(half, everyone).rows for _ in range(int(LEARNING_SECONDS / LOOK_SECONDS))])
    found = []
    for own, own_total, other, other_total in np.moveaxis(rows, (1, 2, 3, 0), (0, 1, 2, 3)):
        tables = Table(own, own_total, own + other, own_total + other_total)
        errors, slow = Table(*(each[0] for each in tables)), Table(*(each[1:] for each in tables))
        found.append(learn(errors, slow, LOOK_SECONDS))
    return Tempering(
        errors=_side_by_side([each.errors for each in found]),
        latency=_side_by_side([each.latency for each in found]),
    )


def whole_rollouts(world: World, number: int, seed: int) -> Ends:
    """Each canary goes on when it is certified, until it has had all traffic, was rolled back, or time is up."""
    rules = Rules(edges=world.edges, tempering=learned(world, number, np.random.default_rng(seed + 1)))
    traffic = Traffic(world, number, np.random.default_rng(seed))
    evidence = nothing_yet(rules, (number,))
    step, since = np.zeros(number, int), np.zeros(number)
    ends = Ends(np.full(number, np.inf), np.full(number, np.inf), np.zeros(number, bool))
    for index in range(1, world.looks + 1):
        seconds = index * LOOK_SECONDS
        running = np.flatnonzero(np.isinf(ends.condemned) & np.isinf(ends.done))
        if not len(running):
            break
        last = step[running] == len(SHARES) - 1
        counts = traffic.look(np.array(SHARES)[step[running]], running)
        for alone in (False, True):
            among = running[last == alone]
            if not len(among):
                continue
            seen = Counts(*(part[last == alone] for part in counts))
            bad, good = _judged(_rules_of(rules, among), evidence, seen, among, alone=alone)
            ends.condemned[among[bad]] = seconds
            ends.undecided[among] |= seconds - since[among] > STEP_SECONDS
            further = among[good]
            if alone:
                ends.done[further] = seconds
            step[further], since[further] = step[further] + 1, seconds
    return ends


def _judged(
    rules: Rules, evidence: Evidence, counts: Counts, among: np.ndarray, *, alone: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Who is condemned and who goes on among some of the canaries, whose evidence is moved in place."""
    moved = observe(rules, Evidence(*(part[among] for part in evidence)), counts, alone=alone)
    stands = standing(rules, moved)
    bad = condemned(rules, stands)
    good = certified(rules, moved, stands, alone=alone) & ~bad
    anew = next_step(moved)
    for whole, stays, begins in zip(evidence, moved, anew, strict=True):
        whole[among] = np.where(good.reshape(-1, *(1,) * (stays.ndim - 1)), begins, stays)
    return bad, good


def _rules_of(rules: Rules, among: np.ndarray) -> Rules:
    errors, latency = (
        Noise(factor=each.factor[among], information=each.information[among])
        for each in (rules.tempering.errors, rules.tempering.latency)
    )
    return replace(rules, tempering=Tempering(errors=errors, latency=latency))


def _side_by_side(noises: list[Noise]) -> Noise:
    return Noise(
        factor=np.array([each.factor for each in noises]),
        information=np.array([each.information for each in noises]),
    )
