"""The server itself: its state, its playbooks, its health and its metrics."""

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST

import penelope
from penelope.domain.plan import Playbook
from penelope.entry.api.access import Running, requires
from penelope.entry.api.decisions import measured
from penelope.entry.api.models import Health, PlaybookList, PlaybookSummary, ServiceSummary, Status
from penelope.entry.api.problems import documented
from penelope.errors import Forbidden, Unauthenticated, Unavailable
from penelope.flow.halting import states_of
from penelope.flow.keys import Scope

router = APIRouter(
    prefix="/api/v1",
    tags=["server"],
    dependencies=[requires(Scope.READ)],
    responses=documented(Unauthenticated, Forbidden, Unavailable),
)
open_router = APIRouter(tags=["health"])
"""What load balancers and scrapers ask, without a key."""


@router.get("/status")
async def get_status(application: Running) -> Status:
    """Tells what this server is and what it has to do. Needs the scope `read`."""
    parts = application.parts
    services = [
        ServiceSummary.model_validate(service, from_attributes=True) for service in parts.services.values()
    ]
    return Status.model_validate(
        {
            "version": penelope.__version__,
            "incidents": await application.reader.counts(),
            "services": services,
            "playbooks": [playbook.name for playbook in parts.playbooks.playbooks()],
        }
    )


@router.get("/playbooks")
async def list_playbooks(application: Running) -> PlaybookList:
    """Lists the playbooks in force, in order of preference. Needs the scope `read`."""
    return PlaybookList(playbooks=[_summary(item) for item in application.parts.playbooks.playbooks()])


def _summary(playbook: Playbook) -> PlaybookSummary:
    return PlaybookSummary(
        name=playbook.name,
        version=playbook.version,
        title=playbook.title,
        tier=playbook.tier,
        approval=playbook.approval,
        names=list(playbook.match.names),
        labels=dict(playbook.match.labels),
        services=list(playbook.match.services),
        steps=[step.name for step in playbook.every_step],
        rollout=playbook.rollout is not None,
    )


@open_router.get("/health/live")
async def is_alive() -> Health:
    """Answers as long as the process does. Needs no key."""
    return Health(status="ok")


@open_router.get("/health/ready", responses=documented(Unavailable))
async def is_ready(application: Running) -> Health:
    """Answers 503 until everything is started and the database answers. Needs no key."""
    try:
        await application.reader.counts()
    except Exception as error:
        raise Unavailable("the database does not answer") from error
    return Health(status="ok")


@open_router.get(
    "/metrics",
    response_class=Response,
    responses=documented(Unavailable) | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics(application: Running) -> Response:
    """Shows the metrics in the Prometheus format.

    Needs no key, as scrapers expect: names of services stand in it, so let only your network reach it.
    """
    telemetry, reader, now = application.telemetry, application.reader, application.parts.clock.now()
    telemetry.incidents_counted(await reader.counts())
    halts = await reader.halts(application.parts.brakes.causes_since(now))
    telemetry.halts_seen(states_of(halts, now))
    telemetry.asked_counted(await reader.asked_counts(now))
    routed = [name for name, service in application.parts.services.items() if service.router is not None]
    telemetry.deployments_seen(routed, await application.deployments.active())
    fit = await measured(application)
    telemetry.calibration_measured(fit.count, fit.brier, fit.expected_error)
    telemetry.stores_seen(*application.resolver.standing())
    return Response(telemetry.render(), media_type=CONTENT_TYPE_LATEST)
