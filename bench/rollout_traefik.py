"""A real Traefik under load: how soon a rollback holds, what fails meanwhile, and whether shares are as planned.

Servers, load and Traefik are processes of their own; the load keeps its connections. It pauses a little after each answer,
for what is asked is not how a machine without a free core behaves; `--pace-ms 0` asks that. Requests are told apart by the
header that a server answers with, and by when they were sent.
"""

import argparse
import asyncio
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import uvloop
from _ground import percentile

from penelope.adapters.metrics.scrape_counts import TraefikCounter
from penelope.adapters.routers.traefik import TraefikRouter
from penelope.domain.counts import Counts, counted
from penelope.domain.service import CountsReference, RouterReference, Service
from penelope.kit.clock import SystemClock
from penelope.rooms.rollout.share import Share, ShareRule, judged, looked, started
from penelope.testing.own_certificate import traefik_section
from penelope.testing.supervised import free_ports

CLIENTS = 16
STEPS = (10, 25, 50, 0)
SPAWN = multiprocessing.get_context("spawn")

Request = tuple[float, float, bool, bool]
"""When it was sent and answered (monotonic seconds, the same clock in all processes), whether by the canary, whether well."""


@dataclass(frozen=True, kw_only=True)
class Result:
    requests: int
    changes: int
    failed: int
    rollbacks: int
    last_on_canary_ms: dict[str, float]
    """From the decision to the answer of the last request that the canary got."""
    confirmed_ms: dict[str, float]
    """From a decision until the router has read back that it holds."""
    after_confirmation: int
    """Requests that were sent after a rollback was confirmed, and yet reached the canary."""
    share_error_points: float
    """All requests of the canary against all that were planned, in percentage points."""
    worst_step_error_points: float
    shares_as_planned: int
    shares_not_as_planned: int


class _Server(asyncio.Protocol):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._held = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while b"\r\n\r\n" in self._held:
            _, _, self._held = self._held.partition(b"\r\n\r\n")
            self._transport.write(self._answer)


def serve(arm: str, told: Connection) -> None:
    """A server that answers each request with the name of its arm."""
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Arm: {arm}\r\n\r\nok".encode()

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Server(answer), "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(forever())


def load(port: int, pace_seconds: float, ending: Event, told: Connection) -> None:
    """Asks until `ending` is set, with a pause after each answer; then tells of each request."""

    async def client(found: list[Request]) -> None:
        reader = writer = None
        while not ending.is_set():
            sent, canary, well = time.monotonic(), False, False
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0]))
                well = head.startswith(b"HTTP/1.1 200 ")
                canary = b"X-Arm: green" in head
            except (OSError, EOFError, ValueError):
                writer = None
            found.append((sent, time.monotonic(), canary, well))
            await asyncio.sleep(pace_seconds)

    async def all_clients() -> list[Request]:
        found: list[Request] = []
        await asyncio.gather(*(client(found) for _ in range(CLIENTS)))
        return found

    told.send("ready")
    told.send(uvloop.run(all_clients()))


@dataclass(frozen=True, kw_only=True)
class Change:
    weight: int
    decided: float
    confirmed: float


@dataclass(frozen=True, kw_only=True)
class Ground:
    service: Service
    web: int


def ground(
    folder: Path, ports: dict[str, int], *, certificate: bool
) -> tuple[Ground, "subprocess.Popen[bytes]"]:
    """Traefik before two servers, all traffic on blue, ready."""
    web, api = free_ports(2)
    arms = {arm: f"shop-{arm}" for arm in ports}
    services: dict[str, Any] = {
        name: {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{ports[arm]}"}]}}
        for arm, name in arms.items()
    }
    weighted = [{"name": name, "weight": 100 if arm == "blue" else 0} for arm, name in arms.items()]
    services["shop"] = {"weighted": {"services": weighted}}
    router = {"rule": "PathPrefix(`/`)", "service": "shop", "entryPoints": ["web"]}
    file = folder / "dynamic.yml"
    tls = traefik_section(folder) if certificate else {}
    http = {"routers": {"shop": router}, "services": services}
    file.write_text(json.dumps({"http": http, "tls": tls}))
    options = {
        "file": str(file),
        "service": "shop",
        "entry_point": f"http://127.0.0.1:{web}",
        "health_check": {"path": "/"},
    }
    counts = {
        "url": f"http://127.0.0.1:{api}/metrics",
        "arms": {arm: f"{name}@file" for arm, name in arms.items()},
        "router": "shop@file",
    }
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("traefik")),
            f"--entrypoints.web.address=127.0.0.1:{web}",
            f"--entrypoints.traefik.address=127.0.0.1:{api}",
            "--api.insecure=true",
            f"--providers.file.filename={file}",
            "--providers.providersThrottleDuration=10ms",
            "--metrics.prometheus=true",
            "--metrics.prometheus.addRoutersLabels=true",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    service = Service(
        name="shop",
        owner="bench",
        tier=2,
        router=RouterReference(kind="traefik", options=options, arms=arms),
        counts=CountsReference(source="traefik", options=counts),
    )
    return Ground(service=service, web=web), process


async def drive(made: Ground, rollbacks: int, step_seconds: float) -> tuple[list[Change], list[Share]]:
    """Takes the canary up and back again and again; says when, and what the share looked like in each step."""
    router, counter = TraefikRouter(), TraefikCounter(SystemClock(), 5.0)
    changes: list[Change] = []
    shares: list[Share] = []
    for weight in STEPS * rollbacks:
        decided = time.monotonic()
        await router.set_weights(made.service, {"blue": 100 - weight, "green": weight})
        changes.append(Change(weight=weight, decided=decided, confirmed=time.monotonic()))
        before = await counter.totals(made.service)
        await asyncio.sleep(step_seconds)
        found = counted(before, await counter.totals(made.service))
        assert isinstance(found, Counts), found
        record = looked(started(weight), found.arms["green"].requests, found.arms["blue"].requests)
        shares.append(judged(record, ShareRule()))
    return changes, shares


def judge(requests: Sequence[Request], changes: Sequence[Change], shares: Sequence[Share]) -> Result:
    """What became of the requests."""
    ends = [change.decided for change in changes[1:]] + [max(answered for _, answered, _, _ in requests)]
    last, late, canaries, planned, counted_requests, worst = [], 0, 0, 0.0, 0, 0.0
    for change, end in zip(changes, ends, strict=True):
        inside = [each for each in requests if change.confirmed <= each[0] and each[1] <= end]
        green = sum(canary for _, _, canary, _ in inside)
        if change.weight == 0:
            after = [
                answered
                for sent, answered, canary, _ in requests
                if canary and change.decided <= answered and sent < end
            ]
            last.append(max(after, default=change.decided) - change.decided)
            late += green
        counted_requests += len(inside)
        canaries += green
        planned += len(inside) * change.weight / 100
        if inside:
            worst = max(worst, abs(green / len(inside) - change.weight / 100))
    return Result(
        requests=len(requests),
        changes=len(changes),
        failed=sum(not well for _, _, _, well in requests),
        rollbacks=len(last),
        last_on_canary_ms=spread(last),
        confirmed_ms=spread([change.confirmed - change.decided for change in changes]),
        after_confirmation=late,
        share_error_points=100 * abs(canaries - planned) / counted_requests,
        worst_step_error_points=100 * worst,
        shares_as_planned=sum(share is Share.AS_PLANNED for share in shares),
        shares_not_as_planned=sum(share is Share.NOT_AS_PLANNED for share in shares),
    )


def spread(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "p50": round(1000 * percentile(seconds, 0.5), 1),
        "p95": round(1000 * percentile(seconds, 0.95), 1),
        "max": round(1000 * max(seconds), 1),
    }


def measure(rollbacks: int, step_seconds: float, pace_seconds: float, *, certificate: bool) -> Result:
    processes = []
    ports = {}
    for arm in ("blue", "green"):
        here, there = SPAWN.Pipe()
        processes.append(SPAWN.Process(target=serve, args=(arm, there), daemon=True))
        processes[-1].start()
        ports[arm] = here.recv()
    with tempfile.TemporaryDirectory() as folder:
        made, traefik = ground(Path(folder), ports, certificate=certificate)
        try:
            asyncio.run(until_ready(made))
            ending, (here, there) = SPAWN.Event(), SPAWN.Pipe()
            loading = SPAWN.Process(target=load, args=(made.web, pace_seconds, ending, there), daemon=True)
            loading.start()
            here.recv()
            changes, shares = uvloop.run(drive(made, rollbacks, step_seconds))
            ending.set()
            requests = here.recv()
            loading.join()
        finally:
            traefik.terminate()
            traefik.wait(10)
            for process in processes:
                process.terminate()
    return judge(requests, changes, shares)


async def until_ready(made: Ground) -> None:
    await TraefikRouter(20.0).set_weights(made.service, {"blue": 100, "green": 0})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollbacks", type=int, default=20)
    parser.add_argument("--step-seconds", type=float, default=1.5)
    parser.add_argument("--pace-ms", type=float, default=3.0, help="pause of each client after an answer")
    parser.add_argument(
        "--no-certificate",
        dest="certificate",
        action="store_false",
        help="give Traefik no default certificate: it makes a key at each change",
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result = measure(given.rollbacks, given.step_seconds, given.pace_ms / 1000, certificate=given.certificate)
    if given.json:
        print(json.dumps(asdict(result)))
        return
    last, confirmed = result.last_on_canary_ms, result.confirmed_ms
    print(f"{result.requests} requests, {result.changes} weight changes, {result.failed} failed (goal: 0)")
    print(
        f"rollback to last answer of the canary: {last} ms (goal: p95 150, max 250), {result.rollbacks} rollbacks"
    )
    print(
        f"decision to confirmation: {confirmed} ms; after it {result.after_confirmation} requests reached the canary"
    )
    print(
        f"share: {result.share_error_points:.4f} points off in all (goal: 0.05), {result.worst_step_error_points:.3f} in the worst step"
    )
    print(f"sample-ratio test: {result.shares_as_planned} as planned, {result.shares_not_as_planned} not")


if __name__ == "__main__":
    main()
