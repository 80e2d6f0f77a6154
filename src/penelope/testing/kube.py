"""Starts and ends the small API server of Kubernetes (kube_server.py), talks to it, and makes objects for it."""

import importlib.util
import json
import secrets
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from penelope.errors import Unavailable
from penelope.kit.canonical import Json

NAMESPACE = "shop"
_WHEEL = "kubernetes-validate"
_START_SECONDS = 30.0
_END_SECONDS = 5.0
EVERYTHING = {"verbs": ["*"], "resources": ["*"]}


class KubeServer:
    """A server in a process of its own, which outlives a kill of the process that it serves. `folder` is its own;
    `definitions` may hold official definitions of custom resources (YAML), without which only their kind is looked at.
    """

    def __init__(self, folder: Path, definitions: Path | None = None) -> None:
        self.folder = folder
        self._definitions = definitions
        self.token = secrets.token_hex(16)
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._client: httpx.Client | None = None

    @property
    def ca(self) -> str:
        """The path of the certificate that the server is trusted by."""
        return str(self.folder / "ca.pem")

    def start(self, **others: Mapping[str, list[str]]) -> None:
        """Starts it, `others` being more tokens and what each may do. Raises Unavailable."""
        if importlib.util.find_spec("kubernetes_validate") is None:
            raise Unavailable(
                f"the small API server needs the package {_WHEEL}", hint=f"Install it: pip install {_WHEEL}"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        tokens = {self.token: EVERYTHING, **others}
        secret = self.folder / "tokens.json"
        secret.touch(mode=0o600)
        secret.write_text(json.dumps(tokens), encoding="utf-8")
        (self.folder / "address").unlink(missing_ok=True)
        given = [self.folder] if self._definitions is None else [self.folder, self._definitions]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, with our own folder
                [sys.executable, "-m", "penelope.testing.kube_server", *map(str, given)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait(self._process)
        trust = ssl.create_default_context(cafile=self.ca)
        self._client = httpx.Client(verify=trust, trust_env=False, timeout=20.0)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        self.do("POST", "/api/v1/namespaces", namespace)

    def stop(self) -> None:
        """Ends it, also after a start that failed."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def pid(self) -> int:
        """The id of its process, 0 where there is none."""
        return 0 if self._process is None else self._process.pid

    def call(
        self, method: str, path: str, body: Json = None, *, token: str = "", patch: str = "merge-patch"
    ) -> tuple[int, Json]:
        """One request, with the token that may do everything unless another is given: the status, and the answer."""
        if self._client is None:
            raise Unavailable("the small API server was not started")
        headers = {"Authorization": f"Bearer {token or self.token}"}
        if method == "PATCH":
            headers["Content-Type"] = f"application/{patch}+json"
        content = b"" if body is None else json.dumps(body).encode()
        answer = self._client.request(method, self.url + path, content=content, headers=headers)
        return answer.status_code, answer.json()

    def do(self, method: str, path: str, body: Json = None) -> Json:
        """As `call`, for what must go well. Raises Unavailable with the server's words."""
        status, answer = self.call(method, path, body)
        if status >= 400:
            raise Unavailable(f"{method} {path} answered {status}: {answer.get('message', '')}")
        return answer

    def changes(self) -> list[dict[str, Json]]:
        """Every change that clients made, in order; those that were only tried (dry runs) are none."""
        found: list[dict[str, Json]] = self.do("GET", "/penelope/log")
        return found

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        address, end = self.folder / "address", time.monotonic() + _START_SECONDS
        while not address.exists():
            if process.poll() is not None or time.monotonic() > end:
                self.stop()
                lines = (self.folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()
                raise Unavailable(
                    f"the small API server does not start: {lines[-1] if lines else 'no word of why'}"
                )
            time.sleep(0.02)
        self.url = address.read_text(encoding="utf-8")


def path(plural: str, name: str = "", namespace: str = NAMESPACE) -> str:
    """The path of a namespaced resource, or of one object of it; nodes have no namespace."""
    root = {
        "pods": "/api/v1",
        "configmaps": "/api/v1",
        "nodes": "/api/v1",
        "deployments": "/apis/apps/v1",
        "replicasets": "/apis/apps/v1",
        "jobs": "/apis/batch/v1",
        "cronjobs": "/apis/batch/v1",
        "poddisruptionbudgets": "/apis/policy/v1",
    }[plural]
    inside = "" if plural == "nodes" else f"/namespaces/{namespace}"
    return f"{root}{inside}/{plural}" + (f"/{name}" if name else "")


def node(name: str) -> dict[str, Json]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}}


def _template(
    name: str, image: str, memory: str, annotations: Mapping[str, str] | None = None
) -> dict[str, Json]:
    resources = {"limits": {"memory": memory}, "requests": {"memory": "64Mi"}}
    meta: dict[str, Json] = {"labels": {"app": name}}
    if annotations:
        meta["annotations"] = dict(annotations)
    return {
        "metadata": meta,
        "spec": {"containers": [{"name": "app", "image": image, "resources": resources}]},
    }


def deployment(
    name: str,
    image: str = "registry.example/shop:1.0",
    replicas: int = 2,
    memory: str = "256Mi",
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Json]:
    """A deployment with one container `app`; `annotations` are those of its pods."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": _template(name, image, memory, annotations),
        },
    }


def cronjob(name: str, image: str = "registry.example/report:1.0") -> dict[str, Json]:
    template = _template(name, image, "128Mi")
    template["spec"]["restartPolicy"] = "OnFailure"
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}},
    }
