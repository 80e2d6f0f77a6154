"""The part of a story in which traffic goes over to what was changed: it begins a deployment, and waits for its end."""

from penelope.domain.deployment import Cause, Course, Deployment, DeploymentStatus, Order
from penelope.domain.incident import IncidentState
from penelope.domain.plan import Plan
from penelope.errors import AlreadyDecided
from penelope.flow import records
from penelope.flow.deploying import DEPLOY, KIND, change_of, kept_from, set_out
from penelope.flow.engine import Engine
from penelope.flow.halting import stopping
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.ids import digest_id
from penelope.rooms.rollout.course import is_stuck, ordered, overdue
from penelope.rooms.rollout.look import Kept

_LOOK_AGAIN_SECONDS = 15.0
"""The deployment wakes the story at its end; what was missed is seen by then."""


class Canary:
    """The rollout of one plan that has one, told beside its story: people may pause, abort or promote it like any other."""

    def __init__(self, engine: Engine, plan: Plan, course: Course) -> None:
        self._engine = engine
        self._plan = plan
        self._course = course
        self._id = f"{KIND}_{digest_id(plan.id)}"
        self.stopped = False
        """Whether a halt ended it."""

    async def run(self) -> str:
        """To the end of the rollout; returns why its traffic was taken away, or nothing where it was promoted."""
        trouble = await self._engine.transaction("begin the rollout", self._begin)
        if trouble:
            self.stopped = bool(trouble["halted"])
            return str(trouble["reason"])
        # The process may die here: the sweep of deployments begins it, or the story when it goes on.
        await self._engine.begin(DEPLOY, self._id, self._id, None)
        while True:
            stands = await self._engine.transaction("look at the rollout", self._stands)
            if stands is not None:
                self.stopped = bool(stands["halted"])
                return str(stands["reason"])
            await self._engine.wait(_LOOK_AGAIN_SECONDS)

    async def _begin(self, transaction: Transaction) -> Json:
        """Begins the deployment, in the transaction in which the incident goes over to it; or says why not."""
        if why := await stopping(transaction, self._plan.incident):
            return {"reason": why, "halted": True}
        deployment = Deployment(
            id=self._id,
            service=self._plan.service,
            course=self._course,
            created_by=records.PENELOPE,
            created_at=transaction.now(),
            incident=self._plan.incident,
            reason=f"canary {self._course.canary} of {self._plan.playbook}",
        )
        try:
            deployment = await set_out(transaction, deployment)
        except AlreadyDecided as error:
            return {"reason": error.message, "halted": False}
        incident = await records.incident_of(transaction, self._plan.incident)
        incident = records.moved(incident, IncidentState.ROLLING_OUT, transaction)
        change = change_of(Kept(deployment=deployment), "RolloutBegun", records.PENELOPE, deployment.reason)
        await transaction.save(
            records.of_incident(incident, "TrafficHandedOver", f"to {deployment.id}"), change
        )
        return None

    async def _stands(self, transaction: Transaction) -> Json:
        """How the rollout ended; None while it is to be waited for. One that takes too long is ended."""
        unit = await transaction.unit(self._id)
        if unit is None:
            return {"reason": f"nothing is known of {self._id}", "halted": False}
        kept = kept_from(unit)
        deployment, now = kept.deployment, transaction.now()
        if overdue(deployment, now):
            reason = f"no verdict in its time; {deployment.reason}"
            after = ordered(deployment, Order.CANCEL, reason, now)
            await transaction.save(
                change_of(kept.going(after), "RolloutCancelRequested", records.PENELOPE, reason, unit.version)
            )
            return None
        if deployment.status is DeploymentStatus.PROMOTED:
            return {"reason": "", "halted": False}
        halted = deployment.cause is Cause.HALT
        if deployment.status.ended:
            return {"reason": deployment.reason or deployment.status.value, "halted": halted}
        if is_stuck(deployment):
            # It is asked for ever; whoever waits for it must not, for what was done is to be taken back all the same.
            reason = f"{deployment.reason}; and its traffic of {deployment.weight} % could not be taken away"
            return {"reason": reason, "halted": halted}
        return None
