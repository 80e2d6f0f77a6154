"""Earned autonomy: where playbooks stand, a person's hand on it, and what people did."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from penelope.domain.autonomy import Comparison, Level, Standing
from penelope.entry.api.access import Running, requires
from penelope.entry.api.approvals import Person
from penelope.entry.api.incidents import Identifier
from penelope.entry.api.problems import documented
from penelope.errors import (
    AlreadyDecided,
    AppendConflict,
    ChainBroken,
    Forbidden,
    InvalidRequest,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnknownIncident,
    UnknownPlaybook,
    UnknownService,
)
from penelope.flow.autonomy import Word
from penelope.flow.keys import Scope
from penelope.flow.reporting import Report
from penelope.kit.described import Described
from penelope.rooms.learn.autonomy import Policy, bounds, hindrance

Text = Annotated[str, Field(max_length=4096)]
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]


router = APIRouter(
    prefix="/api/v1",
    tags=["autonomy"],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable),
)


class Earned(Described):
    """Where a playbook stands on a service."""

    playbook: str
    service: str
    level: Level
    """The level in force: what was earned, or the cap where that is lower."""
    earned: Level
    """The level that it has earned."""
    cap: Level
    """The highest level that policy allows it."""
    capped: bool
    """Whether the cap keeps it from rising, or from using what it has earned."""
    successes: int
    """Verified successes since it last fell or was placed."""
    failures: int
    agreements: int
    """How often people did what it would have done."""
    disagreements: int
    lowest: float
    """The lower bound of the 95 % interval by which it rises."""
    highest: float
    reason: str
    """Why it stands where it stands."""
    hindrance: str
    """Why it does not stand higher; empty at the top."""
    since: datetime


class Earnings(Described):
    """Where playbooks stand."""

    start: Level
    """Where a playbook begins on a service that is not listed here."""
    standings: list[Earned]
    next: str | None
    """Ask again with it as `after` for the next page; null on the last one."""


class Placing(Described):
    """The level on which a person puts a playbook on a service, and why."""

    model_config = ConfigDict(extra="forbid")

    playbook: Name
    service: Name
    level: Level
    reason: Annotated[str, Field(max_length=4096, pattern=r"\S")]
    """It is kept in history."""


class Told(Described):
    """What people did about an incident."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"did": "restart-instance", "comment": "by hand, at the console"}]},
    )

    did: Name
    """The name of a playbook, `other` or `nothing`."""
    comment: Text = ""


class Compared(Described):
    """What a report came to."""

    model_config = ConfigDict(from_attributes=True)

    incident: str
    service: str
    did: str
    playbook: str | None
    """The playbook that was, or would have been, run."""
    comparison: Comparison
    """`agreed` and `differed` count for a playbook that did not act, `overridden` lowers one that did."""


@router.get("/autonomy", dependencies=[requires(Scope.READ)])
async def list_standings(
    application: Running,
    service: Annotated[Name | None, Query()] = None,
    playbook: Annotated[Name | None, Query()] = None,
    after: Annotated[Name | None, Query(description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Earnings:
    """Lists where playbooks stand on services on which they have a past. Needs the scope `read`."""
    desk = application.autonomy
    found = await desk.standings(service=service, playbook=playbook, after=after, limit=limit)
    return Earnings(
        start=desk.policy.start,
        standings=[_earned(item, desk.policy) for item in found.values()],
        next=list(found)[-1] if len(found) == limit else None,
    )


@router.post(
    "/autonomy", responses=documented(UnknownPlaybook, UnknownService, AppendConflict, ChainBroken, TooLarge)
)
async def set_autonomy(application: Running, person: Person, wanted: Placing) -> Earned:
    """Lowers or raises a playbook on a service, within its cap; it begins anew there.

    Needs the scope `approve`, and a person.
    """
    word = Word(person.actor, wanted.reason)
    standing = await application.autonomy.place(wanted.playbook, wanted.service, wanted.level, word)
    return _earned(standing, application.autonomy.policy)


@router.post(
    "/incidents/{id}/report",
    responses=documented(UnknownIncident, UnknownPlaybook, AlreadyDecided, AppendConflict, TooLarge),
)
async def report_action(
    application: Running,
    person: Person,
    id: Identifier,  # noqa: A002 - its name in the path
    told: Told,
) -> Compared:
    """Says what people did about an incident that has ended, once; playbooks rise and fall by it.

    Needs the scope `approve`, and a person.
    """
    report = Report(incident=id, actor=person.actor, did=told.did, comment=told.comment)
    return Compared.model_validate(await application.autonomy.report(report))


def _earned(standing: Standing, policy: Policy) -> Earned:
    low, high = bounds(standing)
    return Earned(
        playbook=standing.playbook,
        service=standing.service,
        level=standing.in_force,
        earned=standing.level,
        cap=standing.cap,
        capped=standing.in_force is standing.cap is not Level.AUTONOMOUS,
        successes=standing.successes,
        failures=standing.failures,
        agreements=standing.agreements,
        disagreements=standing.disagreements,
        lowest=low,
        highest=high,
        reason=standing.reason,
        hindrance=hindrance(standing, policy),
        since=standing.since,
    )
