"""The desk for emergencies: a person runs a refused or waiting plan at once, and two others look at it afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from penelope.domain.approval import Approval, ApprovalStatus, Refusal, close
from penelope.domain.asking import AskingPolicy
from penelope.domain.break_glass import BreakGlass, content_of, review
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.notice import NoticeKind
from penelope.domain.outcome import Outcome
from penelope.domain.people import Voter
from penelope.domain.plan import Plan
from penelope.domain.work import Change
from penelope.errors import AlreadyDecided, Forbidden, InvalidRequest, UnknownReview
from penelope.flow import records
from penelope.flow.engine import Engine
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.kit.ids import digest_id, new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class GlassLimits:
    """How long (seconds) a broken glass lifts refusals, and how long two people have to review it."""

    good_seconds: float = 900.0
    review_seconds: float = 172_800.0


class GlassDesk:
    """Breaks the glass, and takes reviews."""

    def __init__(self, engine: Engine, policy: AskingPolicy, limits: GlassLimits) -> None:
        self._engine = engine
        self._policy = policy
        self._limits = limits

    async def break_glass(self, incident: str, voter: Voter, reason: str) -> BreakGlass:
        """Runs the plan that the incident waits with, or that was refused to it and is made anew in a new incident.

        Raises UnknownIncident; AlreadyDecided where there is no such plan, or a person has rejected it.
        """
        if voter.machine:
            raise Forbidden("only a person breaks the glass", hint="Call one.")
        if not reason.strip():
            raise InvalidRequest(
                "breaking the glass needs a reason", hint="Two people will read it afterwards."
            )
        new = new_id("inc")

        async def body(transaction: Transaction) -> Json:
            found = await records.incident_of(transaction, incident)
            plan = await _plan_of(transaction, incident)
            lifted = await _lifted(transaction, incident)
            if found.state is IncidentState.AWAITING_APPROVAL:
                glass = self._broken(transaction, found, plan, voter, reason, lifted)
                changes = await _out_of_waiting(transaction, found, glass)
            else:
                await _expect_refused(transaction, found, plan)
                reopened = replace(found, id=new)
                glass = self._broken(transaction, reopened, plan, voter, reason, lifted)
                changes = _reopened(transaction, found, glass)
            await transaction.save(*changes, of_glass(glass, "GlassBroken", reason, voter.actor))
            await self._tell(transaction, glass)
            return glass

        glass: BreakGlass = await self._engine.transaction("break glass", body)
        # Dies the process here, the sweep wakes the story or begins it.
        if glass.incident == incident:
            await self._engine.nudge(incident)
        else:
            await self._engine.start(glass.incident, glass.service)
        return glass

    async def review(self, identifier: str, voter: Voter, note: str) -> BreakGlass:
        """Looks at a broken glass. Raises UnknownReview, AlreadyDecided, or Forbidden for who broke it."""

        async def body(transaction: Transaction) -> Json:
            unit = await transaction.unit(identifier)
            if unit is None or unit.kind != "break_glass":
                message = f"there is no review '{identifier}'"
                raise UnknownReview(message)
            before = from_data(BreakGlass, unit.attributes)
            after = review(before, voter, note, transaction.now())
            if isinstance(after, Refusal):
                raise (Forbidden if after.forbidden else AlreadyDecided)(after.reason)
            if after != before:
                await transaction.save(of_glass(after, "GlassReviewed", note, voter.actor))
            return after

        glass: BreakGlass = await self._engine.transaction("review", body)
        return glass

    def _broken(
        self,
        transaction: Transaction,
        incident: Incident,
        plan: Plan,
        voter: Voter,
        reason: str,
        lifted: Sequence[str],
    ) -> BreakGlass:
        now = transaction.now()
        return BreakGlass(
            id=digest_id("glass", incident.id, now.isoformat()),
            incident=incident.id,
            service=incident.service,
            playbook=plan.playbook,
            content=content_of(plan),
            by=voter.identity,
            actor=voter.actor,
            reason=reason,
            lifted=tuple(lifted),
            at=now,
            good_until=now + timedelta(seconds=self._limits.good_seconds),
            review_due_at=now + timedelta(seconds=self._limits.review_seconds),
        )

    async def _tell(self, transaction: Transaction, glass: BreakGlass) -> None:
        notices = [
            *self._policy.to_all(NoticeKind.GLASS_BROKEN, glass.id, glass.incident, glass.at),
            *self._policy.to_all(NoticeKind.REVIEW_OVERDUE, glass.id, glass.incident, glass.review_due_at),
        ]
        if notices:
            await transaction.outbox.add(notices)


def of_glass(glass: BreakGlass, event: str, reason: str, actor: str) -> Change:
    """A broken glass as a unit of work."""
    return Change(
        unit=glass.id,
        kind="break_glass",
        incident=glass.incident,
        status=glass.status.value,
        attributes=to_data(glass),
        event=event,
        actor=actor,
        reason=reason,
        details={"service": glass.service, "playbook": glass.playbook, "reviews": len(glass.reviews)},
    )


async def _plan_of(transaction: Transaction, incident: str) -> Plan:
    units = await transaction.units(incident, "plan")
    if not units:
        raise AlreadyDecided("the incident has no plan", hint="There is nothing that could be run.")
    return from_data(Plan, {key: item for key, item in units[-1].attributes.items() if key != "digest"})


async def _lifted(transaction: Transaction, incident: str) -> list[str]:
    """What stood against the plan."""
    unit = await transaction.unit(f"{incident}:gate")
    verdicts = [] if unit is None else unit.attributes["verdicts"]
    return [f"{item['rule']}: {item['reason']}" for item in verdicts if item["ruling"] != "pass"]


async def _out_of_waiting(transaction: Transaction, incident: Incident, glass: BreakGlass) -> list[Change]:
    changes = [
        records.of_incident(
            replace(incident, glass=glass.id), "OverrideBegun", glass.reason, actor=glass.actor
        )
    ]
    for unit in await transaction.units(incident.id, "approval"):
        locked = await transaction.unit(unit.id)
        approval = from_data(Approval, (locked or unit).attributes)
        ended = close(approval, ApprovalStatus.OVERRIDDEN, glass.at, actor=glass.actor, reason=glass.reason)
        if not isinstance(ended, Refusal):
            changes.append(records.of_approval(ended, "ApprovalOverridden", glass.reason, actor=glass.actor))
    if len(changes) == 1:
        raise AlreadyDecided("the request was answered a moment ago")
    return changes


async def _expect_refused(transaction: Transaction, incident: Incident, plan: Plan) -> None:
    """Raises AlreadyDecided unless the incident ended without anything done, and without a person's no."""
    outcome = await transaction.unit(f"{incident.id}:outcome")
    acted = outcome is not None and from_data(Outcome, outcome.attributes).acted
    if incident.state is not IncidentState.ESCALATED or outcome is None or acted or incident.lapsed:
        raise AlreadyDecided("no plan of this incident waits or was refused")
    for unit in await transaction.units(incident.id, "approval"):
        approval = from_data(Approval, unit.attributes)
        if approval.status is ApprovalStatus.REJECTED and approval.plan_digest == plan.digest:
            raise AlreadyDecided(
                f"{approval.decided_by} rejected this plan", hint="A person's no is not overridden."
            )


def _reopened(transaction: Transaction, ended: Incident, glass: BreakGlass) -> list[Change]:
    """The old incident makes room for a new one, whose story is told from its beginning on fresh evidence."""
    now = transaction.now()
    opened = replace(
        ended,
        id=glass.incident,
        state=IncidentState.RECEIVED,
        opened_at=now,
        updated_at=now,
        ended_at=None,
        resolved_at=None,
        observed_since=None,
        lapsed=False,
        glass=glass.id,
    )
    reason = f"{glass.actor} broke the glass: {glass.reason}"
    lapsed = records.of_incident(
        replace(ended, lapsed=True), "IncidentLapsed", f"goes on as {opened.id}", actor=glass.actor
    )
    new = records.of_incident(opened, "IncidentOpened", reason, actor=glass.actor, from_incident=ended.id)
    return [lapsed, replace(new, version=0)]
