"""What the parts of a playbook file share: its words, its clauses and its effects."""

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from penelope.adapters.playbooks.expected import Bound, Bounds, Change, MatchingPattern
from penelope.adapters.yaml_model import Duration, Form, Part, PositiveDuration
from penelope.domain.contract import Clause, Comparator, Contract, Gravity
from penelope.kit.canonical import Json

_COMPARATORS = [comparator.value for comparator in Comparator if not comparator.relative]
_ALL_COMPARATORS = [comparator.value for comparator in Comparator]


def something(value: Json) -> Json:
    if value is None:
        raise PydanticCustomError("nothing", "must not be empty")
    return value


Something = Annotated[
    Any,
    BeforeValidator(something),
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
