"""Halts: what stops healing now, and a person's hand on the switch."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field, StringConstraints

from penelope.domain import halt as domain
from penelope.domain.halt import FailureKind, Scope, ScopeKind
from penelope.domain.work import UnitOfWork
from penelope.entry.api.access import Running, requires
from penelope.entry.api.approvals import Person
from penelope.entry.api.problems import documented
from penelope.errors import (
    AppendConflict,
    ChainBroken,
    Forbidden,
    InvalidRequest,
    Unauthenticated,
    Unavailable,
    UnknownPlaybook,
    UnknownService,
)
from penelope.flow.halting import UNREADABLE, Brakes, breaker_from, scope_of
from penelope.flow.keys import Caller
from penelope.flow.keys import Scope as KeyScope
from penelope.flow.switching import Order
from penelope.kit.described import Described

router = APIRouter(
    prefix="/api/v1/halts",
    tags=["halts"],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable),
)

_LONGEST = 366 * 86_400


class Failure(Described):
    """A fix that failed, or that did not last."""

    incident: str
    kind: FailureKind
    """`failed`: it broke its contract; `relapsed`: the problem came back soon after it was healed."""
    at: datetime


class Halt(Described):
    """How one breaker stands."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "scope": "service:shop",
                    "kind": "service",
                    "name": "shop",
                    "state": "open",
                    "until": "2026-11-21T08:00:00Z",
                    "held_by": None,
                    "reason": "",
                    "trial": None,
                    "failures": [{"incident": "inc_1", "kind": "relapsed", "at": "2026-11-21T07:00:00Z"}],
                }
            ]
        },
    )

    scope: str
    """What it stops: `fleet`, or `service:`, `playbook:` or `cause:` and a name."""
    kind: ScopeKind
    name: str
    """A service, a playbook, the fingerprint of a problem, or empty."""
    state: str
    """`closed`, `open`, `half_open` (one intervention is let through on trial), or `unreadable`, which stops all."""
    until: datetime | None
    """When it is no longer open; null where it is not open, or only a person can close it."""
    held_by: str | None
    """Who opened it; null where failures did."""
    reason: str
    """Why that person opened it."""
    trial: str | None
    """The incident that is let through on trial."""
    failures: list[Failure]
    """The failures that count."""

    @classmethod
    def of(cls, breaker: domain.Breaker, now: datetime) -> Self:
        hold = breaker.hold if breaker.held(now) else None
        return cls(
            scope=breaker.scope.label,
            kind=breaker.scope.kind,
            name=breaker.scope.name,
            state=breaker.state(now).value,
            until=breaker.until(now),
            held_by=None if hold is None else hold.actor,
            reason="" if hold is None else hold.reason,
            trial=None if breaker.trip is None else breaker.trip.trial,
            failures=[Failure.model_validate(item, from_attributes=True) for item in breaker.failures],
        )

    @classmethod
    def unreadable(cls, scope: Scope) -> Self:
        return cls(
            scope=scope.label,
            kind=scope.kind,
            name=scope.name,
            state=UNREADABLE,
            until=None,
            held_by=None,
            reason="",
            trial=None,
            failures=[],
        )


class HaltList(Described):
    """Every breaker that a failure or a person has touched, without those of problems that closed long ago; all others
    are closed.
    """

    halts: list[Halt]


class Word(Described):
    """Why a person closes or resets a breaker."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "the release was taken back"}]}
    )

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4096)]


class Stop(Word):
    """Why a person opens a breaker, and for how long."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"reason": "the database moves", "seconds": 7200}]},
    )

    seconds: Annotated[float, Field(gt=0, le=_LONGEST)] | None = None
    """After so many seconds it closes by itself; by default a person must close it."""


def _scope(scope: str) -> Scope:
    try:
        return Scope.parse(scope)
    except ValueError:
        raise InvalidRequest(
            f"'{scope}' names nothing that can be halted",
            hint="Write fleet, service:NAME, playbook:NAME or cause:FINGERPRINT.",
        ) from None


Label = Annotated[
    str,
    Path(
        max_length=300,
        pattern=r"^[^\x00]*$",
        description="`fleet`, or `service:`, `playbook:` or `cause:` and a name.",
        examples=["service:shop"],
    ),
]
Approver = Annotated[Caller, requires(KeyScope.APPROVE)]
_PROBLEMS = documented(AppendConflict, ChainBroken)


@router.get("", dependencies=[requires(KeyScope.READ)])
async def list_halts(application: Running) -> HaltList:
    """Lists every breaker that a failure or a person has touched, of problems the open ones and the latest. Needs the
    scope `read`.
    """
    brakes, now = application.parts.brakes, application.parts.clock.now()
    found = await application.reader.halts(brakes.causes_since(now))
    return HaltList(halts=[_shown(unit, brakes, now) for unit in found])


def _shown(unit: UnitOfWork, brakes: Brakes, now: datetime) -> Halt:
    scope = scope_of(unit.id)
    breaker = breaker_from(unit, scope)
    if breaker is None:
        return Halt.unreadable(scope)
    return Halt.of(breaker.recent(brakes.limits[scope.kind], now), now)


@router.post("/{scope}/open", responses=documented(UnknownService, UnknownPlaybook) | _PROBLEMS)
async def open_halt(application: Running, caller: Approver, scope: Label, body: Stop) -> Halt:
    """Stops healing at once, for every worker: no action is begun after the answer. Needs the scope `approve`.

    Actions under way run to their end; what their interventions did is then taken back.
    """
    order = Order(scope=_scope(scope), actor=caller.actor, reason=body.reason)
    return Halt.of(await application.switch.open(order, body.seconds), application.parts.clock.now())


@router.post("/{scope}/close", responses=_PROBLEMS)
async def close_halt(application: Running, person: Person, scope: Label, body: Word) -> Halt:
    """Lets healing go on; the failures of late still count. Needs the scope `approve`, and a person."""
    order = Order(scope=_scope(scope), actor=person.actor, reason=body.reason)
    return Halt.of(await application.switch.close(order), application.parts.clock.now())


@router.post("/{scope}/reset", responses=_PROBLEMS)
async def reset_halt(application: Running, person: Person, scope: Label, body: Word) -> Halt:
    """Lets healing go on, with all failures forgotten. Needs the scope `approve`, and a person."""
    order = Order(scope=_scope(scope), actor=person.actor, reason=body.reason)
    return Halt.of(await application.switch.reset(order), application.parts.clock.now())
