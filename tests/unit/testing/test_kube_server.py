"""The small API server answers as a real one does: the real kubectl works with it, and what is not valid is refused."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penelope.testing.kube import KubeServer, cronjob, deployment, node, path
from penelope.testing.kube_kinds import DOWN, Refused
from penelope.testing.kube_patch import json_patch, merge, strategic

READER = {"verbs": ["get", "list"], "resources": ["deployments"]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    made = KubeServer(tmp_path_factory.mktemp("kube"))
    made.start(reader=READER)
    try:
        made.do("POST", path("nodes"), node("n1"))
        made.do("POST", path("nodes"), node("n2"))
        yield made
    finally:
        made.stop()


@pytest.fixture
def server(running: KubeServer) -> Iterator[KubeServer]:
    running.do("POST", path("deployments"), deployment("web"))
    yield running
    for plural in ("deployments", "cronjobs", "poddisruptionbudgets"):
        for item in running.do("GET", path(plural))["items"]:
            running.call("DELETE", path(plural, item["metadata"]["name"]))


def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def status(server: KubeServer, name: str = "web") -> dict[str, Any]:
    return dict(server.do("GET", path("deployments", name)).get("status", {}))


def kubectl(server: KubeServer, *argv: str, given: object = None) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).with_name("kubectl")),
        f"--server={server.url}",
        f"--token={server.token}",
    ]
    command += [
        f"--certificate-authority={server.ca}",
        f"--cache-dir={server.folder / 'cache'}",
        "--namespace=shop",
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(server.folder), "KUBECONFIG": os.devnull}
    text = None if given is None else json.dumps(given)
    return subprocess.run(
        [*command, *argv],
        capture_output=True,
        text=True,
        input=text,
        env=environment,
        timeout=60,
        check=False,
    )


def test_kubectl_applies_and_rolls_out(server: KubeServer) -> None:
    wanted = deployment("cart", replicas=3)
    assert kubectl(server, "apply", "-f", "-", given=wanted).stdout == "deployment.apps/cart created\n"
    assert (
        "successfully rolled out"
        in kubectl(server, "rollout", "status", "deploy/cart", "--timeout=20s").stdout
    )
    assert len(kubectl(server, "get", "pods", "-l", "app=cart", "-o", "name").stdout.splitlines()) == 3
    wanted["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/shop:bad"
    assert kubectl(server, "apply", "-f", "-", given=wanted).stdout == "deployment.apps/cart configured\n"
    assert kubectl(server, "rollout", "status", "deploy/cart", "--timeout=1s").returncode == 1
    assert status(server, "cart")["readyReplicas"] == 3, "the old pods go on serving"
    assert kubectl(server, "rollout", "undo", "deploy/cart").returncode == 0
    assert (
        "successfully rolled out"
        in kubectl(server, "rollout", "status", "deploy/cart", "--timeout=20s").stdout
    )
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    assert kubectl(server, "get", "deploy/cart", "-o", image).stdout == "registry.example/shop:1.0"


def test_kubectl_restarts_and_scales(server: KubeServer) -> None:
    until(lambda: status(server).get("readyReplicas") == 2)
    before = set(kubectl(server, "get", "pods", "-o", "name").stdout.split())
    assert kubectl(server, "rollout", "restart", "deploy/web").returncode == 0
    assert kubectl(server, "rollout", "status", "deploy/web", "--timeout=20s").returncode == 0
    assert kubectl(server, "scale", "deploy/web", "--replicas=4").returncode == 0
    until(lambda: status(server).get("readyReplicas") == 4)
    living = {
        f"pod/{pod['metadata']['name']}"
        for pod in server.do("GET", path("pods"))["items"]
        if "deletionTimestamp" not in pod["metadata"]
    }
    assert living.isdisjoint(before)


def test_kubectl_cordons_and_drains(server: KubeServer) -> None:
    until(lambda: status(server).get("readyReplicas") == 2)
    assert kubectl(server, "cordon", "n1").stdout == "node/n1 cordoned\n"
    assert kubectl(server, "drain", "n1", "--timeout=20s").returncode == 0
    pods = server.do("GET", path("pods"))["items"]
    assert {pod["spec"].get("nodeName") for pod in pods} == {"n2"}
    assert kubectl(server, "uncordon", "n1").stdout == "node/n1 uncordoned\n"


def test_kubectl_is_told_what_is_not_valid(server: KubeServer) -> None:
    wrong = deployment("wrong")
    wrong["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    refused = kubectl(server, "apply", "-f", "-", given=wrong)
    assert refused.returncode == 1
    assert "imagee" in refused.stderr


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ({"spec": {"replicas": "three"}}, 422),
        ({"spec": {"replicas": -1}}, 422),
        ({"spec": {"relicas": 3}}, 422),
        ({"spec": {"selector": {"matchLabels": {"app": "other"}}}}, 422),
        ({"spec": {"template": {"metadata": {"labels": {"app": "other"}}}}}, 422),
        ({"metadata": {"name": "other"}}, 400),
        ({"metadata": {"uid": "another"}}, 409),
        ({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 3}}, 409),
        ({"metadata": {"annotations": {"a": "x" * 300_000}}}, 422),
        ("nothing", 400),
    ],
)
def test_what_is_not_valid_is_refused_and_changes_nothing(server: KubeServer, patch: Any, code: int) -> None:
    until(lambda: status(server).get("readyReplicas") == 2)
    before = server.do("GET", path("deployments", "web"))
    assert server.call("PATCH", path("deployments", "web"), patch)[0] == code
    assert server.do("GET", path("deployments", "web")) == before


def test_memory_is_written_as_the_real_server_writes_it_and_bounded_by_it(server: KubeServer) -> None:
    def limit(memory: str) -> dict[str, Any]:
        container = {"name": "app", "resources": {"limits": {"memory": memory}}}
        return {"spec": {"template": {"spec": {"containers": [container]}}}}

    at = path("deployments", "web")
    done, answer = server.call("PATCH", at, limit("1024Mi"), patch="strategic-merge-patch")
    (container,) = answer["spec"]["template"]["spec"]["containers"]
    assert (done, container["resources"]["limits"]["memory"]) == (200, "1Gi")
    assert server.call("PATCH", at, limit("32Mi"), patch="strategic-merge-patch")[0] == 422, (
        "below the request"
    )
    assert server.call("PATCH", at, limit("much"), patch="strategic-merge-patch")[0] == 422


def test_a_dry_run_answers_and_changes_nothing(server: KubeServer) -> None:
    until(lambda: status(server).get("readyReplicas") == 2)
    before, changes = server.do("GET", path("deployments", "web")), server.changes()
    answer = server.do("PATCH", path("deployments", "web") + "?dryRun=All", {"spec": {"replicas": 9}})
    assert answer["spec"]["replicas"] == 9
    assert server.do("GET", path("deployments", "web")) == before
    assert server.changes() == changes


def test_who_may_not_is_refused(server: KubeServer) -> None:
    at = path("deployments", "web")
    assert server.call("GET", at, token="reader")[0] == 200
    assert server.call("PATCH", at, {"spec": {"replicas": 9}}, token="reader")[0] == 403
    assert server.call("GET", path("pods"), token="reader")[0] == 403
    assert server.call("GET", at, token="nobody")[0] == 401
    assert server.call("GET", "/apis/apps/v1/secrets")[0] == 404


def test_only_a_change_of_the_spec_is_a_new_generation(server: KubeServer) -> None:
    at = path("deployments", "web")
    first = server.do("PATCH", at, {"metadata": {"annotations": {"a": "b"}}})["metadata"]
    second = server.do("PATCH", at, {"spec": {"replicas": 3}})["metadata"]
    assert (first["generation"], second["generation"]) == (1, 2)
    assert second["resourceVersion"] != first["resourceVersion"]
    until(lambda: status(server).get("observedGeneration") == 2)


def test_an_eviction_keeps_to_the_budget_and_to_the_uid(server: KubeServer) -> None:
    until(lambda: status(server).get("readyReplicas") == 2)
    budget = {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}
    item = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": budget,
    }
    pod = server.do("GET", path("pods"))["items"][0]["metadata"]["name"]
    eviction: dict[str, Any] = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    at = path("pods", pod) + "/eviction"
    wrong = {**eviction, "deleteOptions": {"preconditions": {"uid": "another"}}}
    assert server.call("POST", at, wrong)[0] == 409
    server.do("POST", path("poddisruptionbudgets"), item)
    assert server.call("POST", at, eviction)[0] == 429
    server.do("DELETE", path("poddisruptionbudgets", "web"))
    assert server.call("POST", at, eviction)[0] == 201


def test_nobody_ends_a_pod_on_a_node_that_is_down(server: KubeServer) -> None:
    until(lambda: status(server).get("readyReplicas") == 2)
    server.do("PATCH", path("nodes", "n1"), {"metadata": {"annotations": {DOWN: "true"}}})
    try:
        until(lambda: status(server).get("readyReplicas") == 1)
        pods = server.do("GET", path("pods") + "?fieldSelector=spec.nodeName=n1")["items"]
        server.do("DELETE", path("pods", pods[0]["metadata"]["name"]))
        until(lambda: status(server).get("readyReplicas") == 2)
        (left,) = server.do("GET", path("pods") + "?fieldSelector=spec.nodeName=n1")["items"]
        assert left["metadata"]["deletionTimestamp"]
    finally:
        server.do("PATCH", path("nodes", "n1"), {"metadata": {"annotations": {DOWN: None}}})


def test_a_cronjob_runs_job_after_job_until_it_is_suspended(server: KubeServer) -> None:
    server.do("POST", path("cronjobs"), cronjob("report"))
    until(lambda: len(server.do("GET", path("jobs"))["items"]) > 1)
    server.do("PATCH", path("cronjobs", "report"), {"spec": {"suspend": True}})
    until(lambda: "active" not in server.do("GET", path("cronjobs", "report")).get("status", {}))
    assert all(job["status"]["succeeded"] == 1 for job in server.do("GET", path("jobs"))["items"])


def test_merging_follows_the_standard() -> None:
    assert merge({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": None}, "d": [2]}) == {"a": {"c": 2}, "d": [2]}
    assert strategic(
        {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]},
        {"containers": [{"name": "a", "image": "2"}, {"name": "b", "$patch": "delete"}, {"name": "c"}]},
    ) == {"containers": [{"name": "a", "image": "2"}, {"name": "c"}]}
    patch = [{"op": "test", "path": "/a~1b", "value": 1}, {"op": "replace", "path": "/a~1b", "value": 2}]
    assert json_patch({"a/b": 1}, patch) == {"a/b": 2}
    with pytest.raises(Refused):
        json_patch({"a/b": 3}, patch)
