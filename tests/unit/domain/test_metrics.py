import math
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.metrics import Reading, Sample, observations, quantile, reading
from penelope.domain.rollout import ArmFigures

START = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
INF = math.inf


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def counted(seconds: float, requests: float, errors: float = 0.0, **more) -> Sample:
    return Sample(at=at(seconds), requests=requests, errors=errors, **more)


def arm(
    *samples: Sample, now: float = 60, window: float = 60, since: datetime | None = None
) -> ArmFigures | None:
    return reading({"a": samples}, at(now), window, since).arms.get("a")


def test_figures_are_increases_between_the_first_and_the_last_sample():
    found = reading({"a": [counted(0, 100, 7), counted(10, 150, 7), counted(20, 200, 12)]}, at(20), 60)
    assert found.arms["a"] == ArmFigures(requests=100, errors=5, error_ratio=0.05, latency_p99_seconds=None)
    assert found.total == found.arms["a"]
    assert found.window_seconds == 20
    assert found.at == at(20)


def test_total_adds_the_arms_and_the_window_is_the_longest():
    found = reading(
        {"a": [counted(0, 0), counted(20, 90)], "b": [counted(10, 5, 5), counted(20, 15, 15)]}, at(20), 60
    )
    assert (found.total.requests, found.total.errors, found.total.error_ratio) == (100, 10, 0.1)
    assert found.arms["b"].error_ratio == 1.0
    assert found.window_seconds == 20


def test_a_restart_counts_from_zero_for_all_counters():
    # The errors alone rise from 2 to 3: only the fall of the requests tells that all three are new.
    found = arm(counted(0, 100, 2), counted(10, 110, 2), counted(20, 5, 3))
    assert (found.requests, found.errors) == (15, 3)


def test_a_restart_shows_in_the_buckets_too():
    found = arm(counted(0, 10, buckets={0.1: 10, INF: 10}), counted(10, 12, buckets={0.1: 1, INF: 12}))
    assert found.requests == 12


def test_no_requests_give_no_ratio_and_no_latency():
    assert arm(counted(0, 5), counted(10, 5)) == ArmFigures(
        requests=0, errors=0, error_ratio=None, latency_p99_seconds=None
    )


def test_one_sample_is_no_figure_but_shows_gauges():
    found = reading({"a": [counted(0, 5, gauges={"valid": 1.0})], "b": []}, at(1), 60)
    assert found.arms == {}
    assert found.window_seconds == 0
    assert found.total == ArmFigures(requests=0, errors=0, error_ratio=None, latency_p99_seconds=None)
    assert found.gauges == {"a": {"valid": 1.0}}


def test_the_window_leaves_out_what_is_older_and_what_is_yet_to_come():
    samples = [counted(0, 0), counted(50, 100), counted(60, 130), counted(70, 999)]
    found = reading({"a": samples}, at(60), 10)
    assert (found.arms["a"].requests, found.window_seconds) == (30, 10)


def test_a_gauge_older_than_the_window_is_not_shown():
    assert reading({"a": [counted(0, 1, gauges={"valid": 1.0})]}, at(61), 60).gauges == {}


def test_since_takes_its_baseline_after_the_moment():
    samples = [counted(0, 0, 0), counted(10, 100, 50), counted(20, 120, 60), counted(30, 140, 60)]
    assert arm(*samples, since=at(10)).errors == 0
    assert arm(*samples, since=at(10)).requests == 20
    assert arm(*samples, since=at(9)).errors == 10
    assert arm(*samples, since=at(20)) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0, 1e300])
def test_what_is_no_count_is_passed_over(bad):
    found = arm(counted(0, 0), counted(10, bad, 0), counted(20, 10, bad), counted(30, 20, 1))
    assert (found.requests, found.errors) == (20, 1)


def test_samples_out_of_order_or_twice_are_passed_over():
    found = arm(counted(0, 0), counted(20, 20), counted(10, 5), counted(20, 500), counted(30, 30))
    assert found.requests == 30


def test_errors_beyond_the_requests_are_no_more_than_all():
    assert arm(counted(0, 0, 0), counted(10, 1, 3)).error_ratio == 1.0


def test_latency_comes_from_the_increase_of_the_buckets():
    found = arm(
        counted(0, 100, buckets={0.1: 0, 1.0: 100, INF: 100}),
        counted(10, 200, buckets={0.1: 100, 1.0: 200, INF: 200}),
    )
    assert found.latency_p99_seconds == pytest.approx(0.099)


@pytest.mark.parametrize(
    "buckets",
    [
        {},
        {0.1: 5.0},
        {0.1: math.nan, INF: 5.0},
        {math.nan: 1.0, INF: 5.0},
        {-INF: 1.0, INF: 5.0},
        {0.1: -1.0, INF: 5.0},
    ],
)
def test_buckets_that_do_not_fit_give_no_latency(buckets):
    good = {0.1: 0.0, INF: 0.0}
    assert arm(counted(0, 0, buckets=good), counted(10, 5, buckets=buckets)).latency_p99_seconds is None
    assert (
        arm(counted(0, 0, buckets=buckets), counted(10, 5, buckets={0.1: 5.0, INF: 9.0})).latency_p99_seconds
        is None
    )


def test_buckets_after_a_restart_need_none_before():
    found = arm(counted(0, 100), counted(10, 10, buckets={0.1: 10, INF: 10}))
    assert found.latency_p99_seconds == pytest.approx(0.099)


def test_the_latency_of_all_arms_uses_the_bounds_that_they_share():
    empty = {0.1: 0, 0.2: 0, 1.0: 0, INF: 0}
    found = reading(
        {
            "a": [
                counted(0, 0, buckets=empty),
                counted(10, 50, buckets={0.1: 50, 0.2: 50, 1.0: 50, INF: 50}),
            ],
            "b": [
                counted(0, 0, buckets={0.5: 0, 1.0: 0, INF: 0}),
                counted(10, 50, buckets={0.5: 0, 1.0: 50, INF: 50}),
            ],
            "idle": [counted(0, 0, buckets={9.0: 0, INF: 0}), counted(10, 0, buckets={9.0: 0, INF: 0})],
        },
        at(10),
        60,
    )
    assert found.total.latency_p99_seconds == pytest.approx(0.99)


# Expected values by hand from promql/quantile.go; the last three are its edge cases.
@pytest.mark.parametrize(
    ("rank", "buckets", "expected"),
    [
        (0.5, {1.0: 10, 2.0: 20, INF: 20}, 1.0),
        (0.75, {1.0: 10, 2.0: 20, INF: 20}, 1.5),
        (0.25, {1.0: 10, 2.0: 20, INF: 20}, 0.5),
        (0.99, {1.0: 90, 2.0: 90, 4.0: 100, INF: 100}, 3.8),
        (0.99, {1.0: 90, 2.0: 85, 4.0: 100, INF: 100}, 3.8),
        (0.99, {1.0: 10, 2.0: 20, INF: 100}, 2.0),
        (0.1, {-1.0: 50, 2.0: 100, INF: 100}, -1.0),
        (0.99, {1.0: 0, INF: 0}, None),
        (0.99, {1.0: 5, 2.0: 5}, None),
        (0.99, {INF: 5}, None),
    ],
)
def test_quantiles_as_prometheus_computes_them(rank, buckets, expected):
    assert quantile(rank, buckets) == (None if expected is None else pytest.approx(expected))


def test_observations_name_every_known_figure():
    found = observations(
        Reading(
            at=START,
            window_seconds=10,
            total=ArmFigures(requests=100, errors=5, error_ratio=0.05, latency_p99_seconds=0.2),
            arms={"a": ArmFigures(requests=100, errors=5, error_ratio=0.05, latency_p99_seconds=0.2)},
            gauges={
                "a": {"valid": 1.0},
                "b": {"valid": 0.0, "depth": math.nan, "size": 1e16},
                "c": {"valid": 2.0},
            },
        )
    )
    figures = {
        "requests": 100, "request_rate": 10.0, "error_ratio": 0.05, "success_ratio": 0.95,
        "latency_p99_seconds": 0.2,
    }  # fmt: skip
    assert found == {
        **{f"metric.{name}": value for name, value in figures.items()},
        **{f"metric.{name}@a": value for name, value in figures.items()},
        "metric.valid": 0.0,
        "metric.valid@a": 1.0,
        "metric.valid@b": 0.0,
        "metric.valid@c": 2.0,
    }


def test_observations_leave_out_what_is_unknown():
    idle = ArmFigures(requests=0, errors=0, error_ratio=None, latency_p99_seconds=None)
    assert observations(Reading(at=START, window_seconds=0, total=idle)) == {}
    assert observations(Reading(at=START, window_seconds=5, total=idle)) == {
        "metric.requests": 0,
        "metric.request_rate": 0,
    }
