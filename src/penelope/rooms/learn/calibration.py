"""Were we as sure as we should have been? Predicted confidence held against what came true."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from penelope.domain.interval import wilson

BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A plan that acted: the confidence in it, 0…1, and whether it was verified."""

    confidence: float
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Predictions from `low` to below `high` (1 lies in the last one): their mean, and the share that came true with
    its 95 % interval.
    """

    low: float
    high: float
    count: int
    predicted: float
    observed: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How well predictions fit. `curve` has the bins that hold any; figures are None where there was no prediction.

    `brier` is 0 for a seer and 0.25 for who always says one half; `expected_error` is by how much, on average, the
    predictions of a bin miss what came true in it; `base_rate` is the share that came true.
    """

    count: int
    brier: float | None
    expected_error: float | None
    base_rate: float | None
    curve: tuple[Bin, ...]


def calibration(predictions: Sequence[Prediction]) -> Calibration:
    """Brier score, expected calibration error and reliability curve.

    G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78 (1950), 1-3.
    M. Pakdaman Naeini, G. Cooper and M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
    AAAI 2015, for the error, in ten bins of equal width.
    """
    count = len(predictions)
    if not count:
        return Calibration(count=0, brier=None, expected_error=None, base_rate=None, curve=())
    bins: list[list[Prediction]] = [[] for _ in range(BINS)]
    for item in predictions:
        bins[min(BINS - 1, int(item.confidence * BINS))].append(item)
    curve = tuple(_bin(number, held) for number, held in enumerate(bins) if held)
    return Calibration(
        count=count,
        brier=fsum((item.confidence - item.verified) ** 2 for item in predictions) / count,
        expected_error=fsum(item.count * abs(item.predicted - item.observed) for item in curve) / count,
        base_rate=sum(item.verified for item in predictions) / count,
        curve=curve,
    )


def _bin(number: int, held: Sequence[Prediction]) -> Bin:
    count = len(held)
    observed = sum(item.verified for item in held) / count
    return Bin(
        low=number / BINS,
        high=(number + 1) / BINS,
        count=count,
        predicted=fsum(item.confidence for item in held) / count,
        observed=observed,
        interval=wilson(observed, count),
    )
