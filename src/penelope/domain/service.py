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
class CountsReference:
    """Where the requests of a service's arms are counted while a canary is watched."""

    source: str
    options: Mapping[str, Json] = field(default_factory=dict)


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
class TwinCheck:
    """A command that tells by ending with 0 whether a copy of the service is sound. It runs in the copy of `target`."""

    name: str
    argv: tuple[str, ...]
    timeout_seconds: float
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinServe:
    """How a copy of the service is started: it must listen on 127.0.0.1, at `port`."""

    argv: tuple[str, ...]
    port: int
    ready_seconds: float
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinReplay:
    """Recorded requests that are sent to the copy, and what of the answers is compared beside status and body: these
    headers. What is at the paths `ignore` in JSON bodies may differ.
    """

    file: str
    headers: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinSpec:
    """How a plan for the service is tried on a copy. `read_only` are folders of programs that the checks need; `limits`
    replace limits of the settings by name.
    """

    checks: tuple[TwinCheck, ...] = ()
    serve: TwinServe | None = None
    replay: TwinReplay | None = None
    read_only: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One entry of the catalogue. `tier` 1 is the most critical, 4 the least.

    Services of one `shard` share its places for actions under way; "" is the shard of all that name none.
    """

    name: str
    owner: str
    tier: int
    dependencies: tuple[str, ...] = ()
    objectives: tuple[Objective, ...] = ()
    metrics: MetricQueries | None = None
    counts: CountsReference | None = None
    router: RouterReference | None = None
    targets: Mapping[str, Target] = field(default_factory=dict)
    shard: str = ""
    twin: TwinSpec | None = None
    benchmarks: Suites = field(default_factory=dict)
