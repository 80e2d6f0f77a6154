"""What each adapter refuses before anything runs."""

import asyncio
from typing import Any

import pytest

from penelope.adapters.actions.git_patch import GitPatchAdapter
from penelope.adapters.actions.http import HttpAdapter
from penelope.adapters.actions.process import ProcessAdapter
from penelope.adapters.actions.traffic import TrafficAdapter
from penelope.adapters.routers.noop import NoopRouter
from penelope.domain.action import Action, Snapshot, Tier
from penelope.domain.service import RouterReference, Service, Target
from penelope.errors import (
    CompensationFailed,
    InvalidCatalogue,
    InvalidPatch,
    InvalidPlaybook,
    UnknownAdapter,
    UnknownService,
)

DIFF = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
HTTP, GIT, PROCESS, TRAFFIC = HttpAdapter(), GitPatchAdapter(), ProcessAdapter(), TrafficAdapter({}, {})


@pytest.mark.parametrize(
    ("adapter", "operation", "params"),
    [
        (HTTP, "call", {"path": "/a/b?c=d%2F%2Fe", "method": "DELETE", "expect_status": [404]}),
        (HTTP, "call", {"path": "/", "probe_path": "/calls/{key}", "compensate_path": "/undo"}),
        (HTTP, "call", {"path": "/a%20b", "json": {"on": [True, None]}}),
        (GIT, "apply", {"diff": DIFF, "message": "Mend\n\n\tit"}),
        (GIT, "revert", {"commit": "0123abc"}),
        (PROCESS, "restart", {}),
        (PROCESS, "switch_release", {"release": "2026.11-21_v2+fix"}),
        (TRAFFIC, "set_weights", {"weights": {"blue": 0, "green": 100}}),
    ],
)
def test_good_parameters_pass(adapter: Any, operation: str, params: Any) -> None:
    adapter.validate(operation, params)


@pytest.mark.parametrize("adapter", [HTTP, GIT, PROCESS, TRAFFIC])
def test_an_unknown_operation_names_those_that_exist(adapter: Any) -> None:
    with pytest.raises(UnknownAdapter, match="format_disk") as caught:
        adapter.validate("format_disk", {})
    assert all(operation in caught.value.advice for operation in adapter.operations)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "flags",
        "//evil.example/x",
        "/a//b",
        "/../admin",
        "/a/..",
        "/a/./b",
        "/%2e%2e/admin",
        "/%252e%252e/admin",
        "/%25252525252e",
        "/a/..;/b",
        "/a\\b",
        "/%5cevil",
        "/a\r\nX-Evil: 1",
        "/%0d%0aX-Evil",
        "/a b",
        "/a#b",
        "http://evil.example/",
        "@evil.example/",
    ],
)
@pytest.mark.parametrize("place", ["path", "probe_path", "compensate_path"])
def test_a_path_that_leaves_the_base_url_is_refused(path: str, place: str) -> None:
    params = {"path": "/flags", place: path + ("/{key}" if place == "probe_path" and path else "")}
    with pytest.raises(InvalidPlaybook, match="plain path"):
        HTTP.validate("call", params)


@pytest.mark.parametrize(
    ("adapter", "operation", "params", "error"),
    [
        (HTTP, "call", {}, InvalidPlaybook),
        (HTTP, "call", {"path": "/x", "method": "get"}, InvalidPlaybook),
        (HTTP, "call", {"path": "/x", "expect_status": 200}, InvalidPlaybook),
        (HTTP, "call", {"path": "/x", "probe_path": "/calls"}, InvalidPlaybook),
        (HTTP, "call", {"path": "/x", "url": "http://evil"}, InvalidPlaybook),
        (GIT, "apply", {"diff": "hello"}, InvalidPatch),
        (GIT, "apply", {"diff": DIFF.replace("/x", "/../x")}, InvalidPatch),
        (GIT, "apply", {"diff": DIFF, "message": "a\0b"}, InvalidPlaybook),
        (GIT, "apply", {"diff": DIFF, "message": "a" * 2001}, InvalidPlaybook),
        (GIT, "apply", {"message": "no diff"}, InvalidPlaybook),
        (GIT, "revert", {"commit": "--all"}, InvalidPlaybook),
        (GIT, "revert", {"commit": "HEAD"}, InvalidPlaybook),
        (GIT, "revert", {"commit": "abc"}, InvalidPlaybook),
        (PROCESS, "restart", {"release": "v1"}, InvalidPlaybook),
        (PROCESS, "switch_release", {}, InvalidPlaybook),
        (PROCESS, "switch_release", {"release": 1}, InvalidPlaybook),
        (PROCESS, "switch_release", {"release": "../v1"}, InvalidPlaybook),
        (PROCESS, "switch_release", {"release": ".."}, InvalidPlaybook),
        (PROCESS, "switch_release", {"release": "a/b"}, InvalidPlaybook),
        (PROCESS, "switch_release", {"release": "v1\n"}, InvalidPlaybook),
        (PROCESS, "switch_release", {"release": ""}, InvalidPlaybook),
        (TRAFFIC, "set_weights", {"weights": {"blue": 50}}, InvalidPlaybook),
        (TRAFFIC, "set_weights", {"weights": {"blue": 101, "green": -1}}, InvalidPlaybook),
        (TRAFFIC, "set_weights", {"weights": {"blue": 99.5, "green": 0.5}}, InvalidPlaybook),
        (TRAFFIC, "set_weights", {"weights": {"blue": True, "green": 99}}, InvalidPlaybook),
        (TRAFFIC, "set_weights", {}, InvalidPlaybook),
    ],
)
def test_bad_parameters_are_refused(
    adapter: Any, operation: str, params: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        adapter.validate(operation, params)


SHOP = Service(
    name="shop",
    owner="team",
    tier=1,
    router=RouterReference(kind="noop", options={}, arms={"blue": "b", "green": "g"}),
)


def shift(service: str = "shop", **weights: int) -> Action:
    return Action(
        key="inc/plan/0",
        name="shift traffic",
        adapter="traffic",
        operation="set_weights",
        target=Target(name="traffic", service=service, adapter="traffic"),
        params={"weights": weights},
        tier=Tier.LOCAL,
        timeout_seconds=5.0,
    )


def test_weights_must_name_exactly_the_arms() -> None:
    adapter = TrafficAdapter({"noop": NoopRouter()}, {"shop": SHOP})
    with pytest.raises(InvalidPlaybook, match="arms of 'shop'") as caught:
        asyncio.run(adapter.execute(shift(blue=50, red=50), Snapshot()))
    assert caught.value.advice == "Its arms are blue, green."
    with pytest.raises(CompensationFailed, match="arms of 'shop'"):
        asyncio.run(adapter.compensate(shift(blue=50, green=50), Snapshot(state={"weights": {"red": 100}})))


@pytest.mark.parametrize(
    ("routers", "service", "error"),
    [
        ({"noop": NoopRouter()}, "nobody", UnknownService),
        ({"noop": NoopRouter()}, "bare", InvalidCatalogue),
        ({"istio": NoopRouter()}, "shop", UnknownAdapter),
    ],
)
def test_a_service_that_cannot_be_routed_is_named(
    routers: dict[str, NoopRouter], service: str, error: type[Exception]
) -> None:
    services = {"shop": SHOP, "bare": Service(name="bare", owner="team", tier=1)}
    with pytest.raises(error):
        asyncio.run(TrafficAdapter(routers, services).observe(shift(service, blue=50, green=50)))
