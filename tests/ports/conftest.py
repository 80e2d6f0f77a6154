"""Real servers for every suite that needs one: a Traefik that watches a folder, a graph that speaks Bolt."""

import asyncio
import importlib.util
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvloop

from penelope.domain.service import RouterReference, Service

NOBODY = "http://127.0.0.1:9"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Traefik:
    """`folder` is watched; each service gets a file of its own in it. `web` is the entry point."""

    api: str
    web: str
    folder: Path

    def service(
        self, name: str, weights: Mapping[str, int], urls: Mapping[str, str] | None = None, **more: object
    ) -> Service:
        """A weighted service over named arms, written and already loaded; `more` are further options of its router."""
        arms = {arm: f"{name}-{arm}" for arm in weights}
        entries = "".join(
            f"          - name: {arms[arm]}  # arm {arm}\n            weight: {weight}\n"
            for arm, weight in weights.items()
        )
        backends = "".join(
            f'    {backend}: {{loadBalancer: {{servers: [{{url: "{(urls or {}).get(arm, NOBODY)}"}}]}}}}\n'
            for arm, backend in arms.items()
        )
        file = self.folder / f"{name}.yml"
        aside = self.folder / f"{name}.next"
        aside.write_text(
            f"# kept by hand\nhttp:\n  routers:\n    {name}: {{rule: 'Path(`/{name}`)', service: {name}}}\n"
            f"  services:\n    {name}:\n      weighted:\n        services:\n{entries}{backends}"
        )
        aside.replace(file)
        options = {"file": str(file), "service": name, "api": self.api, "entry_point": self.web, **more}
        self._wait_for(name, {arms[arm]: weight for arm, weight in weights.items()})
        router = RouterReference(kind="traefik", options=options, arms=arms)
        return Service(name=name, owner="team", tier=2, router=router)

    def shown(self, name: str) -> dict[str, int]:
        answer = httpx.get(f"{self.api}/api/http/services/{name}@file", trust_env=False).json()
        return {entry["name"]: entry["weight"] for entry in answer["weighted"]["services"]}

    def _wait_for(self, name: str, weights: Mapping[str, int]) -> None:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            try:
                url = f"{self.api}/api/http/services/{name}@file"
                if httpx.get(url, trust_env=False).status_code == 200 and self.shown(name) == weights:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        raise AssertionError("Traefik did not load the service")


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    return _free_port


@pytest.fixture(scope="session")
def traefik(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traefik]:
    folder = tmp_path_factory.mktemp("traefik")
    port, web = _free_port(), _free_port()
    process = subprocess.Popen(
        [
            str(Path(sys.executable).parent / "traefik"),
            f"--entrypoints.web.address=127.0.0.1:{web}",
            f"--entrypoints.traefik.address=127.0.0.1:{port}",
            "--api.insecure=true",
            f"--providers.file.directory={folder}",
            "--providers.providersThrottleDuration=10ms",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Traefik(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{web}", folder)
    finally:
        process.terminate()
        process.wait(10)


@dataclass(frozen=True, kw_only=True)
class BoltServer:
    """A real server that speaks Bolt and Cypher: ArcadeDB, not Neo4j itself."""

    url: str
    user: str
    password: str
    database: str


@pytest.fixture(scope="session")
def bolt_server() -> Iterator[BoltServer]:
    """One server for the session, in a process of its own."""
    if importlib.util.find_spec("arcadedb_embedded") is None:
        pytest.skip("no Bolt server here: pip install arcadedb-embedded")
    folder = Path(tempfile.mkdtemp(prefix="penelope-bolt-"))
    password = secrets.token_urlsafe(16)
    command = [sys.executable, str(Path(__file__).with_name("bolt_server.py")), str(folder), password]
    with (folder / "said").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
    rest = None
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            if "listens at " in line:
                said = line
                break
        if not said:
            reason = (folder / "said").read_text(errors="replace")[-500:]
            pytest.skip(f"the Bolt server does not start here: {reason}")
        port = said.rpartition("listens at ")[2].strip()
        # What it goes on to say must not fill the pipe.
        rest = threading.Thread(target=process.stdout.read, daemon=True)
        rest.start()
        yield BoltServer(url=f"bolt://127.0.0.1:{port}", user="root", password=password, database="things")
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if rest is not None:
            rest.join()
        if process.stdout is not None:
            process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def _the_servers_event_loop() -> Iterator[None]:
    """Adapters are held to their promises on the event loop that `penelope serve` runs on; tests of other folders, which
    another worker may hand to this one, on their own."""
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    yield
    asyncio.set_event_loop_policy(before)
