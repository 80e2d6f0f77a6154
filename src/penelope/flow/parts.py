"""What the story works with, put together by bootstrap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from penelope.domain.action import Action
from penelope.domain.asking import AskingPolicy
from penelope.domain.benchmark import Benching
from penelope.domain.evidence import Evidence
from penelope.domain.service import Service
from penelope.errors import UnknownAdapter, UnknownService
from penelope.flow.halting import DEFAULTS, Brakes
from penelope.flow.wisdom import NoRecall, Recall
from penelope.kit.clock import Clock
from penelope.rooms.act.ports import ActionAdapter
from penelope.rooms.context import ports as context
from penelope.rooms.decide.run import Limits as DecideLimits
from penelope.rooms.gate.rules import Rule
from penelope.rooms.learn.autonomy import Policy
from penelope.rooms.plan.ports import PlaybookLibrary, Twin
from penelope.rooms.rollout.ports import ArmCounter, Router
from penelope.rooms.verify import ports as verify


class Metrics(context.MetricReader, verify.MetricReader, Protocol):
    """One source of figures serves both rooms."""


class NothingAround:
    """Where no context platform is set up nothing is asked."""

    async def about(self, incident: str, service: Service) -> Sequence[Evidence]:  # noqa: ARG002 - whatever it is about
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things may take, in seconds."""

    window_seconds: float
    verify_poll_seconds: float
    approval_expires_seconds: float
    heartbeat_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The catalogue, the adapters and the limits."""

    services: Mapping[str, Service]
    playbooks: PlaybookLibrary
    metrics: Metrics
    changes: context.ChangeReader
    adapters: Mapping[str, ActionAdapter]
    routers: Mapping[str, Router]
    clock: Clock
    decide: DecideLimits
    gate: Sequence[Rule]
    timing: Timing
    asking: AskingPolicy = field(default_factory=AskingPolicy)
    autonomy: Policy = field(default_factory=Policy)
    brakes: Brakes = DEFAULTS
    wisdom: Recall = field(default_factory=NoRecall)
    leaned_on: int = 5
    """The most past cases that a decision lists."""
    probers: Mapping[str, verify.Prober] = field(default_factory=dict)
    """What measures benchmarks, by kind of probe."""
    benching: Benching = field(default_factory=Benching)
    twin: Twin | None = None
    """Where plans are tried first; None where they are not."""
    counter: ArmCounter | None = None
    """What deployments are judged by; without one they see nothing."""
    surroundings: context.ContextReader = field(default_factory=NothingAround)
    """What is asked for more than figures and changes."""
    _users: Mapping[str, set[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        users: dict[str, set[str]] = {}
        for service in self.services.values():
            for leaned_on in service.dependencies:
                users.setdefault(leaned_on, set()).add(service.name)
        object.__setattr__(self, "_users", users)

    def service(self, name: str) -> Service:
        """Raises UnknownService."""
        try:
            return self.services[name]
        except KeyError:
            message = f"service {name!r} is not in the catalogue"
            raise UnknownService(message) from None

    def dependents(self, name: str) -> int:
        """How many services of the catalogue lean on this one, directly or through others."""
        return len(self.leaning_on(name))

    def leaning_on(self, name: str) -> frozenset[str]:
        """The services of the catalogue that lean on this one, directly or through others."""
        leaning, wanted = {name}, [name]
        while wanted:
            fresh = self._users.get(wanted.pop(), set()) - leaning
            leaning |= fresh
            wanted += fresh
        return frozenset(leaning - {name})

    def adapter(self, action: Action) -> ActionAdapter:
        """Raises UnknownAdapter."""
        try:
            return self.adapters[action.adapter]
        except KeyError:
            message = f"adapter {action.adapter!r} is not installed"
            raise UnknownAdapter(message) from None

    def located(self, action: Action) -> Action:
        """The action with its target's options, which hold addresses and secrets and so are never stored.

        Raises UnknownService when the catalogue lost the service or the target.
        """
        service = self.service(action.target.service)
        target = service.targets.get(action.target.name)
        if target is None:
            message = f"service {service.name!r} has no target {action.target.name!r} any more"
            raise UnknownService(message)
        return replace(action, target=target)

    def router(self, service: Service) -> Router:
        """Raises UnknownAdapter for a service without a router, or of a kind that is not installed."""
        kind = None if service.router is None else service.router.kind
        if kind is None or kind not in self.routers:
            message = f"service {service.name!r} has no router of an installed kind ({kind})"
            raise UnknownAdapter(message)
        return self.routers[kind]
