"""Reads what instances tell about themselves, and sums up what happened over the last seconds."""

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

_REMEMBERED = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What happened in a window; `buckets` maps upper bounds in seconds to cumulative counts."""

    requests: float = 0.0
    errors: float = 0.0
    buckets: Mapping[float, float] = field(default_factory=dict)
    invalid_configs: int = 0
    schema_lag: int = 0

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        parts = list(parts)
        buckets: Counter[float] = Counter()
        for part in parts:
            buckets.update(part.buckets)
        return cls(
            requests=sum(part.requests for part in parts),
            errors=sum(part.errors for part in parts),
            buckets=buckets,
            invalid_configs=sum(part.invalid_configs for part in parts),
            schema_lag=max((part.schema_lag for part in parts), default=0),
        )

    @property
    def error_ratio(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    @property
    def p99_seconds(self) -> float:
        """By linear interpolation within a bucket, as PromQL's histogram_quantile does it."""
        rank, below, lower = 0.99 * self.buckets.get(math.inf, 0.0), 0.0, 0.0
        if not rank:
            return 0.0
        for bound, count in sorted(self.buckets.items()):
            if count >= rank:
                return (
                    lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (count - below)
                )
            below, lower = count, bound
        return lower


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """One instance at one moment: counters since its start, gauges as they stand."""

    release: str
    counters: Figures

    def since(self, earlier: Self | None) -> Figures:
        """What was added to the counters; a restarted instance counts from zero again."""
        now, then = self.counters, earlier.counters if earlier else self.counters
        if now.requests < then.requests:
            then = Figures()
        return Figures(
            requests=now.requests - then.requests,
            errors=now.errors - then.errors,
            buckets={bound: count - then.buckets.get(bound, 0.0) for bound, count in now.buckets.items()},
        )


def parse(text: str) -> Scrape:
    """An instance's /metrics. Raises ValueError for text that is not in Prometheus' format."""
    requests = errors = 0.0
    release, gauges, buckets = "", dict[str, float](), dict[float, float]()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "shop_requests_total":
                requests += sample.value
                errors += sample.value if sample.labels["code"].startswith("5") else 0.0
            elif sample.name == "shop_request_duration_seconds_bucket":
                buckets[float(sample.labels["le"])] = sample.value
            elif sample.name == "shop_release_info":
                release = sample.labels["release"]
            else:
                gauges[sample.name] = sample.value
    counters = Figures(
        requests=requests,
        errors=errors,
        buckets=buckets,
        invalid_configs=int(gauges.get("shop_config_valid") == 0.0),
        schema_lag=max(
            0, int(gauges.get("shop_schema_wanted", 0.0) - gauges.get("shop_schema_version", 0.0))
        ),
    )
    return Scrape(release=release, counters=counters)


class History:
    """One instance over time."""

    def __init__(self) -> None:
        self.release = ""
        self._previous: Scrape | None = None
        self._present: Figures | None = None
        self._steps: deque[tuple[datetime, Figures]] = deque()

    def add(self, now: datetime, scrape: Scrape | None) -> None:
        """Takes the next scrape, or None where the instance did not answer: its gauges are then unknown."""
        self._present = None
        if scrape is None:
            return
        self._steps.append((now, scrape.since(self._previous)))
        while self._steps[0][0] < now - _REMEMBERED:
            self._steps.popleft()
        self.release = scrape.release
        self._previous, self._present = scrape, scrape.counters

    def figures(self, after: datetime) -> Figures:
        """What happened after a moment, with the gauges of now."""
        steps = Figures.total(step for at, step in self._steps if at > after)
        gauges = self._present or Figures()
        return Figures(
            requests=steps.requests,
            errors=steps.errors,
            buckets=steps.buckets,
            invalid_configs=gauges.invalid_configs,
            schema_lag=gauges.schema_lag,
        )
