"""What the routers of a cluster send, to the letter, and what they make of objects that are not as they should be."""

import asyncio
from dataclasses import replace
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kube_routed import DEFINITIONS, KUBE_ROUTERS, WHY, Cluster, route

from penelope.adapters.routers.gateway import GatewayRouter
from penelope.adapters.routers.istio import IstioRouter
from penelope.adapters.routers.kube import json_patch
from penelope.adapters.routers.linkerd import LinkerdRouter
from penelope.adapters.routers.ordering import Order
from penelope.domain.service import Service
from penelope.domain.traffic import Mirror, Pin
from penelope.errors import InvalidCatalogue, InvalidPlaybook, Unavailable
from penelope.testing.kube_play import IGNORED

official = pytest.mark.skipif(DEFINITIONS is None, reason=WHY)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab/~", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def own(service: Service, **options: object) -> Service:
    assert service.router is not None
    return replace(service, router=replace(service.router, options={**service.router.options, **options}))


@given(JSON, JSON)
def test_the_patch_makes_the_one_of_the_other(before: Any, after: Any) -> None:
    found = jsonpatch.apply_patch({"x": before}, json_patch({"x": before}, {"x": after}))
    assert found == {"x": after}
    assert str(found) == str({"x": after}) or isinstance(after, dict | list)


@pytest.mark.parametrize("kind", KUBE_ROUTERS)
def test_a_weight_change_touches_the_weights_and_nothing_else(cluster: Cluster, kind: str) -> None:
    name = f"plain-{kind.replace('_', '-')}"
    service = cluster.service(kind, name)
    before = cluster.read(kind, name)
    asyncio.run(KUBE_ROUTERS[kind]().set_weights(service, {"blue": 90, "green": 10}))
    after = cluster.read(kind, name)
    where = "/spec/http/1/route" if kind == "istio" else "/spec/rules/1/backendRefs"
    resource = KUBE_ROUTERS[kind].resource.plural
    guard = {
        "op": "replace",
        "path": "/metadata/resourceVersion",
        "value": before["metadata"]["resourceVersion"],
    }
    weights = [
        {"op": "replace", "path": f"{where}/{at}/weight", "value": value} for at, value in ((0, 90), (1, 10))
    ]
    assert [body for verb, what, body in cluster.bodies(name) if what == resource] == [[guard, *weights]]
    assert (
        jsonpatch.apply_patch(before["spec"], [{**each, "path": each["path"][5:]} for each in weights])
        == after["spec"]
    )
    asyncio.run(KUBE_ROUTERS[kind]().set_weights(service, {"blue": 90, "green": 10}))
    assert len([1 for _, what, _ in cluster.bodies(name) if what == resource]) == 1


@pytest.mark.parametrize("kind", ["gateway", "istio"])
def test_a_change_by_another_hand_in_between_is_not_lost(cluster: Cluster, kind: str) -> None:
    name = f"raced-{kind}"
    service = cluster.service(kind, name)
    hands = iter(range(2))

    class Raced(KUBE_ROUTERS[kind]):  # type: ignore[misc]  # the class is chosen by the parameter
        def _edit(self, service: Service, route: dict[str, Any], order: Order) -> None:
            super()._edit(service, route, order)
            for hand in hands:
                labels = {"metadata": {"labels": {f"hand-{hand}": "there"}}}
                assert cluster.server.call("PATCH", cluster.path(kind, name), labels)[0] == 200
                return

    asyncio.run(Raced().set_weights(service, {"blue": 0, "green": 100}))
    found = cluster.read(kind, name)
    assert found["metadata"]["labels"] == {"hand-0": "there", "hand-1": "there"}
    assert asyncio.run(KUBE_ROUTERS[kind]().weights(service)) == {"blue": 0, "green": 100}


@pytest.mark.parametrize("kind", KUBE_ROUTERS)
def test_a_route_is_made_where_there_is_none(cluster: Cluster, kind: str) -> None:
    name = f"made-{kind.replace('_', '-')}"
    service = cluster.service(kind, name, there=False)
    router = KUBE_ROUTERS[kind]()
    with pytest.raises(Unavailable, match="there is no"):
        asyncio.run(router.weights(service))
    asyncio.run(router.set_weights(service, {"blue": 100, "green": 0}))
    asyncio.run(router.set_weights(service, {"blue": 75, "green": 25}))
    assert asyncio.run(router.weights(service)) == {"blue": 75, "green": 25}
    verbs = [(verb, what) for verb, what, _ in cluster.bodies(name)]
    own_kind = router.resource.plural
    first = [("create", "destinationrules")] if kind == "istio" else []
    assert verbs == [*first, ("create", own_kind), ("patch", own_kind)]


def test_without_a_word_on_how_no_route_is_made(cluster: Cluster) -> None:
    service = own(cluster.service("gateway", "unmade", there=False), gateway=None)
    with pytest.raises(Unavailable, match="there is no HTTPRoute"):
        asyncio.run(GatewayRouter().set_weights(service, {"blue": 100, "green": 0}))


def test_subsets_are_added_and_never_changed(cluster: Cluster) -> None:
    path = cluster.path("istio", plural="destinationrules")
    head = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "subsets"},
    }
    old = {"name": "old", "labels": {"version": "old"}}
    cluster.server.do("POST", path, {**head, "spec": {"host": "shop", "subsets": [old]}})
    service = cluster.service("istio", "subsets")
    asyncio.run(IstioRouter().set_weights(service, {"blue": 90, "green": 10}))
    found = cluster.read("istio", "subsets", "destinationrules")["spec"]["subsets"]
    assert found == [
        old,
        {"name": "subsets-blue", "labels": {"version": "blue"}},
        {"name": "subsets-green", "labels": {"version": "green"}},
    ]
    other = own(service, subsets={"blue": {"version": "other"}, "green": {"version": "green"}})
    with pytest.raises(InvalidCatalogue, match="other labels"):
        asyncio.run(IstioRouter().set_weights(other, {"blue": 0, "green": 100}))
    assert asyncio.run(IstioRouter().weights(service)) == {"blue": 90, "green": 10}


def test_mirror_and_pin_of_a_gateway_read_as_the_standard_has_it(cluster: Cluster) -> None:
    service = cluster.service("gateway", "extras-gateway")
    router = GatewayRouter()
    asyncio.run(router.mirror(service, Mirror(arm="green", percent=20)))
    asyncio.run(router.pin(service, Pin(arm="green", value="yes", cookie="canary")))
    rules = cluster.read("gateway", "extras-gateway")["spec"]["rules"]
    assert [rule.get("name") for rule in rules] == ["penelope-pin", None, None]
    assert rules[0]["matches"][0]["headers"][0]["value"] == "(^|.*; ?)canary=yes(;.*|$)"
    assert [each["name"] for each in rules[0]["backendRefs"]] == ["extras-gateway-green"]
    assert rules[2]["filters"][0]["requestMirror"]["percent"] == 20
    asyncio.run(router.finalise(service))
    assert cluster.read("gateway", "extras-gateway")["spec"]["rules"] == [
        rules[1],
        {key: value for key, value in rules[2].items() if key != "filters"},
    ]


def test_mirror_and_pin_of_istio_come_before_the_split(cluster: Cluster) -> None:
    service = cluster.service("istio", "extras-istio")
    router = IstioRouter()
    asyncio.run(router.pin(service, Pin(arm="green", value="yes", header="X-Canary")))
    asyncio.run(router.mirror(service, Mirror(arm="green", percent=20)))
    http = cluster.read("istio", "extras-istio")["spec"]["http"]
    assert [each.get("name") for each in http] == [None, "penelope-pin", "shop"]
    assert http[1]["match"] == [{"headers": {"x-canary": {"exact": "yes"}}}]
    green = {"host": "shop", "subset": "extras-istio-green"}
    assert http[2]["mirrors"] == [{"destination": green, "percentage": {"value": 20.0}}]
    asyncio.run(router.finalise(service))
    assert "mirrors" not in cluster.read("istio", "extras-istio")["spec"]["http"][1]


def test_linkerd_mirrors_nothing(cluster: Cluster) -> None:
    service = cluster.service("linkerd", "no-mirror")
    with pytest.raises(InvalidPlaybook, match="mirror"):
        asyncio.run(LinkerdRouter().mirror(service, Mirror(arm="green", percent=20)))


def test_a_route_that_no_controller_takes_over_is_not_in_force(cluster: Cluster) -> None:
    service = cluster.service("gateway", "ignored")
    ignored = {"metadata": {"annotations": {IGNORED: "yes"}}}
    cluster.server.call("PATCH", cluster.path("gateway", "ignored"), ignored)
    with pytest.raises(Unavailable, match="taken over"):
        asyncio.run(GatewayRouter(0.5).set_weights(service, {"blue": 0, "green": 100}))
    assert [item.works for item in asyncio.run(GatewayRouter(0.5).findings(service))] == [False]


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("differing", [(60, 40), (50, 50)]),
        ("lacking", [(100,)]),
        ("foreign", []),
        ("crowded", [(40, 40, 20)]),
        ("idle", [(0, 0)]),
    ],
)
def test_a_route_that_does_not_split_over_the_arms_says_nothing(
    cluster: Cluster, name: str, rules: list[tuple[int, ...]]
) -> None:
    service = cluster.service("gateway", name, there=False)
    arms = [f"{name}-blue", f"{name}-green", "third"]
    item = route("gateway", name, [])
    item["spec"]["rules"] = [
        {
            "backendRefs": [
                {"name": arm, "port": 80, "weight": weight} for arm, weight in zip(arms, split, strict=False)
            ]
        }
        for split in rules
    ] or [{"backendRefs": [{"name": "other", "port": 80}]}]
    cluster.server.do("POST", cluster.path("gateway"), item)
    with pytest.raises(Unavailable):
        asyncio.run(GatewayRouter().weights(service))


def test_credentials_that_may_not_change_it_are_named(cluster: Cluster) -> None:
    service = own(cluster.service("gateway", "forbidden"), token="reader")
    with pytest.raises(Unavailable, match="patch httproutes"):
        asyncio.run(GatewayRouter().set_weights(service, {"blue": 0, "green": 100}))
    assert asyncio.run(GatewayRouter().weights(service)) == {"blue": 50, "green": 50}


@pytest.mark.parametrize(
    "options",
    [
        {"server": "http://cluster.example"},
        {"server": None},
        {"in_cluster": True},
        {"token_file": "/nowhere"},
        {"name": "../../secrets"},
        {"namespace": "a/b"},
        {"nonsense": 1},
    ],
)
def test_options_that_lead_astray_are_refused(cluster: Cluster, options: dict[str, Any]) -> None:
    service = own(cluster.service("gateway", "astray", there=False), **options)
    with pytest.raises(InvalidCatalogue):
        asyncio.run(GatewayRouter().weights(service))


@official
@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("gateway", lambda spec: spec["rules"][1]["backendRefs"][0].pop("port")),
        ("gateway", lambda spec: spec["rules"][1].update(weights=[])),
        ("istio", lambda spec: spec["http"][1].update(timeout="soon")),
        ("istio", lambda spec: spec["http"][1]["route"][0].update(weight="50")),
        ("linkerd_policy", lambda spec: spec["rules"][1].update(name="pin")),
    ],
)
def test_the_official_definitions_are_at_work(cluster: Cluster, kind: str, spoil: Any) -> None:
    item = route(kind, "spoilt", ["a", "b"])
    spoil(item["spec"])
    status, answer = cluster.server.call("POST", cluster.path(kind), item)
    assert (status, answer["reason"]) == (422, "Invalid")
