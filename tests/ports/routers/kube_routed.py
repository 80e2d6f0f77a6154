"""Services whose traffic a cluster splits, with their routes on the small API server."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penelope.adapters.routers.gateway import GatewayRouter
from penelope.adapters.routers.istio import IstioRouter
from penelope.adapters.routers.kube import KubeRouter
from penelope.adapters.routers.linkerd import LinkerdPolicyRouter, LinkerdRouter
from penelope.domain.service import RouterReference, Service
from penelope.testing.kube import NAMESPACE, KubeServer

SCHEMAS = os.environ.get("PENELOPE_SCHEMAS", "")
DEFINITIONS = Path(SCHEMAS) / "crds" if SCHEMAS else None
WHY = (
    "set PENELOPE_SCHEMAS to a folder whose crds/ holds the definitions of Gateway API 1.6, Istio and Linkerd "
    "(Go modules sigs.k8s.io/gateway-api, istio.io/api, github.com/linkerd/linkerd2)"
)

KUBE_ROUTERS: dict[str, type[KubeRouter]] = {
    "gateway": GatewayRouter,
    "istio": IstioRouter,
    "linkerd": LinkerdRouter,
    "linkerd_policy": LinkerdPolicyRouter,
}
OWN: dict[str, dict[str, Any]] = {
    "gateway": {"gateway": "front", "hostnames": ["shop.example"], "section": "web"},
    "istio": {
        "host": "shop",
        "hosts": ["shop"],
        "subsets": {"blue": {"version": "blue"}, "green": {"version": "green"}},
    },
    "linkerd": {"apex": "shop"},
    "linkerd_policy": {"apex": "shop"},
}


@dataclass
class Cluster:
    """The small API server, and what is read and written there by hand."""

    server: KubeServer

    def path(self, kind: str, name: str = "", plural: str = "") -> str:
        resource = KUBE_ROUTERS[kind].resource
        root = f"/apis/{resource.version}/namespaces/{NAMESPACE}/{plural or resource.plural}"
        return f"{root}/{name}" if name else root

    def service(self, kind: str, name: str, *, there: bool = True, **more: object) -> Service:
        """A service split evenly, whose route is `there` already or not."""
        options: dict[str, Any] = {
            "name": name,
            "namespace": NAMESPACE,
            "server": self.server.url,
            "ca": self.server.ca,
            "token": self.server.token,
            **OWN[kind],
            **more,
        }
        arms = {"blue": f"{name}-blue", "green": f"{name}-green"}
        router = RouterReference(kind=kind, options=options, arms=arms)
        if there:
            self.server.do("POST", self.path(kind), route(kind, name, list(arms.values())))
        return Service(name=name, owner="team", tier=2, router=router)

    def read(self, kind: str, name: str, plural: str = "") -> Any:
        return self.server.do("GET", self.path(kind, name, plural))

    def bodies(self, name: str) -> list[tuple[str, str, Any]]:
        """Verb, resource and body of each change of a route, without those of other hands."""
        return [
            (each["verb"], each["resource"], each["body"])
            for each in self.server.changes()
            if each["name"] == name and each["manager"] == "penelope"
        ]


def route(kind: str, name: str, arms: list[str]) -> dict[str, Any]:
    """A route as people write one: with rules that are none of ours, and fields that we do not know."""
    resource = KUBE_ROUTERS[kind].resource
    head = {"apiVersion": resource.version, "kind": resource.kind, "metadata": {"name": name}}
    if kind == "istio":
        split = [{"destination": {"host": "shop", "subset": arm}, "weight": 50} for arm in arms]
        admin = {
            "match": [{"uri": {"prefix": "/admin"}}],
            "route": [{"destination": {"host": "admin"}}],
        }
        http = [admin, {"name": "shop", "timeout": "5s", "route": split}]
        return {**head, "spec": {"hosts": ["shop"], "http": http}}
    parent: dict[str, Any] = {"name": "front"}
    if kind.startswith("linkerd"):
        group = "core" if kind == "linkerd_policy" else ""
        parent = {"group": group, "kind": "Service", "name": "shop", "port": 80}
    backends = [{"name": arm, "port": 80, "weight": 50} for arm in arms]
    path = [{"path": {"type": "PathPrefix", "value": "/admin"}}]
    rules = [
        {"matches": path, "backendRefs": [{"name": "admin", "port": 80}]},
        {"backendRefs": backends, "timeouts": {"request": "5s"}},
    ]
    return {**head, "spec": {"parentRefs": [parent], "rules": rules}}
