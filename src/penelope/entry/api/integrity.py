"""Sweeping the ledger, and who is alive here."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import ConfigDict

from penelope.domain.work import ActorKind
from penelope.entry.api.access import Running, requires
from penelope.entry.api.models import Flaw
from penelope.entry.api.problems import documented
from penelope.errors import AppendConflict, Forbidden, Unauthenticated, Unavailable
from penelope.flow.heartbeat import is_alive
from penelope.flow.keys import Scope
from penelope.kit.described import Described

router = APIRouter(
    prefix="/api/v1",
    tags=["ledger"],
    responses=documented(Unauthenticated, Forbidden, Unavailable),
)


class Sweep(Described):
    """What a sweep over all stored history found."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"count": 0, "flaws": [], "incident": None}},
    )

    count: int
    """How many flaws there are."""
    flaws: list[Flaw]
    """The first of them, at most 100."""
    incident: str | None
    """The incident that was raised or told; null if there are no flaws, or these were told before on this
    day (UTC)."""


class Actor(Described):
    """Somebody who does things here."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "act_01m7ywp4pc6e3qdmn1vj",
                "kind": "worker",
                "name": "worker:local",
                "last_heartbeat_at": "2026-11-21T07:00:00Z",
                "alive": True,
            }
        },
    )

    id: str
    """The pseudonym under which the ledger knows it."""
    kind: ActorKind
    name: str
    last_heartbeat_at: datetime
    """When it was last heard of; persons are heard of when they are first seen."""
    alive: bool | None
    """Whether a worker's heart beats; null for all others, who have none."""


@router.post("/ledger/sweep", dependencies=[requires(Scope.WRITE)], responses=documented(AppendConflict))
async def sweep_ledger(application: Running) -> Sweep:
    """Verifies all stored history at once and raises an incident if something does not fit.

    Needs the scope `write`. The server does the same by itself, each `ledger.sweep_seconds`.
    """
    return Sweep.model_validate(await application.sweep.sweep(), from_attributes=True)


@router.get("/actors", dependencies=[requires(Scope.READ)])
async def list_actors(application: Running) -> list[Actor]:
    """Lists who does things here, and which workers are alive. Needs the scope `read`."""
    now, seconds = application.parts.clock.now(), application.settings.engine.heartbeat_seconds
    return [
        Actor(
            id=actor.id,
            kind=actor.kind,
            name=actor.name,
            last_heartbeat_at=actor.last_heartbeat_at,
            alive=is_alive(actor, now, seconds) if actor.kind is ActorKind.WORKER else None,
        )
        for actor in await application.actors.all()
    ]
