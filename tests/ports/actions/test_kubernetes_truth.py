"""What is said of objects of Kubernetes must be so: rolled out, drained, raised; and what is declared must suffice."""

import asyncio
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from benching import an_action
from kube_ground import Ground, eventually, ground

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.kube_api import Cluster, Reference
from penelope.adapters.actions.kube_changes import rolled_out
from penelope.adapters.actions.kube_fields import amount
from penelope.adapters.actions.kube_params import OPERATIONS
from penelope.adapters.actions.kubernetes import KubernetesAdapter
from penelope.domain.action import Action
from penelope.errors import ActionFailed
from penelope.kit.canonical import Json
from penelope.rooms.act.run import perform, undo
from penelope.testing.kube import KubeServer, cronjob, deployment, node, path

_SET = {
    "desiredNumberScheduled": 3,
    "updatedNumberScheduled": 3,
    "numberAvailable": 3,
    "observedGeneration": 2,
}


@pytest.fixture
def on(request: pytest.FixtureRequest) -> Iterator[Ground]:
    return ground(request)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (_SET, True),
        ({**_SET, "updatedNumberScheduled": 1}, False),
        ({**_SET, "numberAvailable": 2}, False),
        ({**_SET, "observedGeneration": 1}, False),
        ({"desiredNumberScheduled": 3, "observedGeneration": 2}, False),
        ({"desiredNumberScheduled": 0, "observedGeneration": 2}, True),
    ],
)
def test_a_daemon_set_has_rolled_out_once_all_its_pods_are_new_and_available(
    status: dict[str, Any], *, expected: bool
) -> None:
    """It counts in words of its own, and has no number of replicas to hold them against."""
    item = {"kind": "DaemonSet", "metadata": {"generation": 2}, "spec": {"template": {}}, "status": status}
    assert rolled_out(item) is expected


def _on_node(name: str, owner: str) -> dict[str, Any]:
    reference = {"apiVersion": "v1", "kind": owner, "name": "n1", "uid": "u", "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "ownerReferences": [reference]},
        "spec": {"nodeName": "n1", "restartPolicy": "Never", "containers": [{"name": "a", "image": "x:1"}]},
    }


def test_a_drained_node_holds_none_of_the_pods_that_stay_by_their_nature(on: Ground) -> None:
    """Pods that have ended, or belong to their node, are not made to go: they must not count as left, either."""
    for pod in (_on_node("ended", "Job"), _on_node("static", "Node"), _on_node("log", "DaemonSet")):
        on.create("pods", pod)
    done = path("pods", "ended")
    eventually(lambda: on.server.do("GET", done)["status"]["phase"] == "Succeeded")
    on.patch("nodes", "n1", {"spec": {"unschedulable": True}})
    action = an_action("kubernetes", "drain", on.options("Node", "n1", namespaces=["shop"]), {})
    before = asyncio.run(on.adapter.snapshot(action))
    asyncio.run(perform(on.adapter, action, before, first_attempt=True))
    assert asyncio.run(on.adapter.observe(action))["pods"] == 0
    for name in ("ended", "static", "log"):
        on.server.call("DELETE", path("pods", name))


@pytest.mark.parametrize(
    ("present", "params"),
    [("900k", {"memory": "1M"}), ("100Mi", {"factor": 1.005}), ("1500000", {"factor": 1.2})],
)
def test_a_limit_that_whole_mebibytes_would_not_raise_is_left_alone(
    on: Ground, present: str, params: dict[str, Any]
) -> None:
    """Rounded down, the new limit would be none at all, the same, or a lower one."""
    small = deployment("web", memory=present)
    del small["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
    on.create("deployments", small)
    action = an_action(
        "kubernetes", "set_resources", on.options("Deployment", "web", memory_at_most="1Gi"), params
    )
    with pytest.raises(ActionFailed, match="not to be raised"):
        asyncio.run(on.adapter.snapshot(action))
    assert on.count() == 0
    limits = on.get("deployments", "web")["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert amount(limits["memory"]) == amount(present) != Fraction(0)


def test_a_job_that_goes_in_the_very_moment_of_the_change_is_no_matter(
    on: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at it and the patch: both when it is suspended, and when that is taken back."""
    on.create("cronjobs", cronjob("report", "registry.example/report:bad"))
    eventually(lambda: bool(on.server.do("GET", path("jobs"))["items"]))
    action = an_action("kubernetes", "suspend", on.options("CronJob", "report"), {})
    before = asyncio.run(on.adapter.snapshot(action))
    honest = Cluster.patch

    async def late(self: Cluster, at: Reference, patch: Mapping[str, Json], *, dry: bool = False) -> Any:
        if at.kind == "Job":
            on.server.call("DELETE", path("jobs", at.name))
        return await honest(self, at, patch, dry=dry)

    monkeypatch.setattr(Cluster, "patch", late)
    asyncio.run(perform(on.adapter, action, before, first_attempt=True))
    assert on.get("cronjobs", "report")["spec"]["suspend"] is True
    asyncio.run(undo(on.adapter, action, before))
    assert on.get("cronjobs", "report")["spec"]["suspend"] is False


def test_a_pod_that_a_conflict_keeps_is_asked_for_with_pauses(
    on: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    on.create("deployments", deployment("web"))
    on.ready("web", 2)
    params = {"pod": on.pods("web")[0]["metadata"]["name"]}
    action = an_action("kubernetes", "delete_pod", on.options("Deployment", "web"), params)
    before = asyncio.run(on.adapter.snapshot(action))
    asked = 0

    async def conflict(_: Cluster, at: Reference, uid: str, *, dry: bool = False) -> bool:
        nonlocal asked
        asked += bool(at and uid) and not dry
        return True

    monkeypatch.setattr(Cluster, "evict", conflict)

    async def for_a_second() -> None:
        async with asyncio.timeout(1):
            await on.adapter.execute(action, before)

    with pytest.raises(TimeoutError):
        asyncio.run(for_a_second())
    assert 1 <= asked <= 4


def _allowed(operation: str) -> dict[str, list[str]]:
    """What the operation declares, as a role."""
    declared = [
        each.replace("the kind of the target", "deployments") for each in OPERATIONS[operation].permissions
    ]
    pairs = [each.partition(": ") for each in declared]
    verbs = {verb.strip() for verbs, _, _ in pairs for verb in verbs.split(",")}
    return {
        "verbs": sorted(verbs),
        "resources": sorted({each.strip() for _, _, named in pairs for each in named.split(",")}),
    }


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    server = KubeServer(tmp_path_factory.mktemp("strict"))
    server.start(**{f"may-{name}": _allowed(name) for name in OPERATIONS})
    yield server
    server.stop()


@pytest.fixture
def things(strict: KubeServer) -> None:
    """As nobody has touched them yet."""
    for plural, item in (
        ("nodes", node("n1")),
        ("deployments", deployment("web")),
        ("cronjobs", cronjob("report")),
    ):
        strict.call("DELETE", path(plural, item["metadata"]["name"]))
        strict.do("POST", path(plural), item)


@pytest.mark.usefixtures("things")
@pytest.mark.parametrize(
    ("operation", "kind", "name", "params"),
    [
        ("scale", "Deployment", "web", {"replicas": 3}),
        ("rollout_restart", "Deployment", "web", {}),
        ("set_resources", "Deployment", "web", {"factor": 2}),
        ("patch", "Deployment", "web", {"patch": {"spec": {"minReadySeconds": 1}}}),
        ("rollout_undo", "Deployment", "web", {"stuck_only": False}),
        ("delete_pod", "Deployment", "web", {"pod": ""}),
        ("suspend", "CronJob", "report", {}),
        ("cordon", "Node", "n1", {}),
        ("drain", "Node", "n1", {}),
        ("uncordon", "Node", "n1", {}),
    ],
)
def test_what_an_operation_declares_is_all_that_it_needs(
    strict: KubeServer, tmp_path: Path, operation: str, kind: str, name: str, params: dict[str, Any]
) -> None:
    """A role made of the declared permissions carries it out, observes it for a step's `expect`, and takes it back."""
    if "pod" in params:
        eventually(lambda: bool(strict.do("GET", path("pods"))["items"]))
        params = {
            "pod": strict.do("GET", f"{path('pods')}?labelSelector=app=web")["items"][0]["metadata"]["name"]
        }
    options = {
        "server": strict.url,
        "ca": strict.ca,
        "token": f"may-{operation}",
        "kind": kind,
        "name": name,
        "namespace": "shop",
        "replicas_at_most": 5,
        "memory_at_most": "1Gi",
        "patchable": ["/spec/minReadySeconds"],
    }
    adapter = KubernetesAdapter(Keep(tmp_path / "keep"))
    first = _FIRST.get(operation)
    if first is not None:
        asyncio.run(_done(adapter, an_action("kubernetes", first, {**options, "token": f"may-{first}"}, {})))
    asyncio.run(_whole(adapter, an_action("kubernetes", operation, options, params)))


_FIRST = {"rollout_undo": "rollout_restart", "drain": "cordon"}
"""What must have been done before an operation."""


async def _done(adapter: KubernetesAdapter, action: Action) -> None:
    before = await adapter.snapshot(action)
    await perform(adapter, action, before, first_attempt=True)


async def _whole(adapter: KubernetesAdapter, action: Action) -> None:
    before = await adapter.snapshot(action)
    await adapter.dry_run(action, before)
    await perform(adapter, action, before, first_attempt=True)
    assert await adapter.observe(action)
    await undo(adapter, action, before)
