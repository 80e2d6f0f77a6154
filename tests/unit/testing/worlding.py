"""What each world's test does: it breaks, its playbook's actions mend it, they are taken back, and nothing stays behind."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penelope.adapters.actions.installed import Surroundings, installed
from penelope.adapters.routers.traefik import TraefikRouter
from penelope.domain.action import Action, Snapshot, Tier
from penelope.rooms.act.ports import ActionAdapter
from penelope.rooms.act.run import perform, undo
from penelope.testing.worlds import World


@dataclass
class Hands:
    """Carries actions out by hand, through the adapters that are installed, and takes them back in reverse."""

    world: World
    keep: Path
    done: list[tuple[ActionAdapter, Action, Snapshot]] = field(default_factory=list)

    async def do(self, operation: str, target: str, **params: Any) -> None:
        service = self.world.service()
        surroundings = Surroundings(
            services={service.name: service},
            routers={"traefik": TraefikRouter(deadline_seconds=15.0)},
            keep=self.keep,
        )
        name, _, verb = operation.partition(".")
        adapter = installed()[name].made(surroundings)
        action = Action(
            key=f"inc/plan/{len(self.done)}",
            name=f"{operation} {target}",
            adapter=name,
            operation=verb,
            target=service.targets[target],
            params=params,
            tier=Tier.SNAPSHOT,
            timeout_seconds=40.0,
        )
        snapshot = await adapter.snapshot(action)
        assert list(await adapter.differences(action, snapshot)) == []
        await perform(adapter, action, snapshot, first_attempt=True)
        assert (await perform(adapter, action, snapshot, first_attempt=False)).repeated
        self.done.append((adapter, action, snapshot))

    async def undo(self) -> None:
        for adapter, action, snapshot in reversed(self.done):
            await undo(adapter, action, snapshot)
            assert list(await adapter.differences(action, snapshot)) == []
        self.done.clear()


async def becomes(world: World, *, healthy: bool, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while await world.healthy() is not healthy:  # noqa: ASYNC110 - a world of other processes tells nothing
            await asyncio.sleep(0.1)


def processes_in(folder: Path) -> list[str]:
    """Command lines of living processes that name the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(folder) in command:
                found.append(command)
    return found


def tried(
    make: Callable[[], World], folder: Path, heal: Callable[[Hands], Any], *, restores: bool = True
) -> None:
    """`restores` says that the fault comes back with the undo: what a restart mended stays mended."""
    folder = folder / "world"
    folder.mkdir()

    async def story() -> None:
        world = make()
        try:
            await world.open(folder)
            assert processes_in(folder)
            assert await world.healthy()
            fresh = await world.state()
            for _ in range(2):
                await _once(world)
                await world.reset()
                assert await world.healthy()
                assert await world.state() == fresh
        finally:
            await world.close()
            await world.close()

    async def _once(world: World) -> None:
        await world.break_it()
        assert not await world.healthy()
        broken = await world.state()
        hands = Hands(world, folder / "keep")
        await heal(hands)
        await becomes(world, healthy=True)
        await hands.undo()
        assert await world.state() == broken
        if restores:
            await becomes(world, healthy=False)

    asyncio.run(story())
    assert processes_in(folder) == []
