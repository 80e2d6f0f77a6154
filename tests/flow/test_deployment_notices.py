"""People are told of a rollout that went back without their order, and of traffic that the router does not give back."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from stage import PATIENCE_SECONDS, Stage, play
from test_deployments import Databases, counter, course, ended, start, tell, until

from penelope.domain.asking import AskingPolicy
from penelope.domain.deployment import DeploymentStatus, Order, fixed_split
from penelope.domain.notice import NoticeKind
from penelope.flow.courier import Courier, CourierLimits, Message
from penelope.store.outbox import SqlDue
from penelope.testing.counts import Manner


@dataclass
class Pager:
    """A channel that remembers what was told on it."""

    told: list[Message] = field(default_factory=list)

    async def send(self, message: Message) -> None:
        self.told.append(message)


def told_on(databases: Databases, scene: Callable[[Stage, Pager], Awaitable[None]]) -> None:
    """A scene with a pager, on which everything that is due is told."""
    pager = Pager()

    async def paged(stage: Stage) -> None:
        courier = Courier(
            stage.engine, SqlDue(stage.database), {"pager": pager}, stage.parts.clock, CourierLimits()
        )
        running = asyncio.create_task(courier.run(0.05))
        try:
            await scene(stage, pager)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    play(databases, paged, asking=AskingPolicy(channels=("pager",)))


async def heard(pager: Pager, number: int) -> list[Message]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(pager.told) < number:  # noqa: ASYNC110 - the courier writes it
            await asyncio.sleep(0.02)
    return pager.told


def test_a_rollback_that_nobody_ordered_is_told(databases: Databases) -> None:
    async def scene(stage: Stage, pager: Pager) -> None:
        counter(stage).manners["b"] = Manner(error_ratio=0.5)
        deployment = await until(stage, (await start(stage)).id, ended)
        (message,) = await heard(pager, 1)
        assert (message.kind, message.about) == (NoticeKind.ROLLED_BACK, deployment.id)
        assert message.title == "rolled back: b of shop"
        assert "errors" in message.text
        assert "All traffic is on a." in message.text

    told_on(databases, scene)


def test_what_a_person_orders_is_told_only_while_the_router_refuses_it(databases: Databases) -> None:
    async def scene(stage: Stage, pager: Pager) -> None:
        by_hand = course(stages=fixed_split(30))
        first = await start(stage, by_hand)
        await tell(stage, first.id, Order.ABORT)
        await until(stage, first.id, ended)

        second = await start(stage, by_hand)
        await until(stage, second.id, lambda found: found.weight == 30)
        stage.router.out_of_reach = True
        await tell(stage, second.id, Order.ABORT)
        (message,) = await heard(pager, 1)
        stage.router.out_of_reach = False
        gone = await until(stage, second.id, ended)
        assert gone.status is DeploymentStatus.ROLLED_BACK
        assert (message.kind, message.about) == (NoticeKind.ROLLOUT_STUCK, second.id)
        assert message.title == "TRAFFIC CANNOT BE TAKEN AWAY: b of shop"
        assert len(pager.told) == 1

    told_on(databases, scene)
