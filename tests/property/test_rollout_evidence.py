"""The tests of a rollout against exact enumeration, an oracle, and chance with a known seed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import comb, logsumexp
from scipy.stats import binom, hypergeom

from penelope.domain.analysis import Noise, Tempering
from penelope.rooms.rollout.eprocess import (
    ODDS,
    ODDS_WEIGHTS,
    REFUTATION_WEIGHTS,
    Table,
    advance,
    breach_bound,
    calm_of,
    entering,
    log_breach,
    log_harm,
    log_harm_value,
    log_refutation,
    log_sum,
    remaining,
)
from penelope.rooms.rollout.evidence import Arm, Counts, Rules, condemned, nothing_yet, observe, standing

ROUNDING = 1e-9
sizes = st.integers(1, 40)
noises = st.floats(1.0, 50.0)


def table(own, own_total, events, total) -> Table:
    own = np.asarray(own, dtype=float)
    return Table(own, *(np.full(own.shape, float(each)) for each in (own_total, events, total)))


def plain(values, factor=1.0):
    return np.full(np.shape(values), factor)


def harm(own, own_total, events, total, factor=1.0):
    each = table(own, own_total, events, total)
    return log_harm(each, plain(each.own, factor))


@given(sizes, sizes, st.data(), noises)
def test_harm_has_a_mean_of_at_most_1_whatever_the_margins(own_total, other_total, data, factor):
    total = own_total + other_total
    events = data.draw(st.integers(0, total))
    counts = np.arange(max(0, events - other_total), min(events, own_total) + 1)
    chances = hypergeom(total, events, own_total).pmf(counts)
    means = chances @ np.exp(harm(counts, own_total, events, total, factor))
    assert (means <= 1 + ROUNDING).all()


@given(st.integers(1, 12), st.integers(1, 12), st.data(), st.floats(0.05, 1.0))
def test_harm_has_a_mean_of_at_most_1_where_the_canary_is_better(own_total, other_total, data, odds):
    total = own_total + other_total
    events = data.draw(st.integers(1, total))
    counts = np.arange(max(0, events - other_total), min(events, own_total) + 1)
    # Fisher's noncentral hypergeometric distribution by its definition: scipy's aborts the process for some of these.
    ways = comb(own_total, counts) * comb(other_total, events - counts) * odds**counts
    chances = ways / ways.sum()
    means = chances @ np.exp(harm(counts, own_total, events, total))
    assert (means <= 1 + 1e-6).all()


@given(st.integers(0, 60), st.floats(1e-4, 0.9), st.floats(0, 1), noises)
def test_a_breach_has_a_mean_of_at_most_1_up_to_the_limit(total, limit, part, factor):
    counts = np.arange(total + 1)
    chances = binom(total, limit * part).pmf(counts)
    values = log_breach(
        counts.astype(float),
        np.full(total + 1, float(total)),
        breach_bound(np.full(total + 1, limit)),
        plain(counts, factor),
    )
    assert (chances @ np.exp(values) <= 1 + ROUNDING).all()


@settings(max_examples=60)
@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.floats(0.001, 0.4),
    st.floats(1.2, 5.0),
    st.floats(1.0, 3.0),
    noises,
)
def test_refutations_have_a_mean_of_at_most_1_where_the_canary_is_as_bad_or_worse(
    own_total, other_total, ratio, factor, worse, noise
):
    bad = min(1.0, ratio * factor * worse)
    if bad < ratio * factor:
        return
    own, other = (each.ravel() for each in np.mgrid[0 : own_total + 1, 0 : other_total + 1].astype(float))
    chances = binom(own_total, bad).pmf(own) * binom(other_total, ratio).pmf(other)
    total = np.full(own.shape, float(own_total + other_total))
    counts = Table(own, np.full(own.shape, float(own_total)), own + other, total)
    values = np.exp(log_refutation(counts, factor, calm_of(plain(own, bad * 0.9)), plain(own, noise)))
    assert (chances @ values <= 1 + ROUNDING).all()


@given(st.integers(1, 200), st.integers(0, 200), st.data())
def test_more_events_on_the_canary_never_speak_for_it(own_total, other_total, data):
    total = own_total + other_total
    events = data.draw(st.integers(1, total))
    counts = np.arange(max(0, events - other_total), min(events, own_total) + 1)
    against = harm(counts, own_total, events, total)
    assert (np.diff(against, axis=0) > 0).all()
    each = table(counts, own_total, events, total)
    cleared = log_refutation(each, 2.0, calm_of(plain(each.own, 0.01)), plain(each.own))
    assert (np.diff(cleared, axis=0) < 0).all()


@given(st.lists(st.floats(0.001, 7200), min_size=1, max_size=50))
def test_what_enters_and_what_has_not_entered_make_1(spans):
    elapsed, entered = np.asarray(0.0), 0.0
    for span in spans:
        share = float(entering(elapsed, np.asarray(span)))
        assert share >= 0
        entered += share
        elapsed = elapsed + span
        assert entered + float(remaining(elapsed)) == pytest.approx(1.0, abs=1e-9)


@given(st.lists(st.lists(st.floats(-700, 700), min_size=3, max_size=3), min_size=1, max_size=5))
def test_log_sum_agrees_with_an_oracle(rows):
    assert np.allclose(log_sum(np.array(rows)), logsumexp(rows, axis=-1), rtol=1e-12, atol=1e-12)


def test_the_weights_of_each_mixture_make_1():
    assert ODDS_WEIGHTS.sum() == pytest.approx(1.0)
    assert REFUTATION_WEIGHTS.sum(axis=-1) == pytest.approx([1.0, 1.0])
    assert ODDS.min() > 1


def test_the_mixture_over_onsets_is_what_its_definition_says():
    rng = np.random.default_rng(5)
    looks, seconds = 30, np.asarray(5.0)
    increments = rng.normal(0.0, 1.0, (looks, 1, len(ODDS)))
    mass, elapsed, shares = np.full((1, len(ODDS)), -700.0), np.asarray(0.0), []
    for each in increments:
        shares.append(float(entering(elapsed, seconds)))
        mass = advance(mass, np.log(entering(elapsed, seconds)), each)
        elapsed = elapsed + seconds
    direct = np.log(sum(share * np.exp(increments[start:].sum(axis=0)) for start, share in enumerate(shares)))
    assert np.allclose(mass, direct)
    total = logsumexp(direct[0] + np.log(ODDS_WEIGHTS))
    expected = np.logaddexp(total, math.log(float(remaining(elapsed))))
    assert float(log_harm_value(mass, elapsed)[0]) == pytest.approx(expected)


def counts(rng, number, requests=(50, 450), ratios=(0.02, 0.02), slow=(0.1, 0.1)) -> Counts:
    arms = []
    for total, ratio, late in zip(requests, ratios, slow, strict=True):
        size = rng.poisson(total, number)
        above = rng.binomial(size, late)
        edges = np.stack([above, rng.binomial(above, 0.05)], axis=-1)
        arms.append(Arm(size * 1.0, rng.binomial(size, ratio) * 1.0, size * 1.0, edges * 1.0))
    return Counts.of(np.full(number, 5.0), *arms)


def played(rules, number, looks, **world):
    rng = np.random.default_rng(20261122)
    evidence, ever = nothing_yet(rules, (number,)), np.zeros(number, bool)
    values = []
    for _ in range(looks):
        evidence = observe(rules, evidence, counts(rng, number, **world))
        stands = standing(rules, evidence)
        ever |= condemned(rules, stands)
        values.append(stands.harm)
    return ever, np.array(values)


RULES = Rules(edges=(0.1, 0.5))


def test_the_whole_judgement_is_a_supermartingale_while_the_canary_is_as_good_as_the_control():
    ever, values = played(RULES, 4000, 60)
    means = np.exp(values).mean(axis=1)
    errors = np.exp(values).std(axis=1) / math.sqrt(4000)
    assert (means <= 1 + 4 * errors).all()
    # Four standard deviations above alpha would be 0.064; the test itself keeps to much less.
    assert ever.mean() <= RULES.alpha


@pytest.mark.parametrize("ratio", [0.01, 0.05, 0.3])
def test_whatever_both_arms_suffer_together_is_no_fault_of_the_canary(ratio):
    ever, _ = played(RULES, 1500, 60, ratios=(ratio, ratio), slow=(0.4, 0.4))
    assert ever.mean() <= RULES.alpha


@pytest.mark.parametrize("world", [{"ratios": (0.06, 0.02)}, {"slow": (0.3, 0.1)}], ids=["errors", "latency"])
def test_a_canary_that_is_three_times_worse_is_found(world):
    ever, _ = played(RULES, 300, 40, **world)
    assert ever.mean() > 0.99


@given(st.floats(1.5, 20.0))
@settings(max_examples=10, deadline=None)
def test_tempering_only_ever_slows(factor):
    noisy = Rules(
        edges=(0.1, 0.5), tempering=Tempering(errors=Noise(factor=factor), latency=Noise(factor=factor))
    )
    fast, _ = played(RULES, 50, 20, ratios=(0.06, 0.02))
    slow, _ = played(noisy, 50, 20, ratios=(0.06, 0.02))
    assert slow.sum() <= fast.sum()


numbers = st.floats(0, 1e9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 10**9)] * 4, st.floats(0.001, 1e5)), min_size=1, max_size=8))
def test_no_counts_make_the_state_infinite(looks):
    evidence = nothing_yet(RULES)
    for own, failed, other, other_failed, seconds in looks:
        one, two = min(own, failed), min(other, other_failed)
        arms = [
            Arm(*(np.asarray(float(each)) for each in (size, bad, size)), np.array([bad, bad // 2]) * 1.0)
            for size, bad in ((own, one), (other, two))
        ]
        evidence = observe(RULES, evidence, Counts.of(np.asarray(seconds), *arms))
    for part in evidence:
        assert np.isfinite(part).all()
    stands = standing(RULES, evidence)
    assert np.isfinite(stands.harm)
