"""What the catalogue knows of a service."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from penelope.domain.benchmark import Suites
from penelope.kit.canonical import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A service level objective: a metric and the most that it may be."""

    name: str
    metric: str
    at_most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterQuery:
    """A Prometheus counter and the labels that select it."""

    counter: str
    match: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSelector:
    """Which of the requests count as errors: a label whose value matches a pattern in full."""

    label: str
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramQuery:
    """A Prometheus histogram in seconds and the labels that select it."""

    histogram: str
    match: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricQueries:
    """Where a service's figures come from: one URL an instance (also called an arm), the same names on each."""

    source: str
    instances: Mapping[str, str]
    requests: CounterQuery
    errors: ErrorSelector
    latency: HistogramQuery
    gauges: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterReference:
    """The router that splits a service's traffic over named arms."""

    kind: str
    options: Mapping[str, Json]
    arms: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something of a service that an action adapter can change."""

    name: str
    service: str
    adapter: str
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One entry of the catalogue. `tier` 1 is the most critical, 4 the least."""

    name: str
    owner: str
    tier: int
    dependencies: tuple[str, ...] = ()
    objectives: tuple[Objective, ...] = ()
    metrics: MetricQueries | None = None
    router: RouterReference | None = None
    targets: Mapping[str, Target] = field(default_factory=dict)
    benchmarks: Suites = field(default_factory=dict)
