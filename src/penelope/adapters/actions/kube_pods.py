"""Pods that are to go, so that their controllers start others: one of a workload, or all that a node holds."""

import asyncio
from dataclasses import dataclass

from penelope.adapters.actions.kube_api import Cluster, Reference
from penelope.adapters.actions.kube_changes import owner_of, required
from penelope.adapters.actions.kube_fields import found
from penelope.adapters.actions.kube_params import PodParams
from penelope.adapters.actions.options import read_params
from penelope.domain.action import Action, Effect, Progress
from penelope.errors import ActionFailed, OutcomeUnknown
from penelope.kit.canonical import Json

DELETING = frozenset({"delete_pod", "drain"})
"""Operations after which there is nothing to put back: a controller starts other pods in place of those."""

_PAUSE_SECONDS = 0.5
_MIRROR = "kubernetes.io/config.mirror"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """That very pod, not another of its name."""

    at: Reference
    uid: str


async def pods_of(cluster: Cluster, action: Action) -> list[Pod]:
    """The pods that the action would delete. Raises ActionFailed where one would not come back, Unavailable, Timeout."""
    item = await required(cluster, cluster.object)
    pods = (
        await _of_node(cluster, item)
        if action.operation == "drain"
        else [await _named(cluster, action, item)]
    )
    for pod in pods:
        _require_that_it_comes_back(cluster, pod)
    return [Pod(at=_reference(pod), uid=pod["metadata"]["uid"]) for pod in pods]


def _reference(pod: Json) -> Reference:
    meta = pod["metadata"]
    return Reference(kind="Pod", namespace=meta["namespace"], name=meta["name"])


async def _named(cluster: Cluster, action: Action, workload: Json) -> Json:
    params = read_params(PodParams, action.params)
    at = Reference(kind="Pod", namespace=cluster.options.namespace, name=params.pod)
    pod = await required(cluster, at)
    labels = found(workload, ("spec", "selector", "matchLabels")) or {}
    bears = found(pod, ("metadata", "labels")) or {}
    if not labels or not labels.items() <= bears.items():
        raise ActionFailed(f"{at.title} is none of {action.target.name}")
    if params.uid is not None and params.uid != pod["metadata"]["uid"]:
        raise ActionFailed(f"{at.title} is another one than was meant")
    if _leaving(pod):
        raise ActionFailed(f"{at.title} is going already")
    return pod


async def _of_node(cluster: Cluster, node: Json) -> list[Json]:
    if not found(node, ("spec", "unschedulable")):
        raise ActionFailed(f"{cluster.object.title} still takes pods: cordon it first")
    spaces = cluster.options.namespaces or [cluster.options.namespace]
    pods = [
        pod
        for space in sorted(set(spaces))
        for pod in await cluster.listed("Pod", space, fields=f"spec.nodeName={cluster.options.name}")
        if not stays(pod)
    ]
    if len(pods) > cluster.options.pods_at_most:
        raise ActionFailed(
            f"{len(pods)} pods are on {cluster.object.title}: not more than {cluster.options.pods_at_most} may be moved"
        )
    return sorted(pods, key=lambda pod: (pod["metadata"]["namespace"], pod["metadata"]["name"]))


def _leaving(pod: Json) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def stays(pod: Json) -> bool:
    """Whether a drain lets a pod be: it belongs to its node, has ended, or is going already."""
    ended = found(pod, ("status", "phase")) in {"Succeeded", "Failed"}
    mirror = found(pod, ("metadata", "annotations", _MIRROR)) is not None
    return ended or mirror or _leaving(pod) or owner_of(pod).get("kind") in {"DaemonSet", "Node"}


def _require_that_it_comes_back(cluster: Cluster, pod: Json) -> None:
    title = _reference(pod).title
    if not owner_of(pod):
        raise ActionFailed(f"{title} has no controller: nothing would start another")
    volumes = found(pod, ("spec", "volumes")) or []
    local = any(kind in volume for volume in volumes for kind in ("emptyDir", "hostPath"))
    if local and not cluster.options.delete_local_data:
        raise ActionFailed(f"{title} keeps data on its node, which would be lost")


async def gone(cluster: Cluster, pod: Pod) -> bool:
    """Whether a pod is no more, or is going. Raises Unavailable, Timeout."""
    now = await cluster.get(pod.at)
    return now is None or now["metadata"]["uid"] != pod.uid or _leaving(now)


async def progress_of(cluster: Cluster, pods: list[Pod]) -> Progress:
    """Nothing to delete counts as done."""
    left = [not await gone(cluster, pod) for pod in pods]
    if not any(left):
        return Progress.APPLIED
    return Progress.NOT_APPLIED if all(left) else Progress.PARTIAL


async def delete(cluster: Cluster, action: Action, pods: list[Pod]) -> Effect:
    """Deletes those that are left, each that very one; waits for disruption budgets as long as it may.

    Raises ActionFailed when none was deleted, OutcomeUnknown when some were, Unavailable, Timeout.
    """
    for deleted, pod in enumerate(pods):
        asked = False
        while not await gone(cluster, pod):
            if asked:
                await asyncio.sleep(_PAUSE_SECONDS)
            asked = True
            try:
                allowed = await cluster.evict(pod.at, pod.uid)
            except ActionFailed as error:
                if deleted:
                    raise OutcomeUnknown(
                        f"{deleted} of {len(pods)} pods were deleted: {error.message}"
                    ) from error
                raise
            if not allowed and action.operation == "delete_pod":
                raise ActionFailed(f"a disruption budget does not let {pod.at.title} go now")
    names = [pod.at.name for pod in pods]
    return Effect(summary=f"{len(pods)} pods were made to start elsewhere", details={"pods": names})
