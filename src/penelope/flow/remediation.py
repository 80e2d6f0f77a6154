"""The whole story of an incident, as a durable workflow: every await below is a place where the process may die."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from penelope.domain.approval import ApprovalStatus
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.outcome import OutcomeKind
from penelope.domain.plan import Plan
from penelope.flow import records
from penelope.flow.acting import Acting, Done
from penelope.flow.approving import await_word
from penelope.flow.assessing import Assessing
from penelope.flow.assessment import Assessment, Next
from penelope.flow.benchmarking import regression
from penelope.flow.canary import Canary
from penelope.flow.carrying_out import BRANCH, Journey, Stretch, branch_chapter, stretch_of
from penelope.flow.checking import Question, verify
from penelope.flow.deploying import DEPLOY, deploy_chapter
from penelope.flow.ending import Ending, finish
from penelope.flow.engine import Chapter, Engine, Story
from penelope.flow.executing import ACT, act_chapter
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data
from penelope.rooms.verify.run import observe


def story(engine: Engine, parts: Parts) -> Story:
    """The workflow that the engine runs, once an incident."""

    async def remediate(incident: str, service: str) -> str:
        return await Remediation(engine, parts, incident, service).run()

    return remediate


def chapters(engine: Engine, parts: Parts) -> Mapping[str, Chapter]:
    """What stories tell beside themselves, by the names under which the engine knows it."""
    return {
        ACT: act_chapter(engine, parts),
        BRANCH: branch_chapter(engine, parts),
        DEPLOY: deploy_chapter(engine, parts),
    }


class Remediation:
    """One incident from its first signal to its outcome."""

    def __init__(self, engine: Engine, parts: Parts, incident: str, service: str) -> None:
        self._engine = engine
        self._parts = parts
        self._incident = incident
        self._service = service
        self._acting = Acting(engine, parts, incident)
        self._assessing = Assessing(engine, parts, incident, service)

    async def run(self) -> str:
        ending: Ending | None
        try:
            ending = await self._decide()
        except Exception as error:  # noqa: BLE001 - whatever breaks, a person must hear of the incident
            reason = f"Penelope failed: {type(error).__name__}: {error}"
            ending = Ending(kind=OutcomeKind.ESCALATED, reason=reason, acted=True, broke=True)
        if ending is not None:
            brakes, autonomy = self._parts.brakes, self._parts.autonomy
            await finish(self._engine, self._incident, ending, brakes, autonomy)
        return "" if ending is None else ending.kind.value

    async def _decide(self) -> Ending | None:
        """How the story ends; None where the assessment has ended it already."""
        ending: Ending | None
        answer: Assessment | None = None
        while True:
            answer = await self._assess(answer)
            match answer.next:
                case Next.OBSERVE:
                    await self._engine.wait(answer.recheck_seconds)
                case Next.ASK:
                    ending = await self._ask(answer)
                    if ending is not None:
                        return ending
                case Next.ACT if answer.plan is not None:
                    return await self._intervene(answer.plan, answer)
                case _:
                    return None

    async def _assess(self, before: Assessment | None) -> Assessment:
        assessed = await self._engine.step("assess", lambda: self._assessing.assess(before))
        return from_data(Assessment, assessed)

    async def _read(self, transaction: Transaction) -> Incident:
        return await records.incident_of(transaction, self._incident)

    async def _ask(self, answer: Assessment) -> Ending | None:
        """None once the plan is approved: it is then assessed again, on fresh evidence."""
        word = await await_word(self._engine, self._incident, answer.approval or "")
        match word.status:
            case ApprovalStatus.APPROVED | ApprovalStatus.OVERRIDDEN:
                return None
            case ApprovalStatus.CANCELLED if word.ended:
                reason = "its source saw it end while approval was awaited"
                return Ending(kind=OutcomeKind.RESOLVED, reason=reason)
            case _:
                return Ending(kind=OutcomeKind.ESCALATED, reason=word.reason)

    async def _intervene(self, plan: Plan, answer: Assessment) -> Ending:
        done: list[Done] = []
        canary = None if plan.rollout is None else Canary(self._engine, plan, plan.rollout)
        try:
            trouble = await self._forward(plan, canary, done)
            if not trouble and answer.regresses:
                trouble = await self._regression(plan)
        except Exception as error:  # noqa: BLE001 - whatever breaks, what was done so far is taken back
            trouble = f"Penelope failed: {type(error).__name__}: {error}"
        if not trouble:
            reason = f"{plan.playbook} did what it said"
            return Ending(kind=OutcomeKind.HEALED, reason=reason, playbook=plan.playbook, acted=True)
        reason = await self._unwind(done, trouble)
        stopped = any(item.stopped for item in done) or (canary is not None and canary.stopped)
        acted = not stopped or any(item.touched for item in done)
        return Ending(
            kind=OutcomeKind.ESCALATED,
            reason=reason,
            playbook=plan.playbook,
            acted=acted,
            stopped=stopped,
            broke=any(item.broke for item in done),
        )

    async def _forward(self, plan: Plan, canary: Canary | None, done: list[Done]) -> str:
        """Does what the plan says, and notes what it did; returns what went wrong, or nothing."""
        before = await self._before(plan)
        trouble = await self._carry_out(stretch_of(plan, plan.steps, plan.course), done)
        if not trouble and canary is not None:
            trouble = await canary.run()
        if not trouble:
            trouble = await self._carry_out(stretch_of(plan, plan.after, plan.after_course), done)
        return trouble or await self._verify(plan, before)

    async def _before(self, plan: Plan) -> Mapping[str, Json]:
        """What the plan's contract measures changes against."""
        if not plan.verify.relative:
            return {}
        return dict(await self._engine.step("look before", lambda: self._look_before(plan)))

    async def _look_before(self, plan: Plan) -> Json:
        service, window = self._parts.service(plan.service), self._parts.timing.window_seconds
        return await observe(plan.verify, service, None, self._parts.metrics, None, window_seconds=window)

    async def _carry_out(self, stretch: Stretch, done: list[Done]) -> str:
        travelled = await Journey(self._engine, self._parts, self._incident, stretch).go()
        done += travelled.done
        return travelled.trouble

    async def _verify(self, plan: Plan, before: Mapping[str, Json]) -> str:
        since = await self._enter(IncidentState.VERIFYING, "VerificationBegun", f"{plan.playbook} is done")
        question = Question(
            unit=f"{plan.id}:verdict",
            label=plan.playbook,
            incident=self._incident,
            contract=plan.verify,
            service=self._parts.service(plan.service),
            since=since,
            before=before,
        )
        verdict = await verify(self._engine, self._parts, question)
        missed = ", ".join(item.clause.subject for item in verdict.drift)
        return "" if verdict.passed else f"the incident is not over ({missed})"

    async def _regression(self, plan: Plan) -> str:
        service, key = self._parts.service(plan.service), f"{plan.id}:regression"
        return await regression(self._engine, self._parts, service, self._incident, plan.playbook, key)

    async def _unwind(self, done: Sequence[Done], trouble: str) -> str:
        """Takes back what was done, last first. What may or may not have happened is left for a person to see."""
        if any(item.unknown for item in done):
            return f"{trouble}; nothing was taken back, for nobody knows what is there"
        await self._enter(IncidentState.COMPENSATING, "CompensationBegun", trouble)
        touched = [item for item in done if item.touched]
        left = [item for item in touched if not item.action.keep]
        while left:
            failure = await self._acting.take_back(left.pop())
            if failure:
                names = ", ".join(item.action.name for item in left)
                still = f"; not taken back: {names}" if names else ""
                return f"{trouble}; TAKING IT BACK FAILED: {failure}{still}"
        kept = ", ".join(item.action.name for item in touched if item.action.keep)
        stays = f", but for what stays: {kept}" if kept else ""
        return f"{trouble}; what was done has been taken back{stays}"

    async def _enter(self, state: IncidentState, event: str, reason: str) -> datetime:
        async def body(transaction: Transaction) -> Json:
            incident = records.moved(await self._read(transaction), state, transaction)
            await transaction.save(records.of_incident(incident, event, reason))
            return transaction.now().isoformat()

        return datetime.fromisoformat(await self._engine.transaction(event, body))
