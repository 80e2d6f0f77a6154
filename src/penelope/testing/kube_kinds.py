"""The kinds of object that the small API server knows, and how their paths are written."""

from dataclasses import dataclass

from penelope.kit.canonical import Json

NEEDS = "play.penelope.dev/memory-needed"
HUNG = "play.penelope.dev/hung"
DOWN = "play.penelope.dev/down"
"""Annotations that make faults (kube_play.py)."""


class Refused(Exception):
    """What the server answers in place of doing it, as a Status object."""

    def __init__(self, code: int, reason: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.code = code
        self.reason = reason
        self.message = message

    def status(self) -> dict[str, Json]:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": {"causes": [{"field": self.field, "message": self.message}]} if self.field else {},
            "code": self.code,
        }


def not_found(resource: str, name: str) -> Refused:
    return Refused(404, "NotFound", f'{resource} "{name}" not found')


def conflict(resource: str, name: str, why: str) -> Refused:
    return Refused(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": {why}')


def invalid(kind: str, name: str, why: str) -> Refused:
    return Refused(422, "Invalid", f'{kind} "{name}" is invalid: {why}', why.partition(": ")[0])


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource of the API. `version` is written as in `apiVersion`."""

    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    below: tuple[str, ...] = ("status",)

    @property
    def custom(self) -> bool:
        """Whether it comes with a definition of somebody else's: such groups have a dot in their names."""
        return "." in self.version.partition("/")[0]

    @property
    def key(self) -> str:
        """What it is stored under: two groups may use one word."""
        return f"{self.plural}.{self.version.partition('/')[0]}" if self.custom else self.plural

    @property
    def root(self) -> str:
        return f"/api/{self.version}" if "/" not in self.version else f"/apis/{self.version}"


KINDS = (
    Kind("v1", "namespaces", "Namespace", namespaced=False, short=("ns",)),
    Kind("v1", "nodes", "Node", namespaced=False, short=("no",)),
    Kind("v1", "pods", "Pod", short=("po",), below=("status", "eviction")),
    Kind("v1", "configmaps", "ConfigMap", short=("cm",), below=()),
    Kind("apps/v1", "deployments", "Deployment", short=("deploy",), below=("status", "scale")),
    Kind("apps/v1", "replicasets", "ReplicaSet", short=("rs",), below=("status", "scale")),
    Kind("batch/v1", "jobs", "Job"),
    Kind("batch/v1", "cronjobs", "CronJob", short=("cj",)),
    Kind("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", short=("pdb",)),
    Kind("gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute"),
    Kind("networking.istio.io/v1", "virtualservices", "VirtualService", short=("vs",)),
    Kind("networking.istio.io/v1", "destinationrules", "DestinationRule", short=("dr",)),
    Kind("policy.linkerd.io/v1beta3", "httproutes", "HTTPRoute"),
)
BY_PLURAL = {kind.key: kind for kind in KINDS}
"""By what they are stored under."""
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


@dataclass(frozen=True, slots=True)
class Place:
    """What a path names: a kind, perhaps in a namespace, perhaps one object, perhaps something below it."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    below: str = ""


def place(path: str) -> Place:
    """Reads a path. Raises Refused for one that names nothing."""
    for kind in KINDS:
        if path != kind.root and not path.startswith(kind.root + "/"):
            continue
        steps = [step for step in path.removeprefix(kind.root).split("/") if step]
        namespace = ""
        if len(steps) > 2 and steps[0] == "namespaces" and kind.namespaced:
            namespace, steps = steps[1], steps[2:]
        if (
            not steps
            or steps[0] != kind.plural
            or len(steps) > 3
            or (kind.namespaced and steps[1:] and not namespace)
        ):
            continue
        below = steps[2] if len(steps) > 2 else ""
        if below and below not in kind.below:
            continue
        return Place(kind, namespace, steps[1] if len(steps) > 1 else "", below)
    raise Refused(404, "NotFound", "the server could not find the requested resource")


def discovery(path: str) -> dict[str, Json] | None:
    """What clients ask first: which groups, versions and resources there are; None for any other path."""
    groups = sorted({kind.version for kind in KINDS if "/" in kind.version})
    if path == "/version":
        return {"major": "1", "minor": "37", "gitVersion": "v1.37.0-penelope", "platform": "any"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if path == "/apis":
        listed = []
        for version in groups:
            each = {"groupVersion": version, "version": version.split("/")[1]}
            listed.append({"name": version.split("/")[0], "versions": [each], "preferredVersion": each})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if path.startswith("/openapi/v3"):
        return _openapi(path.removeprefix("/openapi/v3").strip("/"))
    if path in {"/api/v1", *(f"/apis/{group}" for group in groups)}:
        found = [kind for kind in KINDS if kind.version == version]
        resources = [item for kind in found for item in _resources(kind)]
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": version,
            "resources": resources,
        }
    return None


def _openapi(root: str) -> dict[str, Json] | None:
    """As much as kubectl reads: that the server itself validates fields, so that the client need not."""
    if not root:
        roots = sorted({kind.root.strip("/") for kind in KINDS})
        return {"paths": {each: {"serverRelativeURL": f"/openapi/v3/{each}?hash=1"} for each in roots}}
    paths: dict[str, Json] = {}
    for kind in KINDS:
        if kind.root.strip("/") == root:
            group, _, version = kind.version.rpartition("/")
            inside = "/namespaces/{namespace}" if kind.namespaced else ""
            paths[f"{kind.root}{inside}/{kind.plural}/{{name}}"] = {
                "patch": {
                    "x-kubernetes-group-version-kind": {
                        "group": group,
                        "version": version,
                        "kind": kind.kind,
                    },
                    "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
                    "responses": {"200": {"description": "OK"}},
                }
            }
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.37.0"}, "paths": paths}


def _resources(kind: Kind) -> list[dict[str, Json]]:
    plain = {"namespaced": kind.namespaced, "singularName": kind.kind.lower()}
    found: list[dict[str, Json]] = [
        {**plain, "name": kind.plural, "kind": kind.kind, "verbs": VERBS, "shortNames": list(kind.short)}
    ]
    for below in kind.below:
        other = {"scale": ("autoscaling", "v1", "Scale"), "eviction": ("policy", "v1", "Eviction")}.get(below)
        named = {"group": other[0], "version": other[1], "kind": other[2]} if other else {"kind": kind.kind}
        found.append(
            {
                **plain,
                "name": f"{kind.plural}/{below}",
                "verbs": ["create", "get", "patch", "update"],
                **named,
            }
        )
    return found
