"""The arrays of a look against the formulas of docs/rollout-statistics.md, written out number by number."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penelope.domain.analysis import Noise, Tempering
from penelope.rooms.rollout.eprocess import ODDS, ODDS_WEIGHTS
from penelope.rooms.rollout.evidence import Arm, Counts, Rules, nothing_yet, observe, standing

EDGES = (0.1, 0.5, 1.0)
CLOSE = {"rel": 1e-9, "abs": 1e-9}
WEIGHTS = list(zip(ODDS.tolist(), ODDS_WEIGHTS.tolist(), strict=True))
REFUTERS = ((0.90, 0.02, 0.04, 0.04), (0.40, 0.04, 0.36, 0.20))
NOTHING = -700.0


def log_add(values) -> float:
    top = max(values)
    return top + math.log(math.fsum(math.exp(each - top) for each in values))


def unentered(seconds: float) -> float:
    return 0.5 / (1.0 + seconds / 1800.0)


@dataclass
class Plain:
    """One canary's evidence in lists, as the documentation tells it."""

    rules: Rules
    elapsed: float = 0.0
    harm: list = field(default_factory=list)
    refuted: list = field(default_factory=list)
    timed: float = 0.0
    slow: list = field(default_factory=list)

    def __post_init__(self):
        edges = len(self.rules.edges)
        self.harm = [[NOTHING] * len(ODDS) for _ in range(edges + 5)]
        self.refuted = [[0.0] * 4 for _ in range(edges + 1)]
        self.slow = [0.0] * edges

    def value(self, row) -> float:
        """The log e-value of a harm test."""
        return log_add(
            [
                math.log(unentered(self.elapsed)),
                *(m + math.log(w) for m, (_, w) in zip(row, WEIGHTS, strict=True)),
            ]
        )

    def noise(self, test, seconds, own_total, events, total) -> float:
        noise = self.rules.tempering.latency if test else self.rules.tempering.errors
        share = own_total / max(total, 1.0)
        seen = (total if test else events) * share * (1 - share) / max(seconds, 1e-3)
        growth = max(1.0, seen / noise.information) if noise.information > 0 else 1.0
        return 1.0 + (noise.factor - 1.0) * growth

    def held_to(self) -> int | None:
        """The edge that the canary's p99 is held to."""
        if self.timed < 100:
            return None
        fast = [
            edge for edge, slow in zip(EDGES, self.slow, strict=True) if slow / max(self.timed, 1.0) <= 0.01
        ]
        most = (fast[0] if fast else math.inf) + self.rules.most_p99_increase_seconds
        return next((index for index, edge in enumerate(EDGES) if edge >= most), None)

    def look(self, seconds, own, other, *, alone):
        """`own` and `other`: requests, errors, timed, slow by edge."""
        entering = (
            unentered(self.elapsed) - unentered(self.elapsed + seconds) + (0.5 if self.elapsed == 0 else 0)
        )
        increments = []
        for test in range(len(EDGES) + 1):
            event, among = (own[3][test - 1], own[2]) if test else (own[1], own[0])
            events = event + (other[3][test - 1] if test else other[1])
            total = among + (other[2] if test else other[0])
            share, rate = among / max(total, 1.0), events / max(total, 1.0)
            factor = self.noise(test, seconds, among, events, total)
            increments.append(
                [
                    (
                        event * math.log(o)
                        - min(events * math.log1p(share * (o - 1)), among * math.log1p(rate * (o - 1)))
                    )
                    / factor
                    for o in ODDS.tolist()
                ]
            )
            ceiling = self.rules.negligible_slow_ratio if test else self.rules.negligible_error_ratio
            if alone and not test:
                ceiling = self.rules.most_error_ratio
            f = self.rules.factor
            ratios = [
                event * math.log(r / f) + events * (math.log1p(share * (f - 1)) - math.log1p(share * (r - 1)))
                for r in (1.0, 0.25)
            ] + [
                event * math.log(m) + (among - event) * (math.log1p(-ceiling * m) - math.log1p(-ceiling))
                for m in (0.35, 0.05)
            ]
            self.refuted[test] = [a + b / factor for a, b in zip(self.refuted[test], ratios, strict=True)]
        edge = self.held_to()
        for arm in (own, other):
            for event, among, limit, noise in (
                (arm[1], arm[0], self.rules.most_error_ratio, self.rules.tempering.errors),
                (
                    0 if edge is None else arm[3][edge],
                    0 if edge is None else arm[2],
                    0.01,
                    self.rules.tempering.latency,
                ),
            ):
                increments.append(
                    [
                        (event * math.log(o) - among * math.log1p(limit * (o - 1))) / noise.factor
                        for o in ODDS.tolist()
                    ]
                )
        self.harm = [
            [
                max(NOTHING, log_add([mass, math.log(entering)]) + more)
                for mass, more in zip(row, each, strict=True)
            ]
            for row, each in zip(self.harm, increments, strict=True)
        ]
        self.elapsed += seconds
        if alone:
            self.harm[-2:] = [[NOTHING] * len(ODDS)] * 2
        fade = 1.0 if alone else math.exp(-seconds / 600.0)
        self.timed = fade * self.timed + other[2]
        self.slow = [fade * old + new for old, new in zip(self.slow, other[3], strict=True)]
        self.forgive()

    def forgive(self):
        for guard in (-2, -1):
            self.harm[guard] = [min(mass, 10.0) for mass in self.harm[guard]]
            if self.value(self.harm[guard]) >= math.log(3.0):
                self.harm[guard - 2] = [min(mass, math.log(4.0)) for mass in self.harm[guard - 2]]

    def stands(self) -> tuple[float, list, list]:
        """All together, each harm test, each refutation."""
        values = [self.value(row) for row in self.harm]
        shared = [value >= math.log(3.0) for value in values[-2:]]
        tests = values[:-4] + [NOTHING if s else v for s, v in zip(shared, values[-4:-2], strict=True)]
        weights = [0.8 * 0.96, *[0.2 * 0.96 / len(EDGES)] * len(EDGES), 0.8 * 0.04, 0.2 * 0.04]
        together = log_add([v + math.log(w) for v, w in zip(tests, weights, strict=True)])
        refuted = [
            log_add([r + math.log(w) for r, w in zip(row, REFUTERS[min(test, 1)], strict=True)])
            for test, row in enumerate(self.refuted)
        ]
        return together, tests, refuted


def arm(requests, shares) -> tuple:
    """Requests, errors, timed, slow by edge; the shares are thousandths, each edge's of those above the edge before."""
    errors, *late = shares
    slow, above = [], requests
    for share in late:
        above = above * share // 1000
        slow.append(float(above))
    return float(requests), float(requests * errors // 1000), float(requests), slow


sizes = st.sampled_from([0, 1, 40, 500, 5000, 200_000])
shares = st.tuples(*[st.sampled_from([0, 5, 20, 200, 1000])] * (len(EDGES) + 1))
arms = st.builds(arm, sizes, shares)
looks = st.lists(st.tuples(st.sampled_from([0.001, 1.0, 5.0, 300.0]), arms, arms), min_size=1, max_size=8)
noises = st.sampled_from(
    [
        Tempering(),
        Tempering(errors=Noise(factor=3.0, information=0.5)),
        Tempering(latency=Noise(factor=2.0, information=20.0)),
        Tempering(errors=Noise(factor=1.5), latency=Noise(factor=7.0, information=1e-3)),
    ]
)


def numbers(of_arm) -> Arm:
    return Arm(*(np.asarray(part) for part in of_arm))


@settings(max_examples=80, deadline=None)
@given(looks, noises, st.sampled_from([1.5, 2.0, 4.0]), st.booleans())
def test_every_look_moves_the_evidence_as_the_formulas_say(played, noise, factor, alone):
    rules = Rules(edges=EDGES, tempering=noise, factor=factor)
    plain, evidence = Plain(rules), nothing_yet(rules)
    twice = nothing_yet(rules, (2,))
    for number, (seconds, own, other) in enumerate(played):
        whole = alone and number >= len(played) // 2
        plain.look(seconds, own, other, alone=whole)
        one = Counts.of(np.asarray(seconds), numbers(own), numbers(other))
        evidence = observe(rules, evidence, one, alone=whole)
        twice = observe(rules, twice, Counts(*(np.stack([part, part]) for part in one)), alone=whole)
        for seen in (evidence, type(evidence)(*(part[1] for part in twice))):
            assert seen.harm == pytest.approx(np.array(plain.harm), **CLOSE)
            assert seen.refuted == pytest.approx(np.array(plain.refuted), **CLOSE)
            assert seen.slow == pytest.approx(np.array(plain.slow), **CLOSE)
            assert float(seen.timed) == pytest.approx(plain.timed, **CLOSE)
            stands = standing(rules, seen)
            together, tests, refuted = plain.stands()
            assert float(stands.harm) == pytest.approx(together, **CLOSE)
            assert stands.by_test == pytest.approx(np.array(tests), **CLOSE)
            assert stands.refuted == pytest.approx(np.array(refuted), **CLOSE)


def test_the_formulas_agree_where_a_mass_is_beyond_what_a_float_can_hold():
    rules = Rules(edges=EDGES)
    plain, evidence = Plain(rules), nothing_yet(rules)
    own, other = arm(200_000, (200, 200, 20, 5)), arm(200_000, (5, 5, 5, 5))
    for _ in range(3):
        plain.look(5.0, own, other, alone=False)
        evidence = observe(rules, evidence, Counts.of(np.asarray(5.0), numbers(own), numbers(other)))
    stands = standing(rules, evidence)
    assert evidence.harm.max() > 10_000
    assert float(stands.harm) == pytest.approx(plain.stands()[0], **CLOSE)
    assert stands.by_test == pytest.approx(np.array(plain.stands()[1]), **CLOSE)
