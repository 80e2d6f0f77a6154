"""Istio: the weights of a VirtualService, over subsets of a DestinationRule or over hosts (networking.istio.io/v1)."""

import copy
from collections.abc import Mapping
from typing import ClassVar

import msgspec

from penelope.adapters.kube import Conflict
from penelope.adapters.routers.arms import options_as, router_of
from penelope.adapters.routers.kube import (
    KubeOptions,
    KubeRouter,
    Resource,
    Routes,
    arm_shares,
    refuse_initial,
)
from penelope.adapters.routers.ordering import Order
from penelope.domain.service import Service
from penelope.domain.traffic import Feature, Mirror, Pin
from penelope.errors import InvalidCatalogue, Unavailable
from penelope.kit.canonical import Json

_PIN = "penelope-pin"
_RULES = Resource("networking.istio.io/v1", "destinationrules", "DestinationRule")


class IstioOptions(KubeOptions, frozen=True, kw_only=True):
    """Options of a router. With `host` the arms are subsets of that host, else they are hosts themselves. `subsets` are the
    labels of each arm: the DestinationRule `destination_rule` (by default named as the route) is given them where they
    are missing. `hosts` and `gateways` are for a VirtualService that is made where there is none.
    """

    host: str | None = None
    subsets: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    destination_rule: str | None = None
    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()


class IstioRouter(KubeRouter):
    """Changes the HTTP routes that split over the service's arms. Istio tells no status: the API server is believed."""

    features: ClassVar[frozenset[Feature]] = frozenset({Feature.MIRROR, Feature.PIN})
    resource = Resource("networking.istio.io/v1", "virtualservices", "VirtualService")
    shape: type[KubeOptions] = IstioOptions

    def _shares(self, service: Service, route: Mapping[str, Json]) -> Mapping[str, int]:
        found = [arm_shares(service, self._pairs(service, each)) for each in self._splits(service, route)]
        if any(each != found[0] for each in found):
            raise Unavailable("the routes of the VirtualService split traffic differently")
        return found[0]

    def _edit(self, service: Service, route: dict[str, Json], order: Order) -> None:
        splits = self._splits(service, route)
        arms = {name: arm for arm, name in router_of(service).arms.items()}
        for each in splits:
            arm_shares(service, self._pairs(service, each))
            if order.weights is not None:
                for destination in each["route"]:
                    destination["weight"] = order.weights[arms[self._name(service, destination)]]
            if Feature.MIRROR in order.extras:
                self._mirror(service, each, order.mirror())
        if Feature.PIN in order.extras:
            self._pin(service, route, splits, order.pin())

    def _made(self, service: Service, order: Order) -> dict[str, Json] | None:
        options = _options(service)
        if not options.hosts:
            return None
        refuse_initial(order)
        weights = order.weights or {}
        http = [
            {
                "route": [
                    {"destination": self._destination(service, arm), "weight": weights[arm]}
                    for arm in router_of(service).arms
                ]
            }
        ]
        spec: dict[str, Json] = {"hosts": list(options.hosts), "http": http}
        if options.gateways:
            spec["gateways"] = list(options.gateways)
        return {"metadata": {"name": options.name}, "spec": spec}

    async def _prepare(self, service: Service, routes: Routes) -> None:
        """The subsets come first: a route to one that is not there yet answers 503."""
        options = _options(service)
        if options.host is None or not options.subsets:
            return
        if set(options.subsets) != set(router_of(service).arms):
            raise InvalidCatalogue(f"the router options of {service.name!r} do not give each arm its subset")
        for _ in range(5):
            try:
                await _subsets(service, options, routes)
            except Conflict:
                continue
            return
        raise Unavailable("the DestinationRule is changed by others all the time")

    def _destination(self, service: Service, arm: str) -> dict[str, Json]:
        host, name = _options(service).host, router_of(service).arms[arm]
        return {"host": name} if host is None else {"host": host, "subset": name}

    def _name(self, service: Service, destination: Mapping[str, Json]) -> str:
        """The arm's name in a destination; empty where it leads elsewhere."""
        target, host = destination["destination"], _options(service).host
        if host is None:
            return str(target["host"])
        return str(target.get("subset", "")) if target["host"] == host else ""

    def _pairs(self, service: Service, split: Mapping[str, Json]) -> list[tuple[str, int]]:
        # A single destination without weight gets everything.
        return [(self._name(service, each), each.get("weight", 0)) for each in split["route"]]

    def _splits(self, service: Service, route: Mapping[str, Json]) -> list[dict[str, Json]]:
        names = set(router_of(service).arms.values())
        found = [
            each
            for each in route["spec"].get("http") or []
            if each.get("name") != _PIN
            and names & {self._name(service, item) for item in each.get("route") or []}
        ]
        if not found:
            raise Unavailable("no route of the VirtualService splits over the service's arms")
        return found

    def _mirror(self, service: Service, split: dict[str, Json], mirror: Mirror | None) -> None:
        names = set(router_of(service).arms.values())
        kept = [each for each in split.get("mirrors") or [] if self._name(service, each) not in names]
        if mirror is not None:
            share = {"value": float(mirror.percent)}
            kept.append({"destination": self._destination(service, mirror.arm), "percentage": share})
        if kept:
            split["mirrors"] = kept
        else:
            split.pop("mirrors", None)

    def _pin(
        self, service: Service, route: dict[str, Json], splits: list[dict[str, Json]], pin: Pin | None
    ) -> None:
        spec = route["spec"]
        spec["http"] = [each for each in spec["http"] if each.get("name") != _PIN]
        if pin is None:
            return
        if len(splits) != 1:
            raise InvalidCatalogue("a pin needs a VirtualService with one route over the arms")
        mark: dict[str, Json] = {pin.header.lower(): {"exact": pin.value}}
        if pin.cookie:
            mark = {"cookie": {"regex": f"(^|.*; ?){pin.cookie}={pin.value}(;.*|$)"}}
        matches = copy.deepcopy(splits[0].get("match")) or [{}]
        for match in matches:
            match["headers"] = {**match.get("headers", {}), **mark}
        destination = {"destination": self._destination(service, pin.arm)}
        # The first route that matches is taken.
        spec["http"].insert(
            spec["http"].index(splits[0]), {"name": _PIN, "match": matches, "route": [destination]}
        )


async def _subsets(service: Service, options: IstioOptions, routes: Routes) -> None:
    name = options.destination_rule or options.name
    wanted = [
        {"name": subset, "labels": dict(options.subsets[arm])}
        for arm, subset in router_of(service).arms.items()
    ]
    rule = await routes.get(_RULES, name)
    if rule is None:
        spec = {"host": options.host, "subsets": wanted}
        await routes.create(_RULES, {"metadata": {"name": name}, "spec": spec})
        return
    there = {each["name"]: each.get("labels") for each in rule["spec"].get("subsets") or []}
    if rule["spec"].get("host") != options.host:
        raise InvalidCatalogue(f"the DestinationRule {name!r} is for another host")
    if any(there.get(each["name"], each["labels"]) != each["labels"] for each in wanted):
        raise InvalidCatalogue(f"the DestinationRule {name!r} has a subset of that name with other labels")
    missing = [each for each in wanted if each["name"] not in there]
    if missing:
        after = copy.deepcopy(rule)
        after["spec"]["subsets"] = [*(rule["spec"].get("subsets") or []), *missing]
        await routes.patch(_RULES, rule, after)


def _options(service: Service) -> IstioOptions:
    return options_as(service, IstioOptions)
