"""The loudest event of the system: something could not be taken back."""

from penelope.domain.action import Action
from penelope.domain.asking import AskingPolicy
from penelope.domain.halt import Breaker, Hold, Scope, ScopeKind
from penelope.domain.notice import NoticeKind
from penelope.flow import records
from penelope.flow.halting import breakers, change_of
from penelope.flow.ports import Transaction


async def sound(
    transaction: Transaction, asking: AskingPolicy, action: Action, incident: str, error: str
) -> None:
    """Halts the service of the action's target until a person resumes it, and tells people by every channel."""
    now = transaction.now()
    scope = Scope(kind=ScopeKind.SERVICE, name=action.target.service)
    breaker = (await breakers(transaction, [scope]))[scope] or Breaker(scope=scope)
    if breaker.hold is None or breaker.hold.until is not None:
        reason = f"incident {incident}: {action.name} could not be taken back: {error}"
        hold = Hold(actor=records.PENELOPE, reason=reason, since=now)
        await transaction.save(change_of(breaker.opened(hold), now, "HaltOpened", reason))
    await transaction.outbox.add(asking.to_all(NoticeKind.COMPENSATION_FAILED, action.key, incident, now))
