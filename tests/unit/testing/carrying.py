"""Tries a world by hand: the fault, the actions of its playbook through the installed adapter, and back."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from penelope.adapters.actions.installed import Surroundings, installed
from penelope.domain.action import Action, Snapshot, Tier
from penelope.kit.canonical import Json
from penelope.rooms.act.run import perform, undo
from penelope.testing.worlds import World

Step = tuple[str, str, dict[str, Any]]
"""Target, operation and parameters."""


async def tried(world: World, steps: Sequence[Step], folder: Path, *, again: bool = True) -> None:
    """Everything that a world promises, twice, so that a reset is seen to reset."""
    (folder / "world").mkdir()
    try:
        await world.open(folder / "world")
        own = getattr(getattr(world, "_server", None), "_folder", folder)
        assert own == folder or [line for line in _command_lines() if str(own) in line]
        for _ in range(2 if again else 1):
            await world.reset()
            assert await world.healthy()
            before = await world.state()
            await world.break_it()
            assert not await world.healthy()
            await _carried(world, steps, folder)
            await world.reset()
            assert await world.state() == before
    finally:
        await world.close()
    assert not [line for line in _command_lines() if str(own) in line]
    assert own == folder or not own.exists()


def _command_lines() -> Iterator[str]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            yield " ".join(process.cmdline())


async def _carried(world: World, steps: Sequence[Step], folder: Path) -> None:
    broken = await world.state()
    done: list[tuple[Action, Snapshot]] = []
    for number, (target, operation, params) in enumerate(steps):
        action = _action(world, number, target, operation, params)
        adapter = _adapter(action.adapter, folder)
        adapter.validate(operation, params)
        snapshot = await adapter.snapshot(action)
        assert not (await perform(adapter, action, snapshot, first_attempt=True)).repeated
        assert (await perform(adapter, action, snapshot, first_attempt=False)).repeated
        done.append((action, snapshot))
    assert await world.healthy()
    for action, snapshot in reversed(done):
        adapter = _adapter(action.adapter, folder)
        await undo(adapter, action, snapshot)
        assert await adapter.differences(action, snapshot) == []
    assert await world.state() == broken


def _action(world: World, number: int, target: str, operation: str, params: dict[str, Json]) -> Action:
    found = world.service().targets[target]
    return Action(
        key=f"inc_1/plan_1/{number}",
        name=operation,
        adapter=found.adapter,
        operation=operation,
        target=found,
        params=params,
        tier=Tier.HARD_TO_REVERSE,
        timeout_seconds=15.0,
    )


def _adapter(name: str, folder: Path) -> Any:
    return installed()[name].made(Surroundings(services={}, routers={}, keep=folder / "keep"))
