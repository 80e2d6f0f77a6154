import math
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.metrics import Reading
from penelope.domain.rollout import ArmFigures, Look, RolloutLimits, RolloutSpec, Step
from penelope.kit.codec import from_data, to_data
from penelope.rooms.rollout.run import judge, next_weight
from penelope.testing.metrics import figures

START = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
SPEC = RolloutSpec(canary="b", control="a", looks_per_step=2, max_step_seconds=100)
GOOD = figures(200, 1, 0.1)
BAD = figures(200, 100, 0.1)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def judged(canary, control=GOOD, *, looks=(), seconds=10.0, weight=10, spec=SPEC) -> Look:
    arms = {arm: each for arm, each in (("b", canary), ("a", control)) if each is not None}
    reading = Reading(at=at(seconds), window_seconds=seconds, total=figures(0), arms=arms)
    return judge(spec, weight, looks, reading, step_started_at=START, now=at(seconds))


def test_good_looks_on_end_promote():
    first = judged(GOOD)
    assert first == Look(
        weight=10,
        step=Step.HOLD,
        reasons=("good look 1 of 2: 200 requests, 99.5% success, p99 0.100 s",),
        canary=GOOD,
        control=GOOD,
        looked_at=at(10),
    )
    second = judged(GOOD, looks=[first], seconds=15)
    assert second.step is Step.PROMOTE
    assert second.reasons[0].startswith("good look 2 of 2")


def test_looks_that_were_stored_count_as_well():
    stored = from_data(Look, to_data(judged(GOOD)))
    assert judged(GOOD, looks=[stored]).step is Step.PROMOTE


@pytest.mark.parametrize(
    "between",
    [judged(None), judged(figures(3)), judged(BAD, BAD), judged(GOOD, weight=25)],
    ids=["missing", "little", "shared", "other weight"],
)
def test_a_look_that_is_not_good_begins_the_count_anew(between):
    assert judged(GOOD, looks=[judged(GOOD), between]).step is Step.HOLD


@pytest.mark.parametrize(
    ("canary", "reason"),
    [
        (None, "no figures of the canary"),
        (figures(0), "too little traffic: 0 of 20 requests"),
        (figures(19), "too little traffic: 19 of 20 requests"),
        (figures(19, 19), "too little traffic: 19 of 20 requests"),
        (figures(math.nan), "too little traffic: nan of 20 requests"),
        (figures(50, 0, None), "the canary's latency is unknown"),
        (figures(50, 0, math.nan), "the canary's latency is unknown"),
        (figures(50, math.nan), "the canary's error ratio is unknown"),
        (
            ArmFigures(requests=50, errors=0, error_ratio=None, latency_p99_seconds=0.1),
            "the canary's error ratio is unknown",
        ),
    ],
)
def test_without_enough_evidence_it_holds_and_then_rolls_back(canary, reason):
    look = judged(canary, looks=[judged(GOOD), judged(GOOD)])
    assert (look.step, look.reasons) == (Step.HOLD, (reason,))
    late = judged(canary, seconds=100)
    assert (late.step, late.reasons) == (Step.ROLLBACK, ("no verdict within 100 s", reason))
    assert judged(canary, seconds=99.9).step is Step.HOLD


def test_no_reading_holds_and_then_rolls_back():
    look = judge(SPEC, 10, [], None, step_started_at=START, now=at(10))
    assert (look.step, look.canary, look.control) == (Step.HOLD, None, None)
    assert judge(SPEC, 10, [], None, step_started_at=START, now=at(100)).step is Step.ROLLBACK


def test_a_verdict_in_the_last_moment_is_a_verdict():
    assert judged(GOOD, looks=[judged(GOOD)], seconds=100).step is Step.PROMOTE
    assert judged(GOOD, seconds=100).step is Step.ROLLBACK


def test_errors_of_the_canary_alone_roll_back_at_once():
    look = judged(figures(100, 6, 0.1))
    assert look.step is Step.ROLLBACK
    assert look.reasons == (
        "canary success 94.0% is below 95.0%",
        "canary errors 6.0% are above 2.0%",
    )


@pytest.mark.parametrize(("errors", "step"), [(2, Step.PROMOTE), (3, Step.ROLLBACK)])
def test_a_limit_itself_is_still_allowed(errors, step):
    assert judged(figures(100, errors, 0.1), looks=[judged(GOOD)]).step is step


def test_success_has_a_limit_of_its_own():
    spec = RolloutSpec(canary="b", control="a", limits=RolloutLimits(max_error_ratio=1.0))
    assert judged(figures(100, 5), spec=spec).step is Step.HOLD
    assert judged(figures(100, 6), spec=spec).reasons == ("canary success 94.0% is below 95.0%",)


def test_a_limit_that_both_break_is_a_shared_incident():
    look = judged(figures(100, 10), figures(100, 20))
    assert look.step is Step.HOLD
    assert look.reasons[0] == (
        "shared incident: canary success 90.0% is below 95.0%, and the control breaks the same limit"
    )
    assert judged(figures(100, 10), figures(100, 20), seconds=100).step is Step.ROLLBACK


def test_a_limit_that_only_the_canary_breaks_rolls_back_in_a_shared_incident_too():
    look = judged(figures(100, 10), figures(100, 3))
    assert look.step is Step.ROLLBACK
    assert look.reasons == ("canary success 90.0% is below 95.0%",)


def test_a_broken_control_speaks_not_against_a_good_canary():
    assert judged(GOOD, BAD, looks=[judged(GOOD, BAD)]).step is Step.PROMOTE
    assert judged(GOOD, None, looks=[judged(GOOD, None)]).step is Step.PROMOTE


def test_a_slower_canary_rolls_back():
    assert judged(figures(100, 0, 0.6)).step is Step.HOLD
    look = judged(figures(100, 0, 0.75))
    assert look.step is Step.ROLLBACK
    assert look.reasons == ("canary p99 is 0.650 s above the control, 0.5 s are allowed",)


@pytest.mark.parametrize(
    "control",
    [None, figures(0), figures(19, 19, 0.01), figures(math.nan), figures(100, math.nan, None)],
)
def test_a_control_without_figures_leaves_the_absolute_limits(control):
    slow = figures(100, 0, 9.0)
    look = judged(slow, control, weight=100, looks=[judged(slow, control, weight=100)])
    assert look.step is Step.PROMOTE
    assert judged(BAD, control, weight=100).step is Step.ROLLBACK


def test_weights_follow_the_plan():
    assert [next_weight(SPEC, weight) for weight in (0, 10, 11, 25, 50, 100)] == [10, 25, 25, 50, 100, None]
