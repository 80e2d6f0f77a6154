"""How often a healthy service is called worse, and a sick one is not: by simulation, with fixed seeds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.benchmark import (
    LEAST_RUNS,
    Baseline,
    Measurement,
    Probe,
    Standing,
    Tolerance,
    Worse,
    compare,
)

CASES = 4000
SHAPES = {
    "normal": lambda rng, shape: rng.normal(100, 5, shape),
    "lognormal": lambda rng, shape: np.exp(rng.normal(0, 0.5, shape)),
    "gamma": lambda rng, shape: rng.gamma(2, 1, shape),
    "heavy tails": lambda rng, shape: np.abs(100 + 5 * rng.standard_t(4, shape)),
}
NOTHING = Tolerance(size=0.0)


def alarms(shape: str, runs: int, factor: float = 1.0, **changes) -> float:
    """The share of runs that are called worse, where each is `factor` times what is usual; no tolerance helps."""
    rng = np.random.default_rng(20261121)
    usual = SHAPES[shape](rng, (CASES, runs))
    figures = SHAPES[shape](rng, CASES) * factor
    probe = Probe(name="x", kind="http", **{"tolerance": NOTHING, **changes})
    bad = sum(
        compare(
            probe, Measurement(figure=float(figure)), Baseline(service="s", probe="x", figures=tuple(row))
        ).bad
        for row, figure in zip(usual.tolist(), figures.tolist(), strict=True)
    )
    return bad / CASES


@pytest.mark.parametrize("shape", SHAPES)
def test_false_alarms_are_rare_at_the_least_size_and_rarer_with_more(shape):
    least, full = alarms(shape, LEAST_RUNS), alarms(shape, 50)
    assert least < 0.03
    assert full < 0.015
    assert full <= least


@pytest.mark.parametrize("shape", ["normal", "heavy tails"])
def test_what_is_half_as_much_again_is_found(shape):
    assert alarms(shape, LEAST_RUNS, factor=1.5) > 0.9
    assert alarms(shape, 50, factor=1.5) > 0.95


numbers = st.floats(-1e12, 1e12)


@given(st.lists(numbers, min_size=LEAST_RUNS, max_size=30), numbers, st.sampled_from(Worse))
def test_a_worse_figure_is_never_better(figures, figure, worse):
    baseline = Baseline(service="s", probe="x", figures=tuple(figures))
    probe = Probe(name="x", kind="http", worse=worse)
    found = compare(probe, Measurement(figure=figure), baseline)
    assert found.standing in {Standing.SOUND, Standing.WORSE}
    assert math.isfinite(found.score)
    middle = baseline.middle
    further = middle + 2 * (figure - middle)
    if found.standing is Standing.WORSE and (min(figures) <= 0 or further > figure):
        again = compare(probe, Measurement(figure=further), baseline)
        assert again.standing is Standing.WORSE


@given(st.lists(numbers, max_size=LEAST_RUNS - 1), numbers | st.sampled_from([math.nan, math.inf, None]))
def test_without_a_baseline_nothing_is_said(figures, figure):
    baseline = Baseline(service="s", probe="x", figures=tuple(figures))
    found = compare(Probe(name="x", kind="http"), Measurement(figure=figure), baseline)
    assert found.standing is Standing.UNKNOWN
