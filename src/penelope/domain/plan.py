"""What exactly would be done: playbooks, and plans made from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from penelope.domain.action import Action, Tier
from penelope.domain.contract import Clause, Contract
from penelope.domain.rollout import RolloutSpec
from penelope.kit.canonical import Json, content_hash
from penelope.kit.codec import to_data


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A value that a playbook needs: bound from a concept of the evidence, or a default."""

    name: str
    kind: str
    source: str | None = None
    default: Json = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which incidents a playbook is for: signal names, labels (all must be equal) and services."""

    names: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """A template of a fix. `after` runs when the rollout has promoted; `verify` is judged at the very end."""

    name: str
    version: str
    title: str
    match: Match
    steps: tuple[StepTemplate, ...]
    verify: Contract
    preconditions: tuple[Clause, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    rollout: RolloutSpec | None = None
    after: tuple[StepTemplate, ...] = ()
    approval: bool = False

    @property
    def tier(self) -> Tier:
        """The tier of its hardest step."""
        return max((step.tier for step in (*self.steps, *self.after)), default=Tier.LOCAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A playbook bound to an incident: every parameter filled in, every target found."""

    id: str
    incident: str
    service: str
    playbook: str
    playbook_version: str
    steps: tuple[Action, ...]
    verify: Contract
    rollout: RolloutSpec | None = None
    after: tuple[Action, ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        return (*self.steps, *self.after)

    @property
    def tier(self) -> Tier:
        return max((action.tier for action in self.actions), default=Tier.LOCAL)

    @property
    def digest(self) -> str:
        """What an approval is given for: it changes when anything in the plan does."""
        return content_hash(to_data(self))
