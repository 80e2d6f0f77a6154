"""The parameters of the operations on Kubernetes, and what of them can be refused before anything is asked."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from penelope.adapters.actions.kube_fields import FieldPath, amount, leaves, shown
from penelope.adapters.actions.options import operation, read_params, require_operation
from penelope.domain.action import Operation, Tier
from penelope.errors import InvalidPlaybook
from penelope.kit.canonical import Json, canonical

_POD = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_PATCH_LIMIT_BYTES = 32 * 1024
_PATCH_FIELDS = 50
_MOST_REPLICAS = 10_000
_MOST_FACTOR = 10
_ROOTS = (("spec",), ("data",), ("metadata", "annotations"), ("metadata", "labels"))
POD_SECURITY = frozenset(
    {
        "allowPrivilegeEscalation",
        "automountServiceAccountToken",
        "capabilities",
        "hostAliases",
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "hostPath",
        "hostPort",
        "hostUsers",
        "imagePullSecrets",
        "privileged",
        "procMount",
        "runtimeClassName",
        "secretKeyRef",
        "secretRef",
        "securityContext",
        "serviceAccount",
        "serviceAccountName",
        "shareProcessNamespace",
        "volumeDevices",
        "volumes",
    }
)
"""Fields of a pod that decide what it may do on its node, as whom, and which secrets it sees."""


class NoParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The operation takes none."""


class UndoParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`to_revision` is the one before the present where it is 0; `stuck_only` refuses to undo a rollout that has ended
    well, so that an undo that comes again does not bring the bad release back.
    """

    to_revision: int = 0
    stuck_only: bool = True


class ScaleParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either `replicas`, or `by` how many more; `at_most` may lower the target's own bound."""

    replicas: int | None = None
    by: int | None = None
    at_most: int | None = None


class PatchParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A merge patch (RFC 7396) of fields that the target lets be changed."""

    patch: dict[str, Any]


class ResourcesParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A higher limit: `memory` such as 512Mi, or `factor` times the present one, up to the target's bound."""

    memory: str | None = None
    factor: float | None = None
    container: str | None = None


class PodParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`pod` is the name of a pod of the target; with `uid` only that very one."""

    pod: str
    uid: str | None = None


class SuspendParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`jobs` says whether the jobs that a CronJob has running are suspended with it."""

    jobs: bool = True


_SHAPES: Mapping[str, type[msgspec.Struct]] = MappingProxyType(
    {
        "rollout_restart": NoParams,
        "rollout_undo": UndoParams,
        "scale": ScaleParams,
        "patch": PatchParams,
        "cordon": NoParams,
        "uncordon": NoParams,
        "drain": NoParams,
        "delete_pod": PodParams,
        "set_resources": ResourcesParams,
        "suspend": SuspendParams,
    }
)

_WORKLOADS = "get, patch: deployments, statefulsets, daemonsets"
_SEEN = "list: pods"
"""Observing a workload or a node counts its pods."""
_DELETED = ("the names and uids of the pods",)
OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "rollout_restart": operation(
            "Start the pods of a workload anew, one after the other",
            NoParams,
            _WORKLOADS,
            _SEEN,
            snapshots=("an annotation of the pod template",),
        ),
        "rollout_undo": operation(
            "Go back to an earlier revision of a deployment",
            UndoParams,
            "get, patch: deployments",
            "list: replicasets",
            _SEEN,
            tier=Tier.SNAPSHOT,
            snapshots=("the pod template",),
        ),
        "scale": operation(
            "Change the number of replicas", ScaleParams, _WORKLOADS, _SEEN, snapshots=("spec.replicas",)
        ),
        "patch": operation(
            "Change fields that the target lets be changed",
            PatchParams,
            "get, patch: the kind of the target",
            _SEEN,
            tier=Tier.SNAPSHOT,
            snapshots=("the fields that the patch names",),
        ),
        "cordon": operation(
            "Give a node no new pods", NoParams, "get, patch: nodes", _SEEN, snapshots=("spec.unschedulable",)
        ),
        "uncordon": operation(
            "Let a node have new pods again",
            NoParams,
            "get, patch: nodes",
            _SEEN,
            snapshots=("spec.unschedulable",),
        ),
        "drain": operation(
            "Make the pods of a cordoned node move, within their disruption budgets",
            NoParams,
            "get: nodes",
            "list, get: pods",
            "create: pods/eviction",
            tier=Tier.SNAPSHOT,
            snapshots=_DELETED,
        ),
        "delete_pod": operation(
            "Delete one pod of a workload, which starts another",
            PodParams,
            "get: deployments, statefulsets, daemonsets",
            "list, get: pods",
            "create: pods/eviction",
            tier=Tier.SNAPSHOT,
            snapshots=_DELETED,
        ),
        "set_resources": operation(
            "Raise the memory limit of a container",
            ResourcesParams,
            _WORKLOADS,
            _SEEN,
            tier=Tier.SNAPSHOT,
            snapshots=("the memory limit",),
        ),
        "suspend": operation(
            "Start no more jobs, and suspend those that run",
            SuspendParams,
            "get, patch: cronjobs",
            "list, get, patch: jobs",
            snapshots=("spec.suspend",),
        ),
    }
)


def check_params(adapter: str, name: str, params: Mapping[str, Json]) -> None:
    """Raises UnknownAdapter for the operation, InvalidPlaybook for parameters that can fit no target."""
    require_operation(adapter, OPERATIONS, name)
    try:
        problem = _problem(read_params(_SHAPES[name], params))
    except RecursionError:
        problem = "they are nested too deeply"
    if problem:
        raise InvalidPlaybook(f"the step's parameters do not fit: {problem}")


def _problem(read: msgspec.Struct) -> str:
    problem = ""
    match read:
        case UndoParams() if read.to_revision < 0:
            problem = "to_revision is 0 or a revision"
        case ScaleParams():
            problem = _scale_problem(read)
        case ResourcesParams():
            problem = _resources_problem(read)
        case PodParams() if not _POD.fullmatch(read.pod):
            problem = "the pod has no name that Kubernetes knows"
        case PatchParams():
            problem = _patch_problem(read.patch)
    return problem


def _scale_problem(params: ScaleParams) -> str:
    if (params.replicas is None) == (params.by is None):
        return "needs either replicas or by"
    figures = (params.replicas or 0, params.at_most or 0)
    if any(not 0 <= figure <= _MOST_REPLICAS for figure in figures):
        return f"replicas and at_most are from 0 to {_MOST_REPLICAS}"
    if params.by is not None and not 1 <= params.by <= _MOST_REPLICAS:
        return "by is how many more: 1 or above"
    return ""


def _resources_problem(params: ResourcesParams) -> str:
    if (params.memory is None) == (params.factor is None):
        return "needs either memory or factor"
    if params.memory is not None and not amount(params.memory):
        return "memory is no amount such as 512Mi"
    if params.factor is not None and not 1 < params.factor <= _MOST_FACTOR:
        return f"factor is above 1, and at most {_MOST_FACTOR}"
    return ""


def _patch_problem(patch: Json) -> str:
    try:
        size = len(canonical(patch))
    except ValueError:
        return "the patch holds what JSON cannot"
    if size > _PATCH_LIMIT_BYTES:
        return "the patch is too large"
    fields = list(leaves(patch))
    if not patch or len(fields) > _PATCH_FIELDS:
        return f"the patch changes nothing, or more than {_PATCH_FIELDS} fields"
    for path, value in fields:
        if not any(path[: len(root)] == root and len(path) > len(root) for root in _ROOTS):
            return f"{shown(path)[:100]} is no field that a patch may change"
        if value == {} or any(step.startswith("[") for step in path):
            return f"{shown(path)[:100]} is set to nothing that can be taken back"
    return ""


def touches_pod_security(path: FieldPath, value: Json) -> bool:
    """Whether a field, or anything within its new value, decides what a pod may do."""
    if POD_SECURITY & set(path):
        return True
    if isinstance(value, Mapping):
        return any(touches_pod_security((name,), below) for name, below in value.items())
    return isinstance(value, list | tuple) and any(touches_pod_security((), below) for below in value)
