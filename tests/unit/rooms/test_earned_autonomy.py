"""Earned autonomy: it rises step by step by what was verified, and falls at once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.autonomy import LEVELS, Level, Standing
from penelope.rooms.learn.autonomy import (
    Policy,
    beginning,
    bounds,
    compared,
    failed,
    hindrance,
    interval,
    placed,
    succeeded,
)

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
POLICY = Policy()


def fresh(policy: Policy = POLICY) -> Standing:
    return beginning(policy, "fix", "shop", NOW)


def after(standing: Standing, successes: int, policy: Policy = POLICY) -> Standing:
    for _ in range(successes):
        standing = succeeded(standing, policy)
    return standing


def test_levels_are_in_order_and_end_somewhere() -> None:
    assert sorted(LEVELS, key=lambda level: level.rank) == list(LEVELS)
    assert Level.SHADOW < Level.SUGGEST < Level.SUPERVISED < Level.AUTONOMOUS
    assert max(LEVELS) is Level.AUTONOMOUS.up() is Level.AUTONOMOUS
    assert Level.SUPERVISED.down(1) is Level.SUGGEST
    assert Level.SUGGEST.down(9) is Level.SHADOW
    with pytest.raises(TypeError):
        assert Level.SHADOW < "suggest"


@pytest.mark.parametrize(
    ("good", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilsons(good: int, count: int, low: float, high: float) -> None:
    """The examples of R. G. Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3."""
    assert interval(good, count - good) == pytest.approx((low, high), abs=5e-5)
    assert interval(count - good, good) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_of_nothing_all_is_possible() -> None:
    assert interval(0, 0) == (0.0, 1.0)
    assert interval(0, 3)[0] == 0.0
    assert interval(3, 0)[1] == 1.0


def test_it_rises_by_verified_successes_one_step_each() -> None:
    levels = [after(fresh(), count).level for count in range(17)]
    assert levels[:6] == [Level.SUGGEST] * 6
    assert levels[6:16] == [Level.SUPERVISED] * 10
    assert levels[16] is Level.AUTONOMOUS
    risen = after(fresh(), 6)
    assert (risen.successes, risen.since) == (6, NOW)
    assert risen.reason == "verified success is at least 0.61, which is enough"


def test_a_failure_lowers_it_at_once_and_stays_in_the_count() -> None:
    top = after(fresh(), 20)
    fallen = failed(top, POLICY, LATER, "it failed: the incident is not over")
    assert (fallen.level, fallen.successes, fallen.failures) == (Level.SUPERVISED, 0, 1)
    assert (fallen.since, fallen.reason) == (LATER, "it failed: the incident is not over")
    # The way back is longer than the way up was.
    assert after(fallen, 16).level is Level.SUPERVISED
    assert after(fallen, 30).level is Level.AUTONOMOUS


def test_how_far_it_falls_is_a_matter_of_policy() -> None:
    steep = replace(POLICY, fall_levels=3)
    assert failed(after(fresh(), 16), steep, LATER, "").level is Level.SUGGEST
    silent = replace(steep, floor=Level.SHADOW)
    assert failed(after(fresh(), 16), silent, LATER, "").level is Level.SHADOW
    # At its floor it has its counts to lose; and a floor lifts nobody.
    low = failed(after(fresh(), 5), POLICY, LATER, "")
    assert (low.level, low.successes, low.failures) == (Level.SUGGEST, 0, 1)
    shadow = replace(fresh(), level=Level.SHADOW)
    assert failed(shadow, replace(POLICY, floor=Level.AUTONOMOUS), LATER, "").level is Level.SHADOW


def test_out_of_shadow_leads_agreement_alone() -> None:
    shadow = fresh(replace(POLICY, start=Level.SHADOW))
    assert after(shadow, 1000).level is Level.SHADOW
    standing = shadow
    for _ in range(3):
        standing = compared(standing, POLICY, agreed=True)
    assert standing.level is Level.SHADOW
    assert compared(standing, POLICY, agreed=True).level is Level.SUGGEST
    standing = compared(standing, POLICY, agreed=False)
    assert compared(standing, POLICY, agreed=True).level is Level.SHADOW
    assert bounds(standing) == interval(3, 1)
    # Above shadow it is of no use: only what acted has shown that it helps.
    above = fresh()
    for _ in range(50):
        above = compared(above, POLICY, agreed=True)
    assert above.level is Level.SUGGEST


def test_a_cap_holds_it_and_shows() -> None:
    policy = replace(POLICY, service_caps={"shop": Level.SUPERVISED}, playbook_caps={"fix": Level.SUGGEST})
    assert policy.cap_of("fix", "shop") is Level.SUGGEST
    assert policy.cap_of("other", "shop") is Level.SUPERVISED
    assert policy.cap_of("other", "bank") is Level.AUTONOMOUS
    assert replace(policy, cap=Level.SHADOW).cap_of("fix", "shop") is Level.SHADOW
    capped = after(fresh(policy), 50, policy)
    assert (capped.level, capped.cap, capped.in_force) == (Level.SUGGEST, Level.SUGGEST, Level.SUGGEST)
    assert hindrance(capped, policy) == "capped at suggest by policy"
    # Once the cap is gone it needs one more success, not all of them again.
    free = replace(capped, cap=Level.AUTONOMOUS)
    assert succeeded(free, POLICY).level is Level.SUPERVISED


def test_a_cap_that_came_later_is_in_force_at_once_and_falls_count_from_there() -> None:
    capped = replace(after(fresh(), 16), cap=Level.SUGGEST)
    assert (capped.level, capped.in_force) == (Level.AUTONOMOUS, Level.SUGGEST)
    assert failed(capped, replace(POLICY, floor=Level.SHADOW), LATER, "").level is Level.SHADOW
    assert failed(capped, POLICY, LATER, "").level is Level.SUGGEST


def test_nothing_begins_above_its_cap() -> None:
    policy = replace(POLICY, start=Level.AUTONOMOUS, cap=Level.SUPERVISED)
    assert fresh(policy).level is Level.SUPERVISED


def test_a_person_may_place_it_but_not_above_the_cap() -> None:
    standing = replace(after(fresh(), 3), cap=Level.SUPERVISED)
    assert placed(standing, Level.AUTONOMOUS, LATER, "why").level is Level.SUPERVISED
    low = placed(standing, Level.SHADOW, LATER, "why")
    assert (low.level, low.successes, low.since, low.reason) == (Level.SHADOW, 0, LATER, "why")


def test_what_is_wanting_is_told() -> None:
    assert hindrance(fresh(), POLICY) == (
        "success is at least 0.00 and must be 0.60 for supervised: 6 more in a row"
    )
    shadow = replace(fresh(), level=Level.SHADOW, agreements=3)
    assert "agreement is at least 0.44 and must be 0.50 for suggest: 1 more" in hindrance(shadow, POLICY)
    assert hindrance(after(fresh(), 16), POLICY) == ""


def test_what_is_wanting_after_very_many_disagreements_is_found_at_once() -> None:
    """Counting up one by one would take minutes, and each reader of the list would pay for it."""
    policy = replace(POLICY, needed={**POLICY.needed, Level.SUGGEST: 0.99})
    shadow = replace(fresh(), level=Level.SHADOW, disagreements=10**6)
    more = int(hindrance(shadow, policy).rpartition(": ")[2].split()[0])
    assert interval(more, 10**6)[0] >= 0.99 > interval(more - 1, 10**6)[0]


def test_a_bound_that_nothing_reaches_is_refused() -> None:
    with pytest.raises(ValueError, match="no number of successes"):
        Policy(needed={Level.AUTONOMOUS: 1.0})
