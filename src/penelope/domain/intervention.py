"""A plan that was let through, what goes on beside it, and what earlier ones came to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from penelope.domain.halt import Scope, ScopeKind, scopes_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was let through, beside what asks now: actions under way or ended within the window of the rate, and
    interventions under way, each by kind of scope.
    """

    actions: Mapping[ScopeKind, int] = field(default_factory=dict)
    running: Mapping[ScopeKind, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervention:
    """A plan that was let through: what it is under, how many actions are reserved for it, and from when on they are
    counted: when it was let through, and once it has ended, from then on.
    """

    incident: str
    service: str
    playbook: str
    fingerprint: str
    actions: int
    counted_from: datetime

    @property
    def scopes(self) -> tuple[Scope, ...]:
        return scopes_of(self.service, self.playbook, self.fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heal:
    """One time that a playbook healed a problem."""

    incident: str
    playbook: str
    at: datetime
