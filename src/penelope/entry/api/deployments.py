"""Deployments: rollouts of a changed arm, what people say of them, and what is seen of them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Header, Path, Query
from fastapi.responses import StreamingResponse

from penelope.domain import deployment as domain
from penelope.domain.work import Entry
from penelope.entry.api.access import Running, requires
from penelope.entry.api.approvals import voter_of
from penelope.entry.api.deployment_models import (
    Deployment,
    DeploymentDetail,
    DeploymentEvent,
    DeploymentEvents,
    DeploymentPage,
    WantedDeployment,
    WantedRevision,
    WantedWord,
)
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
    UnknownDeployment,
    UnknownService,
)
from penelope.flow.deployments import DeploymentDesk, NewDeployment, Word
from penelope.flow.keys import Caller, Scope
from penelope.rooms.rollout.look import Kept

_FORM = r"^[A-Za-z0-9_-]{1,64}$"
_EVENT_SECONDS = 0.5
_LONGEST_QUIET_SECONDS = 15.0

Identifier = Annotated[str, Path(pattern=_FORM, description="The id of a deployment.")]
router = APIRouter(
    prefix="/api/v1/deployments",
    tags=["deployments"],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable),
)


async def _speaker(application: Running, caller: Annotated[Caller, requires(Scope.WRITE)]) -> str:
    return voter_of(application, caller).actor


async def _mover(application: Running, caller: Annotated[Caller, requires(Scope.APPROVE)]) -> str:
    return voter_of(application, caller).actor


Speaker = Annotated[str, Depends(_speaker)]
Mover = Annotated[str, Depends(_mover)]
_CHANGED = documented(AlreadyDecided, TooLarge, AppendConflict, ChainBroken)
_MORE_TRAFFIC = frozenset({domain.Order.RESUME, domain.Order.STEP, domain.Order.PROMOTE})


@router.get("", dependencies=[requires(Scope.READ)])
async def list_deployments(
    application: Running,
    service: Annotated[str | None, Query(max_length=256, description="Only those of this service.")] = None,
    active: Annotated[bool | None, Query(description="Only those under way, or only ended ones.")] = None,
    before: Annotated[str | None, Query(pattern=_FORM, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> DeploymentPage:
    """Lists deployments, the one that changed last first. Needs the scope `read`."""
    found = await application.deployments.page(service=service, active=active, before=before, limit=limit)
    listed = [Deployment.model_validate(item) for item in found]
    return DeploymentPage(deployments=listed, next=listed[-1].id if len(listed) == limit else None)


@router.get("/{id}", dependencies=[requires(Scope.READ)], responses=documented(UnknownDeployment))
async def get_deployment(application: Running, id: Identifier) -> DeploymentDetail:  # noqa: A002 - its name in the path
    """Shows how a deployment stands, and its last look. Needs the scope `read`."""
    return _detail(await application.deployments.shown(id))


@router.get("/{id}/events", dependencies=[requires(Scope.READ)], responses=documented(UnknownDeployment))
async def list_deployment_events(
    application: Running,
    id: Identifier,  # noqa: A002 - its name in the path
    after: Annotated[int, Query(ge=0, le=2**31, description="Beyond the event of this version.")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 200,
    newest: Annotated[bool, Query(description="The last so many instead of the first.")] = False,  # noqa: FBT002 - from the query
) -> DeploymentEvents:
    """Tells what happened to a deployment, every look with its figures and verdict. Needs the scope `read`."""
    await application.deployments.shown(id)
    found = await application.deployments.history(id, after, limit, newest=newest)
    return DeploymentEvents(events=[_event(entry) for entry in found])


@router.get(
    "/{id}/stream",
    dependencies=[requires(Scope.READ)],
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "Server-sent events, until it has ended."},
        **documented(UnknownDeployment),
    },
)
async def stream_deployment(
    application: Running,
    id: Identifier,  # noqa: A002 - its name in the path
    last_event_id: Annotated[str, Header(pattern=r"^[0-9]{0,9}$")] = "",
) -> StreamingResponse:
    """Sends what happens to a deployment as server-sent events, those that were missed first. Needs the scope `read`.

    The id of an event is its version: a client that connects again sends it as `Last-Event-ID`.
    """
    await application.deployments.shown(id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    told = _told(application.deployments, id, int(last_event_id or 0))
    return StreamingResponse(told, media_type="text/event-stream", headers=headers)


async def _told(desk: DeploymentDesk, identifier: str, after: int) -> AsyncIterator[bytes]:
    quiet = 0.0
    while True:
        ended = (await desk.shown(identifier)).deployment.status.ended
        found = await desk.history(identifier, after)
        for entry in found:
            after = entry.version
            yield f"id: {after}\nevent: {entry.event}\ndata: ".encode() + _as_json(entry) + b"\n\n"
        if ended and not found:
            return
        quiet = 0.0 if found else quiet + _EVENT_SECONDS
        if quiet >= _LONGEST_QUIET_SECONDS:  # so that nothing on the way takes the connection for a dead one
            quiet = 0.0
            yield b": still here\n\n"
        if not found:
            await asyncio.sleep(_EVENT_SECONDS)


@router.post("", responses={**_CHANGED, **documented(UnknownService)})
async def start_deployment(application: Running, speaker: Mover, wanted: WantedDeployment) -> Deployment:
    """Begins a rollout; with a `key`, only once. Needs the scope `approve`, for it moves traffic."""
    new = NewDeployment(
        service=wanted.service,
        course=wanted.course.course(),
        actor=speaker,
        reason=wanted.reason,
        revision=wanted.revision,
        patch=wanted.patch,
        key=wanted.key,
    )
    return Deployment.model_validate(await application.deployments.start(new))


@router.post("/{id}/words", responses={**_CHANGED, **documented(UnknownDeployment)})
async def tell_deployment(
    application: Running,
    caller: Annotated[Caller, requires(Scope.WRITE)],
    id: Identifier,  # noqa: A002 - its name in the path
    wanted: WantedWord,
) -> Deployment:
    """Says `pause`, `resume`, `step`, `promote`, `abort` or `cancel` to a deployment.

    Needs the scope `write`; and `approve` for what may bring it more traffic (`resume`, `step`, `promote`).
    """
    if wanted.order in _MORE_TRAFFIC and not caller.allows(Scope.APPROVE):
        raise Forbidden(f"{caller.described} lacks the scope 'approve', which {wanted.order.value!r} needs")
    said = Word(
        order=wanted.order,
        actor=voter_of(application, caller).actor,
        reason=wanted.reason,
        stage=wanted.stage,
    )
    return Deployment.model_validate(await application.deployments.tell(id, said))


@router.post("/{id}/revision", responses={**_CHANGED, **documented(UnknownDeployment)})
async def revise_deployment(
    application: Running,
    speaker: Speaker,
    id: Identifier,  # noqa: A002 - its name in the path
    wanted: WantedRevision,
) -> Deployment:
    """Says that a new revision runs in the changed arm: all begins anew. Needs the scope `write`."""
    return Deployment.model_validate(
        await application.deployments.revise(id, wanted.revision, speaker, wanted.reason)
    )


def _detail(kept: Kept) -> DeploymentDetail:
    return DeploymentDetail(deployment=Deployment.model_validate(kept.deployment), look=kept.look)


def _event(entry: Entry) -> DeploymentEvent:
    return DeploymentEvent(
        version=entry.version,
        at=entry.recorded_at,
        event=entry.event,
        actor=entry.actor,
        reason=entry.reason,
        status=entry.status_after,
        details=dict(entry.details),
    )


def _as_json(entry: Entry) -> bytes:
    return orjson.dumps(_event(entry).model_dump(mode="json"))
