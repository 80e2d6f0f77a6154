"""Rollouts from the command line, against a real server that counts the requests of two arms that really answer."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from serving import SETTINGS, Server, start

PATIENCE_SECONDS = 180
RATE = 2000
SERVICES = """\
apiVersion: penelope.dev/v1
kind: Services
services:
  shop:
    owner: team-shop
    tier: 2
    router: {{kind: noop, arms: {{a: a, b: b}}}}
    metrics:
      source: scrape
      instances: {{a: "{address}/a", b: "{address}/b"}}
      requests: {{counter: shop_requests_total}}
      errors: {{label: code, pattern: "5.."}}
      latency: {{histogram: shop_seconds}}
"""


@dataclass
class Arms:
    """Pages of metrics of two arms, each with so many requests a second from the beginning on; b may be told to fail."""

    begun: float = field(default_factory=time.monotonic)
    failing: float = 0.0
    errors: float = 0.0
    told: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def page(self, arm: str) -> str:
        with self.lock:
            requests = int(RATE * (time.monotonic() - self.begun))
            errors = 0
            if arm == "b":
                self.errors += (requests - self.told) * self.failing
                self.told, errors = requests, int(self.errors)
        buckets = "".join(
            f'shop_seconds_bucket{{le="{upper}"}} {requests}\n' for upper in ("0.1", "0.5", "1", "+Inf")
        )
        return (
            "# TYPE shop_requests_total counter\n"
            f'shop_requests_total{{code="200"}} {requests - errors}\n'
            f'shop_requests_total{{code="500"}} {errors}\n'
            "# TYPE shop_seconds histogram\n"
            f"{buckets}shop_seconds_sum {requests * 0.01}\nshop_seconds_count {requests}\n"
        )


@pytest.fixture(scope="module")
def arms() -> Iterator[tuple[Arms, str]]:
    made = Arms()

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = made.page(self.path.strip("/")).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Stays quiet."""

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    try:
        yield made, f"http://127.0.0.1:{serving.server_address[1]}"
    finally:
        serving.shutdown()
        thread.join()
        serving.server_close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, arms: tuple[Arms, str]) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("rollouts")
    server = start(folder, services=SERVICES.format(address=arms[1]), settings=SETTINGS)
    try:
        server.wait_until_ready()
        scopes = [f"--scope={scope}" for scope in ("read", "write", "approve")]
        server.key = server.run("keys", "create", "anna", *scopes).stdout.strip()
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def said(server: Server, *arguments: str) -> str:
    done = server.run("rollout", *arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def shown(server: Server, *arguments: str) -> str:
    """What a screen of 80 columns shows."""
    screen = said(server, *arguments)
    assert max(map(len, screen.splitlines()), default=0) <= 80, screen
    return screen


def begun(server: Server, *arguments: str) -> str:
    made = said(
        server,
        "start",
        "shop",
        "--canary=b",
        "--control=a",
        "--reason=v2",
        "--every=0.1",
        "--json",
        *arguments,
    )
    return str(json.loads(made)["id"])


def until(server: Server, deployment: str, good: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not good(found := json.loads(said(server, "show", deployment, "--json"))):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_a_healthy_one_waits_for_a_word_and_takes_all_traffic(server: Server) -> None:
    assert said(server, "list") == "There are no deployments.\n"
    arguments = ["--stage=50m", "--once=release-2", "--alpha=0.01", "--mirror=5", "--pin-header=X-Canary=yes"]
    deployment = begun(server, *arguments)
    assert begun(server, *arguments) == deployment
    found = until(server, deployment, lambda item: item["deployment"]["awaits"] == "promotion")
    course = found["deployment"]["course"]
    assert (course["analysis"]["alpha"], course["mirror"]) == (0.01, {"arm": "b", "percent": 5})
    assert course["pin"]["value"] == "yes"
    screen = shown(server, "show", deployment)
    assert f"{deployment} progressing, waits at 50 % to b" in screen
    assert "waits for your word: promotion" in screen
    assert "errors are not 2 times as frequent" in screen
    (row,) = (each for each in shown(server, "list", "--active").splitlines() if deployment in each)
    assert row.split()[1:3] == ["shop", "progressing,"]
    assert row.rstrip().endswith("50 %")
    assert "paused" in said(server, "pause", deployment, "--reason=lunch")
    assert "paused" not in said(server, "resume", deployment, "--reason=coffee")
    assert deployment in said(server, "step", deployment, "--reason=good")
    until(server, deployment, lambda item: item["deployment"]["status"] == "promoted")
    watched = shown(server, "watch", deployment)
    for word in ("promoted at 100 %", "canary errors", "control errors", "evidence", "RolloutPromoted"):
        assert word in watched
    late = server.run("rollout", "abort", deployment, "--reason=late")
    assert late.exit_code == 1
    assert "promoted" in late.stderr


def test_a_bad_one_is_watched_to_its_end(server: Server, arms: tuple[Arms, str]) -> None:
    deployment = begun(server, "--stage=50m", "--revision=v3")
    until(server, deployment, lambda item: item["look"] is not None)
    arms[0].failing = 0.3
    try:
        watched = shown(server, "watch", deployment)
    finally:
        arms[0].failing = 0.0
    assert "rolled back at 0 % to b" in watched
    assert "RolloutRolledBack" in watched
    last = json.loads(said(server, "show", deployment, "--json"))["deployment"]
    assert (last["cause"], last["weight"]) == ("worse", 0)
    assert "goes back for: worse" in shown(server, "show", deployment)


def test_words_end_others(server: Server) -> None:
    for word, status in (("cancel", "cancelled"), ("abort", "rolled_back"), ("promote", "promoted")):
        deployment = begun(server, "--stage=50m")
        said(server, word, deployment, "--reason=enough")
        until(server, deployment, lambda item, status=status: item["deployment"]["status"] == status)
    deployment = begun(
        server, "--stage=10m", "--stage=50m", "--revision=v4", "--no-latency", "--affinity=arm"
    )
    assert deployment in said(server, "revise", deployment, "v5", "--reason=mended")
    assert json.loads(said(server, "show", deployment, "--json"))["deployment"]["revision"] == "v5"
    said(server, "cancel", deployment, "--reason=enough")
    until(server, deployment, lambda item: item["deployment"]["status"] == "cancelled")


@pytest.mark.parametrize(
    ("arguments", "code", "said_why"),
    [
        (["--stage=ten"], 2, "no weight in percent"),
        (["--stage=" + "9" * 5000], 2, "no weight in percent"),
        (["--stage=101"], 1, "weight"),
        (["--pin-header=X", "--stage=50m"], 2, "NAME=VALUE"),
        (["--pin-header=X=1", "--pin-cookie=c=1"], 2, "header or by a cookie"),
        (["--pin-cookie=c=`1`"], 1, "pin"),
        (["--on-silence=promote"], 2, "rollback"),
        (["--alpha=1"], 1, "alpha"),
        (["--noise=0.5"], 1, "factor"),
        (["--mode=kayenta"], 1, "min_seconds of at least 10 looks"),
        (["--mode=kayenta", "--min-step-seconds=60", "--marginal=99"], 1, "marginal <= passing"),
        (["--canary=z"], 1, "no arm 'z'"),
        (["--reason=a\x1b[2Jb"], 1, "may hold no control characters"),
        (["--reason=a\0b"], 1, "Take out NUL"),
        (["--reason=caf\udce9"], 1, "not UTF-8"),
    ],
)
def test_what_cannot_be_is_refused(server: Server, arguments: list[str], code: int, said_why: str) -> None:
    plain = ["rollout", "start", "shop", "--canary=b", "--control=a", "--reason=v2"]
    refused = server.run(*plain, *arguments)
    assert refused.exit_code == code, refused.output
    assert said_why in " ".join(refused.stderr.replace("│", " ").split())
    assert "Traceback" not in refused.output


def test_kayentas_judge_judges_when_an_interval_is_over(server: Server) -> None:
    deployment = begun(
        server, "--stage=50m", "--mode=kayenta", "--min-step-seconds=3", "--passing=90", "--marginal=60"
    )
    found = until(server, deployment, lambda item: item["deployment"]["awaits"] == "promotion")
    assert found["deployment"]["course"]["analysis"]["kayenta"] == {"passing": 90.0, "marginal": 60.0}
    events = json.loads(said(server, "show", deployment, "--json"))["deployment"]
    assert events["course"]["stages"][0]["min_seconds"] == 3
    screen = " ".join(shown(server, "show", deployment).split())
    assert "limit (at most 2.0% errors)" in screen
    said(server, "cancel", deployment, "--reason=enough")
    until(server, deployment, lambda item: item["deployment"]["status"] == "cancelled")


def test_a_calibration_is_begun_and_shown(server: Server) -> None:
    plain = ["calibrate", "shop", "--canary=b", "--control=a", "--every=0.1"]
    deployment = str(json.loads(said(server, *plain, "--once=noise", "--json"))["id"])
    assert json.loads(said(server, *plain, "--once=noise", "--json"))["id"] == deployment
    found = until(
        server,
        deployment,
        lambda item: item["look"] is not None and "of 1800 s seen" in item["deployment"]["reason"],
    )
    (stage,) = found["deployment"]["course"]["stages"]
    assert (stage["weight"], stage["min_seconds"], found["deployment"]["weight"]) == (50, 1800, 50)
    screen = " ".join(shown(server, "show", deployment).split())
    assert "noise: learns the noise of this service" in screen
    assert "of 1800 s seen" in screen
    refused = server.run("rollout", "promote", deployment, "--reason=good")
    assert refused.exit_code == 1
    assert "calibration" in refused.stderr
    said(server, "cancel", deployment, "--reason=enough")
    until(server, deployment, lambda item: item["deployment"]["status"] == "cancelled")
    later = begun(server, "--stage=50m")
    assert "noise: no noise was ever learned" in shown(server, "show", later)
    said(server, "cancel", later, "--reason=enough")
    until(server, later, lambda item: item["deployment"]["status"] == "cancelled")
    short = server.run("rollout", *plain, "--seconds=60")
    assert short.exit_code == 2


def test_unknown_ones_are_told(server: Server) -> None:
    for arguments in (("show", "../../etc"), ("watch", "deployment_none"), ("abort", "x y", "--reason=r")):
        refused = server.run("rollout", *arguments)
        assert refused.exit_code == 1
        assert refused.stderr
