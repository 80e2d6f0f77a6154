"""The shape of a playbook file: the one source of its checks, its JSON schema and its domain value."""

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from penelope.adapters.playbooks.expected import Bound, Bounds, Change, MatchingPattern
from penelope.adapters.yaml_model import Duration, Form, Part, PositiveDuration
from penelope.domain.action import Tier
from penelope.domain.contract import Clause, Comparator, Contract, Gravity
from penelope.domain.plan import Match, Parameter, Playbook, StepTemplate
from penelope.domain.rollout import RolloutLimits, RolloutSpec
from penelope.kit.canonical import Json

_COMPARATORS = [comparator.value for comparator in Comparator if not comparator.relative]
_ALL_COMPARATORS = [comparator.value for comparator in Comparator]


def _something(value: Json) -> Json:
    if value is None:
        raise PydanticCustomError("nothing", "must not be empty")
    return value


Something = Annotated[
    Any,
    BeforeValidator(_something),
    WithJsonSchema({"type": ["string", "number", "boolean", "array", "object"]}),
]
Ratio = Annotated[float, Field(ge=0, le=1)]
Word = Annotated[str, Field(min_length=1, max_length=256)]
Slug = Annotated[
    str,
    Field(max_length=64),
    Form(r"[a-z0-9]+(-[a-z0-9]+)*", "lower-case words joined by hyphens"),
]
TargetName = Annotated[
    str, Form(r"[A-Za-z0-9][A-Za-z0-9_-]*", "the name of a target: letters, digits, hyphens, underscores")
]
ParameterName = Annotated[
    str, Form(r"[a-z][a-z0-9_]*", "a name of lower-case letters, digits and underscores")
]
Concept = Annotated[
    str,
    Form(
        r"[a-z][a-z0-9_]*(\.[A-Za-z0-9_-]+)+(@[A-Za-z0-9_-]+)?",
        "a concept of the evidence, such as metric.error_ratio or change.instance-b.previous_release",
    ),
]
Subject = Annotated[
    str,
    Form(
        r"metric\.[a-z][a-z0-9_]*(@[A-Za-z0-9_-]+)?|state\.[a-z][a-z0-9_.]*",
        "metric.<name>, metric.<name>@<arm> or state.<key>",
    ),
]
Operation = Annotated[
    str, Form(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*", "<adapter>.<operation>, such as process.restart")
]


def _exactly_one(comparators: list[str]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in comparators]})


class _Comparison(Part):
    """What is expected: exactly one comparator."""

    model_config = _exactly_one(_COMPARATORS)
    comparators: ClassVar[list[str]] = _COMPARATORS

    equals: Something = None
    """Holds when the observation is exactly this."""
    not_equals: Something = None
    """Holds when the observation is of the same type and anything but this."""
    at_most: Bound = None
    """Holds when the observation is this or less."""
    at_least: Bound = None
    """Holds when the observation is this or more."""
    between: Bounds = None
    """Holds when the observation is one of these two bounds, or lies between them."""
    one_of: list[Something] = Field(default_factory=list, min_length=1)
    """Holds when the observation is one of these."""
    matches: MatchingPattern = ""
    """Holds when this regular expression (RE2: no look-around, no back references) matches the whole text."""
    contains: Something = None
    """Holds when the observation is a text in which this text stands, or a list in which this value is."""
    weight: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    """How much this counts in the score of the verdict."""
    severity: Literal["minor", "major", "critical"] = "major"
    """How much it matters when this does not hold; where something critical does not, nothing passes."""

    @model_validator(mode="after")
    def _one_comparator(self) -> Self:
        if len(self.model_fields_set.intersection(self.comparators)) != 1:
            raise PydanticCustomError("comparator", f"needs exactly one of {', '.join(self.comparators)}")
        return self

    def clause(self, subject: str) -> Clause:
        comparator = next(name for name in self.comparators if name in self.model_fields_set)
        return Clause(
            subject=subject,
            comparator=Comparator(comparator),
            expected=getattr(self, comparator),
            weight=self.weight,
            severity=Gravity(self.severity),
        )


class Expectation(_Comparison):
    """One expectation of an effect."""

    model_config = _exactly_one(_ALL_COMPARATORS)
    comparators: ClassVar[list[str]] = _ALL_COMPARATORS

    subject: Subject
    """What is looked at: metric.<name>, metric.<name>@<arm>, or in a step state.<key> of its target."""
    changes_at_most: Change = None
    """Holds when the observation moved by no more than this from what it was before the change: 5 or '10%' either
    way, '+10%' counts a rise alone, -5 or '-10%' a fall alone."""
    changes_at_least: Change = None
    """Holds when the observation moved at least so far from what it was before the change, written the same way."""
    within: PositiveDuration | None = None
    """How long after the change this may take to come true; otherwise as long as the effect says."""
    hold: Duration | None = None
    """How long this must then hold on end; otherwise as long as the effect says."""

    def clause(self, subject: str) -> Clause:
        return replace(super().clause(subject), within_seconds=self.within, hold_seconds=self.hold)


class Precondition(_Comparison):
    """Something that the evidence must say before this playbook may be used."""

    subject: Concept
    """A concept of the evidence, such as metric.error_ratio."""


class Effect(Part):
    """Clauses that must hold on end for a while, at the latest some time after the change."""

    within: PositiveDuration
    """How long after the change the clauses may take to come true."""
    hold: Duration = 0.0
    """How long they must then hold on end."""
    clauses: Annotated[list[Expectation], Field(min_length=1)]
    """The expectations."""
    pass_at: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of the clauses' weight that must hold, if not all of them must; what is critical always must."""

    def contract(self) -> Contract:
        return Contract(
            clauses=tuple(item.clause(item.subject) for item in self.clauses),
            deadline_seconds=self.within,
            hold_seconds=self.hold,
            pass_at=self.pass_at,
        )


class MatchRule(Part):
    """Which incidents the playbook is for; all that is given must fit."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["names"], "properties": {"names": {"minItems": 1}}},
                {"required": ["labels"], "properties": {"labels": {"minProperties": 1}}},
            ]
        }
    )

    names: list[Word] = Field(default_factory=list)
    """Names of signals; one of them must be the incident's."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the incident; all must be equal."""
    services: list[Word] = Field(default_factory=list)
    """Services that it is for; empty means all."""

    @model_validator(mode="after")
    def _says_something(self) -> "MatchRule":
        if not self.names and not self.labels:
            raise PydanticCustomError("match", "needs names or labels, or it would fit every incident")
        return self


class ParameterRule(Part):
    """A value that is filled in from the evidence, or else from a default."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["from"]}, {"required": ["default"]}]}
    )

    type: Literal["string", "integer", "number", "boolean"]
    """The type that the value must have."""
    source: Concept = Field(default="", alias="from")
    """The concept of the evidence that the value comes from, such as change.instance-b.previous_release."""
    default: Annotated[
        Any, BeforeValidator(_something), WithJsonSchema({"type": ["string", "number", "boolean"]})
    ] = None
    """The value where the evidence knows none."""

    @model_validator(mode="after")
    def _has_an_origin(self) -> "ParameterRule":
        if not self.model_fields_set.intersection(("source", "default")):
            raise PydanticCustomError("parameter", "needs 'from' or 'default'")
        return self


class StepRule(Part):
    """One change of one target."""

    name: Word
    """What the step does, for people."""
    action: Operation
    """Adapter and operation, such as process.switch_release."""
    target: TargetName
    """A target of the service in services.yaml."""
    params: dict[str, Any] = Field(default_factory=dict)
    """What the operation needs; ${name} stands for a parameter, $${ for a literal ${."""
    tier: Annotated[int, Field(ge=1, le=4)]
    """How hard it is to take back: 1 local, 2 needs a snapshot, 3 hard to reverse, 4 irreversible."""
    timeout: PositiveDuration = 30.0
    """How long the operation may take."""
    expect: Effect | None = None
    """What must be seen afterwards; otherwise the step is taken back."""

    def template(self) -> StepTemplate:
        adapter, _, operation = self.action.partition(".")
        return StepTemplate(
            name=self.name,
            adapter=adapter,
            operation=operation,
            target=self.target,
            params=self.params,
            tier=Tier(self.tier),
            timeout_seconds=self.timeout,
            expect=self.expect.contract() if self.expect else None,
        )


class LimitsRule(Part):
    """The guard rails of the rollout."""

    min_success_ratio: Ratio = 0.95
    """The least share of requests of the canary that must succeed."""
    max_error_ratio: Ratio = 0.02
    """The largest share of requests of the canary that may fail."""
    max_latency_p99_increase: Duration = 0.5
    """The most that the canary's 99th percentile may exceed the control's."""
    min_requests: Annotated[int, Field(ge=1)] = 20
    """How many requests the canary must have served before it is judged."""


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
    """How many good looks on end promote to the next step."""
    max_step: PositiveDuration = 900.0
    """How long one step may last before it is rolled back."""
    limits: LimitsRule = LimitsRule()
    """The guard rails."""

    def spec(self) -> RolloutSpec:
        return RolloutSpec(
            canary=self.canary,
            control=self.control,
            steps=tuple(self.steps),
            interval_seconds=self.interval,
            looks_per_step=self.looks_per_step,
            max_step_seconds=self.max_step,
            limits=RolloutLimits(
                min_success_ratio=self.limits.min_success_ratio,
                max_error_ratio=self.limits.max_error_ratio,
                max_latency_p99_increase_seconds=self.limits.max_latency_p99_increase,
                min_requests=self.limits.min_requests,
            ),
        )


class PlaybookFile(Part):
    """A template of a fix: when it applies, what it changes, what must be true afterwards."""

    model_config = ConfigDict(title="Playbook")

    api_version: Literal["penelope.dev/v1"] = Field(alias="apiVersion")
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
    steps: Annotated[list[StepRule], Field(min_length=1)]
    """What is done, in order."""
    rollout: RolloutRule | None = None
    """How traffic moves to what the steps changed."""
    after: list[StepRule] = Field(default_factory=list)
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
            match=Match(
                names=tuple(self.match.names),
                labels=self.match.labels,
                services=tuple(self.match.services),
            ),
            parameters=tuple(
                Parameter(name=name, kind=rule.type, source=rule.source or None, default=rule.default)
                for name, rule in self.parameters.items()
            ),
            preconditions=tuple(item.clause(item.subject) for item in self.preconditions),
            steps=tuple(step.template() for step in self.steps),
            rollout=self.rollout.spec() if self.rollout else None,
            after=tuple(step.template() for step in self.after),
            approval=self.approval,
            verify=self.verify.contract(),
        )
