"""Gateway API: the weights of an HTTPRoute (gateway.networking.k8s.io/v1)."""

import copy
from collections.abc import Iterator, Mapping
from typing import ClassVar, cast

from penelope.adapters.routers.arms import options_as, router_of
from penelope.adapters.routers.kube import KubeOptions, KubeRouter, Resource, arm_shares, refuse_initial
from penelope.adapters.routers.ordering import Order
from penelope.domain.service import Service
from penelope.domain.traffic import Feature, Mirror, Pin
from penelope.errors import InvalidCatalogue, Unavailable
from penelope.kit.canonical import Json

_PIN = "penelope-pin"


class GatewayOptions(KubeOptions, frozen=True, kw_only=True):
    """Options of a router. `port` is that of the arms' services; with `gateway` a route is made where there is none, for
    `hostnames`, at that gateway's listener `section`.
    """

    port: int = 80
    gateway: str | None = None
    gateway_namespace: str | None = None
    section: str | None = None
    hostnames: tuple[str, ...] = ()


class GatewayRouter(KubeRouter):
    """Changes the rules of a route that split over the service's arms, which are Services; other rules stay."""

    features: ClassVar[frozenset[Feature]] = frozenset({Feature.MIRROR, Feature.PIN})
    resource = Resource("gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute")
    shape: type[KubeOptions] = GatewayOptions

    def _shares(self, service: Service, route: Mapping[str, Json]) -> Mapping[str, int]:
        found = [arm_shares(service, _pairs(rule)) for rule in _split_rules(service, route)]
        if any(each != found[0] for each in found):
            raise Unavailable("the rules of the route split traffic differently")
        return found[0]

    def _edit(self, service: Service, route: dict[str, Json], order: Order) -> None:
        rules = list(_split_rules(service, route))
        arms = {name: arm for arm, name in router_of(service).arms.items()}
        for rule in rules:
            arm_shares(service, _pairs(rule))
            if order.weights is not None:
                for backend in rule["backendRefs"]:
                    backend["weight"] = order.weights[arms[backend["name"]]]
            if Feature.MIRROR in order.extras:
                _mirror(service, rule, order.mirror())
        if Feature.PIN in order.extras:
            _pin(service, route, rules, order.pin())

    def _made(self, service: Service, order: Order) -> dict[str, Json] | None:
        options = cast("GatewayOptions", options_as(service, self.shape))
        if options.gateway is None:
            return None
        refuse_initial(order)
        parent = {"name": options.gateway}
        if options.gateway_namespace is not None:
            parent["namespace"] = options.gateway_namespace
        if options.section is not None:
            parent["sectionName"] = options.section
        spec: dict[str, Json] = {
            "parentRefs": [parent],
            "rules": [{"backendRefs": backends(service, order, options.port)}],
        }
        if options.hostnames:
            spec["hostnames"] = list(options.hostnames)
        return {"metadata": {"name": options.name}, "spec": spec}

    def _settled(self, route: Mapping[str, Json]) -> bool:
        """Each parent's controller accepted this very generation and found its backends."""
        parents = (route.get("status") or {}).get("parents") or []
        return bool(parents) and all(_accepted(parent, route["metadata"]["generation"]) for parent in parents)


def backends(service: Service, order: Order, port: int) -> list[dict[str, Json]]:
    """A list of backends with the weights of an order."""
    weights = order.weights or {}
    return [
        {"name": name, "port": port, "weight": weights[arm]} for arm, name in router_of(service).arms.items()
    ]


def _accepted(parent: Mapping[str, Json], generation: int) -> bool:
    told = {
        each.get("type"): each.get("status") == "True" and each.get("observedGeneration", 0) >= generation
        for each in parent.get("conditions") or []
    }
    return bool(told.get("Accepted", False) and told.get("ResolvedRefs", True))


def _split_rules(service: Service, route: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    names = set(router_of(service).arms.values())
    found = [
        rule
        for rule in route["spec"].get("rules") or []
        if rule.get("name") != _PIN and names & {each["name"] for each in rule.get("backendRefs") or []}
    ]
    if not found:
        raise Unavailable("no rule of the route splits over the service's arms")
    return iter(found)


def _pairs(rule: Mapping[str, Json]) -> list[tuple[str, int]]:
    return [(each["name"], each.get("weight", 1)) for each in rule["backendRefs"]]


def _mirror(service: Service, rule: dict[str, Json], mirror: Mirror | None) -> None:
    arms = router_of(service).arms
    kept = [
        each
        for each in rule.get("filters") or []
        if each["type"] != "RequestMirror" or each["requestMirror"]["backendRef"]["name"] not in arms.values()
    ]
    if mirror is not None:
        backend = next(each for each in rule["backendRefs"] if each["name"] == arms[mirror.arm])
        target = {key: value for key, value in backend.items() if key not in {"weight", "filters"}}
        kept.append(
            {
                "type": "RequestMirror",
                "requestMirror": {"backendRef": target, "percent": mirror.percent},
            }
        )
    if kept:
        rule["filters"] = kept
    else:
        rule.pop("filters", None)


def _pin(service: Service, route: dict[str, Json], rules: list[dict[str, Json]], pin: Pin | None) -> None:
    spec = route["spec"]
    spec["rules"] = [rule for rule in spec["rules"] if rule.get("name") != _PIN]
    if pin is None:
        return
    if len(rules) != 1:
        raise InvalidCatalogue("a pin needs a route with one rule over the arms")
    name = router_of(service).arms[pin.arm]
    backend = next(each for each in rules[0]["backendRefs"] if each["name"] == name)
    mark = {"type": "Exact", "name": pin.header, "value": pin.value}
    if pin.cookie:
        pattern = f"(^|.*; ?){pin.cookie}={pin.value}(;.*|$)"
        mark = {"type": "RegularExpression", "name": "Cookie", "value": pattern}
    matches = copy.deepcopy(rules[0].get("matches")) or [{"path": {"type": "PathPrefix", "value": "/"}}]
    for match in matches:
        match["headers"] = [*match.get("headers", []), mark]
    # More headers come before fewer, wherever the rule stands.
    spec["rules"].insert(
        0, {"name": _PIN, "matches": matches, "backendRefs": [{**copy.deepcopy(backend), "weight": 1}]}
    )
