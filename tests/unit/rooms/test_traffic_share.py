"""The share of requests against the plan: right at every look, quick where it matters."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.kit.codec import from_data, to_data
from penelope.rooms.rollout.share import (
    Share,
    ShareRecord,
    ShareRule,
    explained,
    judged,
    log_evidence,
    looked,
    started,
)

RULE = ShareRule(alpha=0.05, tolerance=0.0, min_requests=1)


def exact_log_evidence(canary: int, total: int, planned: float) -> float:
    """The same by its definition: the mean likelihood over all shares, which is 1 / ((n + 1) C(n, k))."""
    likelihood = planned**canary * (1 - planned) ** (total - canary)
    return math.log(1 / ((total + 1) * math.comb(total, canary)) / likelihood)


@given(st.integers(1, 60), st.data(), st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.99]))
def test_the_evidence_is_the_bayes_factor(total: int, data: st.DataObject, planned: float) -> None:
    canary = data.draw(st.integers(0, total))
    assert log_evidence(canary, total, planned) == pytest.approx(
        exact_log_evidence(canary, total, planned), abs=1e-9
    )


@pytest.mark.parametrize("planned", [0.1, 0.5])
@pytest.mark.parametrize("total", [1, 7, 40])
def test_its_mean_under_the_plan_is_one(planned: float, total: int) -> None:
    mean = sum(
        math.comb(total, k)
        * planned**k
        * (1 - planned) ** (total - k)
        * math.exp(log_evidence(k, total, planned))
        for k in range(total + 1)
    )
    assert mean == pytest.approx(1.0)


def test_looking_again_and_again_does_not_make_false_alarms() -> None:
    random.seed(6)
    alarms = 0
    for _ in range(1000):
        record = started(10)
        for _ in range(60):
            canary = sum(random.random() < 0.1 for _ in range(25))
            record = looked(record, canary, 25 - canary)
        alarms += (
            judged(
                ShareRecord(planned=0.1, canary=record.canary, total=record.total, highest=record.highest),
                RULE,
            )
            is Share.NOT_AS_PLANNED
        )
    # The test promises 5 % for all times; a z-test at each of the 60 looks makes some 40 %.
    assert alarms <= 50


def test_a_share_of_half_the_plan_is_found() -> None:
    random.seed(7)
    rule = ShareRule()
    needed = []
    for _ in range(50):
        record = started(10)
        while judged(record, rule) is not Share.NOT_AS_PLANNED:
            canary = sum(random.random() < 0.05 for _ in range(50))
            record = looked(record, canary, 50 - canary)
            assert record.total < 20_000
        needed.append(record.total)
    assert sorted(needed)[45] <= 1500


def test_a_difference_that_does_not_matter_is_none() -> None:
    record = looked(started(10), 104_000, 896_000)
    assert record.highest > 20
    assert judged(record, ShareRule(tolerance=0.005)) is Share.AS_PLANNED
    assert judged(record, ShareRule(tolerance=0.003)) is Share.NOT_AS_PLANNED


@pytest.mark.parametrize(("weight", "canary", "control"), [(0, 1, 30), (100, 30, 1)])
def test_a_plan_of_nothing_is_refuted_by_one_request(weight: int, canary: int, control: int) -> None:
    assert judged(looked(started(weight), canary, control), ShareRule()) is Share.NOT_AS_PLANNED
    assert (
        judged(looked(started(weight), 30 if weight else 0, 0 if weight else 30), ShareRule())
        is Share.AS_PLANNED
    )


def test_silence_is_no_share() -> None:
    record = looked(started(10), 0, 0)
    assert judged(record, ShareRule()) is Share.UNKNOWN
    assert "no requests" in explained(record, ShareRule())
    assert "10.00%: as planned" in explained(looked(record, 10, 90), ShareRule())


@pytest.mark.parametrize(("canary", "control"), [(-1, 5), (5, -1)])
def test_counts_that_are_none_are_refused(canary: int, control: int) -> None:
    with pytest.raises(ValueError, match="negative"):
        looked(started(10), canary, control)


def test_a_weight_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="percentage"):
        started(101)


@given(st.integers(0, 100), st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=8))
def test_a_record_survives_history(weight: int, looks: list[tuple[int, int]]) -> None:
    record = started(weight)
    for canary, control in looks:
        record = looked(record, canary, control)
        assert math.isfinite(record.highest)
        assert from_data(ShareRecord, to_data(record)) == record
