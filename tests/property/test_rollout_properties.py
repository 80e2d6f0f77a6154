import math
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.metrics import Reading
from penelope.domain.rollout import ArmFigures, RolloutSpec, Step
from penelope.rooms.rollout.run import judge, next_weight

START = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
figure = st.floats(allow_nan=True, allow_infinity=True)
arms = st.none() | st.builds(
    ArmFigures,
    requests=st.floats(0, 500) | figure,
    errors=figure,
    error_ratio=st.none() | st.floats(0, 0.05) | st.floats(0, 1) | figure,
    latency_p99_seconds=st.none() | st.floats(0, 2) | figure,
)
readings = st.none() | st.builds(
    lambda canary, control: Reading(
        at=START,
        window_seconds=10,
        total=ArmFigures(requests=0, errors=0, error_ratio=None, latency_p99_seconds=None),
        arms={arm: each for arm, each in (("b", canary), ("a", control)) if each is not None},
    ),
    arms,
    arms,
)
specs = st.builds(
    RolloutSpec,
    canary=st.just("b"),
    control=st.just("a"),
    steps=st.lists(st.integers(1, 100), min_size=1, max_size=6).map(tuple),
    looks_per_step=st.integers(1, 4),
    max_step_seconds=st.floats(1, 100),
)
moments = st.lists(st.tuples(readings, st.floats(0.1, 30)), min_size=1, max_size=12)


def play(spec, weight, seen):
    looks, now = [], START
    for reading, seconds in seen:
        now += timedelta(seconds=seconds)
        looks.append(judge(spec, weight, looks, reading, step_started_at=START, now=now))
    return looks


@given(specs, moments)
def test_a_step_promotes_only_on_complete_and_good_figures_looks_per_step_times_on_end(spec, seen):
    looks = play(spec, 10, seen)
    limits = spec.limits
    for index, look in enumerate(looks):
        assert look.reasons
        assert all(reason.strip() for reason in look.reasons)
        if look.step is not Step.PROMOTE:
            continue
        last = looks[max(0, index + 1 - spec.looks_per_step) : index + 1]
        assert len(last) == spec.looks_per_step
        for each in last:
            assert each.canary is not None
            assert each.canary.requests >= limits.min_requests
            assert each.canary.error_ratio <= limits.max_error_ratio
            assert math.isfinite(each.canary.latency_p99_seconds)


@given(specs, moments)
def test_silence_ends_in_a_rollback_and_the_same_looks_give_the_same_answers(spec, seen):
    looks = play(spec, 10, seen)
    assert repr(play(spec, 10, seen)) == repr(looks)
    for look in looks:
        waited = (look.looked_at - START).total_seconds()
        if waited >= spec.max_step_seconds:
            assert look.step is not Step.HOLD
        if look.canary is None:
            assert look.step is (Step.ROLLBACK if waited >= spec.max_step_seconds else Step.HOLD)


@given(specs)
def test_weights_are_the_planned_ones_and_rise_to_the_end(spec):
    weight, taken = 0, []
    while (following := next_weight(spec, weight)) is not None:
        assert following > weight
        taken.append(following)
        weight = following
    assert taken == sorted(set(spec.steps))
