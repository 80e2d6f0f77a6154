"""What a comparison of two arms that are alike taught of a service's noise, and for how long that is held for true."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from penelope.domain.analysis import Noise, Tempering

SHORTEST_SECONDS = 900.0
"""A shorter comparison teaches too little, whatever its interval."""

USUAL_SECONDS = 1800.0

LONGEST_LOOK_SECONDS = 30.0
"""The shortest block that noise is measured in: a look that is longer sees no block."""

FRESH_SECONDS = 30 * 86_400.0
"""What was learned is used for so long; services change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The noise of a service, from the comparison `deployment` that ended `at`.

    It has seen `requests` within `seconds`. Without `errors` (or `latency`) too little was seen to learn from, and that
    part of `tempering` is that of dice.
    """

    service: str
    deployment: str
    at: datetime
    seconds: float
    requests: float
    tempering: Tempering
    errors: bool
    latency: bool

    @property
    def taught(self) -> bool:
        """Whether it says anything at all."""
        return self.errors or self.latency

    @property
    def words(self) -> str:
        """What was learned, in words."""
        noises = ((self.errors, self.tempering.errors), (self.latency, self.tempering.latency))
        errors, latency = (_words(noise, taught=taught) for taught, noise in noises)
        seen = f"{self.requests:.0f} requests in {self.seconds:.0f} s"
        return f"noise of errors: {errors}; of slow requests: {latency}; from {seen}"


def _words(noise: Noise, *, taught: bool) -> str:
    if not taught:
        return "too little was seen, taken for none"
    return "none" if noise.factor <= 1.0 else f"{noise.factor:.2g} times that of dice"


def fit_for_use(learned: Learned | None, now: datetime) -> tuple[Learned | None, str]:
    """What a deployment that begins now is to be tempered by, and what is to be said of it; None for nothing."""
    if learned is None:
        return None, "no noise was ever learned for this service: taken for none"
    told = f"learned {learned.at:%Y-%m-%d %H:%M} UTC by {learned.deployment}"
    age = now - learned.at
    if age > timedelta(seconds=FRESH_SECONDS):
        days = FRESH_SECONDS / 86_400
        return (
            None,
            f"noise was {told}, {age.days} days ago; older than {days:.0f} days it is not used: taken for none",
        )
    if not learned.taught:
        return None, f"too little was seen to learn the noise ({told}): taken for none"
    return learned, f"{learned.words}; {told}"
