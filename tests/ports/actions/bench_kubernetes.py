"""Benches of the adapter for Kubernetes, on a server that validates with the official schemas: not on a cluster."""

from collections.abc import Callable
from typing import Any

import pytest
from benching import Bench, an_action, with_options
from kube_ground import Ground, eventually, ground

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.kubernetes import KubernetesAdapter
from penelope.domain.action import Snapshot
from penelope.testing.kube import cronjob, deployment


class _Crash(Exception):
    """Stands for a kill."""


class _Crashing(KubernetesAdapter):
    """Dies before the second object."""

    async def _apply(self, *args: Any, **options: Any) -> None:
        if getattr(self, "begun", False):
            raise _Crash
        await super()._apply(*args, **options)
        self.begun = True


def _bench(
    on: Ground, operation: str, options: dict[str, Any], params: dict[str, Any], *shown: str, **more: Any
) -> Bench:
    action = an_action("kubernetes", operation, options, params)
    return Bench(
        adapter=on.adapter,
        action=action,
        effects=more.pop("effects", on.count),
        shown=shown,
        unreachable=(on.adapter, with_options(action, server="https://127.0.0.1:9")),
        **more,
    )


def _web(request: pytest.FixtureRequest, **more: Any) -> tuple[Ground, dict[str, Any]]:
    on = ground(request)
    on.create("deployments", deployment("web"))
    return on, on.options("Deployment", "web", **more)


def _ours(on: Ground) -> Callable[[], Any]:
    """What a restart leaves: its annotation in the template, which no observation shows."""
    return lambda: on.get("deployments", "web")["spec"]["template"]["metadata"].get("annotations")


def kubernetes_restart(request: pytest.FixtureRequest) -> Bench:
    on, options = _web(request)
    template = _ours(on)

    class Bare(Bench):
        def look(self) -> dict[str, Any]:
            return {"template": template()}

    made = _bench(on, "rollout_restart", options, {}, "image")
    return Bare(**{name: getattr(made, name) for name in made.__dataclass_fields__})


def kubernetes_undo(request: pytest.FixtureRequest) -> Bench:
    on, options = _web(request)
    on.ready("web", 2)
    container = {
        "name": "app",
        "image": "registry.example/shop:bad",
        "resources": {"limits": {"memory": "1Gi"}},
    }
    on.patch("deployments", "web", {"spec": {"template": {"spec": {"containers": [container]}}}})
    return _bench(on, "rollout_undo", options, {}, "image", "memory_limit_bytes")


def kubernetes_scale(request: pytest.FixtureRequest) -> Bench:
    on, options = _web(request, replicas_at_most=5)
    return _bench(on, "scale", options, {"by": 2}, "replicas")


def kubernetes_patch(request: pytest.FixtureRequest) -> Bench:
    on, options = _web(request, patchable=["/spec/minReadySeconds", "/metadata/labels", "/spec/replicas"])
    patch = {"spec": {"minReadySeconds": 3, "replicas": 3}, "metadata": {"labels": {"tier": "s3cret"}}}
    return _bench(on, "patch", options, {"patch": patch}, "replicas")


def kubernetes_resources(request: pytest.FixtureRequest) -> Bench:
    on, options = _web(request, memory_at_most="1Gi")
    return _bench(on, "set_resources", options, {"factor": 4}, "memory_limit_bytes")


def kubernetes_cordon(request: pytest.FixtureRequest) -> Bench:
    on = ground(request)
    return _bench(on, "cordon", on.options("Node", "n1"), {}, "unschedulable")


def kubernetes_uncordon(request: pytest.FixtureRequest) -> Bench:
    on = ground(request)
    on.patch("nodes", "n1", {"spec": {"unschedulable": True}})
    return _bench(on, "uncordon", on.options("Node", "n1"), {}, "unschedulable")


def _held(on: Ground) -> None:
    """One pod, on n1."""
    on.patch("nodes", "n2", {"spec": {"unschedulable": True}})
    on.create("deployments", deployment("web", replicas=1))
    on.ready("web", 1)
    on.patch("nodes", "n2", {"spec": {"unschedulable": None}})


def kubernetes_drain(request: pytest.FixtureRequest) -> Bench:
    on = ground(request)
    _held(on)
    on.patch("nodes", "n1", {"spec": {"unschedulable": True}})
    return _bench(on, "drain", on.options("Node", "n1"), {}, "unschedulable", restores=False)


def kubernetes_delete_pod(request: pytest.FixtureRequest) -> Bench:
    on = ground(request)
    _held(on)
    params = {"pod": on.pods("web")[0]["metadata"]["name"]}
    return _bench(on, "delete_pod", on.options("Deployment", "web"), params, "replicas", restores=False)


def kubernetes_suspend(request: pytest.FixtureRequest) -> Bench:
    on = ground(request)
    on.create("cronjobs", cronjob("report", "registry.example/report:bad"))
    eventually(lambda: bool(on.get("cronjobs", "report").get("status", {}).get("active")))
    action = an_action("kubernetes", "suspend", on.options("CronJob", "report"), {})

    async def half(snapshot: Snapshot) -> None:
        with pytest.raises(_Crash):
            await _Crashing(Keep(on.keep)).execute(action, snapshot)

    options = on.options("CronJob", "report")
    return _bench(on, "suspend", options, {}, "suspended", half=half, effects=lambda: on.count("cronjobs"))


BENCHES = [
    kubernetes_restart,
    kubernetes_undo,
    kubernetes_scale,
    kubernetes_patch,
    kubernetes_resources,
    kubernetes_cordon,
    kubernetes_uncordon,
    kubernetes_drain,
    kubernetes_delete_pod,
    kubernetes_suspend,
]
HALVED = [kubernetes_suspend]
