"""The API server of Kubernetes over REST: who is asked, about what, and in whose words it fails."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote, urlencode

import msgspec

from penelope.adapters.actions.options import read_options
from penelope.adapters.kube import MANAGER, ApiServer, Conflict, flaw_of, is_name
from penelope.adapters.outbound import Answer
from penelope.domain.service import Target
from penelope.errors import ActionFailed, InvalidCatalogue, Unavailable
from penelope.kit.canonical import Json

_BODY_LIMIT_BYTES = 16 * 1024 * 1024
_LIST_LIMIT = 500
_REFUSED = frozenset({400, 401, 403, 404, 405, 406, 410, 413, 415, 422})
"""Answers after which certainly nothing was changed."""


class KubernetesOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a target, which is one object. `server` is the URL of the API server, `ca` the path of the certificates
    that it is trusted by; `token` is a secret, `token_file` the path of one; `in_cluster` takes all three from the
    service account of the pod that Penelope runs in.

    What may be done to it is bounded here, not in playbooks: replicas and memory by `replicas_at_least`,
    `replicas_at_most` and `memory_at_most`; patches by `patchable`, JSON pointers to the fields that they may change;
    `allow_pod_security` lets them change what a pod may do on its node. `pods_at_most` bounds what leaves a node at once,
    `namespaces` says whose pods may (its own, if empty), `delete_local_data` whether what they keep there may go.
    """

    kind: str
    name: str
    namespace: str = "default"
    server: str | None = None
    token: str | None = None
    token_file: str | None = None
    ca: str | None = None
    in_cluster: bool = False
    container: str | None = None
    replicas_at_least: int = 1
    replicas_at_most: int | None = None
    memory_at_most: str | None = None
    patchable: list[str] = []
    allow_pod_security: bool = False
    pods_at_most: int = 20
    namespaces: list[str] = []
    delete_local_data: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """How a kind is written in paths, and what may be done to it."""

    root: str
    plural: str
    operations: frozenset[str]
    namespaced: bool = True


_ROLLED = ("rollout_restart", "set_resources", "delete_pod", "patch")
RESOURCES = MappingProxyType(
    {
        "Deployment": Resource(
            "/apis/apps/v1", "deployments", frozenset({*_ROLLED, "rollout_undo", "scale"})
        ),
        "StatefulSet": Resource("/apis/apps/v1", "statefulsets", frozenset({*_ROLLED, "scale"})),
        "DaemonSet": Resource("/apis/apps/v1", "daemonsets", frozenset(_ROLLED)),
        "CronJob": Resource("/apis/batch/v1", "cronjobs", frozenset({"suspend", "patch"})),
        "Job": Resource("/apis/batch/v1", "jobs", frozenset({"suspend", "patch"})),
        "ConfigMap": Resource("/api/v1", "configmaps", frozenset({"patch"})),
        "Node": Resource("/api/v1", "nodes", frozenset({"cordon", "uncordon", "drain"}), namespaced=False),
        "Pod": Resource("/api/v1", "pods", frozenset()),
        "ReplicaSet": Resource("/apis/apps/v1", "replicasets", frozenset()),
    }
)
"""Secrets, roles and whatever else is not named here are out of reach, whatever a catalogue says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One object."""

    kind: str
    namespace: str
    name: str

    @property
    def title(self) -> str:
        return f"{self.kind.lower()} {self.name!r}"

    @property
    def path(self) -> str:
        return f"{collection(self.kind, self.namespace)}/{quote(self.name, safe='')}"


def options_of(target: Target) -> KubernetesOptions:
    """The options of a target. Raises InvalidCatalogue, without showing any value that may be secret."""
    options = read_options(KubernetesOptions, target)
    problem = _problem(options)
    if problem:
        raise InvalidCatalogue(f"target {target.name!r} of service {target.service!r}: {problem}")
    return options


def _problem(options: KubernetesOptions) -> str:
    resource = RESOURCES.get(options.kind)
    if resource is None or not resource.operations:
        return f"objects of the kind {options.kind[:40]!r} cannot be acted upon"
    names = [options.name, options.namespace, *options.namespaces]
    if not all(map(is_name, names)):
        return "a name or namespace is none that Kubernetes knows"
    return flaw_of(options)


def collection(kind: str, namespace: str) -> str:
    resource = RESOURCES[kind]
    inside = f"/namespaces/{quote(namespace, safe='')}" if resource.namespaced and namespace else ""
    return f"{resource.root}{inside}/{resource.plural}"


class Cluster:
    """The API server as one target sees it. Nothing is kept between two calls."""

    def __init__(self, target: Target, timeout_seconds: float) -> None:
        self.options = options_of(target)
        self._server = ApiServer(
            self.options,
            f"the API server of target {target.name!r}",
            timeout_seconds=timeout_seconds,
            body_limit_bytes=_BODY_LIMIT_BYTES,
        )
        self._what = self._server.what

    @property
    def object(self) -> Reference:
        """What the target names."""
        spaced = RESOURCES[self.options.kind].namespaced
        namespace = self.options.namespace if spaced else ""
        return Reference(kind=self.options.kind, namespace=namespace, name=self.options.name)

    async def get(self, at: Reference) -> dict[str, Json] | None:
        """An object, None where there is none. Raises Unavailable, Timeout."""
        answer = await self._server.ask("GET", at.path)
        if answer.status == 404:
            return None
        return self._object(self._read(answer, f"get {RESOURCES[at.kind].plural}"))

    async def listed(
        self, kind: str, namespace: str, *, labels: Mapping[str, str] | None = None, fields: str = ""
    ) -> list[dict[str, Json]]:
        """All objects of a kind that bear labels, of all namespaces where none is given. Raises Unavailable, Timeout."""
        asked = {"limit": str(_LIST_LIMIT)}
        if labels:
            asked["labelSelector"] = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
        if fields:
            asked["fieldSelector"] = fields
        answer = await self._server.ask("GET", f"{collection(kind, namespace)}?{urlencode(asked)}")
        found = self._read(answer, f"list {RESOURCES[kind].plural}")
        more, items = found.get("metadata"), found.get("items") or []
        if not isinstance(more, dict) or not isinstance(items, list):
            raise Unavailable(f"{self._what} answered something that is no list")
        if more.get("continue"):
            raise Unavailable(f"{self._what} has more than {_LIST_LIMIT} {RESOURCES[kind].plural} there")
        return [self._object(item) for item in items]

    async def patch(self, at: Reference, patch: Mapping[str, Json], *, dry: bool = False) -> dict[str, Json]:
        """Merges a patch into an object; `dry` asks what would become of it, by the server's own rules.

        Raises Conflict, ActionFailed when it was refused, Unavailable or Timeout when it may have happened.
        """
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict", **({"dryRun": "All"} if dry else {})}
        answer = await self._server.ask(
            "PATCH", f"{at.path}?{urlencode(query)}", patch, kind="application/merge-patch+json"
        )
        return self._object(self._changed(answer, at))

    async def evict(self, at: Reference, uid: str, *, dry: bool = False) -> bool:
        """Asks that a pod goes away, if it still is that pod; False where a disruption budget forbids it now.

        Raises as `patch`, but not Conflict, nor for a pod that is gone.
        """
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": at.name, "namespace": at.namespace},
            "deleteOptions": {"preconditions": {"uid": uid}, **({"dryRun": ["All"]} if dry else {})},
        }
        answer = await self._server.ask("POST", f"{at.path}/eviction" + ("?dryRun=All" if dry else ""), body)
        if answer.status == 429:
            return False
        if answer.status not in {404, 409}:
            self._changed(answer, at)
        return True

    def _read(self, answer: Answer, verb: str) -> dict[str, Json]:
        if answer.status in {401, 403}:
            hint = f"Let the credentials of the target {verb} in its namespace."
            raise Unavailable(f"{self._what} does not let us {verb}: it answered {answer.status}", hint=hint)
        if answer.status != 200:
            raise Unavailable(f"{self._what} answered {answer.status} when asked to {verb}")
        return self._server.json(answer)

    def _changed(self, answer: Answer, at: Reference) -> dict[str, Json]:
        if answer.status in {200, 201}:
            return self._server.json(answer)
        if answer.status == 409:
            raise Conflict
        if answer.status in _REFUSED:
            raise ActionFailed(f"{self._what} refused it for {at.title}: {_why(answer)}")
        raise Unavailable(f"{self._what} answered {answer.status}")

    def _object(self, found: Json) -> dict[str, Json]:
        """What was answered, if it has the shape of an object: a proxy on the way may answer anything."""
        try:
            msgspec.convert(found, _Object)
        except msgspec.ValidationError:
            raise Unavailable(f"{self._what} answered something that is no object") from None
        checked: dict[str, Json] = found
        return checked


def _why(answer: Answer) -> str:
    """The reason and the fields that the server names; its message is left out, for it may repeat values."""
    try:
        told = msgspec.json.decode(answer.body, type=_Status)
    except msgspec.MsgspecError:
        return str(answer.status)
    fields = ", ".join(cause.field for cause in told.details.causes if cause.field)
    return f"{answer.status} {told.reason[:60]}" + (f" ({fields[:300]})" if fields else "")


class _Cause(msgspec.Struct, frozen=True):
    field: str = ""


class _Details(msgspec.Struct, frozen=True):
    causes: list[_Cause] = []


class _Status(msgspec.Struct, frozen=True):
    reason: str = ""
    details: _Details = _Details()


class _Meta(msgspec.Struct, frozen=True):
    name: str
    uid: str
    resourceVersion: str  # noqa: N815 - the API's own word
    namespace: str = ""
    generation: int = 0
    annotations: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    ownerReferences: list[dict[str, Json]] | None = None  # noqa: N815 - the API's own word


class _Object(msgspec.Struct, frozen=True):
    metadata: _Meta
    spec: dict[str, Json] = {}
    status: dict[str, Json] | None = None
