"""How likely it is that the definition found is the one that was meant."""

from collections.abc import Mapping
from math import exp

from penelope.domain.concept import Confidence

WEIGHTS: Mapping[str, float] = {
    "named": 6.0,
    "explained": 8.0,
    "strange": -4.0,
    "typed": 1.0,
    "fits": 2.0,
    "binds": 3.0,
    "standing": 0.5,
    "lead": 2.0,
}
"""Log-odds by feature. Fitted by `bench/resolve_quality.py --fit` on one half of bench/questions/resolve.yaml (by hash of
the text), by logistic regression with an L2 penalty; the expected calibration error is that of the other half.
"""

BIAS = -15.0
"""The log-odds where all features are 0."""


def confidence_of(features: Mapping[str, float]) -> Confidence:
    """The sum of what each feature contributes, as a probability."""
    contributions = (
        ("bias", BIAS),
        *((name, round(weight * features.get(name, 0.0), 6)) for name, weight in WEIGHTS.items()),
    )
    total = sum(value for _, value in contributions)
    return Confidence(value=1 / (1 + exp(-max(-50.0, min(50.0, total)))), contributions=contributions)
