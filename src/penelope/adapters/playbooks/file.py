"""The shape of a playbook file: the one source of its checks, its JSON schema and its domain value."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from penelope.adapters.playbooks.expression import holds
from penelope.adapters.playbooks.model import (
    Effect,
    ParameterName,
    Precondition,
    Ratio,
    Slug,
    Something,
    TargetName,
    Word,
    something,
)
from penelope.adapters.playbooks.steps import Item, Steps
from penelope.adapters.yaml_model import Duration, Form, Part, PositiveDuration
from penelope.domain.analysis import AnalysisSpec
from penelope.domain.deployment import Course, Stage
from penelope.domain.plan import Match, Parameter, Playbook
from penelope.domain.rollout import RolloutLimits
from penelope.domain.signal import Severity
from penelope.kit.canonical import Json
from penelope.kit.pattern import LONGEST_PATTERN, pattern

VERSIONS = ("penelope.dev/v1",)
"""The versions of the format that are read."""


def _version(value: Json) -> Json:
    if value not in VERSIONS:
        raise PydanticCustomError("version", f"is not a version that is read here: {', '.join(VERSIONS)}")
    return value


def _pattern(value: str) -> str:
    try:
        pattern(value)
    except ValueError as error:
        raise PydanticCustomError(
            "pattern", "{problem}", {"problem": f"the pattern cannot be used: {str(error)[:80]}"}
        ) from None
    return value


def _expression(value: str) -> str:
    try:
        holds(value)
    except ValueError as error:
        raise PydanticCustomError("expression", "{problem}", {"problem": f"the expression {error}"}) from None
    return value


Version = Annotated[Literal["penelope.dev/v1"], BeforeValidator(_version)]
Source = Annotated[
    str,
    Form(
        r"[a-z][a-z0-9_]*(\.[A-Za-z0-9_-]+)+(@[A-Za-z0-9_-]+)?|label\.[A-Za-z_][A-Za-z0-9_./-]*",
        "a concept of the evidence, such as metric.error_ratio or change.instance-b.previous_release, "
        "or label.<name> of the incident",
    ),
]
Fingerprint = Annotated[str, Form(r"[A-Za-z0-9_.:-]{1,128}", "a fingerprint, as incidents show it")]


class MatchRule(Part):
    """Which incidents the playbook is for; all that is given must fit."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["names"], "properties": {"names": {"minItems": 1}}},
                {"required": ["labels"], "properties": {"labels": {"minProperties": 1}}},
                {"required": ["fingerprints"], "properties": {"fingerprints": {"minItems": 1}}},
                {"required": ["expression"]},
            ]
        }
    )

    names: list[Word] = Field(default_factory=list)
    """Names of signals; one of them must be the incident's."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the incident; all must be equal."""
    services: list[Word] = Field(default_factory=list)
    """Services that it is for; empty means all."""
    severities: list[Literal["info", "warning", "error", "critical"]] = Field(default_factory=list)
    """Severities that it is for; empty means all."""
    fingerprints: list[Fingerprint] = Field(default_factory=list)
    """Problems that it is for; one of them must be the incident's."""
    expression: Annotated[str, Field(min_length=1), AfterValidator(_expression)] = ""
    """CEL over incident.name, incident.service, incident.severity, incident.labels and incident.fingerprint."""

    @model_validator(mode="after")
    def _says_something(self) -> "MatchRule":
        if not (self.names or self.labels or self.fingerprints or self.expression):
            needs = "needs names, labels, fingerprints or an expression, or it would fit every incident"
            raise PydanticCustomError("match", needs)
        return self

    def match(self) -> Match:
        return Match(
            names=tuple(self.names),
            labels=self.labels,
            services=tuple(self.services),
            severities=tuple(Severity(item).value for item in self.severities),
            fingerprints=tuple(self.fingerprints),
            expression=self.expression or None,
            holds=holds(self.expression) if self.expression else None,
        )


class ParameterRule(Part):
    """A value that is filled in from the evidence, or else from a default."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["from"]}, {"required": ["default"]}]}
    )

    type: Literal["string", "integer", "number", "boolean", "list"]
    """The type that the value must have; a list is one of texts."""
    source: Source = Field(default="", alias="from")
    """Where the value comes from: a concept of the evidence, such as change.instance-b.previous_release, or label.<name>."""
    default: Annotated[
        Any,
        BeforeValidator(something),
        WithJsonSchema({"type": ["string", "number", "boolean", "array"]}),
    ] = None
    """The value where the evidence knows none."""
    choices: list[Something] = Field(default_factory=list, min_length=1)
    """What the value, or each item of a list, must be one of."""
    pattern: Annotated[str, Field(min_length=1, max_length=LONGEST_PATTERN), AfterValidator(_pattern)] = ""
    """A regular expression that the whole text, or each item of a list, must follow."""
    at_least: float | None = None
    """The least that a number may be; of a text or a list, how long it must be."""
    at_most: float | None = None
    """The most that a number may be; of a text or a list, how long it may be."""

    @model_validator(mode="after")
    def _has_an_origin(self) -> "ParameterRule":
        if not self.model_fields_set.intersection(("source", "default")):
            raise PydanticCustomError("parameter", "needs 'from' or 'default'")
        return self

    def parameter(self, name: str) -> Parameter:
        return Parameter(
            name=name,
            kind=self.type,
            source=self.source or None,
            default=self.default,
            choices=tuple(self.choices),
            pattern=self.pattern or None,
            at_least=self.at_least,
            at_most=self.at_most,
        )


Chance = Annotated[float, Field(gt=0, lt=1)]


class LimitsRule(Part):
    """The guard rails of the rollout."""

    min_success_ratio: Ratio = 0.95
    """The least share of requests of the canary that must succeed."""
    max_error_ratio: Ratio = 0.02
    """The largest share of requests of the canary that may fail."""
    max_latency_p99_increase: Duration = 0.5
    """The most that the canary's 99th percentile may exceed the control's."""
    min_requests: Annotated[int, Field(ge=1)] = 20
    """How many requests the canary must have served in a step before it is promoted."""


class RolloutRule(Part):
    """Moves traffic to the changed arm in steps, judged against the unchanged one."""

    canary: TargetName
    """The changed arm of the service's router."""
    control: TargetName
    """The unchanged arm."""
    steps: Annotated[list[Annotated[int, Field(ge=1, le=100)]], Field(min_length=1)] = Field(
        default_factory=lambda: [10, 25, 50, 100]
    )
    """Weights of the canary in percent, rising, the last one 100."""
    interval: PositiveDuration = 5.0
    """The time between two looks."""
    looks_per_step: Annotated[int, Field(ge=1)] = 3
    """A step is promoted after so many at the soonest."""
    max_step: PositiveDuration = 900.0
    """How long one step may last, or nothing be seen of the canary, before it is rolled back."""
    alpha: Chance = 0.05
    """The chance that a canary is rolled back in the whole rollout though it is as good as the control."""
    beta: Chance = 0.05
    """The chance that a step goes on though the canary has `factor` times the errors, or slow requests, of the control."""
    factor: Annotated[float, Field(gt=1, le=100)] = 2.0
    """How much worse must be ruled out before a step is promoted."""
    negligible_error_ratio: Chance = 0.002
    """A share of errors below this is never too much: the smaller it is, the more requests a promotion takes."""
    negligible_slow_ratio: Chance = 0.025
    """The same for slow requests."""
    limits: LimitsRule = LimitsRule()
    """The guard rails."""

    def course(self) -> Course:
        """Raises InvalidRequest for what cannot be gone through."""
        least = self.interval * self.looks_per_step
        stages = (Stage(weight=step, min_seconds=least, max_seconds=self.max_step) for step in self.steps)
        return Course(
            canary=self.canary,
            control=self.control,
            stages=tuple(stages),
            interval_seconds=self.interval,
            analysis=AnalysisSpec(
                alpha=self.alpha,
                beta=self.beta,
                factor=self.factor,
                negligible_error_ratio=self.negligible_error_ratio,
                negligible_slow_ratio=self.negligible_slow_ratio,
                silence_seconds=self.max_step,
                limits=RolloutLimits(
                    min_success_ratio=self.limits.min_success_ratio,
                    # 0 and 1 may be said, and are as good as these: a limit is a share that can be tested.
                    max_error_ratio=min(max(self.limits.max_error_ratio, 1e-6), 1 - 1e-6),
                    max_latency_p99_increase_seconds=self.limits.max_latency_p99_increase,
                    min_requests=self.limits.min_requests,
                ),
            ),
        )


class PlaybookFile(Part):
    """A template of a fix: when it applies, what it changes, what must be true afterwards."""

    model_config = ConfigDict(title="Playbook")

    api_version: Version = Field(alias="apiVersion")
    """The version of this format."""
    kind: Literal["Playbook"]
    """What the file is."""
    name: Slug
    """The identity of the playbook; precedents are kept under it."""
    version: Word
    """Changes with the content, as text in quotes."""
    title: Word
    """What the playbook does, in one line for people."""
    match: MatchRule
    """Which incidents it is for."""
    parameters: dict[ParameterName, ParameterRule] = Field(default_factory=dict)
    """The values that steps and clauses use as ${name}."""
    preconditions: list[Precondition] = Field(default_factory=list)
    """What the evidence must say; otherwise the playbook is not used."""
    steps: Steps
    """What is done, in order."""
    rollout: RolloutRule | None = None
    """How traffic moves to what the steps changed."""
    after: list[Item] = Field(default_factory=list)
    """What is done once the rollout has promoted."""
    approval: bool = False
    """Whether a person must always agree."""
    verify: Effect
    """What must be true at the very end."""

    def playbook(self) -> Playbook:
        """The domain's value."""
        return Playbook(
            name=self.name,
            version=self.version,
            title=self.title,
            match=self.match.match(),
            parameters=tuple(rule.parameter(name) for name, rule in self.parameters.items()),
            preconditions=tuple(item.clause(item.subject) for item in self.preconditions),
            steps=tuple(item.template() for item in self.steps),
            rollout=self.rollout.course() if self.rollout else None,
            after=tuple(item.template() for item in self.after),
            approval=self.approval,
            verify=self.verify.contract(),
        )
