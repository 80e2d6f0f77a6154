"""kill -9 at every step boundary of a rollout: only planned weights, and an end at 0 or 100, told once."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stage import Script, performing

from penelope.domain.deployment import DeploymentStatus
from penelope.domain.incident import IncidentState
from penelope.flow.deploying import place_of
from penelope.flow.noise import unit_of
from penelope.flow.ports import Transaction

_SCRIPT = Path(__file__).with_name("undying.py")
_PLACES = ":".join(
    str(Path(__file__).parents[2] / name) for name in ("tests/flow", "tests/chaos", "examples")
)

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize(
    ("manner", "status", "weights"),
    [
        ("good", DeploymentStatus.PROMOTED, [20, 100]),
        ("bad", DeploymentStatus.ROLLED_BACK, [20, 0]),
        ("alike", DeploymentStatus.CONCLUDED, [50, 0]),
    ],
)
def test_every_boundary_of_a_rollout(
    databases: tuple[str, str], tmp_path: Path, manner: str, status: DeploymentStatus, weights: list[int]
) -> None:
    command = [sys.executable, str(_SCRIPT), *databases, str(tmp_path), manner]
    subprocess.run(command, check=True, timeout=400, env={**os.environ, "PYTHONPATH": _PLACES})
    graves = (tmp_path / "graves").read_text(encoding="utf-8").splitlines()
    print(f"\n{len(graves)} deaths: " + ", ".join(graves))
    assert len(graves) == len(set(graves)) >= 15
    places = ("turn", f"shift to {weights[0]} %", "shifted", "look", "judged", "finalise", "settled")
    assert {f"before {place}" for place in places} <= set(graves)
    given = [int(line) for line in (tmp_path / "weights").read_text(encoding="ascii").split()]
    assert [
        weight for number, weight in enumerate(given) if number == 0 or given[number - 1] != weight
    ] == weights
    asyncio.run(ended(databases, status))


def test_every_boundary_of_a_playbook_with_a_bad_canary(databases: tuple[str, str], tmp_path: Path) -> None:
    command = [sys.executable, str(_SCRIPT), *databases, str(tmp_path), "playbook"]
    subprocess.run(command, check=True, timeout=500, env={**os.environ, "PYTHONPATH": _PLACES})
    graves = (tmp_path / "graves").read_text(encoding="utf-8").splitlines()
    print(f"\n{len(graves)} deaths: " + ", ".join(graves))
    assert len(graves) == len(set(graves)) >= 30
    assert {"before begin the rollout", "before look at the rollout", "before shift to 0 %"} <= set(graves)
    given = [int(line) for line in (tmp_path / "weights").read_text(encoding="ascii").split()]
    assert list(dict.fromkeys(given)) == [20, 0]
    assert given[-1] == 0
    world = json.loads((tmp_path / "world").read_text(encoding="utf-8"))
    # What the playbook did was done once, and taken back once.
    assert (list(world["effects"].values()), list(world["compensations"].values())) == ([1], [1])
    assert world["in_effect"] == []
    asyncio.run(ended(databases, DeploymentStatus.ROLLED_BACK, of_incident=True))


async def ended(databases: tuple[str, str], status: DeploymentStatus, *, of_incident: bool = False) -> None:
    async with performing(databases, Script()) as stage:
        (deployment,) = await stage.deployments.page()
        assert deployment.status is status
        assert bool(deployment.incident) is of_incident
        if of_incident:
            assert (await stage.until(deployment.incident)).state is IncidentState.ESCALATED
        events = [entry.event for entry in await stage.deployments.history(deployment.id)]
        assert events.count("RolloutBegun") == 1
        ends = ("RolloutPromoted", "RolloutRolledBack", "RolloutConcluded")
        assert sum(events.count(end) for end in ends) == 1
        learned = [entry.event for entry in await stage.deployments.history(unit_of("shop"))]
        assert learned == (["NoiseLearned"] if status is DeploymentStatus.CONCLUDED else [])
        if deployment.learned is not None:
            assert deployment.learned.seconds == 900
            assert deployment.learned.errors
        assert await stage.flaws() == []
        assert await stage.engine.transaction("look", holder_of_the_traffic) is None


async def holder_of_the_traffic(transaction: Transaction) -> str | None:
    lease = await transaction.leases.of(place_of("shop"))
    return None if lease is None else lease.holder
