"""The shape of services.yaml: the one source of its checks, its JSON schema and its domain values."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from penelope.adapters.catalogue.twin import TwinRule
from penelope.adapters.yaml_model import Form, Part, PositiveDuration
from penelope.domain.benchmark import Probe, Tolerance, Worse
from penelope.domain.contract import Gravity
from penelope.domain.service import CounterQuery, ErrorSelector, HistogramQuery, MetricQueries, Objective
from penelope.kit.canonical import Json


def _is_pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise PydanticCustomError("pattern", "is no regular expression: {why}", {"why": error.msg}) from error
    return value


_SHARE = r"[0-9]{1,6}(\.[0-9]{1,6})?%"


def _is_tolerance(value: Json) -> Json:
    share = isinstance(value, str) and re.fullmatch(_SHARE, value, re.ASCII)
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1e15
    if not share and not number:
        raise PydanticCustomError("tolerance", "must be a share such as '10%', or a number of 0 or more")
    return value


def _at_most_a_minute(value: float) -> float:
    if value > 60:
        raise PydanticCustomError("timeout", "must be at most 60s")
    return value


Slug = Annotated[
    str,
    Field(max_length=64),
    Form(r"[a-z0-9]+(-[a-z0-9]+)*", "lower-case words joined by hyphens"),
]
Word = Annotated[str, Field(min_length=1, max_length=256)]
Name = Annotated[
    str, Form(r"[A-Za-z0-9][A-Za-z0-9_-]*", "a name of letters, digits, hyphens and underscores")
]
ServiceName = Annotated[
    str,
    Form(r"[A-Za-z0-9][A-Za-z0-9_./-]*", "a name of letters, digits, hyphens, underscores, dots and slashes"),
]
Url = Annotated[str, Form(r"https?://[^\s]+", "an http or https URL")]
MetricName = Annotated[str, Form(r"[a-zA-Z_:][a-zA-Z0-9_:]*", "the name of a Prometheus metric")]
LabelName = Annotated[str, Form(r"[a-zA-Z_][a-zA-Z0-9_]*", "the name of a Prometheus label")]
Pattern = Annotated[str, Field(min_length=1), AfterValidator(_is_pattern)]


class ObjectiveRule(Part):
    """A service level objective."""

    name: Word
    """What it is called."""
    metric: Word
    """The figure that it is about, such as error_ratio."""
    at_most: float
    """The most that the figure may be."""


class CounterRule(Part):
    """A Prometheus counter."""

    counter: MetricName
    """Its name."""
    match: dict[LabelName, str] = Field(default_factory=dict)
    """The labels that select it."""


class ErrorRule(Part):
    """Which of the requests count as errors."""

    label: LabelName
    """The label of the requests counter that tells."""
    pattern: Pattern
    """A regular expression that the label's value matches in full, such as 5.. ."""


class HistogramRule(Part):
    """A Prometheus histogram in seconds."""

    histogram: MetricName
    """Its name, without _bucket."""
    match: dict[LabelName, str] = Field(default_factory=dict)
    """The labels that select it."""


class MetricsRule(Part):
    """Where the service's figures come from."""

    source: Name
    """How they are read, such as scrape."""
    instances: Annotated[dict[Name, Url], Field(min_length=1)]
    """The metrics page of each instance; an instance is also an arm."""
    requests: CounterRule
    """The counter of requests."""
    errors: ErrorRule
    """Which requests count as errors."""
    latency: HistogramRule
    """The histogram of response times."""
    gauges: dict[LabelName, MetricName] = Field(default_factory=dict)
    """Further figures by the name that playbooks use."""

    def queries(self) -> MetricQueries:
        return MetricQueries(
            source=self.source,
            instances=self.instances,
            requests=CounterQuery(counter=self.requests.counter, match=self.requests.match),
            errors=ErrorSelector(label=self.errors.label, pattern=self.errors.pattern),
            latency=HistogramQuery(histogram=self.latency.histogram, match=self.latency.match),
            gauges=self.gauges,
        )


class CountsRule(Part):
    """Where the requests of the service's arms are counted while a canary is watched; without it, as `metrics` has it."""

    source: Name
    """How they are read: scrape, prometheus or traefik."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What the source needs; ${env:NAME} is taken from the environment."""


class RouterRule(Part):
    """The router that splits the service's traffic."""

    kind: Name
    """The router's adapter, such as traefik."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What the adapter needs; ${env:NAME} is taken from the environment."""
    arms: Annotated[dict[Name, Word], Field(min_length=1)]
    """The router's name of each arm."""


class TargetRule(Part):
    """Something of the service that an action can change."""

    adapter: Name
    """The adapter that can change it, such as process."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What the adapter needs; ${env:NAME} is taken from the environment."""


class ProbeRule(Part):
    """One figure of the service that is compared with what it usually is."""

    name: Slug
    """What it is called; its baseline is kept under this name."""
    kind: Name
    """How it is measured: http, metric, process_memory, or a kind that a package brings."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What the probe needs; ${env:NAME} is taken from the environment."""
    worse: Literal["higher", "lower", "both"] = "higher"
    """In which direction the figure gets worse."""
    tolerance: Annotated[
        Any,
        AfterValidator(_is_tolerance),
        WithJsonSchema({"type": ["number", "string"], "minimum": 0, "pattern": f"^{_SHARE}$"}),
    ] = "10%"
    """A difference that does not matter: a share of what is usual, such as '10%', or a number in its own unit."""
    severity: Literal["minor", "major", "critical"] = "major"
    """How much it matters; what is minor is told, and takes nothing back."""
    timeout: Annotated[PositiveDuration, AfterValidator(_at_most_a_minute)] = 5.0
    """How long one measurement may take, at most a minute."""

    def probe(self, options: dict[str, Json]) -> Probe:
        relative = isinstance(self.tolerance, str)
        size = float(self.tolerance[:-1]) / 100 if relative else float(self.tolerance)
        return Probe(
            name=self.name,
            kind=self.kind,
            options=options,
            worse=Worse(self.worse),
            tolerance=Tolerance(size=size, relative=relative),
            severity=Gravity(self.severity),
            timeout_seconds=self.timeout,
        )


class BenchmarksRule(Part):
    """The figures by which the service is held against its own past."""

    smoke: Annotated[list[ProbeRule], Field(max_length=20)] = Field(default_factory=list)
    """Measured after each action: fast ones."""
    regression: Annotated[list[ProbeRule], Field(max_length=50)] = Field(default_factory=list)
    """Measured at the end of a plan."""


class ServiceRule(Part):
    """One service."""

    owner: Word
    """The team that is called."""
    tier: Annotated[int, Field(ge=1, le=4)]
    """How critical it is: 1 the most, 4 the least."""
    dependencies: list[ServiceName] = Field(default_factory=list)
    """What it needs; also things outside this catalogue."""
    slos: list[ObjectiveRule] = Field(default_factory=list)
    """Its service level objectives."""
    metrics: MetricsRule | None = None
    """Where its figures come from."""
    counts: CountsRule | None = None
    """Where the requests of its arms are counted."""
    router: RouterRule | None = None
    """The router that splits its traffic."""
    targets: dict[Name, TargetRule] = Field(default_factory=dict)
    """What of it can be changed, by the name that playbooks use."""
    shard: Name | None = None
    """The domain that it belongs to, such as payments: services of one shard share its places for actions under way."""
    twin: TwinRule | None = None
    """How plans for it are tried on a copy first."""
    benchmarks: BenchmarksRule = BenchmarksRule()
    """The figures by which it is held against its own past."""

    @model_validator(mode="after")
    def _twin_names_targets(self) -> Self:
        missing = sorted(self.twin.targets() - self.targets.keys()) if self.twin else []
        if missing:
            raise PydanticCustomError(
                "target", "its twin names the target {name}, which it has not", {"name": missing[0]}
            )
        return self

    def objectives(self) -> tuple[Objective, ...]:
        return tuple(Objective(name=slo.name, metric=slo.metric, at_most=slo.at_most) for slo in self.slos)


class ServicesFile(Part):
    """The catalogue of services: who owns them, where their figures are, what of them can be changed."""

    api_version: Literal["penelope.dev/v1"] = Field(alias="apiVersion")
    """The version of this format."""
    kind: Literal["Services"]
    """What the file is."""
    services: dict[ServiceName, ServiceRule]
    """The services by name."""
