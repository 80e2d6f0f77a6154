"""A shop in ruins, and a Penelope that is killed while she mends it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from theatre import Theatre

from shop.alerts import RULES, Rhythm
from shop.control import ControlPlane
from shop.load import Load
from shop.watch import Watch
from shop.world import World

# Where the machine is slow, so is the shop: that would be another incident, beside the one that is watched here.
_RULES = [rule for rule in RULES if rule.name != "ShopHighLatency"]


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    """The shop under load, watched, and a Penelope that is not running yet."""
    with World(tmp_path / "shop") as world:
        penelope = ControlPlane(tmp_path / "penelope", world)
        penelope.key = penelope.create_key("chaos", "read", "write", "approve")
        load = Load(world.url, 30)
        rhythm = Rhythm(window_seconds=4.0, for_seconds=1.0, resolve_seconds=3.0, repeat_seconds=3.0)
        receiver = f"{penelope.url}/api/v1/alertmanager"
        watch = Watch(world.instance_urls, receiver, penelope.key, rhythm, _RULES)
        load.start()
        watch.start()
        try:
            yield Theatre(world, penelope, watch)
        finally:
            watch.stop()
            load.stop()
            penelope.stop()
