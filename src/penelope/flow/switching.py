"""The switch by which a person stops healing, and lets it go on."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import stamina

from penelope.domain.halt import Breaker, Hold, Scope, ScopeKind
from penelope.errors import AppendConflict, UnknownPlaybook, UnknownService
from penelope.flow.engine import Engine
from penelope.flow.halting import breakers, change_of
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a person wants of one breaker, and why."""

    scope: Scope
    actor: str
    reason: str


class HaltSwitch:
    """Every order is durable, and in force for every worker, when it returns.

    An action whose claim is recorded by then runs to its end. None is claimed after it; what an intervention has done
    is taken back, and a canary loses its traffic at its next look.
    """

    def __init__(
        self, engine: Engine, services: Collection[str], playbooks: Callable[[], Collection[str]]
    ) -> None:
        self._engine = engine
        self._services = services
        self._playbooks = playbooks

    async def open(self, order: Order, seconds: float | None = None) -> Breaker:
        """Stops healing, for so many seconds or until it is closed. Raises UnknownService, UnknownPlaybook.

        A misspelt name is refused: whoever halts must not believe that something stands still which does not.
        """
        self._expect_known(order.scope)

        def opened(breaker: Breaker, now: datetime) -> Breaker:
            until = None if seconds is None else now + timedelta(seconds=seconds)
            return breaker.opened(Hold(actor=order.actor, reason=order.reason, since=now, until=until))

        return await self._change(order, "HaltOpened", opened, bar=True)

    async def close(self, order: Order) -> Breaker:
        """Lets healing go on; failures that were counted still count."""
        return await self._change(order, "HaltClosed", lambda breaker, _: breaker.closed())

    async def reset(self, order: Order) -> Breaker:
        """Lets healing go on, with all failures forgotten."""
        return await self._change(order, "HaltReset", lambda breaker, _: breaker.reset())

    def _expect_known(self, scope: Scope) -> None:
        if scope.kind is ScopeKind.SERVICE and scope.name not in self._services:
            raise UnknownService(f"service {scope.name!r} is not in the catalogue")
        if scope.kind is ScopeKind.PLAYBOOK and scope.name not in self._playbooks():
            raise UnknownPlaybook(f"there is no playbook {scope.name!r}")

    async def _change(
        self, order: Order, event: str, turn: Callable[[Breaker, datetime], Breaker], *, bar: bool = False
    ) -> Breaker:
        async def body(transaction: Transaction) -> Json:
            if bar:
                await transaction.bar_claims()
            # One that cannot be read refuses all healing; a person's word makes it a whole one again.
            before = (await breakers(transaction, [order.scope]))[order.scope]
            now = transaction.now()
            after = turn(before or Breaker(scope=order.scope), now)
            if after != before:
                await transaction.save(change_of(after, now, event, order.reason, actor=order.actor))
            return to_data(after)

        # Of two that make a breaker at once one is second: it changes what the other has made.
        changed: Json = None
        async for attempt in stamina.retry_context(on=AppendConflict, wait_initial=0.01, wait_jitter=0.05):
            with attempt:
                changed = await self._engine.transaction("halt", body)
        return from_data(Breaker, changed)
