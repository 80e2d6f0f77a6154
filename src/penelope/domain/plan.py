"""What exactly would be done: playbooks, and plans made from them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from penelope.domain.action import ONCE, Action, Retry, Tier
from penelope.domain.contract import Clause, Contract
from penelope.domain.deployment import Course
from penelope.domain.incident import Incident
from penelope.kit.canonical import Json, content_hash
from penelope.kit.codec import to_data


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A value that a playbook needs: bound from a concept of the evidence, a label of the incident
    (``label.<name>``), or a default. Its `kind` is string, integer, number, boolean, or list (of texts).

    What is bound must lie within the bounds that are given: `choices`, `pattern` (in full; see `kit.pattern`), `at_least`
    and `at_most` (for texts and lists, of their length). For a list, choices and pattern hold for each of its items.
    """

    name: str
    kind: str
    source: str | None = None
    default: Json = None
    choices: tuple[Json, ...] = ()
    pattern: str | None = None
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackTemplate:
    """What takes a step back in place of its adapter's own compensation: an operation of the same target, or of another."""

    adapter: str
    operation: str
    target: str
    params: Mapping[str, Json]
    timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTemplate:
    """A step as the playbook writes it; ``${name}`` in texts stands for a parameter."""

    name: str
    adapter: str
    operation: str
    target: str
    params: Mapping[str, Json]
    tier: Tier
    timeout_seconds: float
    expect: Contract | None = None
    retry: Retry = ONCE
    idempotent: bool = False
    rollback: RollbackTemplate | None = None
    keep: bool = False


class BlockKind(StrEnum):
    """How the steps of a block belong together."""

    SEQUENCE = "sequence"
    PARALLEL = "parallel"
    CONDITION = "condition"
    FOREACH = "foreach"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTemplate:
    """Steps in order, or side by side; under a condition, or once for each item of a list; or a wait for a condition.

    `condition` is judged when the block is reached (CONDITION: once; WAIT: until it holds, at most until its deadline).
    `items` names the parameter whose list is gone through (FOREACH), at most `at_most` of them, each as `variable`.
    """

    kind: BlockKind
    name: str
    steps: "tuple[StepTemplate | BlockTemplate, ...]" = ()
    otherwise: "tuple[StepTemplate | BlockTemplate, ...]" = ()
    condition: Contract | None = None
    items: str = ""
    variable: str = ""
    at_most: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which incidents a playbook is for: signal names, labels (all must be equal), severities, services, fingerprints
    and an expression (CEL) over the incident; all that are given must fit.

    `holds` is the expression, compiled by who read it; it raises ValueError that says why it cannot be judged.
    """

    names: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    services: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    expression: str | None = None
    holds: Callable[[Incident], bool] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """A template of a fix. `after` runs when the rollout has promoted; `verify` is judged at the very end."""

    name: str
    version: str
    title: str
    match: Match
    steps: tuple[StepTemplate | BlockTemplate, ...]
    verify: Contract
    preconditions: tuple[Clause, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    rollout: Course | None = None
    after: tuple[StepTemplate | BlockTemplate, ...] = ()
    approval: bool = False

    @property
    def every_step(self) -> tuple[StepTemplate, ...]:
        """Its steps in the order in which they are written, whatever block they are in."""
        return tuple(_steps((*self.steps, *self.after)))

    @property
    def tier(self) -> Tier:
        """The tier of its hardest step."""
        return max((step.tier for step in self.every_step), default=Tier.LOCAL)


def _steps(items: Iterable[StepTemplate | BlockTemplate]) -> Iterator[StepTemplate]:
    for item in items:
        if isinstance(item, StepTemplate):
            yield item
        else:
            yield from _steps((*item.steps, *item.otherwise))


class NodeKind(StrEnum):
    """What is to be done at one place of a plan's course."""

    ACTION = "action"
    SEQUENCE = "sequence"
    PARALLEL = "parallel"
    CONDITION = "condition"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A place in a plan's course. `key` is unique within the plan; that of an ACTION is the action's.

    A CONDITION goes into `children` where its `condition` holds, else into `otherwise`; one that cannot be seen is
    trouble, never a choice. A WAIT lasts until its condition holds, and is trouble when its deadline passes.
    """

    kind: NodeKind
    key: str
    name: str
    children: "tuple[Node, ...]" = ()
    otherwise: "tuple[Node, ...]" = ()
    condition: Contract | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A playbook bound to an incident: every parameter filled in, every target found.

    `steps` and `after` are all actions, as they are written; `course` and `after_course` say how they follow each other:
    without one, each after the one before.
    """

    id: str
    incident: str
    service: str
    playbook: str
    playbook_version: str
    steps: tuple[Action, ...]
    verify: Contract
    rollout: Course | None = None
    after: tuple[Action, ...] = ()
    course: tuple[Node, ...] = ()
    after_course: tuple[Node, ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        return (*self.steps, *self.after)

    @property
    def every_action(self) -> tuple[Action, ...]:
        """All that it may come to: its actions, each followed by what takes it back, where a step names that itself."""
        return tuple(
            item for action in self.actions for item in (action, action.rollback) if item is not None
        )

    @property
    def tier(self) -> Tier:
        return max((action.tier for action in self.actions), default=Tier.LOCAL)

    @property
    def digest(self) -> str:
        """What an approval is given for: it changes when anything in the plan does."""
        return content_hash(to_data(self))
