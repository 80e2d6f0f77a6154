"""What is being done at this moment."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import ConfigDict

from penelope.domain.lease import Lease
from penelope.domain.work import UnitOfWork
from penelope.entry.api.access import Running, requires
from penelope.entry.api.problems import documented
from penelope.errors import Forbidden, Unauthenticated, Unavailable
from penelope.flow.keys import Scope
from penelope.kit.described import Described

router = APIRouter(
    prefix="/api/v1",
    tags=["incidents"],
    responses=documented(Unauthenticated, Forbidden, Unavailable),
)


class RunningAction(Described):
    """A target that an action holds."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "target": "shop/instance-b",
                "action": "Restart instance b",
                "operation": "process.restart",
                "incident": "inc_01m7ywp4pc6e3qdmn1vj",
                "status": "started",
                "fence": 3,
                "since": "2026-11-21T07:00:00Z",
                "beat_at": "2026-11-21T07:00:05Z",
            }
        },
    )

    target: str
    """Service and target: nothing else changes it meanwhile."""
    action: str | None
    """The action's name; null until its beginning is recorded."""
    operation: str | None
    """Adapter and operation."""
    incident: str
    status: str
    """How far it came: `waiting`, `prepared`, `started`, or at its end and being verified or taken back."""
    fence: int
    """The fencing token: it rises with each holder of the target."""
    since: datetime
    beat_at: datetime
    """When the action last showed that it is alive, each `act.heartbeat_seconds`."""


@router.get("/actions/running", dependencies=[requires(Scope.READ)])
async def list_running_actions(application: Running) -> list[RunningAction]:
    """Lists the targets that are being changed now, and by what. Needs the scope `read`."""
    return [_shown(lease, unit) for lease, unit in await application.reader.leases()]


def _shown(lease: Lease, unit: UnitOfWork | None) -> RunningAction:
    action = None if unit is None else unit.attributes["action"]
    return RunningAction(
        target=lease.target,
        action=action and action["name"],
        operation=action and f"{action['adapter']}.{action['operation']}",
        incident=lease.incident,
        status="prepared" if unit is None else unit.status,
        fence=lease.fence,
        since=lease.since,
        beat_at=lease.beat_at,
    )
