"""Noise learned look by look: what the batch learns, whatever breaks the row, in little room."""

import json
from dataclasses import replace

import numpy as np
import pytest

from penelope.domain.analysis import ArmTotals
from penelope.kit.codec import from_data, to_data
from penelope.rooms.rollout.eprocess import Table
from penelope.rooms.rollout.lesson import Lesson, broken, heard, taught
from penelope.rooms.rollout.tempering import learn

EDGES = 3
NOISELESS, NOISY = 0.0, 0.8


def halves(
    looks: int, noise: float, seed: int = 3, errors: float = 0.02
) -> list[tuple[ArmTotals, ArmTotals]]:
    """Two halves of 100 requests a second in looks of 5 s; with `noise` each arm has bad minutes of its own."""
    rng = np.random.default_rng(seed)

    def arm() -> list[ArmTotals]:
        bad = np.repeat(np.exp(rng.normal(-(noise**2) / 2, noise, looks // 6 + 1)), 6)[:looks]
        found = []
        for times in bad:
            requests = int(rng.poisson(250))
            slow = rng.binomial(requests, np.minimum(1.0, times * np.array([0.3, 0.1, 0.02])))
            failed = int(rng.binomial(requests, min(1.0, errors * times)))
            found.append(
                ArmTotals(
                    requests=requests, errors=failed, timed=requests, slow=tuple(slow.astype(float).tolist())
                )
            )
        return found

    return list(zip(arm(), arm(), strict=True))


def lesson_of(looks: list[tuple[ArmTotals, ArmTotals]], seconds: float = 5.0) -> Lesson:
    lesson = Lesson()
    for canary, control in looks:
        lesson = heard(lesson, canary, control, seconds)
    return lesson


def tables(looks: list[tuple[ArmTotals, ArmTotals]]) -> tuple[Table, Table]:
    """The same looks as the batch has them: looks on the last axis."""
    own, other = ([pair[index] for pair in looks] for index in (0, 1))

    def of(arms: list[ArmTotals], name: str) -> np.ndarray:
        return np.array([getattr(arm, name) for arm in arms], dtype=float).T

    errors = Table(
        of(own, "errors"),
        of(own, "requests"),
        of(own, "errors") + of(other, "errors"),
        of(own, "requests") + of(other, "requests"),
    )
    timed = np.tile(of(own, "timed"), (EDGES, 1))
    all_timed = timed + np.tile(of(other, "timed"), (EDGES, 1))
    return errors, Table(of(own, "slow"), timed, of(own, "slow") + of(other, "slow"), all_timed)


@pytest.mark.parametrize("seconds", [1.0, 5.0, 7.0, 30.0])
@pytest.mark.parametrize("noise", [NOISELESS, NOISY])
def test_look_by_look_it_learns_what_the_batch_learns(noise: float, seconds: float) -> None:
    looks = halves(round(1800 / seconds), noise)
    found, expected = taught(lesson_of(looks, seconds)), learn(*tables(looks), seconds)
    assert (found.errors, found.latency) == (True, True)
    for ours, theirs in (
        (found.tempering.errors, expected.errors),
        (found.tempering.latency, expected.latency),
    ):
        assert ours.factor == pytest.approx(theirs.factor, rel=1e-9)
        assert ours.information == pytest.approx(theirs.information, rel=1e-9)


def test_noise_is_found_where_there_is_some_and_only_there() -> None:
    # By the dispersion that one of ten exceeds, in two lengths of blocks: most of twenty noiseless services have none.
    quiet = [taught(lesson_of(halves(360, NOISELESS, seed))).tempering.errors.factor for seed in range(20)]
    assert sum(factor == 1.0 for factor in quiet) >= 14
    assert max(quiet) < 2.5
    loud = [taught(lesson_of(halves(360, NOISY, seed))).tempering for seed in range(5)]
    assert min(each.errors.factor for each in loud) > 2.5
    assert min(each.latency.factor for each in loud) > 2.5


def test_too_little_is_said_for_each_and_taken_for_none() -> None:
    short = taught(lesson_of(halves(100, NOISY)))
    assert (short.errors, short.latency, short.tempering.errors.factor) == (False, False, 1.0)
    healthy = taught(lesson_of(halves(360, NOISY, errors=0.0)))
    assert (healthy.errors, healthy.latency) == (False, True)
    assert healthy.tempering.errors.factor == 1.0
    untimed = [
        tuple(replace(arm, timed=0.0, slow=()) for arm in pair)  # a source without a histogram
        for pair in halves(360, NOISY)
    ]
    only_errors = taught(lesson_of(untimed))  # type: ignore[arg-type] # pairs, though mypy sees tuples of any length
    assert (only_errors.errors, only_errors.latency) == (True, False)
    nothing = taught(Lesson())
    assert (nothing.errors, nothing.latency) == (False, False)


def test_a_gap_throws_away_the_block_that_was_being_filled_and_no_more() -> None:
    looks = halves(120, NOISY)
    whole, torn = lesson_of(looks), lesson_of(looks[:39])
    assert [each.whole for each in torn.errors.blocks] == [6, 3]
    silent = broken(torn)
    long_ago = heard(torn, *looks[39], 31.0)
    idle = heard(torn, looks[39][0], ArmTotals(slow=(0.0,) * EDGES), 5.0)
    for after in (silent, long_ago, idle):
        assert after.seconds == torn.seconds
        assert [each.whole for each in after.errors.blocks] == [6, 3]
        assert {each.open_seconds for each in (*after.errors.blocks, *after.slow.blocks)} == {0.0}
        assert not any(any(each.open_excess) for each in after.errors.blocks)
    gone_on = silent
    for canary, control in looks[39:]:
        gone_on = heard(gone_on, canary, control, 5.0)
    assert [each.whole for each in gone_on.errors.blocks] == [19, 9]
    assert [each.whole for each in whole.errors.blocks] == [20, 10]


def test_a_histogram_that_comes_late_is_learned_from_then_on() -> None:
    looks = halves(120, NOISY)
    lesson = Lesson()
    for number, (canary, control) in enumerate(looks):
        pair = [replace(arm, timed=0.0, slow=()) if number < 60 else arm for arm in (canary, control)]
        lesson = heard(lesson, *pair, 5.0)
    assert (lesson.errors.seconds, lesson.slow.seconds) == (600.0, 300.0)
    found = taught(lesson)
    assert (found.errors, found.latency) == (True, False)


def test_what_is_remembered_stays_small_and_survives_the_ledger() -> None:
    short, long = lesson_of(halves(12, NOISY)), lesson_of(halves(2400, NOISY))
    kept = [json.dumps(to_data(each)) for each in (short, long)]
    assert max(map(len, kept)) < 2500
    assert from_data(Lesson, json.loads(kept[1])) == long
