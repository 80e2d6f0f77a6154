"""The shop under load, with a Penelope that shifts its traffic, for bench/rollout_shop.py."""

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from shop.control import ControlPlane
from shop.load import Answer, Load
from shop.release import Release
from shop.rollouts import STAGES, Rollouts, course
from shop.world import World

SAMPLE_SECONDS = 0.05
NEW_AND_GOOD = Release(name="2.0-good")
NEW_AND_BAD = Release(name="2.0-bad", error_ratio=0.05)
"""Bad enough for the limit of 2 %, and not so bad that one look is enough."""

ANALYSIS: dict[str, Any] = {"factor": 3.0, "negligible_error_ratio": 0.01, "silence_seconds": 5.0}
"""The shop fails nothing while it is well: 3 % errors are what must be ruled out before a stage goes on."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; `kept` is None where there is no goal, `broken` where something did not work."""

    what: str
    measured: str
    goal: str = ""
    kept: bool | None = None
    broken: bool = False


class Sampler(threading.Thread):
    """The canary's weight as Traefik has it, whenever it changes: monotonic seconds and percent of instance `b`."""

    def __init__(self, world: World) -> None:
        super().__init__(name="sampler", daemon=True)
        self.changes: list[tuple[float, int]] = []
        self._url = f"{world.traefik_api}/api/http/services/shop@file"
        self._stopping = threading.Event()

    def run(self) -> None:
        with httpx.Client(trust_env=False, timeout=10) as client:
            while not self._stopping.wait(SAMPLE_SECONDS):
                arms = client.get(self._url).json()["weighted"]["services"]
                weight = next(arm.get("weight", 1) for arm in arms if arm["name"].startswith("shop-b"))
                if not self.changes or self.changes[-1][1] != weight:
                    self.changes.append((time.monotonic(), weight))

    def stop(self) -> None:
        self._stopping.set()
        self.join()


@dataclass(kw_only=True)
class Scene:
    world: World
    penelope: ControlPlane
    rollouts: Rollouts
    load: Load
    sampler: Sampler
    chance: random.Random
    analysis: dict[str, Any]
    rows: list[Row] = field(default_factory=list)

    def note(
        self, what: str, measured: str, goal: str = "", *, kept: bool | None = None, broken: bool = False
    ) -> None:
        row = Row(what=what, measured=measured, goal=goal, kept=kept, broken=broken)
        self.rows.append(row)
        print(line(row), flush=True)

    def course(self, *, manual: bool = False) -> dict[str, Any]:
        return course("b", "a", manual=manual, **self.analysis)

    def answers(self, since: float, until: float) -> list[Answer]:
        """Requests that ended in between."""
        return [each for each in self.load.answers() if since <= each.at <= until]

    def restart(self) -> None:
        """Another life, which has read the catalogue anew."""
        self.penelope.kill()
        self.rollouts.launch()
        self.rollouts.await_safety()

    def weights_between(self, since: float, until: float) -> list[tuple[float, int]]:
        return [(at - since, weight) for at, weight in self.sampler.changes if since <= at <= until]

    def at_stage(self, weight: int) -> str:
        """A rollout that waits for a word at this weight."""
        deployment = self.rollouts.start(self.course(manual=True), f"up to {weight} %")
        for stage, each in enumerate(STAGES[: STAGES.index(weight) + 1]):
            self.rollouts.await_weight(deployment, each)
            if each != weight:
                self.rollouts.say(deployment, "step", stage)
        return deployment

    def back_on_a(self) -> None:
        """Brings all traffic back to instance a, as the next release to b finds it."""
        if self.rollouts.live_weights()["b"] == 0:
            return
        end = self.rollouts.start(self.course(manual=True), "the next one begins on a")
        self.rollouts.await_weight(end, STAGES[0])
        self.rollouts.say(end, "cancel")
        self.rollouts.await_end(end)


def line(row: Row) -> str:
    verdict = "BROKEN" if row.broken else {None: "", True: "kept", False: "MISSED"}[row.kept]
    return f"  {row.what:<66} {row.measured:<72} {row.goal:<22} {verdict}".rstrip()


@contextmanager
def opened(given: argparse.Namespace) -> Iterator[Scene]:
    """All running, and all traffic on instance a."""
    with tempfile.TemporaryDirectory(prefix="rollout-shop-") as name, World(Path(name) / "shop") as world:
        for release in (NEW_AND_GOOD, NEW_AND_BAD):
            release.write(world.releases_dir)
        penelope = ControlPlane(Path(name) / "penelope", world)
        penelope.key = penelope.create_key("bench", "read", "write", "approve")
        rollouts = Rollouts(world, penelope)
        load = Load(world.url, given.rate, timeout_seconds=10, remembered_seconds=7200)
        sampler = Sampler(world)
        analysis = ANALYSIS | {"latency": given.latency}
        scene = Scene(
            world=world,
            penelope=penelope,
            rollouts=rollouts,
            load=load,
            sampler=sampler,
            chance=random.Random(given.seed),
            analysis=analysis,
        )
        try:
            rollouts.launch()
            rollouts.await_serving()
            load.start()
            # The shop begins with half its traffic on each instance; a rollout that is cancelled takes it from b.
            first = rollouts.start(scene.course(manual=True), "to begin with")
            rollouts.await_weight(first, STAGES[0])
            rollouts.say(first, "cancel")
            rollouts.await_end(first)
            sampler.start()
            yield scene
        finally:
            if sampler.is_alive():
                sampler.stop()
            load.stop()
            penelope.kill()
            rollouts.close()
