"""Rollouts as a program begins and ends them that runs a Penelope in its own process."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from doorstep import PATIENCE_SECONDS, SERVICES, settings

from penelope.bootstrap import application
from penelope.domain.analysis import AnalysisSpec, Otherwise
from penelope.domain.deployment import Course, DeploymentStatus, alike, fixed_split
from penelope.entry.rollouts import Rollouts
from penelope.errors import AlreadyDecided, InvalidRequest, UnknownDeployment, UnknownService

COURSE = Course(
    canary="b",
    control="a",
    stages=fixed_split(20),
    analysis=AnalysisSpec(silence_seconds=3600, on_silence=Otherwise.HOLD),
)
ROUTED = "  {name}: {{owner: team-shop, tier: 2, router: {{kind: noop, arms: {{a: a, b: b}}}}}}\n"


def test_a_program_begins_follows_and_cancels(tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(scene(tmp_path), PATIENCE_SECONDS))


async def scene(folder: Path) -> None:
    wanted = settings(folder)
    (folder / "services.yaml").write_text(SERVICES + ROUTED.format(name="web") + ROUTED.format(name="api"))
    async with application(wanted) as penelope:
        rollouts = Rollouts(penelope.deployments, "program:nightly")
        begun = await rollouts.start_canary("", "web", COURSE, reason="v2", revision="v2", key="night-1")
        again = await rollouts.start_canary("", "web", COURSE, reason="v2", revision="v2", key="night-1")
        assert again.id == begun.id
        other = await rollouts.start_canary("", "api", COURSE)
        assert {item.id for item in await rollouts.get_active_deployments()} == {begun.id, other.id}
        assert [item.id for item in await rollouts.get_active_deployments("api")] == [other.id]
        while (await rollouts.get_deployment_status(begun.id)).weight != 20:  # noqa: ASYNC110 - the flow moves it
            await asyncio.sleep(0.02)
        with pytest.raises(AlreadyDecided):
            await rollouts.start_canary("", "web", COURSE)
        with pytest.raises(UnknownService):
            await rollouts.start_canary("", "nobody", COURSE)
        with pytest.raises(InvalidRequest, match="in force"):
            await rollouts.start_canary("inc_1:step", "web", COURSE)
        with pytest.raises(InvalidRequest, match="between two looks"):
            replace(COURSE, interval_seconds=float("nan"))
        with pytest.raises(UnknownDeployment):
            await rollouts.cancel_deployment("deployment_none", "enough")
        for _ in range(2):
            await rollouts.cancel_deployment(begun.id, "enough")
        while not (ended := await rollouts.get_deployment_status(begun.id)).status.ended:  # noqa: ASYNC110 - the flow ends it
            await asyncio.sleep(0.02)
        assert (ended.status, ended.weight) == (DeploymentStatus.CANCELLED, 0)
        assert [item.id for item in await rollouts.get_active_deployments()] == [other.id]
        learning = await rollouts.calibrate("web", "b", "a", reason="monthly", key="month-11")
        assert (await rollouts.calibrate("web", "b", "a", reason="monthly", key="month-11")).id == learning.id
        assert learning.course.calibrates
        assert learning.course.stages == alike(1800)
        with pytest.raises(InvalidRequest, match="at least 900 seconds"):
            await rollouts.calibrate("api", "b", "a", seconds=60)
        await rollouts.cancel_deployment(learning.id, "enough")
        history = await penelope.deployments.history(begun.id)
        assert [entry.actor for entry in history if entry.event == "RolloutCancelRequested"] == [
            "program:nightly"
        ]
