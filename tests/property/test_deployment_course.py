"""Whatever the order of looks, pauses, crashes and words: only planned weights, and an end at 0 or 100."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penelope.domain.deployment import (
    WHOLE,
    Course,
    Deployment,
    DeploymentStatus,
    Order,
    Stage,
    alike,
    blue_green,
    fixed_split,
)
from penelope.domain.rollout import Step
from penelope.errors import AlreadyDecided, InvalidRequest
from penelope.rooms.rollout.course import (
    Judged,
    Look,
    Over,
    Rest,
    Settle,
    Shift,
    begun,
    judged,
    next_move,
    ordered,
    refused,
    revised,
    settled,
    shifted,
)

START = datetime(2026, 11, 22, tzinfo=UTC)

weights = st.lists(st.integers(0, WHOLE), min_size=1, max_size=5, unique=True).map(sorted)


calibrations = st.integers(1, WHOLE - 1).map(
    lambda weight: Course(canary="b", control="a", stages=alike(900, weight), calibrates=True)
)


@st.composite
def courses(draw: st.DrawFn) -> Course:
    stages = tuple(
        Stage(weight=weight, manual=draw(st.booleans()), max_seconds=draw(st.sampled_from([30.0, 900.0])))
        for weight in draw(weights)
    )
    return Course(
        canary="b",
        control="a",
        stages=stages,
        auto_promote=draw(st.booleans()),
        auto_rollback=draw(st.booleans()),
    )


def deployment(course: Course) -> Deployment:
    return begun(
        Deployment(id="deployment_1", service="shop", course=course, created_by="anna", created_at=START)
    )


class Going(RuleBasedStateMachine):
    """A deployment beside a router that may not obey, may obey and not answer, and outlives every crash."""

    @initialize(course=courses() | calibrations)
    def start(self, course: Course) -> None:
        self.now = START
        self.it = deployment(course)
        self.router = 0
        self.was_going_back = False

    @rule(
        obeys=st.sampled_from(["yes", "no", "in silence"]),
        step=st.sampled_from(list(Step)),
        alive=st.booleans(),
        crash=st.booleans(),
        seconds=st.floats(0, 60),
    )
    def go_on(self, *, obeys: str, step: Step, alive: bool, crash: bool, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self._carry_out(
            next_move(self.it, self.now),
            obeys,
            Judged(step=step, reason="so it is", control_alive=alive),
            crash=crash,
        )

    def _carry_out(self, move: object, obeys: str, answer: Judged, *, crash: bool) -> None:
        match move:
            case Shift(weight):
                if obeys != "no":
                    self.router = weight
                if crash:  # before anything of it was recorded: the same move comes again
                    return
                self.it = (
                    shifted(self.it, weight, self.now) if obeys == "yes" else refused(self.it, "silence")
                )
            case Look():
                self.it = self.it if crash else judged(self.it, answer, self.now)
            case Settle():
                self.it = self.it if crash else settled(self.it, self.now)
            case Rest(seconds):
                assert 0 < seconds <= self.it.course.interval_seconds
            case Over():
                assert self.it.status.ended

    @rule(order=st.sampled_from(list(Order)))
    def say(self, order: Order) -> None:
        before = self.it
        try:
            self.it = ordered(before, order, "a person says so", self.now)
        except AlreadyDecided:
            assert before.status is not DeploymentStatus.PROGRESSING
            return
        except InvalidRequest:
            assert before.course.calibrates
            assert order in {Order.STEP, Order.PROMOTE}
            return
        if order is not Order.STEP:
            assert ordered(self.it, order, "again", self.now) == self.it

    @rule(number=st.integers(1, 3))
    def revise(self, number: int) -> None:
        before = self.it
        try:
            self.it = revised(before, f"revision {number}")
        except AlreadyDecided:
            assert before.status not in {DeploymentStatus.PROGRESSING, DeploymentStatus.PROMOTING}
        except InvalidRequest:
            assert before.course.calibrates

    @invariant()
    def only_what_was_planned(self) -> None:
        assert self.router in self.it.planned
        assert self.it.wanted in self.it.planned
        assert self.it.moving or self.it.weight == self.it.wanted == self.router

    @invariant()
    def what_goes_back_never_turns_round(self) -> None:
        back = self.it.status in {
            DeploymentStatus.ROLLING_BACK,
            DeploymentStatus.CANCELLING,
            DeploymentStatus.ROLLED_BACK,
            DeploymentStatus.CANCELLED,
            DeploymentStatus.CONCLUDING,
            DeploymentStatus.CONCLUDED,
        }
        assert back or not self.was_going_back
        self.was_going_back = back
        assert not back or self.it.wanted == 0

    @invariant()
    def a_calibration_never_takes_all_traffic(self) -> None:
        if self.it.course.calibrates:
            assert self.router < WHOLE
            assert self.it.status not in {DeploymentStatus.PROMOTING, DeploymentStatus.PROMOTED}

    @invariant()
    def an_end_is_at_nothing_or_all(self) -> None:
        if self.it.status.ended:
            assert (
                self.router == self.it.weight == (WHOLE if self.it.status is DeploymentStatus.PROMOTED else 0)
            )

    def teardown(self) -> None:
        """Whatever came before: it can always be ended, and then is."""
        going_back = {DeploymentStatus.CANCELLING, DeploymentStatus.CONCLUDING}
        if not self.it.status.ended and self.it.status not in going_back:
            self.say(Order.ABORT)
        for _ in range(4):
            self.now += timedelta(seconds=1)
            self._carry_out(
                next_move(self.it, self.now), "yes", Judged(step=Step.HOLD, reason=""), crash=False
            )
        assert self.it.status.ended
        self.an_end_is_at_nothing_or_all()


Going.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestGoing = Going.TestCase


def gone(it: Deployment, *answers: Step, seconds: float = 5.0) -> Deployment:
    """After these looks, with a router that obeys."""
    now, left = START, list(answers)
    while True:
        match next_move(it, now):
            case Shift(weight):
                it = shifted(it, weight, now)
            case Settle():
                it = settled(it, now)
            case Rest(wait):
                now += timedelta(seconds=max(wait, seconds))
            case Look() if left:
                it = judged(it, Judged(step=left.pop(0), reason="seen"), now)
            case _:
                return it


def plain(**changes: Any) -> Deployment:
    return deployment(replace(Course(canary="b", control="a"), **changes))


def test_a_good_one_takes_all_stages_and_a_bad_one_none() -> None:
    assert gone(plain(), *[Step.PROMOTE] * 4).status is DeploymentStatus.PROMOTED
    assert gone(plain(), *[Step.PROMOTE] * 3).weight == WHOLE
    bad = gone(plain(), Step.PROMOTE, Step.ROLLBACK)
    assert (bad.status, bad.weight, bad.reason) == (DeploymentStatus.ROLLED_BACK, 0, "seen")


def test_a_pause_holds_up_what_goes_forward_and_never_a_rollback() -> None:
    it = gone(plain())
    assert it.patience_seconds == 900
    paused = ordered(it, Order.PAUSE, "lunch", START)
    assert paused.patience_seconds == math.inf
    assert gone(paused, *[Step.PROMOTE] * 500).weight == 10
    assert gone(paused, Step.HOLD, Step.ROLLBACK).status is DeploymentStatus.ROLLED_BACK
    later = START + timedelta(hours=3)
    resumed = ordered(paused, Order.RESUME, "back", later)
    assert (resumed.since, resumed.patience_seconds) == (later, 900)


@pytest.mark.parametrize("stages", [fixed_split(50), blue_green()])
def test_other_stages_make_a_split_and_blue_green(stages: tuple[Stage, ...]) -> None:
    it = gone(plain(stages=stages), *[Step.PROMOTE] * 1000)
    assert (it.weight, it.awaits) == (stages[0].weight, "promotion")
    assert gone(ordered(it, Order.STEP, "b wins", START), Step.PROMOTE).status is DeploymentStatus.PROMOTED
    assert gone(it, Step.ROLLBACK).status is DeploymentStatus.ROLLED_BACK


def test_without_leave_or_without_another_arm_a_person_is_asked() -> None:
    asked = gone(plain(auto_rollback=False), Step.ROLLBACK, Step.ROLLBACK)
    assert (asked.weight, asked.awaits, asked.status) == (10, "rollback", DeploymentStatus.PROGRESSING)
    alone = judged(gone(plain()), Judged(step=Step.ROLLBACK, reason="bad", control_alive=False), START)
    assert (alone.wanted, alone.awaits) == (10, "rollback")
    assert "cannot take its traffic" in alone.reason


def test_a_calibration_ends_with_nothing_on_the_canary_where_the_other_arm_lives() -> None:
    stages = alike(900, 30)
    it = gone(plain(stages=stages, calibrates=True))
    assert it.weight == 30
    dead = judged(it, Judged(step=Step.PROMOTE, reason="seen", control_alive=False), START)
    assert (dead.wanted, dead.awaits, dead.status) == (30, "rollback", DeploymentStatus.PROGRESSING)
    ended = gone(it, Step.PROMOTE)
    assert (ended.status, ended.weight) == (DeploymentStatus.CONCLUDED, 0)
    assert gone(it, Step.ROLLBACK).status is DeploymentStatus.ROLLED_BACK


def test_a_router_that_does_not_obey_gets_no_more_traffic_to_shift_but_is_asked_for_ever_to_take_it_away() -> (
    None
):
    it = plain()
    for _ in range(3):
        assert next_move(it, START) == Shift(10)
        it = refused(it, "silence")
    assert (it.status, it.wanted, it.moving) == (DeploymentStatus.ROLLING_BACK, 0, True)
    for _ in range(50):
        assert next_move(it, START) == Shift(0)
        it = refused(it, "silence")
    assert gone(it).status is DeploymentStatus.ROLLED_BACK


@given(weights.filter(lambda found: len(found) > 1))
def test_stages_that_do_not_rise_are_refused(found: list[int]) -> None:
    with pytest.raises(InvalidRequest):
        plain(stages=tuple(Stage(weight=weight) for weight in reversed(found)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"stages": ()},
        {"stages": (Stage(weight=101),)},
        {"stages": (Stage(weight=-1),)},
        {"control": "b"},
        {"interval_seconds": 0},
    ],
)
def test_a_course_that_cannot_be_gone_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        plain(**wrong)
