"""kill -9 of Penelope in a rollout on the shop under load, around a weight that Traefik was just given.

How long it takes until the weight is known again is measured by bench/rollout_shop.py; here is only what must hold.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shop.control import ControlPlane
from shop.load import Load
from shop.rollouts import Rollouts, course, weights_told
from shop.world import World

_DOOMED = Path(__file__).with_name("doomed.py")

pytestmark = pytest.mark.chaos


@dataclass
class Scene:
    """The shop under load, and the Penelope that shifts its traffic."""

    penelope: ControlPlane
    rollouts: Rollouts
    load: Load

    def kill_at(self, boundary: str) -> None:
        self.rollouts.die_at(boundary)

    def survive(self) -> tuple[int, str]:
        """After a death: the weight and status by which Penelope, born again, and Traefik agree."""
        self.rollouts.await_death()
        safe = self.rollouts.await_safety()
        return safe.weight, safe.status


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with World(tmp_path / "shop") as world:
        penelope = ControlPlane(tmp_path / "penelope", world)
        penelope.key = penelope.create_key("rollouts", "read", "write", "approve")
        rollouts = Rollouts(world, penelope)
        # What a machine that is busy with other tests does not answer in two seconds is no fault of a kill.
        load = Load(world.url, 30, timeout_seconds=20)
        rollouts.launch(_DOOMED)
        load.start()
        try:
            rollouts.await_serving()
            yield Scene(penelope, rollouts, load)
        finally:
            load.stop()
            penelope.stop()
            rollouts.close()


def test_no_request_pays_for_a_death(scene: Scene) -> None:
    rollouts = scene.rollouts
    deployment = rollouts.start(course("b", "a", manual=True), "killed at 25 %, and on its way back")
    rollouts.await_weight(deployment, 10)
    scene.kill_at("written shift to 25 %")
    rollouts.say(deployment, "step", 0)
    assert scene.survive() == (25, "progressing")
    scene.kill_at("unrecorded shift to 0 %")
    rollouts.say(deployment, "abort")
    assert scene.survive()[0] == 0
    assert rollouts.await_end(deployment)["status"] == "rolled_back"
    assert rollouts.live_weights() == {"a": 100, "b": 0}
    deaths = (scene.penelope.directory / "deaths").read_text(encoding="ascii").splitlines()
    assert len(deaths) == 2
    told = rollouts.events(deployment)
    assert weights_told(told) == [10, 25, 0]
    assert [event["event"] for event in told].count("RolloutRolledBack") == 1
    scene.load.stop()
    by = {
        instance: sum(each.instance == instance for each in scene.load.answers()) for instance in ("a", "b")
    }
    assert scene.load.lost == 0
    assert 0 < by["b"] < by["a"]
    assert by["a"] + by["b"] == scene.load.sent
