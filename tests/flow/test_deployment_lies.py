"""Whatever a source of counts says of a bad canary, it is never promoted: it is held, and rolled back as it is set."""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from stage import PATIENCE_SECONDS, Stage, canary, play

from penelope.domain.analysis import Otherwise
from penelope.domain.counts import Series, Totals
from penelope.domain.deployment import Cause, Deployment, DeploymentStatus
from penelope.domain.service import Service
from penelope.flow.deployments import NewDeployment
from penelope.kit.clock import SystemClock
from penelope.testing.counts import FakeCounter, Manner
from penelope.testing.routers import FakeRouter

Databases = tuple[str, str]
Lie = Callable[[Series, Series], Series | None]
"""What is said of an arm, by what is true of it now, and of its first look; None leaves it out."""


def _backwards(now: Series, first: Series) -> Series:
    """In the same life, as `began` says: so it is no restart."""
    return replace(now, requests=first.requests - (now.requests - first.requests), began=1.0)


LIES: Mapping[str, Lie] = {
    "no number": lambda now, _: replace(now, requests=math.nan),
    "endless": lambda now, _: replace(now, errors=math.inf),
    "less than nothing": lambda now, _: replace(now, errors=-now.requests),
    "more errors than requests": lambda now, _: replace(now, errors=now.requests + 1),
    "half a request": lambda now, _: replace(now, requests=now.requests + 0.5),
    "backwards": _backwards,
    "frozen": lambda _, first: first,
    "one arm only": lambda _, __: None,
    "buckets that do not add up": lambda now, _: replace(now, buckets={**now.buckets, "+Inf": 0.0}),
}


class Liar(FakeCounter):
    """Says of arm b what its lie makes of the truth."""

    def __init__(self, router: FakeRouter, lie: Lie) -> None:
        super().__init__(SystemClock(), router)
        self._lie = lie
        self._first: Series | None = None
        self.manners["b"] = Manner(error_ratio=0.5)

    async def totals(self, service: Service) -> Totals:
        true = await super().totals(service)
        now = true.arms["b"]["1"]
        self._first = self._first or now
        said = self._lie(now, self._first)
        arms = {name: series for name, series in true.arms.items() if name != "b"}
        return replace(true, arms=arms if said is None else {**arms, "b": {"1": said}})


class Silent(FakeCounter):
    """Breaks in a way that nobody foresaw."""

    async def totals(self, service: Service) -> Totals:
        raise RecursionError(service.name)


async def end_of(stage: Stage, on_silence: Otherwise) -> Deployment:
    course = canary(max_seconds=1.0, on_silence=on_silence)
    begun = await stage.deployments.start(NewDeployment(service="shop", course=course, actor="anna"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            kept = await stage.deployments.shown(begun.id)
            looks = [entry.event for entry in await stage.deployments.history(begun.id)].count("CanaryLooked")
            if kept.deployment.status.ended or (on_silence is Otherwise.HOLD and looks >= 30):
                return kept.deployment
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("lie", [*LIES, "broken"])
def test_a_source_that_lies_never_promotes(databases: Databases, lie: str) -> None:
    async def scene(stage: Stage) -> None:
        ended = await end_of(stage, Otherwise.ROLLBACK)
        assert (ended.status, ended.cause) == (DeploymentStatus.ROLLED_BACK, Cause.SILENCE)
        assert [weights["b"] for _, weights in stage.router.history] == [10, 0]

    router = FakeRouter()
    counter = Liar(router, LIES[lie]) if lie in LIES else Silent(SystemClock(), router)
    play(databases, scene, router=router, counter=counter)


@pytest.mark.parametrize("lie", ["frozen", "no number"])
def test_where_it_is_set_a_lie_only_holds(databases: Databases, lie: str) -> None:
    async def scene(stage: Stage) -> None:
        held = await end_of(stage, Otherwise.HOLD)
        assert (held.status, held.weight) == (DeploymentStatus.PROGRESSING, 10)

    router = FakeRouter()
    play(databases, scene, router=router, counter=Liar(router, LIES[lie]))
