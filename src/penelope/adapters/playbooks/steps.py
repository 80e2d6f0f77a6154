"""The shape of steps and of the blocks that hold them: in order, side by side, under a condition, for each, waiting."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from penelope.adapters.playbooks.model import Effect, Expectation, Operation, ParameterName, Word
from penelope.adapters.yaml_model import CHOICE, Duration, Form, Part, PositiveDuration
from penelope.domain.action import ONCE, Retry, Tier
from penelope.domain.contract import Contract
from penelope.domain.plan import BlockKind, BlockTemplate, RollbackTemplate, StepTemplate
from penelope.kit.canonical import Json

MOST_ITEMS = 100
"""The most items that a `foreach` may go through."""

_MOST_ATTEMPTS = 10

TargetText = Annotated[
    str,
    Form(
        r"[A-Za-z0-9][A-Za-z0-9_-]*|\$\{[a-z][a-z0-9_]*\}",
        "the name of a target (letters, digits, hyphens, underscores), or one parameter such as ${instance}",
    ),
]


@dataclass(frozen=True, slots=True)
class _OrNone:
    """The word `none`, or the mapping; the word becomes None, which a file cannot write by itself."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        inner = handler(schema)
        options = [item for item in inner.get("anyOf", [inner]) if item.get("type") != "null"]
        return {"anyOf": [{"const": "none"}, *options]}

    def _check(self, value: Json, handler: Callable[[Json], Any]) -> Any:
        if value == "none":
            return None
        if not isinstance(value, dict | RollbackRule):
            raise PydanticCustomError("rollback", "must be none, or an action that takes the step back")
        return handler(value)


class RetryRule(Part):
    """How often a step is tried that certainly did not take effect."""

    attempts: Annotated[int, Field(ge=1, le=_MOST_ATTEMPTS)] = 3
    """How often it is tried in all."""
    pause: Duration = 1.0
    """How long is waited between two attempts."""


class RollbackRule(Part):
    """What takes a step back in place of its adapter's own compensation."""

    action: Operation
    """Adapter and operation, such as http.call."""
    target: TargetText = ""
    """A target of the service; that of the step where it is left out."""
    params: dict[str, Any] = Field(default_factory=dict)
    """What the operation needs; ${name} stands for a parameter, $${ for a literal ${."""
    timeout: PositiveDuration = 60.0
    """How long the operation may take."""

    def template(self, target: str) -> RollbackTemplate:
        adapter, _, operation = self.action.partition(".")
        return RollbackTemplate(
            adapter=adapter,
            operation=operation,
            target=self.target or target,
            params=self.params,
            timeout_seconds=self.timeout,
        )


class StepRule(Part):
    """One change of one target."""

    name: Word
    """What the step does, for people."""
    action: Operation
    """Adapter and operation, such as process.switch_release."""
    target: TargetText
    """A target of the service in services.yaml, or a parameter that names one."""
    params: dict[str, Any] = Field(default_factory=dict)
    """What the operation needs; ${name} stands for a parameter, $${ for a literal ${."""
    tier: Annotated[int, Field(ge=1, le=4)]
    """How hard it is to take back: 1 local, 2 needs a snapshot, 3 hard to reverse, 4 irreversible."""
    timeout: PositiveDuration = 60.0
    """How long the operation may take."""
    retry: RetryRule | None = None
    """How often it is tried; once, where this is left out."""
    idempotent: bool = False
    """Whether doing it twice is harmless, so that an attempt of which nobody knows may be repeated."""
    rollback: Annotated[RollbackRule | None, _OrNone()] = None
    """What takes it back: an action of your own, or none where it stays; the adapter's way where this is left out."""
    expect: Effect | None = None
    """What must be seen afterwards; otherwise the step is taken back."""

    def template(self) -> StepTemplate:
        adapter, _, operation = self.action.partition(".")
        retry = self.retry
        return StepTemplate(
            name=self.name,
            adapter=adapter,
            operation=operation,
            target=self.target,
            params=self.params,
            tier=Tier(self.tier),
            timeout_seconds=self.timeout,
            expect=self.expect.contract() if self.expect else None,
            retry=Retry(attempts=retry.attempts, pause_seconds=retry.pause) if retry else ONCE,
            idempotent=self.idempotent,
            rollback=self.rollback.template(self.target) if self.rollback else None,
            keep=self.keep,
        )

    @property
    def keep(self) -> bool:
        """Whether `rollback: none` was written."""
        return self.rollback is None and "rollback" in self.model_fields_set


class SequenceRule(Part):
    """Steps one after the other, as one branch of something else."""

    name: Word = "In order"
    """What the steps do, for people."""
    sequence: "Steps"
    """The steps."""

    def template(self) -> BlockTemplate:
        return BlockTemplate(kind=BlockKind.SEQUENCE, name=self.name, steps=_templates(self.sequence))


class ParallelRule(Part):
    """Steps side by side; no two of them on one target."""

    name: Word = "Side by side"
    """What the steps do, for people."""
    parallel: "Branches"
    """The steps; a `sequence` where a branch has several."""

    def template(self) -> BlockTemplate:
        return BlockTemplate(kind=BlockKind.PARALLEL, name=self.name, steps=_templates(self.parallel))


class WhenRule(Part):
    """Steps under a condition, judged once when they are reached; one that cannot be seen stops the plan."""

    name: Word = ""
    """What is asked, for people."""
    when: Annotated[list[Expectation], Field(min_length=1)]
    """What figures of the service must be; all must hold."""
    then: "Steps"
    """What is done where they hold."""
    otherwise: "Steps | None" = None
    """What is done where they do not."""

    def template(self) -> BlockTemplate:
        return BlockTemplate(
            kind=BlockKind.CONDITION,
            name=self.name or f"When {_subjects(self.when)}",
            steps=_templates(self.then),
            otherwise=_templates(self.otherwise or []),
            condition=_contract(self.when, 0.0, 0.0),
        )


class ForeachRule(Part):
    """Steps once for each item of a list, one item after the other."""

    name: Word = ""
    """What is done with each, for people."""
    foreach: ParameterName
    """The parameter, of type list, whose items are gone through."""
    variable: ParameterName = Field(alias="as")
    """What the present item is called in the steps: ${pod} for `as: pod`."""
    at_most: Annotated[int, Field(ge=1, le=MOST_ITEMS)]
    """How many items there may be; with more the playbook is not used."""
    steps: "Steps"
    """What is done with each item."""

    def template(self) -> BlockTemplate:
        return BlockTemplate(
            kind=BlockKind.FOREACH,
            name=self.name or f"For each {self.variable} of {self.foreach}",
            steps=_templates(self.steps),
            items=self.foreach,
            variable=self.variable,
            at_most=self.at_most,
        )


class WaitRule(Part):
    """Waits until figures of the service are as they must be; the plan is taken back when they do not come in time."""

    name: Word = ""
    """What is waited for, for people."""
    wait_for: Annotated[list[Expectation], Field(min_length=1)]
    """What must come true; all must hold."""
    within: PositiveDuration
    """How long that may take."""
    hold: Duration = 0.0
    """How long it must then hold on end."""

    def template(self) -> BlockTemplate:
        return BlockTemplate(
            kind=BlockKind.WAIT,
            name=self.name or f"Wait for {_subjects(self.wait_for)}",
            condition=_contract(self.wait_for, self.within, self.hold),
        )


Rule: TypeAlias = StepRule | SequenceRule | ParallelRule | WhenRule | ForeachRule | WaitRule

KINDS: dict[str, type[Rule]] = {
    "action": StepRule,
    "sequence": SequenceRule,
    "parallel": ParallelRule,
    "when": WhenRule,
    "foreach": ForeachRule,
    "wait_for": WaitRule,
}
"""The key that tells what an item of `steps` is, and its shape."""


def kind_of(item: Json) -> str:
    """The key that tells what an item is: `action` for one that has none, whose other keys are then judged as a step's."""
    return next((kind for kind in KINDS if kind in item), "action")


def _one_kind(item: Json) -> Json:
    if not isinstance(item, dict):
        raise PydanticCustomError("step", "must be a mapping")
    found = [kind for kind in KINDS if kind in item]
    if len(found) > 1:
        raise PydanticCustomError("step", f"is either {' or '.join(found)}; it cannot be both")
    if not found and not item.keys() & {"target", "params", "tier"}:
        raise PydanticCustomError("step", f"needs one of {', '.join(KINDS)}")
    return item


def _tag(item: Json) -> str:
    return CHOICE + KINDS[kind_of(item)].__name__


Item: TypeAlias = Annotated[
    Annotated[StepRule, Tag(CHOICE + "StepRule")]
    | Annotated[SequenceRule, Tag(CHOICE + "SequenceRule")]
    | Annotated[ParallelRule, Tag(CHOICE + "ParallelRule")]
    | Annotated[WhenRule, Tag(CHOICE + "WhenRule")]
    | Annotated[ForeachRule, Tag(CHOICE + "ForeachRule")]
    | Annotated[WaitRule, Tag(CHOICE + "WaitRule")],
    Discriminator(_tag),
    BeforeValidator(_one_kind),
]
Steps: TypeAlias = Annotated[list[Item], Field(min_length=1)]
Branches: TypeAlias = Annotated[list[Item], Field(min_length=2)]

for _block in (SequenceRule, ParallelRule, WhenRule, ForeachRule):
    _block.model_rebuild()


def _templates(items: "Steps") -> tuple[StepTemplate | BlockTemplate, ...]:
    return tuple(item.template() for item in items)


def _subjects(clauses: list[Expectation]) -> str:
    return ", ".join(dict.fromkeys(clause.subject for clause in clauses))


def _contract(clauses: list[Expectation], within: float, hold: float) -> Contract:
    return Contract(
        clauses=tuple(clause.clause(clause.subject) for clause in clauses),
        deadline_seconds=within,
        hold_seconds=hold,
    )
