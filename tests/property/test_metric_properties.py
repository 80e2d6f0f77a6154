import math
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.metrics import Sample, observations, quantile, reading
from penelope.kit.canonical import canonical

START = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
number = st.floats() | st.floats(0, 1000)
samples = st.builds(
    Sample,
    at=st.integers(-10, 70).map(lambda seconds: START + timedelta(seconds=seconds)),
    requests=number,
    errors=number,
    buckets=st.dictionaries(number | st.just(math.inf), number, max_size=4),
    gauges=st.dictionaries(st.sampled_from(["valid", "error_ratio"]), number),
)


@given(st.dictionaries(st.sampled_from("ab"), st.lists(samples, max_size=8)), st.none() | st.integers(0, 60))
def test_whatever_was_scraped_the_figures_are_sound(series, since):
    now = START + timedelta(seconds=60)
    found = reading(series, now, 60, None if since is None else START + timedelta(seconds=since))
    assert found.arms.keys() <= found.gauges.keys() <= series.keys()
    assert 0 <= found.window_seconds <= 60 - (since or 0)
    assert (found.window_seconds > 0) == bool(found.arms)
    for figures in (found.total, *found.arms.values()):
        assert figures.requests >= 0
        assert figures.errors >= 0
        assert figures.error_ratio is None or 0 <= figures.error_ratio <= 1
        assert figures.latency_p99_seconds is None or math.isfinite(figures.latency_p99_seconds)
    assert canonical(observations(found))


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=2, max_size=20))
def test_increases_count_every_request_after_the_first_sample_over_restarts(steps):
    count, served, series = 5.0, 0, [Sample(at=START, requests=5.0, errors=0)]
    for second, (requests, restarts) in enumerate(steps, start=1):
        # A restart that serves as much as before within one interval cannot be told from none.
        restarted = restarts and requests < count
        count = requests if restarted else count + requests
        served += requests
        series.append(Sample(at=START + timedelta(seconds=second), requests=count, errors=0))
    found = reading({"a": series}, START + timedelta(seconds=60), 60)
    assert found.arms["a"].requests == served


@given(
    st.lists(
        st.tuples(st.floats(0.001, 10), st.integers(0, 50)), min_size=1, max_size=8, unique_by=lambda x: x[0]
    ),
    st.floats(0.01, 1),
)
def test_a_quantile_lies_within_the_finite_bounds_and_rises_with_its_rank(parts, rank):
    buckets, count = {}, 0
    for bound, more in sorted(parts):
        count += more
        buckets[bound] = count
    buckets[math.inf] = count + 1
    low, high = quantile(rank / 2, buckets), quantile(rank, buckets)
    assert 0 <= low <= high + 1e-9
    assert high <= max(bound for bound, _ in parts) + 1e-9
