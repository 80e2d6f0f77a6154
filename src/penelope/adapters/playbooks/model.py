"""What the parts of a playbook file share: its words, its clauses and its effects."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from penelope.adapters.yaml_model import Duration, Form, Part, PositiveDuration
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.kit.canonical import Json

_WHOLE_PLACEHOLDER = r"\$\{[a-z][a-z0-9_]*\}"

_COMPARATORS = [comparator.value for comparator in Comparator]


def _bound_check(value: Json) -> Json:
    if isinstance(value, str) and re.fullmatch(_WHOLE_PLACEHOLDER, value):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("bound", "must be a number, or one parameter such as ${limit}")
    return value


def something(value: Json) -> Json:
    if value is None:
        raise PydanticCustomError("nothing", "must not be empty")
    return value


Bound = Annotated[
    Any,
    BeforeValidator(_bound_check),
    WithJsonSchema({"type": ["number", "string"], "pattern": f"^{_WHOLE_PLACEHOLDER}$"}),
]
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


class _Comparison(Part):
    """What is expected: exactly one of equals, at_most, at_least and one_of."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [comparator]} for comparator in _COMPARATORS]}
    )

    equals: Something = None
    """Holds when the observation is exactly this."""
    at_most: Bound = None
    """Holds when the observation is this or less."""
    at_least: Bound = None
    """Holds when the observation is this or more."""
    one_of: list[Something] = Field(default_factory=list, min_length=1)
    """Holds when the observation is one of these."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """How much this counts in the score of the verdict; all clauses must hold to pass."""

    @model_validator(mode="after")
    def _one_comparator(self) -> "_Comparison":
        if len(self.model_fields_set.intersection(_COMPARATORS)) != 1:
            raise PydanticCustomError("comparator", f"needs exactly one of {', '.join(_COMPARATORS)}")
        return self

    def clause(self, subject: str) -> Clause:
        comparator = next(name for name in _COMPARATORS if name in self.model_fields_set)
        return Clause(
            subject=subject,
            comparator=Comparator(comparator),
            expected=getattr(self, comparator),
            weight=self.weight,
        )


class Expectation(_Comparison):
    """One expectation of an effect."""

    subject: Subject
    """What is looked at: metric.<name>, metric.<name>@<arm>, or in a step state.<key> of its target."""


class Precondition(_Comparison):
    """Something that the evidence must say before this playbook may be used."""

    subject: Concept
    """A concept of the evidence, such as metric.error_ratio."""


class Effect(Part):
    """Clauses that must all hold on end for a while, at the latest some time after the change."""

    within: PositiveDuration
    """How long after the change the clauses may take to come true."""
    hold: Duration = 0.0
    """How long they must then hold on end."""
    clauses: Annotated[list[Expectation], Field(min_length=1)]
    """The expectations."""

    def contract(self) -> Contract:
        return Contract(
            clauses=tuple(item.clause(item.subject) for item in self.clauses),
            deadline_seconds=self.within,
            hold_seconds=self.hold,
        )
