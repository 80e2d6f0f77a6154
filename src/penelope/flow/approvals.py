"""The desk for requests for approval: every word of a person or a machine, whatever way it came."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from penelope.domain import approval as domain
from penelope.domain.approval import Approval, ApprovalStatus, Ballot, Refusal
from penelope.domain.people import Voter
from penelope.errors import AlreadyDecided, Forbidden, InvalidLink, InvalidRequest, UnknownApproval
from penelope.flow import records
from penelope.flow.autonomy import refused
from penelope.flow.engine import Engine
from penelope.flow.ports import Reader, Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data
from penelope.rooms.learn.autonomy import Policy

Step = Callable[[Approval, datetime], Approval | Refusal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What proves a word and is good for one: `id` is spent together with it, and remembered until `expires_at`."""

    id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A yes or no."""

    approve: bool
    reason: str = ""
    channel: str = "api"


class ApprovalDesk:
    """Each command is one transaction that locks the request, and durable when it returns.

    Raises UnknownApproval; AlreadyDecided where the word comes too late; Forbidden where it was not the speaker's.
    """

    def __init__(self, engine: Engine, autonomy: Policy | None = None) -> None:
        self._engine = engine
        self._autonomy = autonomy or Policy()

    async def vote(self, approval: str, voter: Voter, word: Word, token: Token | None = None) -> Approval:
        """Says yes or no. A token is spent with it: raises InvalidLink where it was spent before."""
        ballot = Ballot(approve=word.approve, reason=word.reason, channel=word.channel)

        async def body(transaction: Transaction) -> Json:
            if token is not None:
                await _spend(transaction, token)
            return await cast(transaction, await read(transaction, approval), voter, ballot, self._autonomy)

        return await self._told(body)

    async def comment(self, approval: str, voter: Voter, text: str) -> Approval:
        """Leaves a remark."""
        return await self._step(
            approval,
            voter,
            "ApprovalCommented",
            text,
            lambda item, now: domain.comment(item, voter, text, now),
        )

    async def delegate(
        self, approval: str, voter: Voter, to: str, reason: str, *, to_role: bool = False
    ) -> Approval:
        """Hands the speaker's seat on, to an identity or to whoever holds a role."""
        why = reason or f"{voter.actor} delegates to {to}"
        return await self._step(
            approval,
            voter,
            "ApprovalDelegated",
            why,
            lambda item, now: domain.delegate(item, voter, to, now, to_role=to_role),
        )

    async def cancel(self, approval: str, voter: Voter, reason: str) -> Approval:
        """Withdraws the request; people take the incident over."""
        if voter.machine:
            raise Forbidden("only a person withdraws a request", hint="Ask an approver.")
        return await self._step(
            approval,
            voter,
            "ApprovalCancelled",
            reason,
            lambda item, now: domain.close(
                item, ApprovalStatus.CANCELLED, now, actor=voter.actor, reason=reason
            ),
        )

    async def _step(self, approval: str, voter: Voter, event: str, reason: str, step: Step) -> Approval:
        async def body(transaction: Transaction) -> Json:
            before = await read(transaction, approval)
            after = accepted(step(before, transaction.now()))
            if after != before:
                await transaction.save(records.of_approval(after, event, reason, actor=voter.actor))
            return after

        return await self._told(body)

    async def _told(self, body: Callable[[Transaction], Json]) -> Approval:
        """The story hears of it. Dies the process before, the sweep tells it."""
        approval: Approval = await self._engine.transaction("answer", body)
        if approval.status is not ApprovalStatus.PENDING:
            await self._engine.nudge(approval.incident)
        return approval


async def _spend(transaction: Transaction, token: Token) -> None:
    # What has expired is no longer remembered as spent, and may have been good when it was read a moment ago.
    if transaction.now() >= token.expires_at:
        raise InvalidLink(f"this answer expired at {token.expires_at:%Y-%m-%d %H:%M:%S} UTC")
    if not await transaction.outbox.spend(token.id, token.expires_at):
        raise InvalidLink("this answer was given before")


async def shown(reader: Reader, identifier: str) -> Approval:
    """A request as it was committed. Raises UnknownApproval."""
    unit = await reader.asked_unit("approval", identifier)
    if unit is None:
        message = f"there is no request for approval '{identifier}'"
        raise UnknownApproval(message)
    return from_data(Approval, unit.attributes)


async def read(transaction: Transaction, identifier: str) -> Approval:
    """A request, locked. Raises UnknownApproval."""
    unit = await transaction.unit(identifier)
    if unit is None or unit.kind != "approval":
        message = f"there is no request for approval '{identifier}'"
        raise UnknownApproval(message)
    return from_data(Approval, unit.attributes)


async def cast(
    transaction: Transaction, before: Approval, voter: Voter, ballot: Ballot, autonomy: Policy
) -> Approval:
    """Records a vote, unless it was cast before; a rejection costs the plan's playbook of what it has earned.

    Raises AlreadyDecided or Forbidden, and InvalidRequest for a rejection without a reason: it is what others read
    when the problem comes back.
    """
    after = accepted(domain.vote(before, voter, ballot, transaction.now()))
    if after == before:
        return after
    if not ballot.approve and not ballot.reason.strip():
        raise InvalidRequest("a rejection needs a reason", hint="Say why: it is kept with the decision.")
    event = {
        ApprovalStatus.APPROVED: "ApprovalGiven",
        ApprovalStatus.REJECTED: "ApprovalRefused",
    }.get(after.status, "ApprovalVoted")
    said = "approved" if ballot.approve else "rejected"
    reason = ballot.reason or f"{voter.actor} {said} the plan"
    changes = [records.of_approval(after, event, reason, actor=voter.actor)]
    if after.status is ApprovalStatus.REJECTED:
        changes += await refused(transaction, autonomy, after)
    await transaction.save(*changes)
    return after


def accepted(result: Approval | Refusal) -> Approval:
    """Raises Forbidden or AlreadyDecided for a refusal."""
    if not isinstance(result, Refusal):
        return result
    if result.forbidden:
        raise Forbidden(result.reason, hint="Somebody else must answer this request.")
    raise AlreadyDecided(result.reason)
