import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.analysis import (
    AnalysisSpec,
    AnalysisState,
    ArmCounts,
    Assessment,
    Noise,
    Otherwise,
    Scrape,
    Tempering,
)
from penelope.domain.rollout import RolloutLimits, Step
from penelope.kit.codec import from_data, to_data
from penelope.rooms.rollout.assess import assess, at_step, begin

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
SPEC = AnalysisSpec()
EDGES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
USUAL = (0.5, 0.124, 0.004, 0.0, 0.0, 0.0)
SLOWER = (0.88, 0.5, 0.06, 0.003, 0.0, 0.0)


def arm(requests: float, errors: float, slow=USUAL) -> ArmCounts:
    """Counts without chance in them: the shares of requests above each edge, rounded."""
    buckets = {edge: requests - round(requests * share) for edge, share in zip(EDGES, slow, strict=True)}
    return ArmCounts(requests=requests, errors=errors, buckets={**buckets, math.inf: requests})


def scrape(canary: ArmCounts | None, control: ArmCounts | None, seconds: float = 5.0) -> Scrape:
    return Scrape(seconds=seconds, canary=canary, control=control)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def play(
    looks, *, spec: AnalysisSpec = SPEC, state: AnalysisState | None = None, seconds: float = 5.0, start=0.0
) -> tuple[AnalysisState, list[Assessment]]:
    """Looks until one is not HOLD."""
    state = state or begin("r1", 10, START)
    answers = []
    for number, each in enumerate(looks, start=1):
        state, answer = assess(spec, state, each, after(start + number * seconds))
        answers.append(answer)
        if answer.step is not Step.HOLD:
            break
    return state, answers


GOOD = scrape(arm(500, 5), arm(4500, 45))
BAD = scrape(arm(500, 30), arm(4500, 45))


def test_a_good_canary_is_promoted_with_a_reason_for_each_metric():
    _, answers = play([GOOD] * 100)
    assert answers[-1].step is Step.PROMOTE
    assert 2 <= len(answers) <= 20
    assert [each.metric for each in answers[-1].findings] == ["errors", "latency", "error_limit", "p99_limit"]
    assert answers[-1].reasons[0].startswith("errors are not 2 times as frequent (e-value ")
    assert "canary 1.00% of" in answers[-1].reasons[0]
    assert answers[-1].harm < 0


def test_hold_tells_the_time_that_is_left_and_it_shrinks():
    _, answers = play([GOOD] * 100)
    expected = [each.expected_seconds for each in answers[:-1]]
    assert all(each is not None and each > 0 for each in expected)
    assert expected == sorted(expected, reverse=True)
    told = expected[0]
    assert (len(answers) - 1) * 5 == pytest.approx(told, abs=6)


def test_more_errors_roll_back_and_the_worst_metric_comes_first():
    _, answers = play([BAD] * 100)
    assert answers[-1].step is Step.ROLLBACK
    assert len(answers) <= 3
    assert answers[-1].reasons[0].startswith("errors are more frequent")
    assert answers[-1].harm >= -math.log10(SPEC.alpha)


def test_slower_answers_roll_back_though_no_limit_is_broken():
    slow = scrape(arm(50, 0, SLOWER), arm(450, 0))
    _, answers = play([slow] * 20)
    assert answers[-1].step is Step.ROLLBACK
    assert answers[-1].reasons[0].startswith("slow requests are more frequent")
    assert "above 0.1 s canary 50.00%, control 12." in answers[-1].reasons[0]


def test_without_latency_only_errors_are_judged():
    slow = scrape(arm(500, 5, SLOWER), arm(4500, 45))
    _, answers = play([slow] * 100, spec=replace(SPEC, latency=False))
    assert answers[-1].step is Step.PROMOTE
    assert [each.metric for each in answers[-1].findings] == ["errors", "error_limit"]


def test_a_tail_that_is_half_a_second_longer_breaks_the_limit_of_p99():
    state, _ = play([GOOD])  # the control's p99 must have been seen before anything is held against it
    broken = scrape(arm(500, 0, (0.5, 0.124, 0.03, 0.03, 0.03, 0.03)), arm(4500, 0))
    _, answers = play([broken], state=state, start=5)
    assert answers[-1].step is Step.ROLLBACK
    assert answers[-1].findings[-1].metric == "p99_limit"
    assert answers[-1].findings[-1].harm > 1
    assert "looks broken" in answers[-1].findings[-1].reason


def test_a_p99_within_half_a_second_is_no_breach_of_the_limit():
    state, _ = play([GOOD])
    tail = scrape(arm(500, 0, (0.5, 0.124, 0.03, 0.012, 0.0, 0.0)), arm(4500, 0))
    _, answers = play([tail], state=state, start=5)
    assert answers[-1].findings[-1].harm <= 0


def test_a_shared_incident_holds_and_leaves_no_blame_behind():
    state, calm = play([GOOD])
    both = scrape(arm(500, 40), arm(4500, 360))
    state, during = play([both] * 60, state=state, start=5)
    assert {each.step for each in during} == {Step.HOLD}
    assert during[-1].reasons[0].startswith("shared incident")
    state, later = play([GOOD] * 60, state=state, start=305)
    assert later[-1].step is Step.PROMOTE
    assert calm[0].step is Step.HOLD


def test_a_control_that_does_badly_does_not_speak_against_the_canary_that_heals_it():
    heals = scrape(arm(500, 1), arm(4500, 1500))
    _, answers = play([heals] * 20)
    assert answers[-1].step is Step.PROMOTE


def test_the_error_limit_binds_where_both_arms_are_close_to_it():
    over = scrape(arm(2000, 60), arm(8000, 140))
    _, answers = play([over] * 100)
    assert answers[-1].step is Step.ROLLBACK


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        (None, "no figures of the canary"),
        (scrape(None, arm(4500, 45)), "no figures of the canary"),
        (scrape(arm(500, 5), None), "no figures of the control"),
        (scrape(arm(0, 0), arm(4500, 45)), "no traffic on the canary"),
        (scrape(arm(500, 5), arm(0, 0)), "no traffic on the control"),
        (scrape(ArmCounts(requests=500, errors=5), arm(4500, 45)), "latency is unknown"),
        (scrape(ArmCounts(requests=500, errors=501), arm(4500, 45)), "no figures of the canary"),
        (scrape(ArmCounts(requests=math.nan, errors=0), arm(4500, 45)), "no figures of the canary"),
        (scrape(ArmCounts(requests=5, errors=math.nan), arm(4500, 45)), "no figures of the canary"),
        (scrape(ArmCounts(requests=-5, errors=-9), arm(4500, 45)), "no figures of the canary"),
        (scrape(ArmCounts(requests=math.inf, errors=0), arm(4500, 45)), "no figures of the canary"),
    ],
)
def test_silence_holds_and_then_rolls_back_or_holds_on_as_set_and_never_promotes(figures, reason):
    _, answers = play([figures] * 40)
    assert [each.step for each in answers[:-1]] == [Step.HOLD] * 23
    assert answers[0].reasons == (reason,)
    assert answers[-1].step is Step.ROLLBACK
    assert answers[-1].reasons == (f"{reason}, for 120 s",)
    _, held = play(
        [figures] * 400, spec=replace(SPEC, on_silence=Otherwise.HOLD, undecided=Otherwise.PROMOTE)
    )
    assert {each.step for each in held} == {Step.HOLD}


def test_a_certified_canary_is_not_promoted_in_a_look_without_figures():
    state, answers = play([GOOD] * 100)
    assert answers[-1].step is Step.PROMOTE
    _, answer = assess(SPEC, state, None, after(200))
    assert answer.step is not Step.PROMOTE


@pytest.mark.parametrize("otherwise", list(Otherwise))
def test_a_step_without_a_verdict_ends_as_set(otherwise):
    # One error in all: nothing to tell, but the rates are far from negligible for so few requests.
    quiet = scrape(arm(2, 0), arm(18, 0))
    spec = replace(SPEC, undecided=otherwise, max_step_seconds=60)
    _, answers = play([quiet] * 12, spec=spec)
    assert [each.step for each in answers] == [Step.HOLD] * 11 + [Step(otherwise.value)]
    assert answers[-1].reasons[0] == "no verdict within 60 s"


def test_too_small_a_sample_does_not_promote_an_undecided_step():
    quiet = scrape(arm(1, 0), arm(9, 0))
    spec = replace(SPEC, undecided=Otherwise.PROMOTE, max_step_seconds=60)
    _, answers = play([quiet] * 19, spec=spec)
    assert {each.step for each in answers} == {Step.HOLD}


def test_another_revision_begins_anew_and_another_weight_keeps_the_harm():
    state, _ = play([scrape(arm(500, 7), arm(4500, 45))])
    same = at_step(state, "r1", 10, after(10))
    assert same == state
    wider = at_step(state, "r1", 25, after(10))
    assert wider.harm == state.harm
    assert wider.elapsed == state.elapsed
    assert wider.canary.requests == 0
    assert {value for row in wider.refuted for value in row} == {0.0}
    assert at_step(state, "r2", 10, after(10)) == begin("r2", 10, after(10))


def test_at_all_traffic_there_is_no_control_to_compare_with():
    state, _ = play([GOOD])
    state = at_step(state, "r1", 100, after(10))
    whole = scrape(arm(5000, 20), None)
    _, answers = play([whole] * 20, state=state, start=10)
    assert answers[-1].step is Step.PROMOTE
    broken = scrape(arm(5000, 300), None)
    _, answers = play([broken] * 20, state=state, start=10)
    assert answers[-1].step is Step.ROLLBACK


def test_what_the_control_did_before_does_not_excuse_a_canary_that_has_all_traffic():
    state, healed = play([scrape(arm(500, 1), arm(4500, 400))] * 20)
    assert healed[-1].step is Step.PROMOTE
    state = at_step(state, "r1", 100, after(100))
    _, answers = play([scrape(arm(5000, 500), None)] * 20, state=state, start=100)
    assert answers[-1].step is Step.ROLLBACK
    assert answers[-1].reasons[0].startswith("limit (at most 2.0% errors): looks broken")


def test_the_limit_of_p99_outlives_the_control():
    state, _ = play([GOOD])
    state = at_step(state, "r1", 100, after(10))
    calm = scrape(arm(50, 0), None)
    spec = replace(SPEC, max_step_seconds=1e6)
    for number in range(1, 300):
        state, answer = assess(spec, state, calm, after(10 + 5 * number))
        assert answer.step is not Step.ROLLBACK
    tail = scrape(arm(5000, 0, (0.5, 0.124, 0.06, 0.06, 0.06, 0.06)), None)
    _, answers = play([tail] * 5, state=state, start=1600)
    assert answers[-1].step is Step.ROLLBACK
    assert answers[-1].reasons[0].startswith("limit (p99 at most 0.5 s above the control): looks broken")


def test_a_state_survives_its_storage_and_says_the_same_afterwards():
    state, answers = play([GOOD] * 3)
    stored = from_data(AnalysisState, to_data(state))
    assert stored == state
    assert assess(SPEC, stored, GOOD, after(20)) == assess(SPEC, state, GOOD, after(20))
    assert from_data(Assessment, to_data(answers[-1])) == answers[-1]
    assert sum(map(len, stored.harm)) + sum(map(len, stored.refuted)) < 250


def test_a_histogram_that_comes_late_joins_as_if_nothing_had_happened():
    plain = scrape(ArmCounts(requests=500, errors=5), ArmCounts(requests=4500, errors=45))
    state, answers = play([plain] * 3)
    before = answers[-1].harm
    state, answers = play([scrape(arm(0, 0), arm(0, 0))], state=state, start=15)
    assert state.edges == EDGES
    assert answers[-1].harm == pytest.approx(before, abs=0.002)
    _, answers = play([GOOD] * 60, state=state, start=20)
    assert answers[-1].step is Step.PROMOTE


def test_many_edges_are_thinned_out_and_the_state_stays_small():
    edges = [0.001 * number for number in range(1, 5001)]
    full = ArmCounts(requests=100, errors=0, buckets={**dict.fromkeys(edges, 50.0), math.inf: 100.0})
    state, _ = play([scrape(full, full)])
    assert len(state.edges) == 12
    assert state.edges[0] == 0.001
    assert state.edges[-1] == 5.0


def test_noise_that_was_learned_slows_the_verdict():
    noisy = replace(SPEC, tempering=Tempering(errors=Noise(factor=4.0), latency=Noise(factor=4.0)))
    _, plain = play([GOOD] * 200)
    _, tempered = play([GOOD] * 200, spec=noisy)
    assert tempered[-1].step is Step.PROMOTE
    assert len(tempered) > 3 * len(plain)


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 0.0},
        {"alpha": 1.0},
        {"beta": math.nan},
        {"factor": 1.0},
        {"negligible_error_ratio": 0.0},
        {"negligible_slow_ratio": 1.5},
        {"on_silence": Otherwise.PROMOTE},
        {"tempering": Tempering(errors=Noise(factor=0.5))},
        {"tempering": Tempering(latency=Noise(factor=math.nan))},
        {"limits": RolloutLimits(max_error_ratio=0.0)},
    ],
)
def test_what_cannot_be_judged_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must|never|at least"):
        AnalysisSpec(**wrong)
