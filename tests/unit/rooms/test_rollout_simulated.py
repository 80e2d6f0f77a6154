import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

from _canaries import EDGES, World
from _steps import LEARNING_SECONDS, SHARES, Traffic, learned, whole_rollouts

CALM = World(errors=0.01, edges=EDGES, looks=400)
NOISY = World(errors=0.01, variation=0.6, latency_variation=0.15, autocorrelation=0.8, edges=EDGES, looks=12)


def test_good_canaries_go_through_all_steps_and_a_canary_has_one_end_at_most():
    ends = whole_rollouts(CALM, 60, 11)
    done, condemned = np.isfinite(ends.done), np.isfinite(ends.condemned)
    assert done.sum() >= 55
    assert not (done & condemned).any()
    # No step is certified without a look of its own.
    assert ends.done.min() >= 5.0 * len(SHARES)


def test_canaries_above_the_limit_never_get_all_traffic():
    ends = whole_rollouts(World(errors=0.05, edges=EDGES, looks=150), 20, 12)
    assert not np.isfinite(ends.done).any()


def test_noise_is_learned_of_errors_and_of_latency_and_calm_is_not():
    noisy, calm = (learned(world, 20, np.random.default_rng(13)) for world in (NOISY, CALM))
    assert np.median(noisy.errors.factor) > 3
    assert np.median(noisy.latency.factor) > 3
    assert np.median(calm.errors.factor) == 1
    assert (np.array(noisy.latency.information) > 0).all()
    assert LEARNING_SECONDS == 1800


def test_an_arm_has_bad_times_of_its_own_that_last():
    traffic = Traffic(NOISY, 200, np.random.default_rng(14))
    rows = np.stack([traffic.look(np.full(200, 0.5), np.arange(200)).rows for _ in range(60)])
    late = rows[:, :, (0, 2), 2] / rows[:, :, (1, 3), 2]
    excess = late - late.mean()
    one, two = excess[..., 0], excess[..., 1]
    assert np.mean(one[1:] * one[:-1]) / np.mean(one**2) > 0.5
    assert abs(np.mean(one * two)) / np.mean(one**2) < 0.1
