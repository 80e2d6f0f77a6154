"""Arithmetic on scraped counters and histograms: what happened between two moments."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate, pairwise

from penelope.domain.rollout import ArmFigures
from penelope.kit.canonical import Json

_P99 = 0.99
_LARGEST = 2.0**53 - 1  # beyond it numbers are neither exact nor safe in JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One instance's counters at one moment. `buckets` maps upper bounds in seconds to cumulative counts."""

    at: datetime
    requests: float
    errors: float
    buckets: Mapping[float, float] = field(default_factory=dict)
    gauges: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A service's figures over a window: in total, by arm (instance), and the last gauges by arm.

    An arm that could not be read is absent; `window_seconds` is 0 where nothing could be compared.
    """

    at: datetime
    window_seconds: float
    total: ArmFigures
    arms: Mapping[str, ArmFigures] = field(default_factory=dict)
    gauges: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Increase:
    """How far one instance's counters rose between its first and its last sample."""

    seconds: float
    requests: float
    errors: float
    buckets: Mapping[float, float]


def reading(
    samples_by_arm: Mapping[str, Sequence[Sample]],
    now: datetime,
    window_seconds: float,
    since: datetime | None = None,
) -> Reading:
    """The figures of the last `window_seconds`; where `since` is given, of samples taken after it only.

    The first sample that counts is the baseline, so what happened before it never shows. An arm needs two
    samples to have figures and one to have gauges. Counters may restart from 0; samples that are out of
    order, or hold something that is no count, are passed over.
    """
    first = now - timedelta(seconds=window_seconds)
    series = {
        arm: _in_order(
            sample for sample in samples if first <= sample.at <= now and (since is None or sample.at > since)
        )
        for arm, samples in samples_by_arm.items()
    }
    increases = {
        arm: increase for arm, samples in series.items() if (increase := _increase(samples)) is not None
    }
    return Reading(
        at=now,
        window_seconds=max((increase.seconds for increase in increases.values()), default=0.0),
        total=_figures(increases.values()),
        arms={arm: _figures([increase]) for arm, increase in increases.items()},
        gauges={arm: dict(samples[-1].gauges) for arm, samples in series.items() if samples},
    )


def observations(reading: Reading) -> dict[str, Json]:
    """A reading as subjects of contract clauses; what is unknown is absent.

    ``metric.requests``, ``request_rate`` (per second), ``error_ratio``, ``success_ratio`` and
    ``latency_p99_seconds`` of the service, and each again as ``metric.<name>@<arm>``. A gauge is reported
    as the least over the arms, for the weakest instance decides how well a service is.
    """
    found: dict[str, float | None] = {}
    for arm, gauges in sorted(reading.gauges.items()):
        for name, value in sorted(gauges.items()):
            if abs(value) <= _LARGEST:
                least = found.get(f"metric.{name}")
                found[f"metric.{name}"] = value if least is None else min(value, least)
                found[f"metric.{name}@{arm}"] = value
    if reading.window_seconds > 0:
        found |= _subjects(reading.total, reading.window_seconds, "")
        for arm, figures in sorted(reading.arms.items()):
            found |= _subjects(figures, reading.window_seconds, f"@{arm}")
    return {subject: value for subject, value in found.items() if value is not None}


def quantile(rank: float, buckets: Mapping[float, float]) -> float | None:
    """The value below which the share `rank` of a histogram's observations lies; None where there are none.

    Follows `histogram_quantile` of Prometheus (promql/quantile.go, bucketQuantile): linear within a bucket,
    the lowest bucket starts at 0, and a rank in the +Inf bucket gives the highest finite bound.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or bounds[-1] != math.inf:
        return None
    counts = list(accumulate((buckets[bound] for bound in bounds), max))
    wanted = rank * counts[-1]
    if wanted <= 0:
        return None
    index = bisect_left(counts, wanted)
    if index == len(bounds) - 1:
        return bounds[-2]
    if index == 0 and bounds[0] <= 0:
        return bounds[0]
    start, below = (bounds[index - 1], counts[index - 1]) if index else (0.0, 0.0)
    return start + (bounds[index] - start) * (wanted - below) / (counts[index] - below)


def _in_order(samples: Iterable[Sample]) -> list[Sample]:
    kept: list[Sample] = []
    for sample in samples:
        if not kept or sample.at > kept[-1].at:
            kept.append(sample)
    return kept


def _increase(samples: Iterable[Sample]) -> _Increase | None:
    countable = [sample for sample in samples if _is_count(sample.requests) and _is_count(sample.errors)]
    if len(countable) < 2:
        return None
    requests = errors = 0.0
    buckets: dict[float, float] = {}
    for before, after in pairwise(countable):
        restarted = _restarted(before, after)
        requests += after.requests - (0.0 if restarted else before.requests)
        errors += after.errors - (0.0 if restarted else before.errors)
        for bound, rise in _bucket_rises(before, after, restarted=restarted).items():
            buckets[bound] = buckets.get(bound, 0.0) + rise
    seconds = (countable[-1].at - countable[0].at).total_seconds()
    return _Increase(seconds=seconds, requests=requests, errors=errors, buckets=buckets)


def _is_count(value: float) -> bool:
    return 0 <= value <= _LARGEST


def _restarted(before: Sample, after: Sample) -> bool:
    """A process loses all its counters at once, so one that fell says that the others began at 0 too.

    Judged one by one, errors that climb past their old count between two samples would go unnoticed.
    """
    return (
        after.requests < before.requests
        or after.errors < before.errors
        or any(after.buckets.get(bound, count) < count for bound, count in before.buckets.items())
    )


def _bucket_rises(before: Sample, after: Sample, *, restarted: bool) -> dict[float, float]:
    """Rises by upper bound; none where the two samples do not have the same sound buckets."""
    if not _sound(after.buckets):
        return {}
    if restarted:
        return dict(after.buckets)
    if not _sound(before.buckets) or before.buckets.keys() != after.buckets.keys():
        return {}
    return {bound: count - before.buckets[bound] for bound, count in after.buckets.items()}


def _sound(buckets: Mapping[float, float]) -> bool:
    return all(
        (bound == math.inf or abs(bound) <= _LARGEST) and _is_count(count) for bound, count in buckets.items()
    )


def _figures(increases: Iterable[_Increase]) -> ArmFigures:
    parts = list(increases)
    requests = min(_LARGEST, sum(part.requests for part in parts))
    errors = min(_LARGEST, sum(part.errors for part in parts))
    return ArmFigures(
        requests=requests,
        errors=errors,
        error_ratio=min(1.0, errors / requests) if requests > 0 else None,
        latency_p99_seconds=quantile(_P99, _merged([part.buckets for part in parts])),
    )


def _merged(histograms: Sequence[Mapping[float, float]]) -> dict[float, float]:
    """The sum of cumulative histograms, over the bounds that all those with observations share."""
    filled = [buckets for buckets in histograms if any(buckets.values())]
    if not filled:
        return {}
    shared = set(filled[0]).intersection(*filled[1:])
    return {bound: sum(buckets[bound] for buckets in filled) for bound in shared}


def _subjects(figures: ArmFigures, window_seconds: float, suffix: str) -> dict[str, float | None]:
    ratio = figures.error_ratio
    return {
        f"metric.requests{suffix}": figures.requests,
        f"metric.request_rate{suffix}": figures.requests / window_seconds,
        f"metric.error_ratio{suffix}": ratio,
        f"metric.success_ratio{suffix}": None if ratio is None else 1.0 - ratio,
        f"metric.latency_p99_seconds{suffix}": figures.latency_p99_seconds,
    }
