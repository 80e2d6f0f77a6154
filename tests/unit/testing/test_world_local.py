"""The worlds of files, certificates and configuration: each breaks, heals by its playbook's actions, and goes back."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from penelope.adapters.actions.installed import Surroundings, installed
from penelope.adapters.playbooks.load import load, shipped_folder
from penelope.domain.action import Action
from penelope.domain.contract import judge
from penelope.domain.plan import Playbook, StepTemplate
from penelope.kit.clock import SystemClock
from penelope.rooms.act.run import perform, undo
from penelope.rooms.plan.binding import bind
from penelope.testing.worlds import GROUP, World

NAMES = ["clear-disk-space", "rotate-full-log", "renew-certificate", "revert-bad-config"]


def made(name: str) -> World:
    (point,) = entry_points(group=GROUP, name=name)
    world = point.load()()
    assert isinstance(world, World)
    assert world.playbook == name
    return world


def playbook_of(name: str) -> Playbook:
    (found,) = load([shipped_folder() / f"{name}.yaml"], shipped=False).playbooks()
    return found


async def actions_of(world: World, playbook: Playbook) -> list[Action]:
    changes: Mapping[str, Any] = await world.changes()
    values = {item.name: changes.get(item.source or "", item.default) for item in playbook.parameters}
    service = world.service()
    return [
        Action(
            key=f"inc/plan/{number}",
            name=step.name,
            adapter=step.adapter,
            operation=step.operation,
            target=service.targets[step.target],
            params=bind(step.params, values),
            tier=step.tier,
            timeout_seconds=step.timeout_seconds,
        )
        for number, step in enumerate(playbook.steps)
        if isinstance(step, StepTemplate)
    ]


async def holds(world: World, playbook: Playbook, what: str) -> bool:
    gauges = await world.gauges()
    contract = playbook.verify
    clauses = playbook.preconditions if what == "preconditions" else contract.clauses
    asked = [clause for clause in clauses if clause.subject.removeprefix("metric.") in gauges]
    assert asked
    observed = {clause.subject: gauges[clause.subject.removeprefix("metric.")] for clause in asked}
    judged = type(contract)(clauses=tuple(asked), deadline_seconds=1)
    return judge(judged, observed, SystemClock().now()).passed


async def eventually(true: Callable[[], Awaitable[bool]]) -> bool:
    for _ in range(100):
        if await true():
            return True
        await asyncio.sleep(0.05)
    return False


async def story(world: World, folder: Path) -> None:
    playbook = playbook_of(world.playbook)
    assert world.signal_name in playbook.match.names
    assert await world.healthy()
    assert not await holds(world, playbook, "preconditions"), "it would act where nothing is broken"
    await world.break_it()
    assert not await world.healthy()
    assert await holds(world, playbook, "preconditions")
    broken = await world.state()
    surroundings = Surroundings(services={}, routers={}, keep=folder / "keep")
    done = []
    for action in await actions_of(world, playbook):
        adapter = installed()[action.adapter].made(surroundings)
        adapter.validate(action.operation, action.params)
        snapshot = await adapter.snapshot(action)
        await perform(adapter, action, snapshot, first_attempt=True)
        done.append((adapter, action, snapshot))
    assert await eventually(world.healthy)
    assert await holds(world, playbook, "verify")
    assert not await holds(world, playbook, "preconditions"), "a second alert would act again"
    assert await world.state() != broken
    for adapter, action, snapshot in reversed(done):
        if action.adapter == "http":
            continue  # A reload cannot be taken back: the playbook says so.
        await undo(adapter, action, snapshot)
        assert list(await adapter.differences(action, snapshot)) == []
    await eventually(lambda: same(world, broken))
    assert await world.state() == broken
    await world.reset()
    assert await eventually(world.healthy)


async def same(world: World, state: Any) -> bool:
    return bool(await world.state() == state)


def below(folder: Path) -> list[str]:
    """The processes that name the folder in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(folder) in words:
                found.append(words)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_world_breaks_heals_and_goes_back(name: str, tmp_path: Path) -> None:
    async def steps() -> None:
        world = made(name)
        (tmp_path / "world").mkdir()
        try:
            await world.open(tmp_path / "world")
            await story(world, tmp_path)
            await story(world, tmp_path / "again")
        finally:
            await world.close()
            await world.close()

    asyncio.run(steps())
    assert below(tmp_path / "world") == []


@pytest.mark.parametrize("name", NAMES)
def test_a_world_that_was_never_opened_can_be_closed(name: str) -> None:
    asyncio.run(made(name).close())


def test_a_cache_can_be_looked_at_while_files_vanish_from_it(tmp_path):
    async def looked():
        world = made("clear-disk-space")
        await world.open(tmp_path)
        ends = asyncio.get_running_loop().time() + 1
        passing = [tmp_path / "cache" / f"passing-{number}.tmp" for number in range(50)]

        def come_and_go():
            while not done:
                for path in passing:
                    path.write_bytes(b"p")
                for path in passing:
                    path.unlink()

        done: list[bool] = []
        coming = asyncio.create_task(asyncio.to_thread(come_and_go))
        try:
            while asyncio.get_running_loop().time() < ends:
                assert await world.healthy()
                assert isinstance(await world.state(), list)
        finally:
            done.append(True)
            await coming

    asyncio.run(looked())
