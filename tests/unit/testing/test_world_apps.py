"""The worlds of one small service."""

import asyncio
from pathlib import Path

import pytest
from worlding import Hands, tried

from penelope.errors import Unavailable
from penelope.testing.world_apps import DisableFeatureFlagWorld, RestartHungProcessWorld, ShedLoadWorld


def test_a_hung_process_is_restarted(tmp_path: Path) -> None:
    async def heal(hands: Hands) -> None:
        await hands.do("process.restart", "process")

    tried(RestartHungProcessWorld, tmp_path, heal, restores=False)


def test_an_overloaded_service_sheds_load(tmp_path: Path) -> None:
    async def heal(hands: Hands) -> None:
        await hands.do(
            "http.call",
            "admission",
            method="PUT",
            path="/admin/admission",
            json={"share": 30},
            probe_path="/admin/admission/{key}",
            compensate_path="/admin/admission/{key}/undo",
        )

    tried(ShedLoadWorld, tmp_path, heal)


def test_a_failing_flag_is_disabled(tmp_path: Path) -> None:
    async def heal(hands: Hands) -> None:
        await hands.do("feature_flag.disable", "flags", flag="new-checkout")

    tried(DisableFeatureFlagWorld, tmp_path, heal)


def test_a_world_that_is_not_open_says_so() -> None:
    world = RestartHungProcessWorld()
    with pytest.raises(Unavailable, match="not open"):
        world.service()
    asyncio.run(world.close())
