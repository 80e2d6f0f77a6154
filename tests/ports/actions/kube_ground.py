"""The small API server that the tests of the Kubernetes adapter share: one a session, emptied before each test."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.kubernetes import KubernetesAdapter
from penelope.testing.kube import EVERYTHING, KubeServer, node, path

TOKEN = "s3cret"
WEAK_TOKEN = "s3cret-of-one-who-may-only-look"
_running: list[KubeServer] = []


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


class Ground:
    """The server as a test sees it. `count` says how many changes Penelope made since, of one resource or of all."""

    def __init__(self, server: KubeServer, folder: Path) -> None:
        self.server = server
        self.keep = folder / "keep"
        self.adapter = KubernetesAdapter(Keep(self.keep))
        self.since = len(server.changes())

    def options(self, kind: str, name: str, **more: Any) -> dict[str, Any]:
        reach = {"server": self.server.url, "token": TOKEN, "ca": self.server.ca}
        return {**reach, "kind": kind, "name": name, "namespace": "shop", **more}

    def create(self, plural: str, item: dict[str, Any]) -> None:
        self.server.do("POST", path(plural), item)
        self.since = len(self.server.changes())

    def get(self, plural: str, name: str) -> dict[str, Any]:
        return dict(self.server.do("GET", path(plural, name)))

    def patch(self, plural: str, name: str, patch: dict[str, Any]) -> None:
        self.server.do("PATCH", path(plural, name), patch)

    def pods(self, app: str) -> list[dict[str, Any]]:
        found = self.server.do("GET", f"{path('pods')}?labelSelector=app={app}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, name: str, replicas: int) -> None:
        eventually(
            lambda: self.get("deployments", name).get("status", {}).get("readyReplicas", 0) == replicas
        )

    def count(self, resource: str = "") -> int:
        return sum(
            each["manager"] == "penelope" or each["resource"] == "pods/eviction"
            for each in self.server.changes()[self.since :]
            if resource in {"", each["resource"]}
        )


def ground(request: pytest.FixtureRequest) -> Ground:
    """An empty cluster of two nodes, n1 and n2."""
    if not _running:
        made = KubeServer(Path(tempfile.mkdtemp(prefix="penelope-kube-")))
        looking = {"verbs": ["get", "list"], "resources": ["*"]}
        made.start(**{TOKEN: EVERYTHING, WEAK_TOKEN: looking})
        _running.append(made)
        request.session.addfinalizer(lambda: _running.pop().stop())
    server = _running[0]
    for plural in ("deployments", "cronjobs", "jobs", "configmaps", "poddisruptionbudgets", "nodes"):
        for item in server.do("GET", path(plural))["items"]:
            server.call("DELETE", path(plural, item["metadata"]["name"]))
    for name in ("n1", "n2"):
        server.do("POST", path("nodes"), node(name))
    return Ground(server, request.getfixturevalue("tmp_path"))
