"""The compliance score: 0 to 100, and each article counts as much as its weight says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.constitution import Article
from penelope.rooms.learn.compliance import Scale, Tally, comply, nearness

SCALE = Scale()


def tally(**changes: object) -> Tally:
    """A hundred decisions that are good in every way."""
    given_values = {"decisions": 100, "observed": 30, "escalated": 15, "weighed": 100, **changes}
    return Tally(**given_values)  # type: ignore[arg-type]  # a test's own fields


def test_who_keeps_everything_has_a_hundred() -> None:
    compliance = comply(tally(), SCALE)
    assert (compliance.score, compliance.decisions) == (100.0, 100)
    assert all(item.healthy and item.share == 1.0 for item in compliance.articles)


def test_of_nothing_there_is_no_score() -> None:
    for nothing in (Tally(), tally(weighed=0)):
        compliance = comply(nothing, SCALE)
        assert (compliance.score, compliance.articles) == (None, ())


@pytest.mark.parametrize("article", list(Article))
def test_an_article_that_is_always_broken_costs_its_weight(article: Article) -> None:
    compliance = comply(tally(broken={article: 100}), SCALE)
    # Of two articles the ratio is judged beside it, and is good here.
    lost = SCALE.weights[article] / (2 if article in {Article.SOPHIA, Article.TAPEINOPHROSYNE} else 1)
    assert compliance.score == pytest.approx(100 - lost)
    (item,) = [item for item in compliance.articles if item.article is article]
    assert (item.kept, item.healthy) == (0.0, False)


def test_too_many_and_too_few_escalations_are_not_healthy() -> None:
    for escalated, share, healthy in ((10, 1.0, True), (20, 1.0, True), (5, 0.75, False), (60, 0.75, False)):
        (item,) = [
            item
            for item in comply(tally(escalated=escalated), SCALE).articles
            if item.article is Article.TAPEINOPHROSYNE
        ]
        assert (item.share, item.healthy) == (pytest.approx(share), healthy)
        assert (item.ratio, item.band) == (escalated / 100, (0.1, 0.2))


def test_calibration_counts_once_there_are_outcomes() -> None:
    def share(brier: float, verified: int) -> float:
        found = comply(tally(brier=brier, verified=verified), SCALE).articles
        return next(item.share for item in found if item.article is Article.TAPEINOPHROSYNE)

    assert share(0.25, 100) == pytest.approx(2 / 3)
    assert share(0.0, 100) == 1.0
    assert share(0.9, 100) == pytest.approx(2 / 3)
    assert share(0.25, 19) == 1.0


def test_few_decisions_make_no_ratio() -> None:
    assert comply(tally(decisions=19, observed=0, escalated=19, weighed=19), SCALE).score == 100.0


@given(
    weighed=st.integers(1, 1000),
    data=st.data(),
    brier=st.none() | st.floats(0, 1),
)
def test_a_score_lies_between_0_and_100_and_falls_with_what_is_broken(
    weighed: int, data: st.DataObject, brier: float | None
) -> None:
    broken = {article: data.draw(st.integers(0, weighed)) for article in Article}
    observed = data.draw(st.integers(0, weighed))
    escalated = data.draw(st.integers(0, weighed - observed))
    made = Tally(
        decisions=weighed,
        observed=observed,
        escalated=escalated,
        weighed=weighed,
        broken=broken,
        verified=weighed,
        brier=brier,
    )
    score = comply(made, SCALE).score
    assert score is not None
    assert 0 <= score <= 100
    article = data.draw(st.sampled_from(list(Article)))
    if broken[article] < weighed:
        worse = Tally(
            decisions=weighed,
            observed=observed,
            escalated=escalated,
            weighed=weighed,
            broken={**broken, article: broken[article] + 1},
            verified=weighed,
            brier=brier,
        )
        assert (comply(worse, SCALE).score or 0) <= score + 1e-9


@given(ratio=st.floats(0, 1), band=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).map(tuple))
def test_nearness_is_1_in_the_band_and_falls_to_the_ends(ratio: float, band: tuple[float, float]) -> None:
    near = nearness(ratio, band)
    assert 0 <= near <= 1
    assert (near == 1) >= (band[0] <= ratio <= band[1])
