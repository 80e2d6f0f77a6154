"""Worlds on the small API server of Kubernetes: a rollout that is stuck, a node that fails, memory that runs out, a job
that crashes, load that is too high, and a consumer that hangs.
"""

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from penelope.domain.service import Service, Target
from penelope.errors import Unavailable
from penelope.kit.canonical import Json
from penelope.testing.kube import NAMESPACE, KubeServer, cronjob, deployment, node, path
from penelope.testing.kube_kinds import DOWN, HUNG, NEEDS
from penelope.testing.worlds import World

_SETTLE_SECONDS = 20.0
_POLL_SECONDS = 0.05
_PLURALS = ("deployments", "cronjobs", "jobs", "nodes")
_LOAD = "play.penelope.dev/load"
_BAD_IMAGE = "registry.example/shop:2.0-bad"
_BAD_JOB = "registry.example/report:2.0-bad"


class KubernetesWorld(World):
    """Two nodes, n1 and n2, and what a world puts on them; all of it lives in the process of the server."""

    thing = "a server that validates with the official schemas of Kubernetes, not a cluster"
    real = False
    workload: ClassVar[str] = "web"

    def __init__(self) -> None:
        self._server: KubeServer | None = None

    @property
    def server(self) -> KubeServer:
        """Raises Unavailable before `open`."""
        if self._server is None:
            raise Unavailable("the world was not opened")
        return self._server

    async def open(self, folder: Path) -> None:
        self._server = KubeServer(folder / "kubernetes")
        await asyncio.to_thread(self._server.start)
        await self.reset()

    async def close(self) -> None:
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)

    async def reset(self) -> None:
        await asyncio.to_thread(self._empty)
        await self._until(self._well)

    async def break_it(self) -> None:
        await asyncio.to_thread(self._break)
        await self._until(self._ill)

    async def healthy(self) -> bool:
        return await asyncio.to_thread(self._well)

    async def state(self) -> Json:
        return await asyncio.to_thread(self._state)

    async def gauges(self) -> Mapping[str, float]:
        return await asyncio.to_thread(self._gauges)

    def service(self) -> Service:
        reach = {"server": self.server.url, "token": self.server.token, "ca": self.server.ca}
        name, options = self._target()
        target = Target(
            name=name,
            service="shop",
            adapter="kubernetes",
            options={**reach, "namespace": NAMESPACE, **options},
        )
        return Service(name="shop", owner="team-shop", tier=2, targets={name: target})

    # --- what each world says of itself -------------------------------------------------------------------

    def _target(self) -> tuple[str, dict[str, Json]]:
        return self.workload, {"kind": "Deployment", "name": self.workload}

    def _made(self) -> dict[str, Json]:
        return deployment(self.workload)

    @abstractmethod
    def _break(self) -> None:
        """Makes the fault."""

    def _well(self) -> bool:
        return self._settled()

    def _ill(self) -> bool:
        """Whether the fault shows to the playbook, too."""
        return not self._well()

    def _gauges(self) -> dict[str, float]:
        return {"unavailable_replicas": float(self._status().get("unavailableReplicas", 0))}

    def _state(self) -> Json:
        return {"workload": _lasting(self._get())}

    # --- what all of them ask -----------------------------------------------------------------------------

    def _empty(self) -> None:
        for plural in _PLURALS:
            for item in self.server.do("GET", path(plural))["items"]:
                self.server.call("DELETE", path(plural, item["metadata"]["name"]))
        for name in ("n1", "n2"):
            self.server.do("POST", path("nodes"), node(name))
        made = self._made()
        self.server.do("POST", path(_plural(made)), made)

    def _get(self) -> dict[str, Json]:
        found: dict[str, Json] = self.server.do("GET", path(_plural(self._made()), self.workload))
        return found

    def _status(self) -> dict[str, Json]:
        status: dict[str, Json] = self._get().get("status", {})
        return status

    def _patch(self, patch: Json) -> None:
        self.server.do("PATCH", path(_plural(self._made()), self.workload), patch)

    def _pods(self) -> list[dict[str, Json]]:
        """Those that are there to stay."""
        found = self.server.do("GET", path("pods"))["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def _settled(self) -> bool:
        """Whether the deployment has all the pods that it shall have, and no others, all of them serving."""
        item = self._get()
        status, replicas = item.get("status", {}), item["spec"]["replicas"]
        figures = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")}
        seen: bool = status.get("observedGeneration") == item["metadata"]["generation"]
        return seen and figures == {replicas}

    async def _until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + _SETTLE_SECONDS
        while not await asyncio.to_thread(holds):
            if time.monotonic() > end:
                raise Unavailable(f"the world of {self.playbook} does not come to where it should be")
            await asyncio.sleep(_POLL_SECONDS)


def _plural(item: Mapping[str, Json]) -> str:
    return str(item["kind"]).lower() + "s"


def _lasting(item: Json) -> Json:
    """What is wanted of an object, without what the controllers write."""
    annotations = item["metadata"].get("annotations") or {}
    kept = {
        name: text for name, text in annotations.items() if not name.startswith("deployment.kubernetes.io/")
    }
    return {"spec": item["spec"], "annotations": kept}


def _waiting(pods: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """The containers that crash again and again."""
    shown = [each for pod in pods for each in pod.get("status", {}).get("containerStatuses", [])]
    return [each for each in shown if each["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"]


class UnstickDeployment(KubernetesWorld):
    """A release whose image crashes: the old pods go on serving, the rollout does not end."""

    playbook = "unstick-deployment"
    signal_name = "KubeDeploymentRolloutStuck"

    def _break(self) -> None:
        made = self._made()
        made["spec"]["template"]["spec"]["containers"][0]["image"] = _BAD_IMAGE
        self._patch({"spec": made["spec"]})

    def _ill(self) -> bool:
        return bool(_waiting(self._pods())) and self._status().get("unavailableReplicas", 0) > 0


class CordonNode(KubernetesWorld):
    """A node that is not ready any more: what it holds serves nobody, and nobody ends it there."""

    playbook = "cordon-node"
    signal_name = "KubeNodeNotReady"

    def _target(self) -> tuple[str, dict[str, Json]]:
        return "node", {"kind": "Node", "name": "n1", "namespaces": [NAMESPACE]}

    def _break(self) -> None:
        self.server.do("PATCH", path("nodes", "n1"), {"metadata": {"annotations": {DOWN: "true"}}})

    def _state(self) -> Json:
        nodes = self.server.do("GET", path("nodes"))["items"]
        return {"nodes": [_lasting(each) for each in nodes], "workload": _lasting(self._get())}


class RaiseMemoryLimit(KubernetesWorld):
    """A deployment that has come to need more memory than its limit: it is killed again and again."""

    playbook = "raise-memory-limit"
    signal_name = "KubeContainerOOMKilled"

    def _target(self) -> tuple[str, dict[str, Json]]:
        return self.workload, {"kind": "Deployment", "name": self.workload, "memory_at_most": "512Mi"}

    def _made(self) -> dict[str, Json]:
        return deployment(self.workload, memory="256Mi", annotations={NEEDS: "200Mi"})

    def _break(self) -> None:
        self.server.do("DELETE", path("deployments", self.workload))
        hungry = deployment(self.workload, memory="256Mi", annotations={NEEDS: "300Mi"})
        self.server.do("POST", path("deployments"), hungry)

    def _ill(self) -> bool:
        return self._gauges()["oom_killed_containers"] > 0

    def _gauges(self) -> dict[str, float]:
        reasons = [each["lastState"].get("terminated", {}).get("reason") for each in _waiting(self._pods())]
        return {**super()._gauges(), "oom_killed_containers": float(reasons.count("OOMKilled"))}


class QuarantineCrashLoopingJob(KubernetesWorld):
    """A CronJob whose last release crashes: its job is started again and again."""

    playbook = "quarantine-crash-looping-job"
    signal_name = "KubeJobCrashLooping"
    workload = "report"

    def _target(self) -> tuple[str, dict[str, Json]]:
        return self.workload, {"kind": "CronJob", "name": self.workload}

    def _made(self) -> dict[str, Json]:
        return cronjob(self.workload)

    def _break(self) -> None:
        self._patch({"spec": cronjob(self.workload, _BAD_JOB)["spec"]})

    def _well(self) -> bool:
        return not _waiting(self._pods())

    def _gauges(self) -> dict[str, float]:
        return {"crash_looping_containers": float(len(_waiting(self._pods())))}

    def _state(self) -> Json:
        """Jobs of the good release come and go, so only those of the bad one can be compared."""
        jobs = self.server.do("GET", path("jobs"))["items"]
        bad = [job for job in jobs if _BAD_JOB in str(job["spec"]["template"])]
        return {"workload": _lasting(self._get()), "crashing": [_lasting(job) for job in bad]}


class ScaleOut(KubernetesWorld):
    """More load than the pods can carry. One pod carries one unit of it."""

    playbook = "scale-out"
    signal_name = "HighSaturation"

    def _target(self) -> tuple[str, dict[str, Json]]:
        return self.workload, {"kind": "Deployment", "name": self.workload, "replicas_at_most": 6}

    def _break(self) -> None:
        self._patch({"metadata": {"annotations": {_LOAD: "4"}}})

    def _well(self) -> bool:
        return self._settled() and self._gauges()["saturation"] <= 1

    def _gauges(self) -> dict[str, float]:
        item = self._get()
        load = float((item["metadata"].get("annotations") or {}).get(_LOAD, "1"))
        serving = max(1, item.get("status", {}).get("readyReplicas", 0))
        return {**super()._gauges(), "saturation": load / serving}


class RestartStuckConsumer(KubernetesWorld):
    """A consumer whose pods run and take nothing from their queue any more."""

    playbook = "restart-stuck-consumer"
    signal_name = "QueueConsumerStuck"
    workload = "consumer"

    def _break(self) -> None:
        for pod in self._pods():
            hung = {"metadata": {"annotations": {HUNG: "true"}}}
            self.server.do("PATCH", path("pods", pod["metadata"]["name"]), hung)

    def _gauges(self) -> dict[str, float]:
        serving = self._status().get("readyReplicas", 0)
        return {**super()._gauges(), "queue_lag_seconds": 0.0 if serving else 600.0}
