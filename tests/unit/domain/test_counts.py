"""Counters of two looks become counts, or a doubt that says why not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.counts import Counts, Doubt, Series, Totals, bound, counted
from penelope.kit.codec import from_data, to_data

THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = THEN + timedelta(seconds=5)
BEGAN = THEN.timestamp() - 100


def series(requests: float, errors: float = 0, began: float | None = BEGAN, **buckets: float) -> Series:
    bounds = {"fast": "0.1", "all": "+Inf"}
    return Series(
        requests=requests,
        errors=errors,
        began=began,
        buckets={bounds[name]: count for name, count in buckets.items()},
    )


def totals(at: datetime, canary: Series | None, control: Series, total: float | None = None) -> Totals:
    arms = {"canary": {"c": canary} if canary else {}, "control": {"d": control}}
    return Totals(at=at, arms=arms, total={} if total is None else {"t": total})


def doubts(before: Totals, after: Totals) -> str:
    found = counted(before, after)
    assert isinstance(found, Doubt)
    return "; ".join(found.reasons)


def test_both_arms_are_counted_since_the_look_before() -> None:
    found = counted(
        totals(THEN, series(10, 1, fast=8, all=10), series(90, 2, fast=80, all=90)),
        totals(NOW, series(30, 2, fast=20, all=30), series(290, 2, fast=200, all=290)),
    )
    assert isinstance(found, Counts)
    assert (found.seconds, found.notes) == (5.0, ())
    assert (found.arms["canary"].requests, found.arms["canary"].errors) == (20, 1)
    assert found.arms["canary"].buckets == {"0.1": 12, "+Inf": 20}
    assert (found.arms["control"].requests, found.arms["control"].errors) == (200, 0)


@pytest.mark.parametrize("began", [None, THEN.timestamp() + 2])
def test_a_process_that_began_anew_counts_from_zero_and_is_named(began: float | None) -> None:
    before = totals(THEN, series(1000, 10, began=None if began is None else BEGAN), series(50))
    found = counted(before, totals(NOW, series(7, 3, began=began), series(60)))
    assert isinstance(found, Counts)
    assert (found.arms["canary"].requests, found.arms["canary"].errors) == (7, 3)
    assert found.notes == ("c: it began anew",)


def test_a_process_that_began_anew_and_overtook_itself_is_known_by_its_beginning() -> None:
    before = totals(THEN, series(10), series(50))
    found = counted(before, totals(NOW, series(30, began=THEN.timestamp() + 1), series(60)))
    assert isinstance(found, Counts)
    assert found.arms["canary"].requests == 30


@pytest.mark.parametrize(
    ("canary", "why"),
    [
        (series(5), "went back"),
        (series(20, -1), "no count"),
        (series(float("nan")), "no count"),
        (series(float("inf")), "no count"),
        (series(20.5), "no count"),
        (series(2.0**60), "no count"),
        (series(20, 21), "more errors than requests"),
        (series(20, fast=9, all=8), "buckets"),
        (series(20, fast=9), "buckets"),
        (None, "no series"),
    ],
)
def test_what_cannot_be_is_told_and_no_number(canary: Series | None, why: str) -> None:
    before = totals(THEN, series(10), series(50))
    assert why in doubts(before, totals(NOW, canary, series(60)))


def test_an_arm_that_is_gone_or_new_is_told() -> None:
    before = totals(THEN, series(10), series(50))
    after = replace(before, at=NOW, arms={"canary": before.arms["canary"], "other": before.arms["control"]})
    assert "control: there is no series" in doubts(before, after)
    assert "other: there is no series" in doubts(before, after)


@pytest.mark.parametrize("at", [THEN, THEN - timedelta(seconds=1)])
def test_a_moment_that_did_not_pass_has_no_counts(at: datetime) -> None:
    before = totals(THEN, series(10), series(50))
    assert "no time" in doubts(before, replace(before, at=at))


def test_a_process_that_came_counts_only_if_it_began_since() -> None:
    before = totals(THEN, series(10), series(50))
    for began, requests in ((THEN.timestamp() + 1, 4 + 5), (BEGAN, 5), (None, 5)):
        arms = {"canary": {"c": series(15), "e": series(4, began=began)}, "control": {"d": series(60)}}
        found = counted(before, replace(before, at=NOW, arms=arms))
        assert isinstance(found, Counts)
        assert found.arms["canary"].requests == requests
        assert len(found.notes) == 1


def test_a_process_that_went_is_named() -> None:
    arms = {"canary": {"c": series(10), "e": series(4)}, "control": {"d": series(50)}}
    before = Totals(at=THEN, arms=arms)
    found = counted(before, totals(NOW, series(12), series(60)))
    assert isinstance(found, Counts)
    assert (found.arms["canary"].requests, found.notes) == (2, ("e: it is gone",))


@pytest.mark.parametrize(("total", "lies"), [(1230, False), (1300, True), (1100, True), (950, True)])
def test_arms_that_do_not_add_up_to_the_total_are_told(total: float, *, lies: bool) -> None:
    before = totals(THEN, series(100), series(900), total=1000)
    found = counted(before, totals(NOW, series(120), series(1100), total=total))
    assert isinstance(found, Doubt) is lies


def test_arms_with_other_buckets_than_before_are_told() -> None:
    before = totals(THEN, series(10, fast=9, all=10), series(50))
    assert "buckets" in doubts(before, totals(NOW, series(20, all=20), series(60)))


def test_an_arm_without_a_request_has_no_histogram_yet() -> None:
    found = counted(totals(THEN, series(0), series(50)), totals(NOW, series(7, fast=6, all=7), series(60)))
    assert isinstance(found, Counts)
    assert found.arms["canary"].buckets == {"0.1": 6, "+Inf": 7}


def test_a_bucket_without_a_bound_is_none() -> None:
    with pytest.raises(ValueError, match="bound"):
        bound(float("nan"))
    assert (bound(1), bound(1.0), bound(float("inf"))) == ("1.0", "1.0", "+Inf")


FIGURES = st.floats(allow_nan=True, allow_infinity=True) | st.integers(0, 10**6).map(float)
ANY_SERIES = st.builds(
    Series,
    requests=FIGURES,
    errors=FIGURES,
    began=st.none() | st.just(BEGAN) | st.just(THEN.timestamp() + 1),
    buckets=st.dictionaries(st.sampled_from(["0.1", "0.5", "+Inf"]), FIGURES, max_size=3),
)
ANY_ARM = st.dictionaries(st.sampled_from("xy"), ANY_SERIES, max_size=2)


@given(ANY_ARM, ANY_ARM)
def test_whatever_a_source_says_counts_are_counts(
    before: dict[str, Series], after: dict[str, Series]
) -> None:
    found = counted(Totals(at=THEN, arms={"canary": before}), Totals(at=NOW, arms={"canary": after}))
    if isinstance(found, Counts):
        arm = found.arms["canary"]
        assert 0 <= arm.errors <= arm.requests
        assert all(count >= 0 for count in arm.buckets.values())
    else:
        assert found.reasons


def test_totals_survive_history() -> None:
    before = totals(THEN, series(10, 1, fast=8, all=10), series(90, 2), total=100)
    assert from_data(Totals, to_data(before)) == before
