"""Kayenta's judge in a rollout: silent until the interval is over, then by its score; limits and silence at every look."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from penelope.domain.analysis import AnalysisSpec, ArmTotals, Mode, Otherwise, Thresholds
from penelope.domain.counts import Series, Totals
from penelope.domain.deployment import Cause, Course, Deployment, DeploymentStatus, Order, Stage
from penelope.domain.rollout import RolloutLimits
from penelope.errors import InvalidRequest
from penelope.kit.codec import from_data, to_data
from penelope.rooms.rollout.course import Shift, begun, next_move, ordered, shifted
from penelope.rooms.rollout.horizon import MOST_SAMPLES, quantile
from penelope.rooms.rollout.look import Kept, Seen, judge_look

START = datetime(2026, 11, 22, tzinfo=UTC)
SPEC = AnalysisSpec(mode=Mode.KAYENTA, limits=RolloutLimits(max_error_ratio=0.2, min_success_ratio=0.8))
EDGES = (0.05, 0.1, 0.25, 0.5, 1.0)
FAST, SLOW = np.array([0.3, 0.1, 0.02, 0.0, 0.0]), np.array([0.6, 0.4, 0.2, 0.05, 0.01])
STAGE = Stage(weight=20, min_seconds=300, max_seconds=900)


def course(**changes: Any) -> Course:
    return replace(
        Course(canary="b", control="a", stages=(STAGE, Stage(weight=100)), analysis=SPEC), **changes
    )


class World:
    """A source whose arms fail and are slow by chance, and a deployment that is looked at each `seconds`."""

    def __init__(self, course_: Course | None = None, seconds: float = 5.0, seed: int = 1) -> None:
        deployment = begun(
            Deployment(
                id="d", service="shop", course=course_ or course(), created_by="anna", created_at=START
            )
        )
        self.now = START
        self.seconds = seconds
        self.kept = Kept(deployment=deployment)
        self.errors = {"a": 0.01, "b": 0.01}
        self.slow = {"a": FAST, "b": FAST}
        self.silent = False
        self._rng = np.random.default_rng(seed)
        self._sums = {arm: np.zeros(2 + len(EDGES)) for arm in "ab"}

    @property
    def it(self) -> Deployment:
        return self.kept.deployment

    def look(self, times: int = 1) -> Deployment:
        """So many looks, or until it goes elsewhere; the ledger holds what is remembered between two of them."""
        for _ in range(times):
            while isinstance(move := next_move(self.it, self.now), Shift):
                self.kept = self.kept.going(shifted(self.it, move.weight, self.now))
            self.now += timedelta(seconds=self.seconds)
            stage = self.it.stage
            self.kept = judge_look(self.kept, Seen(silence="away") if self.silent else self._seen(), self.now)
            self.kept = from_data(Kept, json.loads(json.dumps(to_data(self.kept))))
            if self.it.status is not DeploymentStatus.PROGRESSING or self.it.stage != stage:
                break
        return self.it

    def _seen(self) -> Seen:
        arms = {}
        shares = {"a": 100 - self.it.weight, "b": self.it.weight}
        for arm, before in self._sums.items():
            requests = int(self._rng.poisson(10 * shares[arm]))
            above = np.minimum.accumulate(self._rng.binomial(requests, self.slow[arm]))
            failed = self._rng.binomial(requests, self.errors[arm])
            sums = self._sums[arm] = before + np.array([requests, failed, *(requests - above)])
            buckets = {repr(edge): float(count) for edge, count in zip(EDGES, sums[2:], strict=True)}
            buckets["+Inf"] = float(sums[0])
            arms[arm] = {"1": Series(requests=float(sums[0]), errors=float(sums[1]), buckets=buckets)}
        return Seen(totals=Totals(at=self.now, arms=arms))


def test_a_good_one_goes_on_when_its_interval_is_over_and_not_before() -> None:
    world = World()
    assert world.look(59).stage == 0
    assert world.it.reason.startswith("58 samples of both arms, to be judged when 300 s are over")
    after = world.look(2)
    assert (after.stage, after.wanted) == (1, 100)
    assert "Kayenta's judge: Pass, 100 of 100" in after.reason


def test_a_worse_one_goes_back_when_its_interval_is_over_and_not_before() -> None:
    world = World()
    world.errors["b"] = 0.06
    world.slow["b"] = SLOW
    assert world.look(59).status is DeploymentStatus.PROGRESSING
    after = world.look(2)
    assert (after.status, after.cause) == (DeploymentStatus.ROLLING_BACK, Cause.WORSE)
    assert "Kayenta's judge: Fail, 0 of 100" in after.reason
    assert "errors was classified as High" in after.reason


def test_one_interval_is_one_test_and_looking_makes_no_more_of_them() -> None:
    """As good as the other: repeated at each look the same test would have found a fault in most of these."""
    back = 0
    for seed in range(40):
        world = World(course(stages=(STAGE,)), seed=seed)
        back += world.look(61).status is DeploymentStatus.ROLLING_BACK
    assert back <= 4


def test_a_marginal_score_begins_another_interval_and_ends_with_the_stage() -> None:
    """Of errors and two quantiles one quantile is worse: 75 of 100."""
    tail = np.array([0.3, 0.1, 0.06, 0.0, 0.0])
    world = World()
    world.slow["b"] = tail
    after = world.look(60)
    assert "Marginal, 75 of 100" in after.reason
    assert (after.status, after.stage) == (DeploymentStatus.PROGRESSING, 0)
    interval = world.kept.memory.interval
    assert interval is not None
    assert interval.errors == ()
    world.look(3)
    assert "3 samples" in world.it.reason
    after = world.look(200)
    assert (after.status, after.cause) == (DeploymentStatus.ROLLING_BACK, Cause.UNDECIDED)
    assert (world.now - START).total_seconds() == pytest.approx(900, abs=10)


def test_the_thresholds_are_the_users() -> None:
    tail = np.array([0.3, 0.1, 0.06, 0.0, 0.0])
    for scores, status in (
        (Thresholds(passing=75.0, marginal=50.0), DeploymentStatus.PROMOTING),
        (Thresholds(passing=95.0, marginal=80.0), DeploymentStatus.ROLLING_BACK),
    ):
        world = World(course(stages=(STAGE,), analysis=replace(SPEC, kayenta=scores)))
        world.slow["b"] = tail
        assert world.look(61).status is status


def test_without_latency_errors_are_all() -> None:
    world = World(course(analysis=replace(SPEC, latency=False)))
    world.slow["b"] = SLOW
    assert world.look(61).stage == 1


def test_a_limit_that_breaks_does_not_wait_for_the_end() -> None:
    world = World()
    world.errors["b"] = 0.5
    after = world.look(20)
    assert (after.status, after.cause) == (DeploymentStatus.ROLLING_BACK, Cause.WORSE)
    assert "the canary breaks a limit" in after.reason
    assert (world.now - START).total_seconds() < 60


def test_an_incident_of_both_is_not_blamed_on_the_canary() -> None:
    world = World()
    world.errors.update(a=0.5, b=0.5)
    after = world.look(100)
    assert (after.status, after.stage) == (DeploymentStatus.PROGRESSING, 0)
    assert "shared incident" in after.reason


@pytest.mark.parametrize("on_silence", [Otherwise.ROLLBACK, Otherwise.HOLD])
def test_silence_never_promotes(on_silence: Otherwise) -> None:
    world = World(course(analysis=replace(SPEC, on_silence=on_silence)))
    world.look(55)
    world.silent = True
    after = world.look(100)
    assert after.stage == 0
    if on_silence is Otherwise.ROLLBACK:
        assert (after.status, after.cause) == (DeploymentStatus.ROLLING_BACK, Cause.SILENCE)
    else:
        assert after.status is DeploymentStatus.PROGRESSING


def test_a_pause_holds_a_pass_and_not_a_rollback() -> None:
    world = World()
    world.look(10)
    world.kept = world.kept.going(ordered(world.it, Order.PAUSE, "lunch", world.now))
    assert world.look(150).weight == 20
    assert world.it.status is DeploymentStatus.PROGRESSING
    world.errors["b"] = 0.06
    world.slow["b"] = SLOW
    assert world.look(130).status is DeploymentStatus.ROLLING_BACK


def test_with_all_traffic_the_limits_alone_are_judged() -> None:
    world = World(course(stages=(Stage(weight=100, min_seconds=50, max_seconds=900),)))
    assert world.look(9).status is DeploymentStatus.PROGRESSING
    assert "limits alone" in world.it.reason
    assert world.look(3).status is DeploymentStatus.PROMOTING
    bad = World(course(stages=(Stage(weight=100, min_seconds=50, max_seconds=900),)))
    bad.errors["b"] = 0.5
    assert bad.look(9).status is DeploymentStatus.ROLLING_BACK


def test_samples_are_bounded_whatever_the_interval() -> None:
    longer = Stage(weight=20, min_seconds=3000, max_seconds=6000)
    world = World(course(stages=(longer,)))
    sizes = []
    for _ in range(599):
        world.look()
        assert world.kept.memory.interval is not None
        sizes.append(len(world.kept.memory.interval.errors))
    assert max(sizes) in range(MOST_SAMPLES - 2, MOST_SAMPLES + 1)
    assert len(json.dumps(to_data(world.kept.memory.interval))) < 12_000
    assert world.look(3).status is DeploymentStatus.PROMOTING


def test_a_quantile_is_what_prometheus_draws() -> None:
    arm = ArmTotals(requests=100, timed=100.0, slow=(60.0, 20.0, 10.0))
    edges = (0.1, 0.2, 0.4)
    assert quantile(arm, edges, 0.4) == pytest.approx(0.1)
    assert quantile(arm, edges, 0.6) == pytest.approx(0.15)
    assert quantile(arm, edges, 0.85) == pytest.approx(0.3)
    assert quantile(arm, edges, 0.99) == 0.4


@pytest.mark.parametrize(
    "scores", [(50.0, 75.0), (101.0, 75.0), (95.0, -1.0), (math.nan, 75.0), (95.0, math.nan)]
)
def test_scores_that_cannot_be_are_refused(scores: tuple[float, float]) -> None:
    passing, marginal = scores
    with pytest.raises(ValueError, match="scores"):
        replace(SPEC, kayenta=Thresholds(passing=passing, marginal=marginal))


@pytest.mark.parametrize(
    "wrong",
    [
        {"stages": (Stage(weight=20),)},
        {"stages": (Stage(weight=20, min_seconds=49, max_seconds=900),)},
        {"stages": (Stage(weight=20, min_seconds=300, max_seconds=200),)},
        {"interval_seconds": 60.0},
    ],
)
def test_a_stage_without_an_interval_to_judge_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="kayenta"):
        course(**wrong)
