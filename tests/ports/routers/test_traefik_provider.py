"""A real Traefik that asks a real `penelope serve` for its configuration, while rollouts move the traffic."""

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import SETTINGS, Server, start

from penelope.adapters.routers.traefik_document import PROBE_HEADER, REVISION_HEADER

TOKEN = "a-token-that-only-traefik-has"
PATH = "/providers/traefik"
PATIENCE_SECONDS = 180
LORISES = 200
SERVICES = """\
apiVersion: penelope.dev/v1
kind: Services
services:
  shop:
    owner: team-shop
    tier: 2
    router:
      kind: traefik_http
      arms: {{a: shop-a, b: shop-b}}
      options:
        file: shop.json
        service: shop
        rule: "PathPrefix(`/`)"
        servers: {{a: ["{a}"], b: ["{b}"]}}
        initial: {{a: 100, b: 0}}
        api: "{api}"
        entry_point: "{web}"
"""


@dataclass
class Pair:
    """A Penelope, and the Traefik that asks it."""

    penelope: Server
    web: str

    def provided(self, method: str = "GET", **headers: str) -> httpx.Response:
        url = f"{self.penelope.address}{PATH}"
        return httpx.request(method, url, headers=headers, trust_env=False, timeout=10)

    def wait_until_routed(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                if httpx.get(self.web, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(self.penelope.log())

    def document(self) -> dict[str, Any]:
        answer = self.provided(Authorization=f"Bearer {TOKEN}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def live_revision(self) -> str:
        answer = httpx.get(self.web, headers={PROBE_HEADER: "shop"}, trust_env=False)
        return str(answer.headers.get(REVISION_HEADER, ""))

    def answers(self, count: int) -> Counter[str]:
        with httpx.Client(trust_env=False, timeout=10) as client:
            return Counter(client.get(self.web).text for _ in range(count))

    def rollout(self, *arguments: str) -> dict[str, Any]:
        done = self.penelope.run("rollout", *arguments, "--json")
        assert done.exit_code == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def begin(self, *stages: str) -> str:
        arms = ("--canary", "b", "--control", "a")
        given = [part for stage in stages for part in ("--stage", stage)]
        calm = ("--silence-seconds", "3600", "--on-silence", "hold")
        return str(self.rollout("start", "shop", *arms, *given, *calm, "--reason", "v2")["id"])

    def until(self, deployment: str, **expected: Any) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            shown = self.rollout("show", deployment)["deployment"]
            if {name: shown[name] for name in expected} == expected:
                return
            assert time.monotonic() < deadline, (shown, self.penelope.log())
            time.sleep(0.1)


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], servers: dict[str, str]
) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("provided")
    api, web = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    (folder / "token").write_text(f"{TOKEN}\n")
    services = SERVICES.format(api=api, web=web, **servers)
    settings = f"{SETTINGS}routers: {{{{traefik_token_file: token}}}}\n"
    penelope = start(folder, services=services, settings=settings)
    process = None
    try:
        penelope.wait_until_ready()
        scopes = [f"--scope={scope}" for scope in ("read", "write", "approve")]
        penelope.key = penelope.run("keys", "create", "anna", *scopes).stdout.strip()
        process = _traefik(api, web, penelope.address)
        pair = Pair(penelope, web)
        pair.wait_until_routed()
        yield pair
    finally:
        if process is not None:
            process.terminate()
            process.wait(10)
        if penelope.process.poll() is None:
            penelope.stop()


def _traefik(api: str, web: str, penelope: str) -> subprocess.Popen[bytes]:
    """With the lines of docs/routers.md, as arguments."""
    return subprocess.Popen(
        [
            str(Path(sys.executable).parent / "traefik"),
            f"--entrypoints.web.address={web.removeprefix('http://')}",
            f"--entrypoints.traefik.address={api.removeprefix('http://')}",
            "--api.insecure=true",
            f"--providers.http.endpoint={penelope}{PATH}",
            "--providers.http.pollInterval=100ms",
            f"--providers.http.headers.Authorization=Bearer {TOKEN}",
            "--providers.providersThrottleDuration=10ms",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def written(pair: Pair) -> str:
    """The revision that Penelope serves at this moment."""
    middlewares = pair.document()["http"]["middlewares"]
    (found,) = (item["headers"]["customResponseHeaders"][REVISION_HEADER] for item in middlewares.values())
    return str(found)


def test_a_rollout_moves_real_traffic_through_what_is_served(pair: Pair) -> None:
    assert pair.answers(20) == {"a": 20}
    deployment = pair.begin("25m", "100m")
    pair.until(deployment, weight=25, moving=False)
    first = pair.live_revision()
    assert first == written(pair)
    assert pair.answers(100) == {"a": 75, "b": 25}
    pair.rollout("abort", deployment, "--reason", "enough")
    pair.until(deployment, status="rolled_back", weight=0)
    assert pair.live_revision() == written(pair) != first
    assert pair.answers(40) == {"a": 40}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer another-token-of-that-length"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
    ],
)
def test_without_the_token_there_is_a_problem_and_no_word_of_what_is_inside(
    pair: Pair, headers: dict[str, str]
) -> None:
    answer = pair.provided(**headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "docs/routers.md" in answer.json()["hint"]
    assert "shop" not in answer.text
    assert TOKEN not in answer.text


def test_an_api_key_is_no_token_and_only_get_is_known(pair: Pair) -> None:
    assert pair.provided(Authorization=f"Bearer {pair.penelope.key}").status_code == 401
    answer = pair.provided("POST", Authorization=f"Bearer {TOKEN}")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_the_token_stands_neither_in_what_is_written_nor_in_what_is_told(pair: Pair) -> None:
    assert TOKEN not in pair.penelope.log()
    told = pair.penelope.run("config", "check")
    assert (told.exit_code, TOKEN in told.output) == (0, False)
    found = json.loads(pair.penelope.run("doctor", "--json").stdout)["findings"]
    (finding,) = (item for item in found if item["name"] == "Traefik's HTTP provider")
    assert finding["works"]
    assert TOKEN not in json.dumps(found)


def test_what_cannot_be_read_is_a_problem_and_traefik_keeps_what_it_has(pair: Pair) -> None:
    file = pair.penelope.folder / "shop.json"
    text = file.read_text()
    file.write_text(text[:40])
    try:
        answer = pair.provided(Authorization=f"Bearer {TOKEN}")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        time.sleep(0.5)  # several times as long as Traefik waits before it asks again
        assert sum(pair.answers(10).values()) == 10
    finally:
        file.write_text(text)
    assert pair.document()["http"]["services"]["shop"]


def test_who_dawdles_over_a_request_holds_up_nobody(pair: Pair) -> None:
    """Half a head, and a whole one whose body never comes; meanwhile the traffic moves there and back."""
    half = f"GET {PATH} HTTP/1.1\r\nHost: penelope\r\nAuthorization: Bea".encode()
    whole = f"GET {PATH} HTTP/1.1\r\nHost: penelope\r\nContent-Length: 1000000\r\n\r\n".encode()
    with ExitStack() as stack:
        for number in range(LORISES):
            loris = stack.enter_context(socket.create_connection(("127.0.0.1", pair.penelope.port), 5))
            loris.sendall(whole if number % 2 else half)
        deployment = pair.begin("50m", "100m")
        pair.until(deployment, weight=50, moving=False)
        assert pair.answers(40) == {"a": 20, "b": 20}
        pair.rollout("cancel", deployment, "--reason", "enough")
        pair.until(deployment, status="cancelled", weight=0)
    assert pair.answers(20) == {"a": 20}
