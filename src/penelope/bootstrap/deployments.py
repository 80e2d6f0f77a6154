"""Puts deployments together."""

from contextlib import AsyncExitStack

from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.bootstrap.background import background
from penelope.flow.deployments import DeploymentDesk, resume_forever
from penelope.flow.engine import Engine
from penelope.flow.parts import Parts
from penelope.settings.tree import Engine as EngineSettings
from penelope.store.deployments import SqlDeployments


async def deployments_of(
    stack: AsyncExitStack, settings: EngineSettings, engine: Engine, reading: AsyncEngine, parts: Parts
) -> DeploymentDesk:
    """The desk; what a crash left without its chapter is begun again in the background."""
    deployments = SqlDeployments(reading)
    await background(stack, resume_forever(engine, deployments, settings.reconcile_seconds))
    return DeploymentDesk(engine, deployments, parts.services, parts.routers)
