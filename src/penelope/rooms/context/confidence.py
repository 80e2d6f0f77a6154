"""How likely it is that the definition found is the one that was meant."""

from collections.abc import Mapping
from math import exp

from penelope.domain.concept import Confidence

GIVEN: Mapping[str, float] = {"binds": 3.0}
"""Weights that are not fitted: hardly any question asks for a filter or a cut that its definition does not have."""

WEIGHTS: Mapping[str, float] = {
    "named": 2.208,
    "whole": 5.223,
    "explained": 9.602,
    "strange": -3.447,
    "typed": 1.665,
    "fits": 1.765,
    "binds": GIVEN["binds"],
    "standing": 1.976,
    "lead": 1.299,
}
"""Log-odds by feature. Fitted by `bench/resolve_quality.py --fit` on one half of bench/questions/resolve.yaml (by hash of
the text), by logistic regression with an L2 penalty, on the questions as they are and, each counting a quarter, on the same
questions with the right definition taken away.
"""

BIAS = -22.939
"""The log-odds where all features are 0."""


def confidence_of(features: Mapping[str, float]) -> Confidence:
    """The sum of what each feature contributes, as a probability."""
    contributions = (
        ("bias", BIAS),
        *((name, round(weight * features.get(name, 0.0), 6)) for name, weight in WEIGHTS.items()),
    )
    total = sum(value for _, value in contributions)
    return Confidence(value=1 / (1 + exp(-max(-50.0, min(50.0, total)))), contributions=contributions)
