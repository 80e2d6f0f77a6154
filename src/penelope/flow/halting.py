"""Breakers as units of work: read and changed in the transaction that decides, so that all workers share one truth.

A plan's four breakers are read without a lock where it is judged. Transactions are serializable: of two that take one
trial, or the last of a budget, the database refuses the second, which is made again and sees the first. Where an action
is claimed its intervention is held, so that whoever halts waits for that claim, and no later one passes.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from penelope.domain.halt import (
    Breaker,
    Breakers,
    Failure,
    FailureKind,
    Limits,
    Scope,
    ScopeKind,
    scopes_of,
)
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.intervention import Heal, Intervention, Usage
from penelope.domain.outcome import Outcome, OutcomeKind
from penelope.domain.plan import Plan
from penelope.domain.work import Change, UnitOfWork
from penelope.flow import records
from penelope.flow.ports import Transaction
from penelope.kit.codec import from_data, to_data
from penelope.rooms.gate.rules import Request

KIND = "halt"
"""The kind of these units; they belong to no incident."""

UNREADABLE = "unreadable"
"""Said of a breaker of which nobody can tell how it stands; it lets nothing through."""

_log = logging.getLogger(__name__)


def _limits(failures: int) -> Limits:
    return Limits(failures=failures, window_seconds=900, cooldown_seconds=3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brakes:
    """What stops healing, each by kind of scope: failures that open a breaker, and interventions under way at once.

    A problem that comes back within `relapse_seconds` after it was healed was not healed; the gate looks
    `rate_seconds` back for actions and `loop_seconds` for heals.
    """

    limits: Mapping[ScopeKind, Limits] = field(
        default_factory=lambda: {kind: _limits(10 if kind is ScopeKind.FLEET else 3) for kind in ScopeKind}
    )
    running: Mapping[ScopeKind, int] = field(default_factory=dict)
    relapse_seconds: float = 1800
    rate_seconds: float = 3600
    loop_seconds: float = 21_600

    def causes_since(self, now: datetime) -> datetime:
        """A closed breaker of a cause that nothing has happened to since is not worth telling: there are ever more."""
        return now - timedelta(seconds=self.limits[ScopeKind.CAUSE].window_seconds)

    def crowd(self, usage: Usage | None) -> str:
        """Why one more intervention must wait its turn; empty where it need not."""
        for kind, most in self.running.items():
            running = most if usage is None else usage.running[kind]
            if running >= most:
                return f"{running} interventions are under way ({kind}), of at most {most} at once"
        return ""


DEFAULTS = Brakes()
"""The brakes where nobody has set others."""


def unit_of(scope: Scope) -> str:
    """The id of a breaker's unit of work, such as ``halt:service:shop``."""
    return f"{KIND}:{scope.label}"


def scope_of(unit: str) -> Scope:
    """What a unit of this kind is the breaker of, by its id. Raises ValueError."""
    return Scope.parse(unit.removeprefix(f"{KIND}:"))


def breaker_from(unit: UnitOfWork | None, scope: Scope) -> Breaker | None:
    """The breaker that a unit holds; None where it cannot be read, or is another's."""
    if unit is None or unit.kind != KIND:
        return None
    try:
        found = from_data(Breaker, unit.attributes)
    except ValueError:
        return None
    return found if found.scope == scope else None


def states_of(units: Iterable[UnitOfWork], now: datetime) -> Mapping[str, str]:
    """How the breakers that these units hold stand, by the labels of their scopes; or UNREADABLE."""
    states: dict[str, str] = {}
    for unit in units:
        scope = scope_of(unit.id)
        breaker = breaker_from(unit, scope)
        states[scope.label] = UNREADABLE if breaker is None else breaker.state(now).value
    return states


async def breakers(transaction: Transaction, scopes: Sequence[Scope]) -> Breakers:
    """How breakers stand; one that never was is closed."""
    units = await transaction.peek([unit_of(scope) for scope in scopes])
    return {
        scope: breaker_from(units[unit_of(scope)], scope) if unit_of(scope) in units else Breaker(scope=scope)
        for scope in scopes
    }


async def failed_at(transaction: Transaction, service: str) -> tuple[datetime, ...]:
    """When fixes of a service failed lately; what cannot be read tells nothing, and the gate refuses by it."""
    scope = Scope(kind=ScopeKind.SERVICE, name=service)
    breaker = (await breakers(transaction, [scope]))[scope]
    return () if breaker is None else tuple(failure.at for failure in breaker.failures)


# --- before the gate --------------------------------------------------------------------------------------


async def note_relapse(transaction: Transaction, brakes: Brakes, incident: Incident) -> Heal | None:
    """Counts a problem that was healed and came back as a failure of what healed it, when it is first assessed.

    Returns the heal that did not last, if there is one.
    """
    if incident.state is not IncidentState.RECEIVED:
        return None
    since = incident.opened_at - timedelta(seconds=brakes.relapse_seconds)
    heals = await transaction.heals(incident.service, incident.fingerprint, since)
    if not heals:
        return None
    last = heals[-1]
    now = transaction.now()
    failure = Failure(incident=last.incident, kind=FailureKind.RELAPSED, at=now)
    scopes = scopes_of(incident.service, last.playbook, incident.fingerprint)
    reason = f"what {last.playbook} healed in incident {last.incident} came back as {incident.id}"
    await transaction.save(*_noted(await breakers(transaction, scopes), failure, brakes, now, reason=reason))
    return last


async def give_back(transaction: Transaction, incident: Incident) -> None:
    """Frees the trials of a plan that was let through and never begun: the process died, and all is judged anew.

    Another plan may come of it, or none, and what nobody tries must not stay lent.
    """
    if not incident.state.intervening:
        return
    if (earlier := await transaction.intervention(incident.id)) is not None:
        found = await breakers(transaction, earlier.scopes)
        reason = f"incident {incident.id} is judged anew before anything was done"
        await transaction.save(*_freed(found, incident.id, transaction.now(), reason))


async def seen_by_gate(
    transaction: Transaction, brakes: Brakes, incident: Incident, plan: Plan
) -> dict[str, Any]:
    """What the gate's brakes look at: the fields `breakers`, `usage` and `heals` of a request.

    Nothing where a name is missing by which to look: the rules then refuse.
    """
    try:
        scopes = scopes_of(plan.service, plan.playbook, incident.fingerprint)
    except ValueError:
        return {}
    now = transaction.now()
    since = now - timedelta(seconds=brakes.rate_seconds)
    healed_since = now - timedelta(seconds=brakes.loop_seconds)
    found = await breakers(transaction, scopes)
    return {
        "breakers": {
            scope: item and item.recent(brakes.limits[scope.kind], now) for scope, item in found.items()
        },
        "usage": await transaction.usage(plan.service, plan.playbook, incident.id, since),
        "heals": await transaction.heals(plan.service, incident.fingerprint, healed_since),
    }


async def let_through(transaction: Transaction, request: Request) -> list[Change]:
    """Reserves what a plan will do, takes the trial of every breaker that is half open, and notes on every hold that a
    broken glass has lifted it, by which the plan's claims know.
    """
    incident, plan, now = request.incident, request.plan, request.now
    changes: list[Change] = []
    for scope, breaker in (request.breakers or {}).items():
        if breaker is None:
            continue
        if (after := breaker.taken(incident.id, now)) != breaker:
            reason = f"incident {incident.id} is the trial of {scope.label}"
            changes.append(change_of(after, now, "TrialBegun", reason))
        elif (after := breaker.overridden(incident.id, now)) != breaker:
            reason = f"the glass was broken for incident {incident.id}"
            changes.append(change_of(after, now, "HaltOverridden", reason))
    await transaction.reserve(
        Intervention(
            incident=incident.id,
            service=plan.service,
            playbook=plan.playbook,
            fingerprint=incident.fingerprint,
            actions=len(plan.actions),
            counted_from=now,
        )
    )
    return changes


# --- while it acts ----------------------------------------------------------------------------------------


async def stopping(transaction: Transaction, incident: str) -> str:
    """Why an incident's plan must not go on; empty where it may. Whoever halts waits until this transaction ends."""
    intervention = await transaction.intervention(incident)
    if intervention is None:
        return "halt: nothing shows that the gate let this plan through"
    for scope, breaker in (await breakers(transaction, intervention.scopes)).items():
        if breaker is None:
            return f"halt: the breaker of {scope.label} cannot be read"
        if why := breaker.stops(incident, transaction.now()):
            return f"halt: {why}"
    return ""


# --- at its end -------------------------------------------------------------------------------------------


async def settle(
    transaction: Transaction, brakes: Brakes, incident: Incident, outcome: Outcome
) -> list[Change]:
    """Tells the breakers how an intervention ended: a success closes its trial, a failure counts, all else frees it."""
    if not (outcome.acted or incident.state.intervening):
        return []
    intervention = await transaction.intervention(incident.id)
    if intervention is None:
        return []
    found, now = await breakers(transaction, intervention.scopes), transaction.now()
    # Its budget is free again a whole window after its last action, however long it took from the gate to its end.
    await transaction.reserve(replace(intervention, counted_from=now))
    if outcome.verified is False and outcome.kind is OutcomeKind.ESCALATED:
        failure = Failure(incident=incident.id, kind=FailureKind.FAILED, at=now)
        return _noted(found, failure, brakes, now, reason=outcome.reason)
    if outcome.verified:
        return [
            change_of(after, now, "HaltClosed", f"the trial, incident {incident.id}, succeeded")
            for breaker in found.values()
            if breaker is not None and (after := breaker.succeeded(incident.id)) != breaker
        ]
    return _freed(found, incident.id, now, f"incident {incident.id} ended without a verdict")


def _noted(found: Breakers, failure: Failure, brakes: Brakes, now: datetime, *, reason: str) -> list[Change]:
    changes = []
    for scope, breaker in found.items():
        if breaker is None:
            # It refuses everything as it is; what ends here must not be held up by it.
            _log.error("the breaker of %s cannot be read, and so counts no failure", scope.label)
            continue
        after = breaker.noted(failure, brakes.limits[scope.kind], now)
        if after == breaker:
            continue
        event = "FailureNoted" if after.trip == breaker.trip else "HaltOpened"
        changes.append(change_of(after, now, event, f"{failure.kind}: {reason}"))
    return changes


def _freed(found: Breakers, incident: str, now: datetime, reason: str) -> list[Change]:
    return [
        change_of(after, now, "TrialFreed", reason)
        for breaker in found.values()
        if breaker is not None and (after := breaker.freed(incident)) != breaker
    ]


def change_of(
    breaker: Breaker, now: datetime, event: str, reason: str, *, actor: str = records.PENELOPE
) -> Change:
    """The breaker's new state, to be saved."""
    until = breaker.until(now)
    return Change(
        unit=unit_of(breaker.scope),
        kind=KIND,
        incident="",
        status=breaker.state(now).value,
        attributes=to_data(breaker),
        event=event,
        actor=actor,
        reason=reason,
        details={
            "scope": breaker.scope.kind.value,
            "name": breaker.scope.name,
            "failures": len(breaker.failures),
            "until": None if until is None else to_data(until),
            "by": "failures" if actor == records.PENELOPE else "person",
        },
    )
