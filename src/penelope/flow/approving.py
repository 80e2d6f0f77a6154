"""Waits for a person's word on a plan, for days if need be."""

from dataclasses import dataclass
from datetime import datetime

from penelope.domain.approval import Approval, ApprovalStatus, Refusal, close
from penelope.flow import records
from penelope.flow.engine import Engine
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data

_SHORTEST_WAIT_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """Where a request for approval stands; `seconds` are left until it expires.

    `ended` says that the condition itself came to its end.
    """

    status: ApprovalStatus
    reason: str
    seconds: float
    ended: bool = False


async def await_word(engine: Engine, incident: str, identifier: str) -> Word:
    """The word once there is one. A request expires by its own time, and is cancelled when the condition ends."""

    async def body(transaction: Transaction) -> Json:
        return to_data(await _look(transaction, incident, identifier))

    while True:
        word = from_data(Word, await engine.transaction("approval", body))
        if word.status is not ApprovalStatus.PENDING:
            return word
        await engine.wait(word.seconds)


async def _look(transaction: Transaction, incident: str, identifier: str) -> Word:
    # The incident before its request, as whoever answers locks them: the other way round they wait for each other.
    ended = (await records.incident_of(transaction, incident)).resolved_at is not None
    unit = await transaction.unit(identifier)
    if unit is None:
        return Word(status=ApprovalStatus.REJECTED, reason="the request for approval is lost", seconds=0.0)
    approval = from_data(Approval, unit.attributes)
    closing = _closing(approval, transaction.now(), ended=ended)
    if closing is not None:
        approval, event, why = closing
        await transaction.save(records.of_approval(approval, event, why))
    reason = f"the plan was {approval.status}" + (f": {approval.comment}" if approval.comment else "")
    left = (approval.expires_at - transaction.now()).total_seconds()
    return Word(status=approval.status, reason=reason, seconds=max(_SHORTEST_WAIT_SECONDS, left), ended=ended)


def _closing(approval: Approval, now: datetime, *, ended: bool) -> tuple[Approval, str, str] | None:
    """What becomes of a request that nobody answered, once the condition has ended or its time is over."""
    if not ended and now < approval.expires_at:
        return None
    status = ApprovalStatus.CANCELLED if ended else ApprovalStatus.EXPIRED
    closed = close(approval, status, now)
    if isinstance(closed, Refusal):
        return None
    if ended:
        return closed, "ApprovalCancelled", "the condition has ended"
    return closed, "ApprovalExpired", "nobody answered in time"
