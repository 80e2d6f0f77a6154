"""The worlds of two instances behind Traefik."""

import asyncio
from pathlib import Path

from worlding import Hands, tried

from penelope.testing.world_pairs import (
    DrainAndReplaceWorld,
    FailoverReadTrafficWorld,
    RestartInstanceWorld,
    RollbackReleaseWorld,
)


def test_a_slow_instance_is_restarted(tmp_path: Path) -> None:
    async def heal(hands: Hands) -> None:
        await hands.do("process.restart", "instance-b")

    tried(RestartInstanceWorld, tmp_path, heal, restores=False)


def test_a_failing_instance_is_drained_and_replaced(tmp_path: Path) -> None:
    async def heal(hands: Hands) -> None:
        await hands.do("traffic.set_weights", "traffic", weights={"a": 100, "b": 0})
        assert await hands.world.healthy()
        await hands.do("process.restart", "instance-b")
        await hands.do("traffic.set_weights", "traffic", weights={"a": 50, "b": 50})

    tried(DrainAndReplaceWorld, tmp_path, heal, restores=False)


def test_reads_go_to_the_other_replica(tmp_path: Path) -> None:
    async def heal(hands: Hands) -> None:
        await hands.do("traffic.set_weights", "traffic", weights={"a": 100, "b": 0})

    tried(FailoverReadTrafficWorld, tmp_path, heal)


def test_a_bad_release_is_rolled_back_arm_by_arm(tmp_path: Path) -> None:
    async def heal(hands: Hands) -> None:
        world = hands.world
        previous = (await world.changes())["change.instance-b.previous_release"]
        await hands.do("traffic.set_weights", "traffic", weights={"a": 100, "b": 0})
        await hands.do("process.switch_release", "instance-b", release=previous)
        await hands.do("traffic.set_weights", "traffic", weights={"a": 50, "b": 50})
        async with asyncio.timeout(30):  # a program that runs need not listen yet
            while (seen := await world.figures())["b"].errors or seen["b"].requests < 10:
                pass
        assert (seen["a"].error_ratio or 0) > 0.3
        await hands.do("process.switch_release", "instance-a", release=previous)

    tried(RollbackReleaseWorld, tmp_path, heal)
