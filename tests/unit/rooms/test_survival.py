"""How long incidents last that are left alone: against published figures, and against what little says."""

import pytest

from penelope.domain.interval import wilson
from penelope.domain.precedent import Durations, PastDurations
from penelope.rooms.decide.survival import Waiting, healing, product_limit

# Weeks of remission under 6-mercaptopurine, E. J. Freireich et al., Blood 21 (1963), as in D. Collett, Modelling
# Survival Data in Medical Research, table 2.3 and its estimate.
LEUKAEMIA = Durations(
    healed=(6, 6, 6, 7, 10, 13, 16, 22, 23), cut=(6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)
)
WAITING = Waiting()


def here(*healed: float, cut: tuple[float, ...] = ()) -> PastDurations:
    return PastDurations(here=Durations(healed=healed, cut=cut))


def test_the_curve_is_the_published_one() -> None:
    curve = product_limit(LEUKAEMIA, 0, 40)
    assert curve.times == (6, 7, 10, 13, 16, 22, 23)
    assert [round(left, 4) for left in curve.survivals] == [
        0.8571,
        0.8067,
        0.7529,
        0.6902,
        0.6275,
        0.5378,
        0.4482,
    ]
    # Greenwood's standard error at 23 weeks is 0.1346 there.
    assert (0.4482 * (1 - 0.4482) / curve.size) ** 0.5 == pytest.approx(0.1346, abs=0.0001)


def test_where_nobody_is_left_the_last_ones_do_not_speak_for_all() -> None:
    few_saw_the_end = Durations(healed=(10.0,) * 30 + (100.0,), cut=(50.0,) * 40)
    curve = product_limit(few_saw_the_end, 0, 300)
    # One of 71 healed last, when 41/71 were left: that is as good as 71/41 cases.
    assert (curve.survival, curve.size) == (0.0, pytest.approx(71 / 41))
    hope = healing(PastDurations(here=few_saw_the_end), 0, 300, WAITING)
    assert hope.interval[0] < WAITING.likely
    everybody = product_limit(Durations(healed=tuple(map(float, range(1, 32)))), 0, 300)
    assert (everybody.survival, everybody.size) == (0.0, pytest.approx(31))


def test_wilsons_interval_is_the_published_one() -> None:
    # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3: 81 of 263, 15 of 148, 0 of 20.
    for hits, size, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson(hits / size, size) == pytest.approx((low, high), abs=0.0001)
    assert wilson(0.5, 0) == (0.0, 1.0)


def test_what_lasted_so_long_is_compared_with_what_lasted_as_long() -> None:
    past = here(1, 1, 1, 1, 1, 1, 50, 60, cut=(100, 100, 100, 100))
    early, late = healing(past, 0, 90, WAITING), healing(past, 10, 80, WAITING)
    assert early.probability == pytest.approx(8 / 12)
    assert late.probability == pytest.approx(2 / 6)
    assert (early.cases, late.cases) == (12, 6)
    assert early.interval[0] < early.probability < early.interval[1]


def test_the_next_look_is_when_most_have_healed() -> None:
    past = here(*range(10, 20))
    assert healing(past, 0, 90, WAITING).recheck_seconds == 17
    assert healing(past, 4, 90, WAITING).recheck_seconds == 13
    never = here(cut=(500.0,) * 9)
    assert healing(never, 0, 90, WAITING).recheck_seconds == 90


@pytest.mark.parametrize(
    ("past", "known"),
    [
        (here(1, 2, 3, 4), False),
        (here(1, 2, 3, 4, 5), True),
        (here(1, 2, 3, 4, cut=(5.0,) * 100), False),  # cut off in between: they tell nothing of the end
        (here(1, 2, 3, 4, cut=(50.0,)), True),
        (here(cut=(50.0,) * 5), True),
        (PastDurations(), False),
    ],
)
def test_too_little_is_no_estimate(past: PastDurations, *, known: bool) -> None:
    assert (healing(past, 0, 10, WAITING) is not None) is known


def test_without_cases_of_its_own_the_next_best_count() -> None:
    own, other = Durations(healed=(1, 2, 3)), Durations(healed=(2, 3, 4, 5, 6))
    assert healing(PastDurations(here=own), 0, 10, WAITING) is None
    mixed = healing(PastDurations(here=own, imported=other, elsewhere=other), 0, 10, WAITING)
    assert (mixed.cases, mixed.source) == (8, "this problem, imported cases among them")
    far = healing(PastDurations(here=own, elsewhere=other), 0, 10, WAITING)
    assert (far.cases, far.source) == (5, "its name on other services")


def test_imported_cases_do_not_count_beside_enough_lived_ones() -> None:
    lived = Durations(cut=(100.0,) * 5)
    poison = Durations(healed=(1.0,) * 20)
    found = healing(PastDurations(here=lived, imported=poison), 0, 10, WAITING)
    assert (found.probability, found.cases, found.source) == (0.0, 5, "this problem")


def test_there_is_no_wait_without_time() -> None:
    assert healing(here(1, 2, 3, 4, 5), 0, 0, WAITING) is None
    assert healing(here(1, 2, 3, 4, 5), 0, -1, WAITING) is None
