"""What can be asked of Penelope; API, command line, chat and agents share this desk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import stamina

from penelope.domain.approval import Approval, ApprovalStatus, Ballot
from penelope.domain.incident import Incident
from penelope.domain.people import Voter, identity_of
from penelope.domain.signal import Signal
from penelope.domain.work import Change
from penelope.errors import AlreadyDecided, AppendConflict
from penelope.flow import records
from penelope.flow.approvals import cast, read
from penelope.flow.engine import Engine
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data
from penelope.kit.ids import new_id
from penelope.rooms.intake.run import Correlation, Known, Rules, Transition, correlate
from penelope.rooms.learn.autonomy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a batch of signals: how many were new, how many seen before, and the incidents they touch."""

    accepted: int
    duplicates: int
    incidents: tuple[str, ...]
    opened: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A person's word on the plan that an incident waits with; who speaks is `voter`, or else `actor` alone."""

    incident: str
    actor: str
    approve: bool
    comment: str = ""
    voter: Voter | None = None


class Commands:
    """Every command is durable when it returns."""

    def __init__(
        self,
        engine: Engine,
        rules: Rules,
        autonomy: Policy | None = None,
        expect: Callable[[Incident], None] = lambda _: None,
    ) -> None:
        """`expect` is told of incidents that will be decided about in a moment."""
        self._engine = engine
        self._rules = rules
        self._autonomy = autonomy or Policy()
        self._expect = expect

    async def receive_signals(self, signals: Sequence[Signal]) -> Receipt:
        """Takes signals in, all or none; sending the same ones again changes nothing.

        Between the commit and the start of the stories the process may die: the sweep starts them then.
        """

        async def body(transaction: Transaction) -> Json:
            correlation = await self._correlate(transaction, signals)
            await transaction.save(*map(_of_transition, correlation.transitions))
            opened = [incident for incident, _ in correlation.opened]
            await transaction.add_signals(correlation.signals, opened)
            return correlation

        correlation = Correlation()
        # Of two batches that open an incident about the same problem at once one is second: it joins the other's.
        async for attempt in stamina.retry_context(on=AppendConflict, wait_initial=0.01, wait_jitter=0.05):
            with attempt:
                correlation = await self._engine.transaction("intake", body)
        for transition in correlation.transitions:
            if transition.event == "IncidentOpened":
                self._expect(transition.incident)
        for incident, service in correlation.opened:
            await self._engine.start(incident, service)
        for incident in correlation.ended_by_source:
            await self._engine.nudge(incident)
        touched = {incident for _, incident in correlation.signals if incident is not None}
        return Receipt(
            accepted=len(correlation.signals),
            duplicates=correlation.duplicates,
            incidents=tuple(sorted(touched)),
            opened=tuple(incident for incident, _ in correlation.opened),
        )

    async def _correlate(self, transaction: Transaction, signals: Sequence[Signal]) -> Correlation:
        keys = {(signal.source, signal.id) for signal in signals}
        problems = {(signal.service, signal.fingerprint) for signal in signals}
        incidents = await transaction.latest_incidents(problems)
        known = Known(
            signals=await transaction.known_signals(keys),
            incidents=incidents,
            firing=await transaction.firing([incident.id for incident in incidents.values()]),
        )
        return correlate(signals, known, self._rules, now=transaction.now(), new_id=lambda: new_id("inc"))

    async def answer_approval(self, answer: Answer) -> Approval:
        """Approves or rejects. Raises UnknownIncident, AlreadyDecided where nothing waits for it, and as `cast`."""
        voter = answer.voter or Voter(identity=identity_of(answer.actor), actor=answer.actor)

        async def body(transaction: Transaction) -> Json:
            await records.incident_of(transaction, answer.incident)
            units = await transaction.units(answer.incident, "approval")
            found = _open_approval([from_data(Approval, unit.attributes) for unit in units], answer.incident)
            # The row is locked now: two answers at once are one after the other.
            approval = await read(transaction, found.id)
            ballot = Ballot(approve=answer.approve, reason=answer.comment)
            return await cast(transaction, approval, voter, ballot, self._autonomy)

        approval: Approval = await self._engine.transaction("answer", body)
        await self._engine.nudge(answer.incident)
        return approval


def _open_approval(approvals: Sequence[Approval], incident: str) -> Approval:
    pending = [item for item in approvals if item.status is ApprovalStatus.PENDING]
    if pending:
        return pending[-1]
    if not approvals:
        message = f"incident {incident} does not wait for an approval"
        raise AlreadyDecided(message)
    last = approvals[-1]
    message = f"the plan of incident {incident} was {last.status} by {last.decided_by or 'nobody'}"
    raise AlreadyDecided(message)


def _of_transition(transition: Transition) -> Change:
    incident, reason = transition.incident, transition.reason
    change = records.of_incident(incident, transition.event, reason, signals=transition.signals)
    return replace(change, version=0) if transition.event == "IncidentOpened" else change
