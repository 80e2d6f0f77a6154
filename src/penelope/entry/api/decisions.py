"""How decisions were made: explained, made again, and how well their confidence fits."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from penelope.bootstrap import Application
from penelope.entry.api import decision_models as models
from penelope.entry.api.access import Running, requires
from penelope.entry.api.problems import documented
from penelope.errors import (
    ChainBroken,
    Forbidden,
    InvalidRequest,
    NotReplayable,
    PayloadGone,
    Unauthenticated,
    Unavailable,
    UnknownDecision,
)
from penelope.flow.audit import Lived
from penelope.flow.keys import Scope
from penelope.flow.replaying import Recorded
from penelope.rooms.learn.calibration import Calibration, calibration

DAYS = 30
"""What calibration is about if nothing else is asked for."""

_NAMED = ("id", "incident", "version", "service", "decided_at")

router = APIRouter(
    prefix="/api/v1",
    tags=["decisions"],
    dependencies=[requires(Scope.READ)],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable),
)

Identifier = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="The number of a decision, or the id of an incident, which stands for its latest decision.",
    ),
]
Version = Annotated[
    int | None,
    Query(ge=1, le=2**31 - 1, description="Which decision about the incident; by default the latest."),
]
Name = Annotated[str | None, Query(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]


@router.get("/decisions/{id}/explanation", responses=documented(UnknownDecision, PayloadGone, ChainBroken))
async def explain_decision(
    application: Running,
    id: Identifier,  # noqa: A002 - its name in the path
    version: Version = None,
) -> models.Explanation:
    """Explains a decision: would it heal by itself, could acting do more harm, is there precedent? Needs the scope `read`."""
    return _explanation(await application.replaying.recorded(id, version))


@router.post(
    "/decisions/{id}/replay", responses=documented(UnknownDecision, PayloadGone, NotReplayable, ChainBroken)
)
async def replay_decision(
    application: Running,
    id: Identifier,  # noqa: A002 - its name in the path
    version: Version = None,
) -> models.Replay:
    """Makes a decision again from its recorded inputs, and names what differs. Changes nothing. Needs the scope `read`."""
    replay = await application.replaying.replay(id, version)
    row = replay.recorded.row
    return models.Replay(
        id=row.id,
        incident=row.incident,
        version=row.version,
        identical=not replay.differences,
        differences=[
            models.Difference.model_validate(item, from_attributes=True) for item in replay.differences
        ],
    )


@router.get("/calibration")
async def get_calibration(
    application: Running,
    service: Name = None,
    playbook: Name = None,
    days: Annotated[int, Query(ge=1, le=3650, description="How many days back.")] = DAYS,
) -> models.Calibration:
    """Shows how well confidence fits what came of the plans that acted. Needs the scope `read`."""
    since = application.parts.clock.now() - timedelta(days=days)
    found = calibration(
        await application.audit.predictions(Lived(since=since, service=service, playbook=playbook))
    )
    told: dict[str, Any] = {"since": since, "service": service, "playbook": playbook}
    return models.Calibration(
        **told,
        count=found.count,
        brier=found.brier,
        expected_error=found.expected_error,
        base_rate=found.base_rate,
        curve=[models.Bin.model_validate(item, from_attributes=True) for item in found.curve],
    )


async def measured(application: Application) -> Calibration:
    """Calibration of everything in the last DAYS days."""
    since = application.parts.clock.now() - timedelta(days=DAYS)
    return calibration(await application.audit.predictions(Lived(since=since)))


def _explanation(found: Recorded) -> models.Explanation:
    """What a decision said. One of an older version has no cost and no healing."""
    nothing = {"value": 0.0, "contributions": []}
    inputs = found.attributes.get("inputs")
    told = {
        "cost": nothing,
        "healing": None,
        "stratum": "unseen",
        "traits": "",
        "briefing": None,
        "leaned_on": (),
        **found.attributes,
        **{name: getattr(found.row, name) for name in _NAMED},
        "articles": list(found.attributes.get("articles", ())),
        "schema_version": inputs.get("schema") if isinstance(inputs, dict) else None,
    }
    return models.Explanation.model_validate(
        {name: told.get(name) for name in models.Explanation.model_fields}
    )
