import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from penelope.domain.analysis import AnalysisSpec, Noise, Tempering
from penelope.rooms.rollout.eprocess import Table
from penelope.rooms.rollout.foresight import Traffic, forecast_clearance, forecast_detection
from penelope.rooms.rollout.tempering import learn, measured

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

from _canaries import World, ours

SPEC = AnalysisSpec(latency=False)
TRAFFIC = Traffic(requests_per_second=100.0, share=0.1, error_ratio=0.02)


@pytest.mark.parametrize(("errors", "looks"), [(0.04, 80), (0.08, 30)])
def test_the_forecast_of_a_detection_agrees_with_simulation(errors, looks):
    told = forecast_detection(SPEC, TRAFFIC, errors)
    seen = ours(World(canary_errors=errors, looks=looks), 400, 3, learned=False).condemned
    assert told.p50_seconds == pytest.approx(np.median(seen), rel=0.35, abs=5)
    assert told.p90_seconds == pytest.approx(np.quantile(seen, 0.9), rel=0.35, abs=5)
    assert told.p90_requests == pytest.approx(100 * told.p90_seconds)
    assert told.within_a_step > 0.99


def test_the_forecast_of_a_clearance_agrees_with_simulation():
    told = forecast_clearance(SPEC, TRAFFIC)
    seen = ours(World(looks=60), 400, 4, learned=False).cleared
    assert told.p50_seconds == pytest.approx(np.quantile(seen, 0.5, method="higher"), rel=0.35)


def test_what_is_as_good_is_never_found_and_more_traffic_finds_sooner():
    nothing = forecast_detection(SPEC, TRAFFIC, 0.02)
    assert nothing.within_a_step < SPEC.alpha
    assert nothing.p90_seconds == math.inf
    ten = forecast_detection(SPEC, replace(TRAFFIC, requests_per_second=1000.0), 0.04)
    one = forecast_detection(SPEC, TRAFFIC, 0.04)
    assert ten.p90_seconds == pytest.approx(one.p90_seconds / 10, rel=1e-3)
    assert ten.p90_requests == pytest.approx(one.p90_requests, rel=1e-3)


def test_noise_lengthens_both_by_its_factor():
    noisy = replace(SPEC, tempering=Tempering(errors=Noise(factor=4.0)))
    for forecast in (
        lambda spec: forecast_detection(spec, TRAFFIC, 0.06),
        lambda spec: forecast_clearance(spec, TRAFFIC),
    ):
        assert forecast(noisy).p50_seconds == pytest.approx(4 * forecast(SPEC).p50_seconds, rel=0.01)


def test_a_service_without_errors_is_cleared_by_its_requests_alone():
    told = forecast_clearance(SPEC, replace(TRAFFIC, error_ratio=0.0))
    assert 60 < told.p50_seconds < 600
    assert told.p90_seconds == pytest.approx(told.p50_seconds, rel=0.01)


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_per_second": 0.0},
        {"requests_per_second": math.nan},
        {"share": 0.0},
        {"share": 1.0},
        {"error_ratio": 1.0},
        {"error_ratio": math.nan},
    ],
)
def test_what_is_no_traffic_is_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        replace(TRAFFIC, **wrong)


def halves(rng, looks=360, spread=0.0, errors=50.0) -> Table:
    parts = []
    for _ in range(2):
        ratio = 0.02 * np.exp(spread * rng.standard_normal(looks) - spread**2 / 2)
        total = rng.poisson(errors / 0.02, looks)
        parts += [rng.binomial(total, np.minimum(1, ratio)) * 1.0, total * 1.0]
    return Table(parts[0], parts[1], parts[0] + parts[2], parts[1] + parts[3])


def test_dice_are_mostly_taken_for_dice_and_noise_for_what_it_is():
    rng = np.random.default_rng(11)
    plain = [float(measured(halves(rng), 5.0)[0]) for _ in range(200)]
    assert np.mean(np.array(plain) == 1.0) > 0.7
    assert max(plain) < 3.5
    # Each half's own errors vary by 55 % of 50: 1 + 50 (e^0.25 - 1) times what dice would, times the margin.
    noisy = [float(measured(halves(rng, spread=0.5), 5.0)[0]) for _ in range(50)]
    assert 1.3 * 10 < np.median(noisy) < 1.3 * 25


@pytest.mark.parametrize("looks", [1, 50, 119])
def test_what_is_too_short_teaches_nothing(looks):
    assert float(measured(halves(np.random.default_rng(2), looks=looks, spread=1.0), 5.0)[0]) == 1.0


def test_what_was_learned_is_a_tempering_by_the_noisiest_edge():
    rng = np.random.default_rng(13)
    calm, rough = halves(rng), halves(rng, spread=0.8)
    slow = Table(*(np.stack(pair) for pair in zip(calm, rough, strict=True)))
    learned = learn(calm, slow, 5.0)
    assert learned.latency.factor == pytest.approx(float(measured(rough, 5.0)[0]))
    assert learned.errors.factor < 3.5
    assert learned.latency.information == pytest.approx(2 * 2500 * 0.25 / 5, rel=0.05)
    none = Table(*(np.zeros((0, 360)) for _ in range(4)))
    assert learn(calm, none, 5.0).latency == Noise()
