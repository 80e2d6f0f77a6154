"""How likely it is that the definition found is the one that was meant."""

from collections.abc import Mapping
from math import exp

from penelope.domain.concept import Confidence

GIVEN: Mapping[str, float] = {"binds": 3.0}
"""Weights that are not fitted: hardly any question asks for a filter or a cut that its definition does not have."""

WEIGHTS: Mapping[str, float] = {
    "named": 2.877,
    "whole": 6.454,
    "explained": 13.653,
    "strange": -3.849,
    "typed": 2.168,
    "fits": 1.733,
    "binds": GIVEN["binds"],
    "standing": 3.028,
    "lead": 2.096,
}
"""Log-odds by feature. Fitted by `bench/resolve_quality.py --fit` on one half of bench/questions/resolve.yaml (by hash of
the text), by logistic regression with an L2 penalty, on the questions as they are and, each counting a tenth, on the same questions
with the right definition taken away. Penalty and tenth were chosen by cross-validation on that half (`--validate`).
"""

BIAS = -29.999
"""The log-odds where all features are 0."""


def confidence_of(features: Mapping[str, float]) -> Confidence:
    """The sum of what each feature contributes, as a probability."""
    contributions = (
        ("bias", BIAS),
        *((name, round(weight * features.get(name, 0.0), 6)) for name, weight in WEIGHTS.items()),
    )
    total = sum(value for _, value in contributions)
    return Confidence(value=1 / (1 + exp(-max(-50.0, min(50.0, total)))), contributions=contributions)
