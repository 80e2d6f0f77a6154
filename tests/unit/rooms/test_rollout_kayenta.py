import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm, rankdata

from penelope.rooms.rollout.kayenta import Classified, Direction, Effect, Label, MetricConfig, classify, score
from penelope.rooms.rollout.shift import ranks, shift

RNG = np.random.default_rng(7)
LOW = RNG.normal(10.0, 1.0, 40).tolist()
HIGH = RNG.normal(20.0, 1.0, 40).tolist()
NAN = math.nan


def config(**given) -> MetricConfig:
    return MetricConfig(**{"name": "latency", "groups": ("slow",), **given})


def test_ranks_are_those_of_an_oracle():
    values = RNG.integers(0, 9, 60).astype(float)
    assert np.array_equal(ranks(values), rankdata(values))


def test_the_shift_lies_where_the_test_is_at_its_level():
    one, two = RNG.normal(3.0, 1.0, 60), RNG.normal(0.0, 1.0, 50)
    found = shift(one, two, 0.98)
    assert found.estimate == pytest.approx(np.median(np.subtract.outer(one, two)), abs=0.01)
    for bound, side in ((found.low, "greater"), (found.high, "less")):
        level = mannwhitneyu(one - bound, two, alternative=side, method="asymptotic").pvalue
        assert level == pytest.approx(0.01, abs=0.001)
    assert norm.ppf(0.01) < 0


def test_a_shift_of_samples_of_one_value_is_refused():
    with pytest.raises(ValueError, match="same"):
        shift(np.ones(5), np.ones(5), 0.98)


@pytest.mark.parametrize(
    ("canary", "control", "given", "label"),
    [
        (HIGH, LOW, {}, Label.HIGH),
        (LOW, HIGH, {}, Label.LOW),
        (LOW, LOW[::-1], {}, Label.PASS),
        (HIGH, LOW, {"direction": Direction.DECREASE}, Label.PASS),
        (LOW, HIGH, {"direction": Direction.INCREASE}, Label.PASS),
        (HIGH, LOW, {"allowed_increase": 3.0}, Label.PASS),
        (HIGH, LOW, {"allowed_increase": 1.5}, Label.HIGH),
        (LOW, HIGH, {"allowed_decrease": 0.3}, Label.PASS),
        (HIGH, LOW, {"effect": Effect.CLES, "allowed_increase": 0.9}, Label.HIGH),
        ([5.0] * 10, [0.0] * 10, {}, Label.HIGH),
        ([5.0] * 10, [5.0] * 10, {}, Label.PASS),
        ([], LOW, {}, Label.NODATA),
        ([NAN] * 5, LOW, {}, Label.NODATA),
        ([], LOW, {"must_have_data": True}, Label.NODATA_FAIL),
        ([], LOW, {"must_have_data": True, "critical": True}, Label.NODATA),
        ([], LOW, {"replace_nan": True}, Label.PASS),
        ([NAN] * 40, LOW, {"replace_nan": True}, Label.LOW),
        ([math.inf, 1.0, 2.0], LOW, {}, Label.ERROR),
    ],
)
def test_a_metric_gets_its_label(canary, control, given, label):
    assert classify(config(**given), canary, control).label is label


def test_outliers_are_left_out_where_asked():
    spiked = [*LOW[:37], 900.0]
    plain = classify(config(), spiked, LOW)
    cleaned = classify(config(remove_outliers=True, outlier_factor=1.0), [*spiked, *LOW] * 4, LOW)
    assert plain.ratio > 2
    assert cleaned.ratio == pytest.approx(1.0, abs=0.05)


def test_a_critical_metric_fails_only_beyond_its_threshold():
    assert classify(config(critical=True), HIGH, LOW).critical
    mild = classify(config(critical=True, critical_increase=5.0), HIGH, LOW)
    assert mild.label is Label.HIGH
    assert not mild.critical
    assert classify(config(critical=True), [], LOW).critical


def result(label: Label, *groups: str, critical: bool = False, muted: bool = False) -> Classified:
    return Classified(config=config(groups=groups, muted=muted), label=label, critical=critical, ratio=1.0)


PASS, FAIL, NONE = Label.PASS, Label.HIGH, Label.NODATA


@pytest.mark.parametrize(
    ("results", "weights", "value", "label"),
    [
        ([result(PASS, "a")], {}, 100.0, "Pass"),
        ([result(PASS, "a"), result(FAIL, "a")], {}, 50.0, "Fail"),
        ([result(PASS, "a"), result(FAIL, "a"), result(Label.LOW, "a")], {}, 33.33, "Fail"),
        ([result(PASS, "a"), result(FAIL, "b")], {"a": 75.0, "b": 25.0}, 75.0, "Marginal"),
        ([result(PASS, "a"), result(FAIL, "b")], {"a": 80.0}, 80.0, "Marginal"),
        ([result(PASS, "a"), result(PASS, "a"), result(NONE, "b")], {}, 100.0, "Pass"),
        ([result(PASS, "a"), result(NONE, "b")], {}, 0.0, "Fail"),
        ([result(PASS, "a"), result(PASS, "a"), result(FAIL, "b", critical=True)], {"a": 100.0}, 0.0, "Fail"),
        ([result(PASS, "a"), result(FAIL, "a", muted=True)], {}, 100.0, "Pass"),
        ([], {}, 0.0, "Fail"),
    ],
)
def test_metrics_make_a_score(results, weights, value, label):
    found = score(results, weights, passing=95.0, marginal=75.0)
    assert (found.value, found.label) == (value, label)


def test_a_failed_score_names_what_failed():
    found = score([classify(config(critical=True), HIGH, LOW)], {}, passing=95, marginal=75)
    assert found.reason == "Canary Failed: latency was classified as High (Critical)"
    assert found.groups == {"slow": 0.0}
