"""Traffic that somebody else moves: it is said, put back, and given up where that goes on."""

import asyncio

from stage import PATIENCE_SECONDS, Script, Stage, canary, performing, play, shop

from penelope.domain.deployment import Cause, Course, Deployment, DeploymentStatus
from penelope.flow.deployments import NewDeployment, resume
from penelope.store.database import open_reader, parse_url
from penelope.store.deployments import SqlDeployments
from penelope.testing.routers import FakeRouter

Databases = tuple[str, str]


async def begin(stage: Stage, course: Course) -> str:
    wanted = NewDeployment(service="shop", course=course, actor="anna", reason="v2")
    begun = await stage.deployments.start(wanted)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "CanaryLooked" not in await events(stage, begun.id):  # noqa: ASYNC110 - the flow writes it
            await asyncio.sleep(0.02)
    return begun.id


async def events(stage: Stage, deployment: str) -> list[str]:
    return [entry.event for entry in await stage.deployments.history(deployment, 0, 1000)]


async def drifted(stage: Stage, deployment: str) -> str:
    """What was said of the first time that it had gone astray, once it has its traffic again."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            history = await stage.deployments.history(deployment)
            found = [entry for entry in history if entry.event in {"TrafficDrifted", "TrafficShifted"}]
            if len(found) >= 3:
                assert [entry.event for entry in found][:3] == [
                    "TrafficShifted",
                    "TrafficDrifted",
                    "TrafficShifted",
                ]
                return found[1].reason
            await asyncio.sleep(0.02)


async def end_of(stage: Stage, deployment: str) -> Deployment:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = (await stage.deployments.shown(deployment)).deployment
            if found.status.ended:
                return found
            await asyncio.sleep(0.02)


def test_traffic_that_somebody_moved_is_put_back(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        deployment = await begin(stage, canary(manual=True))
        await stage.router.set_weights(shop(), {"a": 30, "b": 70})
        said = await drifted(stage, deployment)
        assert said == "the router gives a 30 %, b 70 %, where b 10 % was put in force"
        assert await stage.router.weights(shop()) == {"a": 90, "b": 10}
        assert (await stage.deployments.shown(deployment)).deployment.status is DeploymentStatus.PROGRESSING

    play(databases, scene)


def test_traffic_that_was_moved_while_penelope_was_away_is_put_back(databases: Databases) -> None:
    router = FakeRouter()

    async def scene() -> None:
        async with performing(databases, Script(router=router)) as stage:
            deployment = await begin(stage, canary(manual=True))
        await router.set_weights(shop(), {"a": 0, "b": 100})
        async with performing(databases, Script(router=router)) as stage:
            reading = open_reader(parse_url(databases[0]))
            try:
                await resume(stage.engine, SqlDeployments(reading))
            finally:
                await reading.dispose()
            assert "b 100 %" in await drifted(stage, deployment)
            assert await router.weights(shop()) == {"a": 90, "b": 10}
            assert await stage.flaws() == []

    asyncio.run(scene())


class Contested(FakeRouter):
    """Somebody else gives all to b, each time anew, but for what is taken away."""

    async def weights(self, service):
        found = await super().weights(service)
        return {"a": 0, "b": 100} if found.get("b") == 10 else found


def test_who_moves_it_again_and_again_is_given_way_to(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        wanted = NewDeployment(service="shop", course=canary(manual=True), actor="anna")
        deployment = (await stage.deployments.start(wanted)).id
        ended = await end_of(stage, deployment)
        assert (ended.status, ended.cause, ended.weight) == (
            DeploymentStatus.ROLLED_BACK,
            Cause.ROUTER,
            0,
        )
        assert "somebody else moves this traffic" in ended.reason
        assert (await events(stage, deployment)).count("TrafficDrifted") == 4
        assert "CanaryLooked" not in await events(stage, deployment)

    play(databases, scene, router=Contested())
