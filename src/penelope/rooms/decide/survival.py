"""Will it heal by itself? How long such incidents lasted when they were left alone."""

from dataclasses import dataclass

from penelope.domain.decision import Healing
from penelope.domain.interval import wilson
from penelope.domain.precedent import Durations, PastDurations


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """When it is wiser to wait. Shares are 0…1.

    An incident is waited for as long as its healing is at least so `likely`, until it is `longest_seconds` old, if the
    wait costs at most `budget_share` of an error budget that is for `budget_seconds`. Fewer than `least_cases` whose
    end was seen say nothing. It is looked at again when `quantile` of those that heal in time have healed.
    """

    likely: float = 0.7
    longest_seconds: float = 300.0
    budget_share: float = 0.001
    budget_seconds: float = 30 * 86_400.0
    least_cases: int = 5
    quantile: float = 0.8


def healing(past: PastDurations, lasted: float, within: float, waiting: Waiting) -> Healing | None:
    """The chance that an incident which has `lasted` so many seconds ends by itself `within` so many more.

    From the lived cases of this very problem, or if they are too few with imported ones beside them, or else from
    its name on other services. None where all of these are too few: then nobody knows.
    """
    if within <= 0:
        return None
    sources = (
        ("this problem", past.here),
        ("this problem, imported cases among them", past.here + past.imported),
        ("its name on other services", past.elsewhere),
    )
    for source, durations in sources:
        found = _estimated(durations, lasted, within, waiting, source)
        if found is not None:
            return found
    return None


def _estimated(
    durations: Durations, lasted: float, within: float, waiting: Waiting, source: str
) -> Healing | None:
    end = lasted + within
    at_risk = sum(1 for seconds in (*durations.healed, *durations.cut) if seconds > lasted)
    healed_in_time = sum(1 for seconds in durations.healed if lasted < seconds <= end)
    outlasted = sum(1 for seconds in (*durations.healed, *durations.cut) if seconds > end)
    # One that was cut off within the window tells little of it; thousands such still tell little.
    if healed_in_time + outlasted < waiting.least_cases:
        return None
    curve = product_limit(durations, lasted, end)
    probability = 1 - curve.survival
    return Healing(
        probability=probability,
        interval=wilson(probability, curve.size),
        within_seconds=within,
        cases=at_risk,
        source=source,
        # Rounding may bring the end of the window, less its beginning, beyond its length.
        recheck_seconds=min(within, curve.when(waiting.quantile * probability) - lasted),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A survival curve between two moments: at each time (in seconds) of `times`, `survivals` is what was left.

    `size` is how many cases, none of them cut off, would tell as much about its end.
    """

    times: tuple[float, ...]
    survivals: tuple[float, ...]
    size: float
    end: float

    @property
    def survival(self) -> float:
        return self.survivals[-1] if self.survivals else 1.0

    def when(self, healed: float) -> float:
        """When such a share had healed; the end where it never was so much."""
        return next(
            (time for time, left in zip(self.times, self.survivals, strict=True) if 1 - left >= healed > 0),
            self.end,
        )


def product_limit(durations: Durations, after: float, until: float) -> Curve:
    """The survival curve of those that lasted longer than `after`, up to and including `until`.

    E. L. Kaplan and P. Meier, "Nonparametric estimation from incomplete observations", JASA 53 (1958), 457-481; a
    case that was cut off at the moment of a healing counts as at risk then. The size is that of F. J. Dorey and
    E. L. Korn, "Effective sample sizes for confidence intervals for survival probabilities", Statistics in Medicine 6
    (1987), 679-687: the binomial share with the variance that Greenwood's formula gives. Where nothing is left that
    is 0, however few the last ones were; the size is then what they stood for: those at risk at the last healing, of
    the share that was left before it (R. Peto et al., British Journal of Cancer 35 (1977), 1-39). Where nothing
    healed, those count that outlasted `until`.
    """
    healed = sorted(seconds for seconds in durations.healed if seconds > after)
    everyone = sorted((*healed, *(seconds for seconds in durations.cut if seconds > after)))
    survival, greenwood, gone = 1.0, 0.0, 0
    size = float(sum(1 for time in everyone if time > until))
    times: list[float] = []
    survivals: list[float] = []
    for time in dict.fromkeys(healed):
        if time > until:
            break
        while everyone[gone] < time:
            gone += 1
        at_risk, ended = len(everyone) - gone, healed.count(time)
        if ended == at_risk:
            size = at_risk / survival
        else:
            greenwood += ended / (at_risk * (at_risk - ended))
        survival *= (at_risk - ended) / at_risk
        times.append(time)
        survivals.append(survival)
    variance = survival * survival * greenwood
    if variance > 0:
        size = survival * (1 - survival) / variance
    return Curve(times=tuple(times), survivals=tuple(survivals), size=min(size, len(everyone)), end=until)
