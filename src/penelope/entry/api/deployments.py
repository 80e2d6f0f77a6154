"""Deployments: rollouts of a changed arm, what people say of them, and what is seen of them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from penelope.domain import deployment as domain
from penelope.domain.work import Entry
from penelope.entry.api.access import Running, requires
from penelope.entry.api.approvals import voter_of
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
from penelope.flow.keys import Key, Scope
from penelope.rooms.rollout.look import Kept

_FORM = r"^[A-Za-z0-9_-]{1,64}$"
_MOST_STAGES = 20
_EVENT_SECONDS = 0.5
_LONGEST_QUIET_SECONDS = 15.0

Identifier = Annotated[str, Path(pattern=_FORM, description="The id of a deployment.")]
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]
Text = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
Reason = Annotated[str, Field(max_length=4096, pattern=r"\S")]
Seconds = Annotated[float, Field(ge=0, le=30 * 86400, allow_inf_nan=False)]

router = APIRouter(
    prefix="/api/v1/deployments",
    tags=["deployments"],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable),
)


class Stage(BaseModel):
    """A weight for the changed arm."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, from_attributes=True)

    weight: Annotated[int, Field(ge=0, le=domain.WHOLE)]
    """Percent of the traffic."""
    min_seconds: Seconds = 0.0
    """It is not promoted sooner."""
    max_seconds: Seconds = 900.0
    """Without a verdict by then it is rolled back."""
    manual: bool = False
    """Waits for a person's word."""


class Course(BaseModel):
    """How a deployment is to go."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, from_attributes=True)

    canary: Name
    """The arm that is changed, by its name in the catalogue."""
    control: Name
    """The arm that it is compared with."""
    stages: Annotated[list[Stage], Field(min_length=1, max_length=_MOST_STAGES)] = Field(
        default_factory=lambda: [Stage.model_validate(stage) for stage in domain.CANARY]
    )
    """Each with a larger weight than the one before."""
    auto_promote: bool = True
    """Without it every stage waits for a person."""
    auto_rollback: bool = True
    """Without it a person is told that a rollback is due."""
    interval_seconds: Annotated[float, Field(ge=0.1, le=3600, allow_inf_nan=False)] = 5.0
    """Between two looks."""

    def course(self) -> domain.Course:
        """Raises InvalidRequest."""
        return domain.Course(
            canary=self.canary,
            control=self.control,
            stages=tuple(
                domain.Stage(
                    weight=stage.weight,
                    min_seconds=stage.min_seconds,
                    max_seconds=stage.max_seconds,
                    manual=stage.manual,
                )
                for stage in self.stages
            ),
            auto_promote=self.auto_promote,
            auto_rollback=self.auto_rollback,
            interval_seconds=self.interval_seconds,
        )


class Deployment(BaseModel):
    """A rollout as it stands."""

    model_config = ConfigDict(use_attribute_docstrings=True, from_attributes=True)

    id: str
    service: str
    course: Course
    status: domain.DeploymentStatus
    stage: int
    """Which of the stages, from 0."""
    weight: int
    """Percent of the traffic that was last seen to go to the changed arm."""
    wanted: int
    """Percent that is to be in force."""
    moving: bool
    """Whether the router is on its way from one to the other."""
    paused: bool
    awaits: str
    """The word that a person is asked for, `promotion` or `rollback`; empty where none is."""
    reason: str
    cause: domain.Cause | None
    """Why it goes back; null where it does not."""
    revision: str
    patch: str
    """The action whose change is rolled out; empty where Penelope did not make it."""
    created_by: str
    created_at: datetime
    since: datetime | None
    """Since when the stage has its traffic."""
    looked_at: datetime | None
    ended_at: datetime | None


class DeploymentPage(BaseModel):
    """Deployments, the one that changed last first."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    deployments: list[Deployment]
    next: str | None
    """Ask again with it as `before` for the next page; null on the last one."""


class DeploymentDetail(BaseModel):
    """A deployment, and its last look."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    deployment: Deployment
    look: dict[str, Any] | None
    """Figures, evidence and verdict of the last look, a reason for each metric; null before the first one."""


class DeploymentEvent(BaseModel):
    """One entry of a deployment's history."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    version: int
    """Its number in the history of this deployment, from 1."""
    at: datetime
    event: str
    actor: str
    reason: str
    status: str
    details: dict[str, Any]


class DeploymentEvents(BaseModel):
    """What happened to a deployment, in order."""

    events: list[DeploymentEvent]


class WantedDeployment(BaseModel):
    """A rollout that is to begin."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {"service": "shop", "course": {"canary": "shop-b", "control": "shop-a"}, "reason": "v2"}
            ]
        },
    )

    service: Name
    course: Course
    reason: Reason
    revision: Text = ""
    """What runs in the changed arm, such as a tag or a digest."""
    patch: Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    """The id of the action whose change it is; a rollback takes that back too."""
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{0,128}$")] = ""
    """Sent again with the same key and by the same caller, it is the same deployment."""


class WantedWord(BaseModel):
    """What is said to a deployment."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    order: domain.Order
    reason: Reason
    stage: Annotated[int | None, Field(ge=0, le=_MOST_STAGES)] = None
    """The stage that a `step` is meant for: sent twice it is one step."""


class WantedRevision(BaseModel):
    """A new revision in the changed arm."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    revision: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
    reason: Reason


async def _speaker(application: Running, key: Annotated[Key, requires(Scope.WRITE)]) -> str:
    return voter_of(application, key).actor


async def _mover(application: Running, key: Annotated[Key, requires(Scope.APPROVE)]) -> str:
    return voter_of(application, key).actor


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
) -> DeploymentEvents:
    """Tells what happened to a deployment, every look with its figures and verdict. Needs the scope `read`."""
    await application.deployments.shown(id)
    found = await application.deployments.history(id, after, limit)
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
    last_event_id: Annotated[str, Header(pattern=r"^\d{0,9}$")] = "",
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
    key: Annotated[Key, requires(Scope.WRITE)],
    id: Identifier,  # noqa: A002 - its name in the path
    wanted: WantedWord,
) -> Deployment:
    """Says `pause`, `resume`, `step`, `promote`, `abort` or `cancel` to a deployment.

    Needs the scope `write`; and `approve` for what may bring it more traffic (`resume`, `step`, `promote`).
    """
    if wanted.order in _MORE_TRAFFIC and not key.allows(Scope.APPROVE):
        raise Forbidden(f"the key lacks the scope 'approve', which {wanted.order.value!r} needs")
    said = Word(
        order=wanted.order,
        actor=voter_of(application, key).actor,
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
