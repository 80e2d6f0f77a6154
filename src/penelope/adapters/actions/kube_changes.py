"""What an operation on Kubernetes would change: the fields of one object, or of a few, from what they are now."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from penelope.adapters.actions.kube_api import RESOURCES, Cluster, Reference
from penelope.adapters.actions.kube_fields import (
    Field,
    FieldPath,
    amount,
    found,
    leaves,
    mebibytes,
    merge_patch,
    shown,
    with_values,
)
from penelope.adapters.actions.kube_params import (
    PatchParams,
    ResourcesParams,
    ScaleParams,
    SuspendParams,
    UndoParams,
    touches_pod_security,
)
from penelope.adapters.actions.options import read_params
from penelope.adapters.kube import Conflict
from penelope.domain.action import Action
from penelope.errors import ActionFailed, InvalidCatalogue, InvalidPlaybook
from penelope.kit.canonical import Json, content_hash

MARK = "penelope.dev/action"
"""The annotation that names the last action of ours on an object."""
MARK_PATH: FieldPath = ("metadata", "annotations", MARK)
_RESTARTED: FieldPath = ("spec", "template", "metadata", "annotations", "penelope.dev/restarted-by")
_CONTAINERS: FieldPath = ("spec", "template", "spec", "containers")
_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"
_MARK_LENGTH = 200
PRIVATE = frozenset({"patch", "rollout_undo"})
"""Operations whose values may be secret, or are large: history holds only the name under which they are kept."""

Values = Mapping[FieldPath, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one object. `mark` is the annotation that was there before; `passing` says that the object may go
    by itself, as a job does that has ended.
    """

    at: Reference
    uid: str
    mark: Json = None
    fields: tuple[Field, ...] = ()
    passing: bool = False


def mark_of(action: Action) -> str:
    """What the annotation says of an action: its key, or a hash of one that is very long."""
    return action.key if len(action.key) <= _MARK_LENGTH else f"sha256:{content_hash(action.key)}"


async def changes_of(cluster: Cluster, action: Action) -> list[Change]:
    """What the action would change now, asked of the server's own rules by a dry run. Changes nothing.

    Raises ActionFailed where it cannot be done, InvalidPlaybook or InvalidCatalogue where it may not.
    """
    item = await required(cluster, cluster.object)
    values = await _WANTED[action.operation](cluster, action, item)
    changes = [await _tried(cluster, action, cluster.object, item, values)]
    if action.operation == "suspend" and read_params(SuspendParams, action.params).jobs:
        changes += [
            await _tried(
                cluster, action, _reference("Job", job), job, {("spec", "suspend"): True}, passing=True
            )
            for job in await _running_jobs(cluster, item)
        ]
    return changes


async def required(cluster: Cluster, at: Reference) -> dict[str, Json]:
    """The object. Raises ActionFailed where there is none, Unavailable, Timeout."""
    item = await cluster.get(at)
    if item is None:
        raise ActionFailed(f"there is no {at.title}")
    return item


def _reference(kind: str, item: Json) -> Reference:
    meta = item["metadata"]
    return Reference(kind=kind, namespace=meta.get("namespace", ""), name=meta["name"])


async def _tried(
    cluster: Cluster, action: Action, at: Reference, item: Json, values: Values, *, passing: bool = False
) -> Change:
    """The change, with its values as the server would write them: it completes and rewrites what it is sent."""
    meta = item["metadata"]
    patch = merge_patch(item, with_values(item, {**values, MARK_PATH: mark_of(action)}))
    patch.setdefault("metadata", {}).update(uid=meta["uid"])
    try:
        answer = await cluster.patch(at, patch, dry=True)
    except Conflict:
        raise ActionFailed(f"{at.title} was replaced by another while it was looked at") from None
    return Change(
        at=at,
        uid=meta["uid"],
        mark=found(item, MARK_PATH),
        fields=tuple(
            Field(path=path, before=found(item, path), wanted=found(answer, path)) for path in values
        ),
        passing=passing,
    )


# --- what each operation wants ----------------------------------------------------------------------------


async def _restart(_: Cluster, action: Action, item: Json) -> Values:
    if found(item, ("spec", "paused")):
        raise ActionFailed(f"the rollout of {action.target.name} is paused")
    return {_RESTARTED: mark_of(action)}


async def _undo(cluster: Cluster, action: Action, item: Json) -> Values:
    params = read_params(UndoParams, action.params)
    if found(item, ("spec", "paused")):
        raise ActionFailed(f"the rollout of {action.target.name} is paused")
    if params.stuck_only and rolled_out(item):
        raise ActionFailed(
            f"the last rollout of {action.target.name} has ended well: there is nothing to undo"
        )
    meta = item["metadata"]
    listed = await cluster.listed(
        "ReplicaSet", meta["namespace"], labels=found(item, ("spec", "selector", "matchLabels"))
    )
    mine = {_revision(each): each for each in listed if owner_of(each).get("uid") == meta["uid"]}
    present = _revision(item)
    earlier = [revision for revision in mine if 0 < revision < present]
    wanted = params.to_revision or max(earlier, default=0)
    if wanted not in mine or wanted == present:
        raise ActionFailed(f"{action.target.name} has no earlier revision {wanted or ''}".rstrip())
    template = with_values(mine[wanted]["spec"]["template"], {("metadata", "labels", _HASH): None})
    return {("spec", "template"): template}


def _revision(item: Json) -> int:
    text = str(found(item, ("metadata", "annotations", _REVISION)) or "")
    return int(text) if text.isascii() and text.isdigit() else 0


def rolled_out(item: Json) -> bool:
    """Whether a workload runs as it is wanted, all of it. A DaemonSet has a pod a node, and words of its own for them."""
    spec, status = item["spec"], item.get("status") or {}
    seen = status.get("observedGeneration", 0) >= item["metadata"].get("generation", 0)
    names: tuple[str, ...] = ("replicas", "updatedReplicas", "availableReplicas")
    wanted = spec.get("replicas")
    if "desiredNumberScheduled" in status:
        wanted, names = status["desiredNumberScheduled"], ("updatedNumberScheduled", "numberAvailable")
    return seen and {status.get(name, 0) for name in names} == {wanted}


async def _scale(cluster: Cluster, action: Action, item: Json) -> Values:
    params, options = read_params(ScaleParams, action.params), cluster.options
    present = found(item, ("spec", "replicas")) or 0
    if params.by is None:
        wanted = params.replicas or 0
    else:
        wanted = min(present + params.by, *_bounds(cluster, action, params))
        if wanted <= present:
            raise ActionFailed(f"{action.target.name} has {present} replicas, as many as it may have")
    if wanted > present and wanted > min(_bounds(cluster, action, params)):
        raise ActionFailed(
            f"{action.target.name} may not have {wanted} replicas: that is more than its bound"
        )
    if wanted < min(options.replicas_at_least, present):
        raise ActionFailed(
            f"{action.target.name} may not have fewer than {options.replicas_at_least} replicas"
        )
    return {("spec", "replicas"): wanted}


def _bounds(cluster: Cluster, action: Action, params: ScaleParams) -> list[int]:
    if cluster.options.replicas_at_most is None:
        raise InvalidCatalogue(f"target {action.target.name!r} needs replicas_at_most to be scaled up")
    most = cluster.options.replicas_at_most
    return [most, most if params.at_most is None else params.at_most]


async def _patch(cluster: Cluster, action: Action, _: Json) -> Values:
    params = read_params(PatchParams, action.params)
    options, allowed = cluster.options, [_pointer(each) for each in cluster.options.patchable]
    values = dict(leaves(params.patch))
    for path, value in values.items():
        if not any(path[: len(root)] == root for root in allowed) or path == MARK_PATH:
            raise InvalidPlaybook(
                f"target {action.target.name!r} does not let {shown(path)[:100]} be changed",
                hint="The catalogue names what may be changed in the option patchable.",
            )
        if touches_pod_security(path, value) and not options.allow_pod_security:
            raise InvalidPlaybook(f"{shown(path)[:100]} would change what the pods may do")
    return values


def _pointer(text: str) -> FieldPath:
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text.strip("/").split("/"))


async def _cordon(_: Cluster, __: Action, ___: Json) -> Values:
    return {("spec", "unschedulable"): True}


async def _uncordon(_: Cluster, __: Action, ___: Json) -> Values:
    return {("spec", "unschedulable"): None}


async def _resources(cluster: Cluster, action: Action, item: Json) -> Values:
    params, options = read_params(ResourcesParams, action.params), cluster.options
    most = amount(options.memory_at_most)
    if not most:
        raise InvalidCatalogue(
            f"target {action.target.name!r} needs memory_at_most for a memory limit to be raised"
        )
    name = params.container or options.container or _only_container(item)
    path = (*_CONTAINERS, f"[{name}]", "resources", "limits", "memory")
    present = amount(found(item, path))
    if not present:
        raise ActionFailed(f"{action.target.name} has no container {name!r} with a memory limit")
    if params.factor is not None:
        wanted = min(present * Fraction(params.factor).limit_denominator(1000), most)
    else:
        wanted = amount(params.memory) or Fraction(0)
    if wanted > most:
        raise ActionFailed(f"{action.target.name} may have {options.memory_at_most} of memory, not more")
    # What is written is rounded down: less than a mebibyte would be 0, which is no limit at all.
    if (amount(mebibytes(wanted)) or 0) <= present:
        raise ActionFailed(
            f"the limit of {action.target.name} is {found(item, path)}, and is not to be raised above"
        )
    return {path: mebibytes(wanted)}


def _only_container(item: Json) -> str:
    containers = found(item, _CONTAINERS) or []
    if len(containers) != 1:
        raise ActionFailed("it has several containers: name the one that is meant", hint="Set `container`.")
    return str(containers[0]["name"])


async def _suspend(_: Cluster, __: Action, ___: Json) -> Values:
    return {("spec", "suspend"): True}


async def _running_jobs(cluster: Cluster, item: Json) -> list[Json]:
    if cluster.options.kind != "CronJob":
        return []
    uid = item["metadata"]["uid"]
    jobs = await cluster.listed("Job", item["metadata"]["namespace"])
    return [job for job in jobs if owner_of(job).get("uid") == uid and not job_ended(job)]


def job_ended(job: Json) -> bool:
    conditions = found(job, ("status", "conditions")) or []
    return any(each["type"] in {"Complete", "Failed"} and each["status"] == "True" for each in conditions)


def owner_of(item: Json) -> Mapping[str, Json]:
    """What controls an object, or nothing."""
    owners = item["metadata"].get("ownerReferences") or []
    return next((each for each in owners if each.get("controller")), {})


_WANTED: Mapping[str, Callable[[Cluster, Action, Json], Awaitable[Values]]] = MappingProxyType(
    {
        "rollout_restart": _restart,
        "rollout_undo": _undo,
        "scale": _scale,
        "patch": _patch,
        "cordon": _cordon,
        "uncordon": _uncordon,
        "set_resources": _resources,
        "suspend": _suspend,
    }
)


def require_kind(cluster: Cluster, action: Action) -> None:
    """Raises InvalidCatalogue where the target is of a kind to which this cannot be done."""
    kind = cluster.options.kind
    if action.operation not in RESOURCES[kind].operations:
        raise InvalidCatalogue(
            f"target {action.target.name!r} is a {kind}: {action.operation} cannot be done to it"
        )
