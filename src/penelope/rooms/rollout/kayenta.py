"""A judge that answers as Kayenta's does (NetflixACAJudge): one test a metric at the end of a window, and a score.

For teams that come from Spinnaker with their canary configurations. It is not made for looking again and again:
see docs/rollout-statistics.md, which also names the source that it was compared with.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from penelope.rooms.rollout.eprocess import Array
from penelope.rooms.rollout.shift import ranks, shift

_CONFIDENCE = 0.98
_TOLERANCE = 0.25
_TOO_MANY_WITHOUT_DATA = 50.0
_JITTER = 1e-5
_SEED = 1


class Label(StrEnum):
    """How the canary's metric lies to the control's, in Kayenta's words."""

    PASS = "Pass"  # noqa: S105 - a label, not a credential
    HIGH = "High"
    LOW = "Low"
    NODATA = "Nodata"
    NODATA_FAIL = "NodataFailMetric"
    ERROR = "Error"


class Direction(StrEnum):
    """Which way a metric may fail."""

    INCREASE = "increase"
    DECREASE = "decrease"
    EITHER = "either"


class Effect(StrEnum):
    """How the size of a difference is measured: the ratio of the means, or how often one lies above the other."""

    MEAN_RATIO = "meanRatio"
    CLES = "cles"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricConfig:
    """What Kayenta's configuration says of a metric, with its defaults; thresholds that are None have no effect.

    A difference counts from `allowed_increase` (or `allowed_decrease`) on, and of a critical metric it fails the
    canary from `critical_increase` on.
    """

    name: str
    groups: tuple[str, ...] = ()
    direction: Direction = Direction.EITHER
    replace_nan: bool = False
    remove_outliers: bool = False
    outlier_factor: float = 3.0
    critical: bool = False
    must_have_data: bool = False
    muted: bool = False
    effect: Effect = Effect.MEAN_RATIO
    allowed_increase: float | None = None
    allowed_decrease: float | None = None
    critical_increase: float | None = None
    critical_decrease: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """A metric's label. `ratio` is the mean of the canary over that of the control, NaN where one is 0."""

    config: MetricConfig
    label: Label
    critical: bool
    ratio: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What all metrics come to, 0…100, and the scores of the groups."""

    value: float
    label: str
    """Pass, Marginal or Fail."""
    reason: str = ""
    groups: Mapping[str, float] = field(default_factory=dict)


def classify(config: MetricConfig, canary: Sequence[float], control: Sequence[float]) -> Classified:
    """A metric's label after the values of both arms, NaN where a point is missing."""
    one, two = _prepared(config, canary), _prepared(config, control)

    def answer(label: Label, ratio: float = 1.0, reason: str = "", *, critical: bool = False) -> Classified:
        return Classified(config=config, label=label, critical=critical, ratio=ratio, reason=reason)

    if not len(one) or not len(two):
        if config.replace_nan:
            return answer(Label.PASS)
        reason = f"Missing data for {config.name}"
        if config.must_have_data and not config.critical:
            return answer(Label.NODATA_FAIL, reason=reason)
        return answer(Label.NODATA, reason=reason, critical=config.critical)
    if np.array_equal(np.sort(one), np.sort(two)):
        return answer(Label.PASS, reason="the canary's and the control's data are identical")
    if not np.isfinite(one).all() or not np.isfinite(two).all():
        return answer(Label.ERROR, ratio=1.0, reason="Metric Classification Failed")
    label, size, ratio = _compared(config, one, two)
    failing = config.critical and _beyond(
        label,
        size,
        _threshold(config, config.critical_increase),
        _threshold(config, config.critical_decrease),
    )
    words = {Label.PASS: ""}.get(label, f"{config.name} was classified as {label}")
    return answer(label, ratio, f"{words} (Critical)" if failing else words, critical=failing)


def score(
    results: Iterable[Classified], weights: Mapping[str, float], *, passing: float, marginal: float
) -> Score:
    """The score of the metrics that are not muted; groups without a weight share what is left of 100."""
    counted = [each for each in results if not each.config.muted]
    groups = _group_scores(counted)
    shown = {name: 0.0 if value is None else value for name, value in groups.items()}
    failed = [each for each in counted if each.critical and each.label is not Label.PASS]
    without = sum(each.label is Label.NODATA for each in counted)
    if failed:
        return Score(
            value=0.0,
            label=_level(0.0, passing, marginal),
            reason=f"Canary Failed: {failed[0].reason}",
            groups=shown,
        )
    if not counted or without / len(counted) * 100 >= _TOO_MANY_WITHOUT_DATA:
        reason = "Canary Failed: 50% or more metrics returned NODATA"
        return Score(value=0.0, label=_level(0.0, passing, marginal), reason=reason, groups=shown)
    unweighted = groups.keys() - weights.keys()
    rest = (100.0 - sum(weights.values())) / len(unweighted) if unweighted else 0.0
    value = sum(
        (100.0 if group is None else group) * weights.get(name, rest) / 100.0
        for name, group in groups.items()
    )
    rounded = round(value, 2)
    return Score(value=rounded, label=_level(rounded, passing, marginal), groups=shown)


def _level(value: float, passing: float, marginal: float) -> str:
    if value >= passing:
        return "Pass"
    return "Marginal" if value >= marginal else "Fail"


def _group_scores(results: Iterable[Classified]) -> dict[str, float | None]:
    """The share of metrics that pass, by group; None where none has data."""
    labels: dict[str, Counter[Label]] = {}
    for each in results:
        for group in each.config.groups:
            labels.setdefault(group, Counter())[each.label] += 1
    scores: dict[str, float | None] = {}
    for group, counts in labels.items():
        total = sum(counts[label] for label in (Label.PASS, Label.HIGH, Label.LOW, Label.NODATA_FAIL))
        scores[group] = counts[Label.PASS] / total * 100.0 if total else None
    return scores


def _prepared(config: MetricConfig, values: Sequence[float]) -> Array:
    array = np.asarray(values, dtype=np.float64)
    missing = np.isnan(array)
    array = np.where(missing, 0.0, array) if config.replace_nan else array[~missing]
    if not config.remove_outliers or not len(array):
        return array
    first, low, high, last = np.percentile(array, [1, 25, 75, 99])
    reach = config.outlier_factor * (high - low)
    kept: Array = array[(array <= max(last, high + reach)) & (array >= min(first, low - reach))]
    return kept


def _compared(config: MetricConfig, canary: Array, control: Array) -> tuple[Label, float, float]:
    """The label, the size of the effect and the ratio of the means."""
    one, two = _jittered(canary, control)
    found = shift(one, two, _CONFIDENCE)
    ratio = _mean_ratio(one, two)
    size = _cles(one, two) if config.effect is Effect.CLES else ratio
    bound = _TOLERANCE * abs(found.estimate)
    more = _threshold(config, config.allowed_increase)
    less = _threshold(config, config.allowed_decrease)
    if (
        config.direction is not Direction.DECREASE
        and found.low > bound
        and _beyond(Label.HIGH, size, more, less)
    ):
        return Label.HIGH, size, ratio
    if (
        config.direction is not Direction.INCREASE
        and found.high < -bound
        and _beyond(Label.LOW, size, more, less)
    ):
        return Label.LOW, size, ratio
    return Label.PASS, size, ratio


def _threshold(config: MetricConfig, given: float | None) -> float:
    if given is not None:
        return given
    return 0.5 if config.effect is Effect.CLES else 1.0


def _beyond(label: Label, size: float, more: float, less: float) -> bool:
    """Whether an effect is large enough in its direction; one that cannot be computed is."""
    if label is Label.HIGH:
        return bool(np.isnan(size)) or size >= more
    return label is Label.LOW and (bool(np.isnan(size)) or size <= less)


def _jittered(canary: Array, control: Array) -> tuple[Array, Array]:
    """Two samples of one value each get a little noise, without which they have no ranks."""
    if len(np.unique(canary)) > 1 or len(np.unique(control)) > 1:
        return canary, control
    noise = np.random.default_rng(_SEED)
    one = canary + noise.normal(0.0, abs(canary[0]) * _JITTER, len(canary))
    return one, control + noise.normal(0.0, abs(control[0]) * _JITTER, len(control))


def _mean_ratio(canary: Array, control: Array) -> float:
    one, two = float(canary.mean()), float(control.mean())
    return float("nan") if one == 0.0 or two == 0.0 else one / two


def _cles(canary: Array, control: Array) -> float:
    """How often a value of the canary lies above one of the control (Vargha and Delaney, 2000)."""
    one, two = len(canary), len(control)
    total = float(ranks(np.concatenate([canary, control]))[:one].sum())
    return (2.0 * total - one * (one + 1)) / (2.0 * one * two)
