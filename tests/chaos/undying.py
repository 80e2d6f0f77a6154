"""A rollout in a process that kills itself once at every boundary of a step: ``undying.py STORE ENGINE FOLDER HOW``.

HOW is ``good`` or ``bad`` for a rollout by itself, ``alike`` for a calibration, and ``playbook`` for a bad rollout that an
incident's playbook begins. The parent imports everything once and then only forks and waits. The router's weights and what
actions change are files of the FOLDER, so that they outlive each child: ``weights`` has one line for each weight that was
put in force, ``looks`` one for each time that the source of a calibration was asked.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from phoenix import Graves, make_mortal
from stage import Script, Stage, performing, playbook, step
from stage import signal as signal_of_trouble

from penelope.adapters.routers.ordering import Order
from penelope.domain.action import Action, Effect, Snapshot
from penelope.domain.analysis import AnalysisSpec
from penelope.domain.counts import Series, Totals
from penelope.domain.deployment import Course, alike
from penelope.domain.deployment import Stage as Portion
from penelope.domain.rollout import RolloutLimits
from penelope.domain.service import Service
from penelope.flow.deployments import NewDeployment, resume
from penelope.flow.sweep import sweep
from penelope.kit.clock import SystemClock
from penelope.store.database import open_reader, parse_url
from penelope.store.deployments import SqlDeployments
from penelope.testing.actions import FakeAction
from penelope.testing.counts import FakeCounter, Manner
from penelope.testing.routers import FakeRouter

_MANY = 60
"""Lives; each step is met again until it was survived."""


class FileRouter(FakeRouter):
    """Its weights are the last line of a file."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    async def weights(self, service: Service) -> Mapping[str, int]:
        arms = dict.fromkeys(service.router.arms if service.router else {}, 0)
        lines = self._file.read_text(encoding="ascii").split() if self._file.exists() else ["0"]
        return arms | {"a": 100 - int(lines[-1]), "b": int(lines[-1])}

    async def _carry_out(self, service: Service, order: Order) -> None:
        if order.weights is not None:
            with self._file.open("a", encoding="ascii") as stream:
                stream.write(f"{order.weights['b']}\n")
        await super()._carry_out(service, order)


class FileAction(FakeAction):
    """What it changes is a file."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        if file.exists():
            kept = json.loads(file.read_text(encoding="utf-8"))
            self.world, self._in_effect = kept["world"], set(kept["in_effect"])
            self.effects.update(kept["effects"])
            self.compensations.update(kept["compensations"])

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        effect = await super().execute(action, snapshot)
        self._keep()
        return effect

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        effect = await super().compensate(action, snapshot)
        self._keep()
        return effect

    def _keep(self) -> None:
        kept = {
            "world": self.world,
            "effects": self.effects,
            "compensations": self.compensations,
            "in_effect": sorted(self._in_effect),
        }
        self._file.write_text(json.dumps(kept), encoding="utf-8")


class FileHalves:
    """Two arms with bad looks of their own. Half a minute goes by at each look, whoever lives then."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def totals(self, service: Service) -> Totals:
        del service
        with self._file.open("a", encoding="ascii") as stream:
            stream.write("look\n")
        looks = len(self._file.read_text(encoding="ascii").split())
        arms = {}
        for arm in "ab":
            chance = Random(arm)
            errors = sum(chance.choice((4, 20, 36)) for _ in range(looks))
            requests = 1000 * looks
            buckets = {"0.1": requests, "+Inf": requests}
            arms[arm] = {"1": Series(requests=requests, errors=errors, buckets=buckets)}
        return Totals(at=datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=30 * looks), arms=arms)


def calibration() -> Course:
    analysis = AnalysisSpec(silence_seconds=60, limits=RolloutLimits(max_error_ratio=0.2))
    return Course(
        canary="b", control="a", stages=alike(900), calibrates=True, interval_seconds=0.05, analysis=analysis
    )


def course() -> Course:
    analysis = AnalysisSpec(silence_seconds=60, limits=RolloutLimits(min_requests=10))
    stages = (Portion(weight=20), Portion(weight=100))
    return Course(canary="b", control="a", stages=stages, interval_seconds=0.05, analysis=analysis)


async def live(databases: tuple[str, str], folder: Path, manner: str) -> None:
    router = FileRouter(folder / "weights")
    counter = FakeCounter(SystemClock(), router)
    counter.manners["b"] = Manner(error_ratio=0.5 if manner in {"bad", "playbook"} else 0.0)
    source = FileHalves(folder / "looks") if manner == "alike" else counter
    book = playbook(steps=(step("first"),), rollout=course())
    adapter = FileAction(folder / "world")
    script = Script(router=router, counter=source, adapter=adapter, playbooks=[book])
    async with performing(databases, script) as stage:
        if manner == "playbook":
            await heal(stage)
            return
        asked = calibration() if manner == "alike" else course()
        wanted = NewDeployment(service="shop", course=asked, actor="anna", reason="v2", key="v2")
        deployment = await stage.deployments.start(wanted)
        reading = open_reader(parse_url(databases[0]))
        try:
            await resume(stage.engine, SqlDeployments(reading))
        finally:
            await reading.dispose()
        while not (await stage.deployments.shown(deployment.id)).deployment.status.ended:  # noqa: ASYNC110 - the flow writes it
            await asyncio.sleep(0.02)


async def heal(stage: Stage) -> None:
    """The signal may come again in each life: it is the same. What a death left undone the sweep begins."""
    await stage.commands.receive_signals([signal_of_trouble()])
    await sweep(stage.engine, stage.reader)
    (incident,) = await stage.reader.incidents(states=(), before=None, limit=2)
    await stage.until(str(incident["id"]))


def child(databases: tuple[str, str], folder: Path, manner: str) -> None:
    make_mortal(Graves(folder / "graves"))
    try:
        asyncio.run(live(databases, folder, manner))
    except BaseException:  # noqa: BLE001 - told, and then the parent's to hear by the exit code
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    store, engine, place, how = sys.argv[1:]
    for _ in range(_MANY):
        born = os.fork()
        if born == 0:
            child((store, engine), Path(place), how)
        _, status = os.waitpid(born, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))
        assert os.WTERMSIG(status) == signal.SIGKILL
    sys.exit("it did not end in so many lives")
