"""Rollouts from Python: for programs that run a Penelope in their own process (docs/rollouts.md)."""

from collections.abc import Sequence
from dataclasses import dataclass

from penelope.domain.calibration import USUAL_SECONDS
from penelope.domain.deployment import Course, Deployment, Order, alike
from penelope.flow.deployments import DeploymentDesk, NewDeployment, Word


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Speaks for `actor` (such as ``program:nightly``) at the desk of a running application::

        async with application(settings) as penelope:
            rollouts = Rollouts(penelope.deployments, "program:nightly")
            begun = await rollouts.start_canary("", "shop", Course(canary="b", control="a"), reason="v2")

    Who may call this may do all that it does: API keys and their scopes stand before the API, not here.
    """

    desk: DeploymentDesk
    actor: str

    async def start_canary(
        self,
        patch_id: str,
        service_name: str,
        config: Course,
        *,
        reason: str = "",
        revision: str = "",
        key: str = "",
    ) -> Deployment:
        """Begins a rollout, and returns once it is durable; the traffic moves afterwards.

        `patch_id` is the action whose change the canary runs, which a rollback takes back too; empty where Penelope did
        not make it. With a `key` it is begun once, however often this is called. Raises UnknownService, InvalidRequest
        for what does not fit the service, and AlreadyDecided where another rollout has its traffic.
        """
        wanted = NewDeployment(
            service=service_name,
            course=config,
            actor=self.actor,
            reason=reason,
            revision=revision,
            patch=patch_id,
            key=key,
        )
        return await self.desk.start(wanted)

    async def calibrate(
        self,
        service_name: str,
        canary: str,
        control: str,
        *,
        reason: str = "",
        seconds: float = USUAL_SECONDS,
        key: str = "",
    ) -> Deployment:
        """Begins to learn the noise of a service from two arms that run the same revision, each with half of the traffic.

        It ends once it has seen `seconds`, with no traffic on `canary`; what it learned is used by the deployments after
        it. `key` and what is raised are as of `start_canary`.
        """
        course = Course(canary=canary, control=control, stages=alike(seconds), calibrates=True)
        return await self.start_canary("", service_name, course, reason=reason, key=key)

    async def get_deployment_status(self, deployment_id: str) -> Deployment:
        """How a deployment stands. Raises UnknownDeployment."""
        return (await self.desk.shown(deployment_id)).deployment

    async def get_active_deployments(self, service_name: str | None = None) -> Sequence[Deployment]:
        """All that have not ended, or those of one service; the one that changed last first."""
        found = await self.desk.active()
        return [item for item in found if service_name in {None, item.service}]

    async def cancel_deployment(self, deployment_id: str, reason: str) -> Deployment:
        """Takes the traffic away from the changed arm, and says nothing about its worth; it ends soon afterwards.

        Cancelling twice is harmless. Raises UnknownDeployment, and AlreadyDecided for one that has ended otherwise.
        """
        return await self.desk.tell(deployment_id, Word(order=Order.CANCEL, actor=self.actor, reason=reason))
