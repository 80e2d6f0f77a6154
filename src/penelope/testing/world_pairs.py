"""Worlds of two instances behind a real Traefik: restarts, a bad release, drains and failovers of what users read."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from penelope.domain.counts import Series
from penelope.domain.rollout import ArmFigures
from penelope.domain.service import Service
from penelope.errors import Unavailable
from penelope.kit.canonical import Json
from penelope.testing.pair import ARMS, Pair
from penelope.testing.worlds import World

_REAL = "a real Traefik 3 before two real HTTP services under a real supervisord"


class PairWorld(World):
    """What they have in common: both instances run v1, healthy, and share the traffic evenly."""

    thing: ClassVar[str] = _REAL
    real: ClassVar[bool] = True
    start_weights: ClassVar[Mapping[str, int]] = {"a": 50, "b": 50}

    def __init__(self) -> None:
        self._pair: Pair | None = None

    @property
    def pair(self) -> Pair:
        if self._pair is None:
            raise Unavailable("the world is not open")
        return self._pair

    async def open(self, folder: Path) -> None:
        self._pair = Pair(folder)
        await self._pair.open()

    async def close(self) -> None:
        if self._pair is not None:
            await self._pair.close()

    async def reset(self) -> None:
        for arm in ARMS:
            self.pair.point_at(arm, "v1")
            await self.pair.restart(arm)
        self.pair.write_weights(self.start_weights)
        await self.pair.until_served()

    def service(self) -> Service:
        return self.pair.service()

    async def healthy(self) -> bool:
        return await self.pair.healthy()

    async def state(self) -> Json:
        return await self.pair.state()

    async def figures(self) -> Mapping[str, ArmFigures]:
        return await self.pair.figures()

    async def counts(self) -> Mapping[str, Series]:
        return await self.pair.counts()


class RestartInstanceWorld(PairWorld):
    """Instance b has become slow, as one with a leak does, until it is started anew."""

    playbook: ClassVar[str] = "restart-instance"
    signal_name: ClassVar[str] = "ShopHighLatency"

    async def break_it(self) -> None:
        await self.pair.fault("b", slow_seconds=0.4)


class DrainAndReplaceWorld(PairWorld):
    """Instance b answers most requests with an error until it is started anew."""

    playbook: ClassVar[str] = "drain-and-replace-instance"
    signal_name: ClassVar[str] = "InstanceFailing"

    async def break_it(self) -> None:
        await self.pair.fault("b", fails=0.6)


class FailoverReadTrafficWorld(PairWorld):
    """The replica b, which half of the reads go to, has died."""

    playbook: ClassVar[str] = "failover-read-traffic"
    signal_name: ClassVar[str] = "ReadReplicaDown"

    async def break_it(self) -> None:
        await self.pair.supervised.end("b")


class RollbackReleaseWorld(PairWorld):
    """Both instances were given release v2, which fails half of all requests."""

    playbook: ClassVar[str] = "rollback-release"
    signal_name: ClassVar[str] = "ShopHighErrorRate"

    async def break_it(self) -> None:
        for arm in ARMS:
            self.pair.point_at(arm, "v2", "v1")
            await self.pair.restart(arm)

    async def changes(self) -> Mapping[str, Json]:
        facts: dict[str, Json] = {}
        for arm in ARMS:
            release = self.pair.release(arm)
            facts[f"change.instance-{arm}.release"] = release
            facts[f"change.instance-{arm}.previous_release"] = "v1" if release == "v2" else "v2"
        return facts
