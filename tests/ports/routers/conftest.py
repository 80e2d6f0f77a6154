"""A Traefik that asks Penelope for its configuration, and small servers to send traffic to."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from kube_routed import DEFINITIONS, Cluster

from penelope.adapters.routers.traefik_http import KIND
from penelope.adapters.routers.traefik_serving import TraefikProvider
from penelope.domain.service import RouterReference, Service
from penelope.entry.api import problems
from penelope.testing.kube import KubeServer

TOKEN = "a-token-for-traefik-only"


@dataclass
class Backend:
    """A server that answers with its name; `seen` counts requests by path."""

    name: str
    url: str
    seen: Counter[str]
    server: ThreadingHTTPServer


@dataclass
class AskingTraefik:
    """Asks `services` again each 50 ms."""

    api: str
    web: str
    folder: Path
    services: dict[str, Service] = field(default_factory=dict)

    def service(self, name: str) -> Service:
        options: dict[str, Any] = {
            "file": str(self.folder / f"{name}.json"),
            "service": name,
            "rule": f"Path(`/{name}`)",
            "servers": {"blue": ["http://127.0.0.1:9"], "green": ["http://127.0.0.1:9"]},
            "initial": {"blue": 50, "green": 50},
            "api": self.api,
            "entry_point": self.web,
        }
        arms = {"blue": f"{name}-blue", "green": f"{name}-green"}
        router = RouterReference(kind=KIND, options=options, arms=arms)
        made = Service(name=name, owner="team", tier=2, router=router)
        self.services[name] = made
        return made


@pytest.fixture
def backends() -> Iterator[dict[str, Backend]]:
    """Two servers, `blue` and `green`."""
    made = {name: _backend(name) for name in ("blue", "green")}
    yield made
    for each in made.values():
        each.server.shutdown()
        each.server.server_close()


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """The URLs of two servers, `a` and `b`, that answer with their names."""
    made = {name: _backend(name) for name in ("a", "b")}
    yield {name: each.url for name, each in made.items()}
    for each in made.values():
        each.server.shutdown()
        each.server.server_close()


def _backend(name: str) -> Backend:
    seen: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen[self.path] += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return Backend(name, f"http://127.0.0.1:{server.server_port}", seen, server)


def until_it_answers(url: str) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError(f"{url} does not answer")


def provided(services: dict[str, Service]) -> FastAPI:
    """The provider alone, for services that come while it is asked."""
    provider, app = TraefikProvider(services, TOKEN), FastAPI()
    app.state.running = None
    problems.install(app)

    @app.get("/")
    async def document(request: Request) -> Any:
        return await provider.document(request.headers.get("authorization", "").encode())

    return app


@pytest.fixture(scope="session")
def asking_traefik(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[AskingTraefik]:
    port, web, own = free_port(), free_port(), free_port()
    made = AskingTraefik(
        f"http://127.0.0.1:{port}", f"http://127.0.0.1:{web}", tmp_path_factory.mktemp("asked")
    )
    config = uvicorn.Config(
        provided(made.services), port=own, log_config=None, access_log=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    process = subprocess.Popen(
        [
            str(Path(sys.executable).parent / "traefik"),
            f"--entrypoints.web.address=127.0.0.1:{web}",
            f"--entrypoints.traefik.address=127.0.0.1:{port}",
            "--api.insecure=true",
            f"--providers.http.endpoint=http://127.0.0.1:{own}/",
            "--providers.http.pollInterval=50ms",
            f"--providers.http.headers.Authorization=Bearer {TOKEN}",
            "--providers.providersThrottleDuration=10ms",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until_it_answers(f"{made.api}/api/overview")
        yield made
    finally:
        process.terminate()
        process.wait(10)
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Holds what it is sent against the official definitions, where these are there."""
    server = KubeServer(tmp_path_factory.mktemp("cluster"), DEFINITIONS)
    server.start(reader={"verbs": ["get", "list"], "resources": ["*"]})
    try:
        yield Cluster(server)
    finally:
        server.stop()
