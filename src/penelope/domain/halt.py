"""A circuit breaker that stops healing: a state machine over immutable values, whose clock is the `now` it is given."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class ScopeKind(StrEnum):
    """What a breaker can stop: a service, a playbook, the healing of one problem, or everything."""

    SERVICE = "service"
    PLAYBOOK = "playbook"
    CAUSE = "cause"
    FLEET = "fleet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One breaker's reach. `name` is a service, a playbook or a problem's fingerprint; the fleet has none."""

    kind: ScopeKind
    name: str = ""

    @property
    def label(self) -> str:
        """As people write it: ``service:shop``, ``fleet``."""
        return f"{self.kind}:{self.name}" if self.name else str(self.kind)

    @classmethod
    def parse(cls, label: str) -> "Scope":
        """The scope with this label. Raises ValueError for a label that names nothing."""
        kind, _, name = label.partition(":")
        scope = cls(kind=ScopeKind(kind), name=name)
        if (scope.kind is ScopeKind.FLEET) == bool(name.strip()) or scope.label != label:
            message = f"{label!r} names no scope"
            raise ValueError(message)
        return scope


FLEET = Scope(kind=ScopeKind.FLEET)


def scopes_of(service: str, playbook: str, fingerprint: str) -> tuple[Scope, ...]:
    """The four breakers that an intervention is under. Raises ValueError where one of the names is missing."""
    names = {ScopeKind.SERVICE: service, ScopeKind.PLAYBOOK: playbook, ScopeKind.CAUSE: fingerprint}
    missing = [kind.value for kind, name in names.items() if not name.strip()]
    if missing:
        message = f"it has no {' and no '.join(missing)}"
        raise ValueError(message)
    return (*(Scope(kind=kind, name=name) for kind, name in names.items()), FLEET)


class FailureKind(StrEnum):
    """Why an intervention counts as a failure: it broke its contract, or the problem came back soon after it."""

    FAILED = "failed"
    RELAPSED = "relapsed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An incident whose fix failed, or did not last, and when that was seen."""

    incident: str
    kind: FailureKind
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """So many failures within `window_seconds` open a breaker for `cooldown_seconds`."""

    failures: int
    window_seconds: float
    cooldown_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """Opened by failures; from `until` on one trial is let through, and `trial` is the incident that has it."""

    since: datetime
    until: datetime
    trial: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Opened by a person; without `until` it lasts until a person closes it.

    `lifted` are the incidents for which somebody broke the glass while it stood. A new hold holds them, too.
    """

    actor: str
    reason: str
    since: datetime
    until: datetime | None = None
    lifted: tuple[str, ...] = ()


class State(StrEnum):
    """Whether a breaker lets interventions through: all, none, or one on trial."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """What is known of one scope. A person's hold lies over what failures have made of it, and takes none of it away."""

    scope: Scope
    failures: tuple[Failure, ...] = ()
    trip: Trip | None = None
    hold: Hold | None = None

    def held(self, now: datetime) -> bool:
        """Whether a person keeps it open."""
        return self.hold is not None and (self.hold.until is None or now < self.hold.until)

    def state(self, now: datetime) -> State:
        if self.held(now):
            return State.OPEN
        if self.trip is None:
            return State.CLOSED
        return State.OPEN if now < self.trip.until else State.HALF_OPEN

    def until(self, now: datetime) -> datetime | None:
        """When it is no longer open by itself; None where it is not open, or where only a person can close it."""
        if self.hold is not None and self.held(now):
            if self.hold.until is None or self.trip is None:
                return self.hold.until
            return max(self.hold.until, self.trip.until)
        return self.trip.until if self.trip is not None and now < self.trip.until else None

    def objection(self, incident: str, now: datetime) -> str:
        """Why it does not let this incident's plan through now; empty where it does."""
        match self.state(now):
            case State.CLOSED:
                return ""
            case State.OPEN:
                return self._why_open(now)
            case _:
                other = None if self.trip is None else self.trip.trial
                if other in {None, incident}:
                    return ""
                return f"{self.scope.label} is half open, and incident {other} is its trial"

    def stops(self, incident: str, now: datetime) -> str:
        """Why an incident's plan that was let through before must not go on; empty where it may.

        A person's word stops it, unless it was lifted for this incident, and so does a fleet that is open. That other
        incidents of the same service or playbook failed meanwhile does not: this plan answers for itself.
        """
        if self.scope.kind is ScopeKind.FLEET:
            return self._why_open(now) if self.state(now) is State.OPEN else ""
        lifted = self.hold is not None and incident in self.hold.lifted
        return self._why_open(now) if self.held(now) and not lifted else ""

    def _why_open(self, now: datetime) -> str:
        until = self.until(now)
        end = "until a person resumes it" if until is None else f"until {until:%Y-%m-%d %H:%M:%S} UTC"
        if self.hold is not None and self.held(now):
            return f"{self.scope.label} was halted by {self.hold.actor} ({self.hold.reason}), {end}"
        relapses = sum(1 for item in self.failures if item.kind is FailureKind.RELAPSED)
        told = f"{len(self.failures)} failures, {relapses} of them relapses"
        return f"{self.scope.label} is halted after {told}, {end}"

    def recent(self, limits: Limits, now: datetime) -> "Breaker":
        """Without failures that no longer count; what has opened it is told until it closes."""
        return self if self.trip is not None else replace(self, failures=self._within(limits, now))

    def _within(self, limits: Limits, now: datetime) -> tuple[Failure, ...]:
        start = now - timedelta(seconds=limits.window_seconds)
        return tuple(item for item in self.failures if item.at >= start)

    # --- what happens to it -------------------------------------------------------------------------------

    def noted(self, failure: Failure, limits: Limits, now: datetime) -> "Breaker":
        """With one more failure, which may open it. An incident counts once, however often it is noted.

        While the breaker is half open any failure opens it again, whoever's it is.
        """
        if any(item.incident == failure.incident for item in self.failures):
            return self
        failures = (*self._within(limits, now), failure)
        if self.trip is None:
            opens = len(failures) >= limits.failures
        else:
            opens = now >= self.trip.until or self.trip.trial == failure.incident
        cooldown = timedelta(seconds=limits.cooldown_seconds)
        trip = Trip(since=now, until=now + cooldown) if opens else self.trip
        return replace(self, failures=failures, trip=trip)

    def taken(self, incident: str, now: datetime) -> "Breaker":
        """With the trial given to this incident, if there is one to give."""
        if self.trip is None or self.state(now) is not State.HALF_OPEN or self.trip.trial is not None:
            return self
        return replace(self, trip=replace(self.trip, trial=incident))

    def overridden(self, incident: str, now: datetime) -> "Breaker":
        """With its hold, if a person keeps it open, lifted for this incident alone."""
        if self.hold is None or not self.held(now) or incident in self.hold.lifted:
            return self
        return replace(self, hold=replace(self.hold, lifted=(*self.hold.lifted, incident)))

    def succeeded(self, incident: str) -> "Breaker":
        """Closed, if it was this incident's trial."""
        if self.trip is None or self.trip.trial != incident:
            return self
        return replace(self, failures=(), trip=None)

    def freed(self, incident: str) -> "Breaker":
        """With the trial given back, if this incident had it."""
        if self.trip is None or self.trip.trial != incident:
            return self
        return replace(self, trip=replace(self.trip, trial=None))

    # --- what people do to it -----------------------------------------------------------------------------

    def opened(self, hold: Hold) -> "Breaker":
        """Held open; an earlier hold gives way to the new one."""
        return replace(self, hold=hold)

    def closed(self) -> "Breaker":
        """Closed; failures still count, so that the next ones may open it soon."""
        return replace(self, trip=None, hold=None)

    def reset(self) -> "Breaker":
        """As if nothing had ever failed."""
        return Breaker(scope=self.scope)


Breakers = Mapping[Scope, Breaker | None]
"""Breakers by scope; None for one that is stored in a form that cannot be read."""
