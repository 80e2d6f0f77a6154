"""Linkerd: an HTTPRoute of the Gateway API whose parent is the service that clients call."""

from typing import ClassVar, cast

from penelope.adapters.routers.arms import options_as
from penelope.adapters.routers.gateway import GatewayRouter, backends
from penelope.adapters.routers.kube import KubeOptions, Resource, refuse_initial
from penelope.adapters.routers.ordering import Order
from penelope.domain.service import Service
from penelope.domain.traffic import Feature
from penelope.kit.canonical import Json


class LinkerdOptions(KubeOptions, frozen=True, kw_only=True):
    """Options of a router. `apex` is the Service that clients call, `port` its port and that of the arms' services."""

    apex: str | None = None
    port: int = 80


class LinkerdRouter(GatewayRouter):
    """Linkerd mirrors nothing and keeps nobody at an arm. A route is made where there is none and `apex` is given."""

    features: ClassVar[frozenset[Feature]] = frozenset({Feature.PIN})
    shape: type[KubeOptions] = LinkerdOptions
    _core: ClassVar[str] = ""

    def _made(self, service: Service, order: Order) -> dict[str, Json] | None:
        options = cast("LinkerdOptions", options_as(service, self.shape))
        if options.apex is None:
            return None
        refuse_initial(order)
        parent = {"group": self._core, "kind": "Service", "name": options.apex, "port": options.port}
        rules = [{"backendRefs": backends(service, order, options.port)}]
        return {"metadata": {"name": options.name}, "spec": {"parentRefs": [parent], "rules": rules}}


class LinkerdPolicyRouter(LinkerdRouter):
    """The same with Linkerd's own HTTPRoute (policy.linkerd.io/v1beta3), whose rules have no names: so it pins nothing."""

    features: ClassVar[frozenset[Feature]] = frozenset()
    resource = Resource("policy.linkerd.io/v1beta3", "httproutes", "HTTPRoute")
    _core: ClassVar[str] = "core"
