"""What is observed of an object of Kubernetes, for the clauses of a step."""

from penelope.adapters.actions.kube_api import Cluster
from penelope.adapters.actions.kube_changes import job_ended, rolled_out
from penelope.adapters.actions.kube_fields import amount, found
from penelope.adapters.actions.kube_pods import stays
from penelope.errors import Unavailable
from penelope.kit.canonical import Json

_WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet"})
_COUNTED = {
    "ready_replicas": ("readyReplicas", "numberReady"),
    "available": ("availableReplicas", "numberAvailable"),
    "updated": ("updatedReplicas", "updatedNumberScheduled"),
}


async def look(cluster: Cluster) -> dict[str, Json]:
    """The state of the target's object; a figure that its kind does not have is missing.

    Raises Unavailable (also where there is no such object: nothing can be said of it), Timeout.
    """
    item = await cluster.get(cluster.object)
    if item is None:
        raise Unavailable(f"there is no {cluster.object.title} to be looked at")
    match cluster.options.kind:
        case "Node":
            return await _node(cluster, item)
        case "CronJob" | "Job":
            return _job(item)
        case kind if kind in _WORKLOADS:
            return await _workload(cluster, item)
    return {"resource_version": item["metadata"]["resourceVersion"]}


async def _workload(cluster: Cluster, item: Json) -> dict[str, Json]:
    status, meta = item.get("status") or {}, item["metadata"]
    state: dict[str, Json] = {
        name: next((status[key] for key in keys if key in status), 0) for name, keys in _COUNTED.items()
    }
    state["replicas"] = found(item, ("spec", "replicas"))
    state["generation_observed"] = status.get("observedGeneration", 0) >= meta.get("generation", 0)
    state["rolled_out"] = rolled_out(item)
    containers = found(item, ("spec", "template", "spec", "containers")) or []
    meant = [each for each in containers if cluster.options.container in {None, each["name"]}]
    if meant:
        state["image"] = meant[0].get("image")
        limit = amount(found(meant[0], ("resources", "limits", "memory")))
        state["memory_limit_bytes"] = None if limit is None else int(limit)
    labels = found(item, ("spec", "selector", "matchLabels"))
    if (
        not labels
    ):  # a selector of expressions alone: without labels all pods of the namespace would be counted
        return state
    pods = await cluster.listed("Pod", cluster.options.namespace, labels=labels)
    living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    state["pods"] = len(living)
    state["restarts"] = sum(
        each.get("restartCount", 0)
        for pod in living
        for each in found(pod, ("status", "containerStatuses")) or []
    )
    return state


async def _node(cluster: Cluster, item: Json) -> dict[str, Json]:
    conditions = found(item, ("status", "conditions")) or []
    pods = [
        pod
        for space in sorted(set(cluster.options.namespaces or [cluster.options.namespace]))
        for pod in await cluster.listed("Pod", space, fields=f"spec.nodeName={cluster.options.name}")
    ]
    return {
        "unschedulable": bool(found(item, ("spec", "unschedulable"))),
        "node_ready": any(each["type"] == "Ready" and each["status"] == "True" for each in conditions),
        "pods": sum(not stays(pod) for pod in pods),
    }


def _job(item: Json) -> dict[str, Json]:
    active = found(item, ("status", "active")) or 0
    return {
        "suspended": bool(found(item, ("spec", "suspend"))),
        "active": len(active) if isinstance(active, list) else active,
        "ended": job_ended(item),
    }
