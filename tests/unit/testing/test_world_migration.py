"""The world of migrate-database, without Penelope's flow: it breaks, is mended through the adapter, and ends."""

import asyncio
import os
from pathlib import Path

from penelope.adapters.actions.http import HttpAdapter
from penelope.domain.action import Action, Tier
from penelope.rooms.act.run import perform
from penelope.testing.world_migration import MigrationWorld

PARAMS = {"method": "POST", "path": "/admin/migrate", "probe_path": "/admin/operations/{key}"}


async def _tour(folder: Path) -> int:
    world = MigrationWorld()
    await world.open(folder)
    try:
        pid = world._process.pid if world._process else 0
        whole = await world.state()
        assert await world.healthy()
        await world.break_it()
        broken = await world.state()
        assert not await world.healthy()
        assert broken != whole
        assert await world.gauges() == {"schema_version": 1.0}
        target = world.service().targets["admin-a"]
        action = Action(
            key="inc/plan/step with spaces",
            name="migrate",
            adapter="http",
            operation="call",
            target=target,
            params=PARAMS,
            tier=Tier.HARD_TO_REVERSE,
            timeout_seconds=20,
        )
        adapter = HttpAdapter()
        snapshot = await adapter.snapshot(action)
        assert not (await perform(adapter, action, snapshot, first_attempt=True)).repeated
        assert (await perform(adapter, action, snapshot, first_attempt=False)).repeated
        assert await world.healthy()
        assert await world.state() == whole
        assert await world.effects() == {"migrations": 1}
        await world.break_it()
        assert await world.state() == broken
        await world.reset()
        assert await world.state() == whole
        return pid
    finally:
        await world.close()


def test_a_tour_of_the_world(tmp_path: Path) -> None:
    pid = asyncio.run(_tour(tmp_path))
    assert pid
    assert not Path(f"/proc/{pid}").exists() or os.waitpid(pid, os.WNOHANG)


def test_closing_what_never_opened_is_harmless() -> None:
    asyncio.run(MigrationWorld().close())
