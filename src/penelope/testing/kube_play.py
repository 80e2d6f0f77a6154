"""The controllers of the small API server: what becomes of deployments, jobs, pods and nodes as time goes by.

They play when somebody asks, not by themselves: what a pod does follows from its age. Three annotations and the name of an
image make faults: an image whose tag contains ``bad`` crashes at once; a pod that needs more memory (`NEEDS`) than its
limit is killed; a pod marked as `HUNG` runs and serves nobody; a node marked as `DOWN` is not ready.
"""

import copy
import hashlib
import json
import math
import time
from collections.abc import Iterable

from penelope.kit.canonical import Json
from penelope.testing.kube_kinds import BY_PLURAL, DOWN, HUNG, NEEDS, Place
from penelope.testing.kube_rules import quantity
from penelope.testing.kube_store import Store, stamp

REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"

READY_AFTER_SECONDS = 0.15
RESTART_EVERY_SECONDS = 0.5
END_AFTER_SECONDS = 0.05
JOB_EVERY_SECONDS = 0.5
_ROUNDS = 30
_ROUTES = ("httproutes.gateway.networking.k8s.io", "httproutes.policy.linkerd.io")
IGNORED = "play.penelope.dev/ignored"
"""An annotation of a route that no controller takes over."""


def play(store: Store) -> None:
    """Lets the controllers act until they have nothing more to do now."""
    for _ in range(_ROUNDS):
        before = store.version
        for node in store.all("nodes"):
            _node(store, node)
        for cronjob in store.all("cronjobs"):
            _cronjob(store, cronjob)
        for job in store.all("jobs"):
            _job(store, job)
        for deployment in store.all("deployments"):
            _deployment(store, deployment)
        for replicaset in store.all("replicasets"):
            _replicaset(store, replicaset)
        for pod in store.all("pods"):
            _pod(store, pod)
        for route in (each for key in _ROUTES for each in store.all(key)):
            _route(store, route)
        if store.version == before:
            return


def _route(store: Store, route: Json) -> None:
    """A gateway's controller takes a route over, and says so for each parent."""
    if marked(route, IGNORED):
        return
    seen = route["metadata"]["generation"]
    told = [
        {
            "type": kind,
            "status": "True",
            "reason": kind,
            "message": "",
            "observedGeneration": seen,
            "lastTransitionTime": route["metadata"]["creationTimestamp"],
        }
        for kind in ("Accepted", "ResolvedRefs")
    ]
    parents = [
        {"parentRef": parent, "controllerName": "play.penelope.dev/gateway", "conditions": told}
        for parent in route["spec"].get("parentRefs") or ()
    ]
    store.touch(route, lambda item: item.update(status={"parents": parents}))


def marked(item: Json, name: str) -> str:
    return str((item["metadata"].get("annotations") or {}).get(name, ""))


def ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _condition(kind: str, true: object, reason: str = "") -> dict[str, Json]:
    return {"type": kind, "status": "True" if true else "False", **({"reason": reason} if reason else {})}


def _set_status(store: Store, item: Json, status: Json) -> None:
    store.touch(item, lambda each: each.update(status=status))


def _made(store: Store, owner: Json, plural: str, name: str, body: Json) -> None:
    kind, meta = BY_PLURAL[plural], owner["metadata"]
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
    }
    item = {"apiVersion": kind.version, "kind": kind.kind, **copy.deepcopy(body)}
    item["metadata"] = {
        **item.get("metadata", {}),
        "name": name,
        "ownerReferences": [{**reference, "controller": True, "blockOwnerDeletion": True}],
    }
    item["metadata"].pop("creationTimestamp", None)
    store.create(Place(kind, meta["namespace"]), item)


# --- deployments ------------------------------------------------------------------------------------------


def _bare(template: Json) -> Json:
    """A template without the label that tells its ReplicaSets apart."""
    bare = copy.deepcopy(template)
    bare["metadata"].get("labels", {}).pop(HASH, None)
    return bare


def _deployment(store: Store, deployment: Json) -> None:
    meta, spec = deployment["metadata"], deployment["spec"]
    sets = store.owned("replicasets", meta["uid"])
    new = next((each for each in sets if _bare(each["spec"]["template"]) == spec["template"]), None)
    if not spec.get("paused"):
        last = max((int(marked(each, REVISION) or 0) for each in sets), default=0)
        if new is None:
            _new_set(store, deployment, last + 1)
            return
        if len(sets) > 1 and int(marked(new, REVISION)) < last:
            store.touch(new, lambda each: each["metadata"]["annotations"].update({REVISION: str(last + 1)}))
        revision = marked(new, REVISION)
        store.touch(
            deployment,
            lambda each: each["metadata"].setdefault("annotations", {}).update({REVISION: revision}),
        )
    if new is not None:
        _roll(store, deployment, new, [each for each in sets if each is not new])
    _deployment_status(store, deployment, new, sets)


def _new_set(store: Store, deployment: Json, revision: int) -> None:
    template = copy.deepcopy(deployment["spec"]["template"])
    text = json.dumps(template, sort_keys=True).encode()
    mark = hashlib.sha256(text).hexdigest()[:10]
    template.setdefault("metadata", {}).setdefault("labels", {})[HASH] = mark
    labels = deployment["spec"]["selector"]["matchLabels"]
    body = {
        "metadata": {
            "labels": dict(template["metadata"]["labels"]),
            "annotations": {REVISION: str(revision)},
        },
        "spec": {"replicas": 0, "selector": {"matchLabels": {**labels, HASH: mark}}, "template": template},
    }
    _made(store, deployment, "replicasets", f"{deployment['metadata']['name']}-{mark}", body)


def _share(text: str | int, replicas: int, *, up: bool) -> int:
    if isinstance(text, int):
        return text
    exact = replicas * int(text.rstrip("%")) / 100
    return math.ceil(exact) if up else math.floor(exact)


def _roll(store: Store, deployment: Json, new: Json, old: list[Json]) -> None:
    """One step of the rolling update: up by the surge, down to what must stay available."""
    spec = deployment["spec"]
    desired = spec["replicas"]
    rolling = spec["strategy"].get("rollingUpdate") or {}
    surge = _share(rolling.get("maxSurge", "25%"), desired, up=True)
    missing = _share(rolling.get("maxUnavailable", "25%"), desired, up=False)
    elsewhere = sum(each["spec"]["replicas"] for each in old)
    present = new["spec"]["replicas"]
    wanted = desired if present >= desired else max(present, min(desired, desired + surge - elsewhere))
    _scale(store, new, wanted)
    unready = wanted - min(wanted, _available(store, new))
    budget = wanted + elsewhere - (desired - missing) - unready
    for each in old:  # first the pods of old sets that serve nobody
        idle = each["spec"]["replicas"] - min(each["spec"]["replicas"], _available(store, each))
        down = max(0, min(idle, budget))
        budget -= down
        _scale(store, each, each["spec"]["replicas"] - down)
    spare = sum(_available(store, each) for each in (new, *old)) - (desired - missing)
    for each in old:
        down = max(0, min(each["spec"]["replicas"], spare, budget))
        spare, budget = spare - down, budget - down
        _scale(store, each, each["spec"]["replicas"] - down)


def _scale(store: Store, replicaset: Json, replicas: int) -> None:
    store.touch(replicaset, lambda each: each["spec"].update(replicas=replicas))


def _living(store: Store, owner: Json) -> list[Json]:
    pods = store.owned("pods", owner["metadata"]["uid"])
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def _available(store: Store, replicaset: Json) -> int:
    return sum(ready(pod) for pod in _living(store, replicaset))


def _deployment_status(store: Store, deployment: Json, new: Json | None, sets: list[Json]) -> None:
    desired = deployment["spec"]["replicas"]
    pods = [pod for each in sets for pod in _living(store, each)]
    serving = sum(ready(pod) for pod in pods)
    updated = 0 if new is None else len(_living(store, new))
    done = updated == desired == len(pods) and serving == desired
    reason = "NewReplicaSetAvailable" if done else "ReplicaSetUpdated"
    status = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": len(pods),
        "updatedReplicas": updated,
        "readyReplicas": serving,
        "availableReplicas": serving,
        "unavailableReplicas": max(desired, len(pods)) - serving,
        "conditions": [
            _condition("Available", serving >= desired),
            _condition("Progressing", True, reason),
        ],
    }
    _set_status(store, deployment, {name: value for name, value in status.items() if value != 0})


def _replicaset(store: Store, replicaset: Json) -> None:
    meta, spec = replicaset["metadata"], replicaset["spec"]
    pods = _living(store, replicaset)
    for _ in range(len(pods), spec["replicas"]):
        body = {"metadata": spec["template"]["metadata"], "spec": spec["template"]["spec"]}
        _made(store, replicaset, "pods", f"{meta['name']}-{_short(store)}", body)
    for pod in sorted(pods, key=ready)[: max(0, len(pods) - spec["replicas"])]:
        _delete(store, pod)
    pods = _living(store, replicaset)
    status = {
        "replicas": len(pods),
        "readyReplicas": sum(ready(pod) for pod in pods),
        "availableReplicas": sum(ready(pod) for pod in pods),
        "observedGeneration": meta["generation"],
    }
    _set_status(store, replicaset, status)


def _short(store: Store) -> str:
    return hashlib.sha256(str(store.version).encode()).hexdigest()[:5]


def _delete(store: Store, pod: Json) -> None:
    store.delete(Place(BY_PLURAL["pods"], pod["metadata"]["namespace"], pod["metadata"]["name"]))


# --- jobs -------------------------------------------------------------------------------------------------


def _cronjob(store: Store, cronjob: Json) -> None:
    """A schedule is played as "again, soon after the one before has ended"."""
    meta, spec = cronjob["metadata"], cronjob["spec"]
    jobs = store.owned("jobs", meta["uid"])
    active = [job for job in jobs if not _ended(job)]
    last = max((store.born[job["metadata"]["uid"]] for job in jobs), default=0.0)
    if not spec["suspend"] and not active and time.monotonic() - last > JOB_EVERY_SECONDS:
        _made(store, cronjob, "jobs", f"{meta['name']}-{store.version:08d}", spec["jobTemplate"])
    for job in [job for job in jobs if _ended(job)][:-3]:
        store.drop(job, BY_PLURAL["jobs"])
    named = [{"kind": "Job", "apiVersion": "batch/v1", "name": job["metadata"]["name"]} for job in active]
    _set_status(store, cronjob, {"active": named} if named else {})


def _ended(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(each["type"] in {"Complete", "Failed"} and each["status"] == "True" for each in conditions)


def _job(store: Store, job: Json) -> None:
    if _ended(job):
        return
    meta, spec = job["metadata"], job["spec"]
    pods = _living(store, job)
    if spec["suspend"]:
        for pod in pods:
            _delete(store, pod)
        _set_status(store, job, {"conditions": [_condition("Suspended", True, "JobSuspended")]})
        return
    if not pods:
        template = spec["template"]
        body = {"metadata": template.get("metadata") or {}, "spec": template["spec"]}
        _made(store, job, "pods", f"{meta['name']}-{_short(store)}", body)
    if pods and (pods[0].get("status") or {}).get("phase") == "Succeeded":
        now = stamp()
        done = {"succeeded": 1, "startTime": now, "completionTime": now}
        _set_status(store, job, {**done, "conditions": [_condition("Complete", True)]})
        return
    _set_status(store, job, {"active": 1, "ready": sum(ready(pod) for pod in pods)})


# --- pods and nodes ---------------------------------------------------------------------------------------


def _node(store: Store, node: Json) -> None:
    down = bool(marked(node, DOWN))
    condition = _condition("Ready", not down, "KubeletNotReady" if down else "KubeletReady")
    _set_status(store, node, {"conditions": [condition], "capacity": {"pods": "110"}})


def _pod(store: Store, pod: Json) -> None:
    meta = pod["metadata"]
    node = store.find("nodes", "", pod["spec"].get("nodeName") or "")
    down = node is not None and bool(marked(node, DOWN))
    ended = store.born.get(f"end {meta['uid']}")
    if ended is not None:
        # On a node that is down nobody ends the pod: it stays, marked as to be deleted.
        if not down and time.monotonic() - ended > END_AFTER_SECONDS:
            store.drop(pod, BY_PLURAL["pods"])
        return
    if node is None:
        chosen = _roomiest(store)
        if chosen is None:
            waiting = _condition("PodScheduled", False, "Unschedulable")
            _set_status(store, pod, {"phase": "Pending", "conditions": [waiting]})
            return
        store.touch(pod, lambda each: each["spec"].update(nodeName=chosen))
        store.born[f"run {meta['uid']}"] = time.monotonic()
    age = time.monotonic() - store.born.setdefault(f"run {meta['uid']}", time.monotonic())
    _set_status(store, pod, _pod_status(pod, age, down=down))


def _roomiest(store: Store) -> str | None:
    open_nodes = [
        node["metadata"]["name"]
        for node in store.all("nodes")
        if not (node.get("spec") or {}).get("unschedulable") and not marked(node, DOWN)
    ]
    pods = store.all("pods")
    return min(
        open_nodes, key=lambda name: sum(pod["spec"].get("nodeName") == name for pod in pods), default=None
    )


def _pod_status(pod: Json, age: float, *, down: bool) -> dict[str, Json]:
    container = pod["spec"]["containers"][0]
    killed = _too_small(pod)
    crashing = killed or "bad" in container["image"].rpartition(":")[2]
    began = age >= READY_AFTER_SECONDS
    once = pod["spec"]["restartPolicy"] != "Always" and began and not crashing and not down
    serving = began and not crashing and not down and not marked(pod, HUNG) and not once
    state: dict[str, Json] = {"running": {}}
    last: dict[str, Json] = {}
    if crashing:
        state = {"waiting": {"reason": "CrashLoopBackOff"}}
        reason, code = ("OOMKilled", 137) if killed else ("Error", 1)
        last = {"terminated": {"reason": reason, "exitCode": code}}
    elif once:
        state = {"terminated": {"reason": "Completed", "exitCode": 0}}
    shown = {
        "name": container["name"],
        "image": container["image"],
        "imageID": container["image"],
        "ready": serving,
        "restartCount": 1 + int(age / RESTART_EVERY_SECONDS) if crashing else 0,
        "state": state,
        "lastState": last,
    }
    return {
        "phase": "Succeeded" if once else "Running",
        "conditions": [_condition("PodScheduled", True), _condition("Ready", serving)],
        "containerStatuses": [shown],
    }


def _too_small(pod: Json) -> bool:
    needed = marked(pod, NEEDS)
    limits = _memory_limits(pod["spec"]["containers"])
    return bool(needed) and any(limit < quantity(needed) for limit in limits)


def _memory_limits(containers: Iterable[Json]) -> list[Json]:
    limits = [(each["resources"].get("limits") or {}).get("memory") for each in containers]
    return [quantity(text) for text in limits if text is not None]
