"""Each world on the small API server: broken, healed by what its playbook does, taken back, and left without a trace."""

import asyncio
import os
import time
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.kubernetes import KubernetesAdapter
from penelope.adapters.playbooks.load import load, shipped_folder
from penelope.domain.action import Action, Snapshot
from penelope.domain.contract import Contract, judge
from penelope.domain.plan import Playbook, StepTemplate
from penelope.errors import Unavailable
from penelope.rooms.act.run import perform, undo
from penelope.testing.world_kubernetes import (
    CordonNode,
    KubernetesWorld,
    QuarantineCrashLoopingJob,
    RaiseMemoryLimit,
    RestartStuckConsumer,
    ScaleOut,
    UnstickDeployment,
)
from penelope.testing.worlds import GROUP

WORLDS = [
    UnstickDeployment,
    CordonNode,
    RaiseMemoryLimit,
    QuarantineCrashLoopingJob,
    ScaleOut,
    RestartStuckConsumer,
]


async def opened(kind: type[KubernetesWorld], folder: Path) -> KubernetesWorld:
    world = kind()
    await world.open(folder)
    return world


def playbook_of(world: KubernetesWorld) -> Playbook:
    (found,) = load([shipped_folder() / f"{world.playbook}.yaml"], shipped=False).playbooks()
    return found


def actions_of(world: KubernetesWorld) -> list[Action]:
    """The steps of the playbook, as the plan would bind them: these have no parameters."""
    return [
        Action(
            key=f"inc_1/plan_1/{number}",
            name=step.name,
            adapter=step.adapter,
            operation=step.operation,
            target=world.service().targets[step.target],
            params=step.params,
            tier=step.tier,
            timeout_seconds=step.timeout_seconds,
            contract=step.expect,
        )
        for number, step in enumerate(playbook_of(world).steps)
        if isinstance(step, StepTemplate)
    ]


async def until(holds: Any, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.05)


async def fits(world: KubernetesWorld) -> bool:
    """Whether the preconditions of its playbook hold."""
    playbook = playbook_of(world)
    seen = {f"metric.{name}": value for name, value in (await world.gauges()).items()}
    contract = Contract(clauses=playbook.preconditions, deadline_seconds=1)
    return bool(playbook.preconditions) and judge(contract, seen, datetime.now(UTC)).passed


async def as_promised(adapter: KubernetesAdapter, action: Action) -> bool:
    assert action.contract is not None
    seen = {f"state.{key}": value for key, value in (await adapter.observe(action)).items()}
    return judge(action.contract, seen, datetime.now(UTC)).passed


async def story(world: KubernetesWorld, adapter: KubernetesAdapter) -> None:
    whole = await world.state()
    assert await world.healthy()
    assert not await fits(world), "an alert that comes again after it has healed does nothing more"
    await world.break_it()
    broken = await world.state()
    assert not await world.healthy()
    assert await fits(world)
    done: list[tuple[Action, Snapshot]] = []
    for action in actions_of(world):
        snapshot = await adapter.snapshot(action)
        assert not (await perform(adapter, action, snapshot, first_attempt=True)).repeated
        await until(lambda: as_promised(adapter, action))  # noqa: B023 - awaited before the next
        done.append((action, snapshot))
    await until(world.healthy)
    assert not await fits(world)
    assert await world.state() != broken
    for action, snapshot in reversed(done):
        await undo(adapter, action, snapshot)
        assert list(await adapter.differences(action, snapshot)) == []
    assert await world.state() == broken
    await world.reset()
    assert await world.healthy()
    assert await world.state() == whole


@pytest.mark.parametrize("kind", WORLDS, ids=lambda kind: kind.playbook)
def test_a_world_is_broken_healed_and_taken_back(kind: type[KubernetesWorld], tmp_path: Path) -> None:
    async def whole_story() -> int:
        world = await opened(kind, tmp_path / "world")
        pid = world.server.pid
        try:
            await story(world, KubernetesAdapter(Keep(tmp_path / "keep")))
        finally:
            await world.close()
        return pid

    pid = asyncio.run(whole_story())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_world_bears_the_name_of_its_playbook_and_says_what_it_is() -> None:
    named = {point.name: point.load() for point in entry_points(group=GROUP)}
    for kind in WORLDS:
        assert named[kind.playbook] is kind
        assert not kind.real
        assert "not a cluster" in kind.thing
        (playbook,) = load([shipped_folder() / f"{kind.playbook}.yaml"], shipped=False).playbooks()
        assert playbook.match.names == (kind.signal_name,)


def test_a_world_that_was_never_opened_can_be_closed_and_says_so() -> None:
    world = ScaleOut()
    asyncio.run(world.close())
    with pytest.raises(Unavailable, match="not opened"):
        world.service()
