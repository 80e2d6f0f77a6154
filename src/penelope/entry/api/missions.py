"""Missions: incidents and actions with one goal, and how far they are."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import ConfigDict, Field

from penelope.domain import mission as domain
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
    UnknownIncident,
    UnknownMission,
)
from penelope.flow.keys import Caller, Scope
from penelope.flow.missions import NewMission, Said
from penelope.kit.described import Described

_FORM = r"^[A-Za-z0-9_-]{1,64}$"
_LINE = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"

Identifier = Annotated[str, Path(pattern=_FORM, description="The id of a mission.")]
MemberId = Annotated[str, Field(pattern=_FORM)]
MemberIds = Annotated[list[MemberId], Field(max_length=domain.MOST_MEMBERS)]
Reason = Annotated[str, Field(max_length=4096, pattern=r"\S")]

router = APIRouter(
    prefix="/api/v1/missions",
    tags=["missions"],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable),
)


class Mission(Described):
    """A group of incidents and actions with one goal."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    goal: str
    status: domain.MissionStatus
    incidents: list[str]
    actions: list[str]
    key: str
    """What its maker knows it by; empty where nothing was given."""
    created_by: str
    created_at: datetime
    closed_at: datetime | None


class MissionPage(Described):
    """Missions, the one that changed last first."""

    missions: list[Mission]
    next: str | None
    """Ask again with it as `before` for the next page; null on the last one."""


class Block(Described):
    """An obstacle."""

    model_config = ConfigDict(from_attributes=True)

    by: domain.BlockedBy
    of: str
    """The approval, the scope of the halt, or the incident."""


class MissionMember(Described):
    """How far an incident or action is."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    kind: str
    """`incident` or `action`."""
    title: str
    service: str
    state: str
    done: int
    """Pieces of work that are done: the actions of its plan, and its end."""
    total: int
    blocked: list[Block]
    """What keeps it from going on."""


class MissionProgress(Described):
    """How far a mission is."""

    percent: int
    """Of all pieces of work; 100 says that nothing is left."""
    done: int
    total: int
    remaining: int
    """Members that are not finished."""
    blocked: int
    """Members that cannot go on by themselves."""
    members: list[MissionMember]


class MissionDetail(Described):
    """A mission and how far it is."""

    mission: Mission
    progress: MissionProgress


class NewMembers(Described):
    """Ids of incidents and of actions."""

    model_config = ConfigDict(extra="forbid")

    incidents: MemberIds = Field(default_factory=list)
    actions: MemberIds = Field(default_factory=list)

    def members(self) -> domain.Members:
        return domain.Members(
            incidents=tuple(dict.fromkeys(self.incidents)), actions=tuple(dict.fromkeys(self.actions))
        )


class WantedMission(NewMembers):
    """A mission that is to be made."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "Calm the shop", "goal": "no errors before the sale"}]},
    )

    name: Annotated[str, Field(max_length=120, pattern=_LINE)]
    goal: Reason
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{0,128}$")] = ""
    """Sent again with the same key and by the same caller, it is the same mission."""


class ChangedMembers(Described):
    """Members that come and go, and why."""

    model_config = ConfigDict(extra="forbid")

    add: NewMembers = Field(default_factory=NewMembers)
    remove: NewMembers = Field(default_factory=NewMembers)
    reason: Reason
    """It is kept in history."""


class WhyClosed(Described):
    """Why a mission ends."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    """It is kept in history."""


async def _speaker(application: Running, caller: Annotated[Caller, requires(Scope.WRITE)]) -> str:
    return voter_of(application, caller).actor


Speaker = Annotated[str, Depends(_speaker)]
_CHANGED = documented(UnknownIncident, TooLarge, AppendConflict, ChainBroken)


@router.get("", dependencies=[requires(Scope.READ)])
async def list_missions(
    application: Running,
    status: Annotated[domain.MissionStatus | None, Query(description="Only open or closed ones.")] = None,
    before: Annotated[str | None, Query(pattern=_FORM, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> MissionPage:
    """Lists missions, the one that changed last first. Needs the scope `read`."""
    found = await application.missions.page(status=status, before=before, limit=limit)
    listed = [Mission.model_validate(item) for item in found]
    return MissionPage(missions=listed, next=listed[-1].id if len(listed) == limit else None)


@router.get("/{id}", dependencies=[requires(Scope.READ)], responses=documented(UnknownMission))
async def get_mission(application: Running, id: Identifier) -> MissionDetail:  # noqa: A002 - its name in the path
    """Shows a mission, how far it is, and what blocks it. Needs the scope `read`."""
    mission, progress = await application.missions.shown(id)
    return MissionDetail(
        mission=Mission.model_validate(mission),
        progress=MissionProgress(
            percent=progress.percent,
            done=progress.done,
            total=progress.total,
            remaining=len(progress.remaining),
            blocked=len(progress.blocked),
            members=[MissionMember.model_validate(item) for item in progress.members],
        ),
    )


@router.post("", responses=_CHANGED)
async def create_mission(application: Running, speaker: Speaker, wanted: WantedMission) -> Mission:
    """Makes a mission; with a `key`, only once. Needs the scope `write`."""
    new = NewMission(
        name=wanted.name, goal=wanted.goal, actor=speaker, key=wanted.key, members=wanted.members()
    )
    return Mission.model_validate(await application.missions.create(new))


@router.post("/{id}/members", responses={**_CHANGED, **documented(UnknownMission, AlreadyDecided)})
async def change_mission(
    application: Running,
    speaker: Speaker,
    id: Identifier,  # noqa: A002 - its name in the path
    wanted: ChangedMembers,
) -> Mission:
    """Adds incidents and actions to a mission, and removes them. Needs the scope `write`."""
    said = Said(actor=speaker, reason=wanted.reason)
    add, remove = wanted.add.members(), wanted.remove.members()
    return Mission.model_validate(await application.missions.change(id, said, add=add, remove=remove))


@router.post("/{id}/close", responses=documented(UnknownMission, TooLarge, AppendConflict, ChainBroken))
async def close_mission(
    application: Running,
    speaker: Speaker,
    id: Identifier,  # noqa: A002 - its name in the path
    wanted: WhyClosed,
) -> Mission:
    """Ends a mission, however far it is; how far is kept in history. Needs the scope `write`."""
    closed = await application.missions.close(id, Said(actor=speaker, reason=wanted.reason))
    return Mission.model_validate(closed)
