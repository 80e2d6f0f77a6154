"""What stands around a resolution: guards, logs, metrics and middleware beside the same calls bare; recognising a caller;
the start of a server; and what an installation weighs. Processor time and the best of several runs, for the machine may be busy.
"""

import argparse
import asyncio
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import structlog
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey

from penelope.adapters.identity.tokens import AccessTokens
from penelope.adapters.identity.trust import Role, Terms, Trust
from penelope.entry.api import problems
from penelope.entry.api.access import Acquaintances
from penelope.entry.api.door import Door
from penelope.flow.keys import Key, KeyRing, Order, Scope
from penelope.kit.clock import SystemClock
from penelope.kit.guard import Guard, Patience
from penelope.telemetry import Telemetry, configure_logging

CALLS = 6
"""Calls of stores that a resolution makes, at most."""

CATALOGUE = "apiVersion: penelope.dev/v1\nkind: Services\nservices:\n  shop: {owner: team, tier: 2}\n"
PORT = 18_473


async def nothing() -> int:
    return 1


# --- the way through ----------------------------------------------------------------------------------------


def bare() -> FastAPI:
    app = FastAPI()

    @app.get("/resolve")
    async def answer() -> dict[str, int]:
        return {"value": sum([await nothing() for _ in range(CALLS)])}

    return app


def whole() -> FastAPI:
    """The same route behind the door, with its calls guarded, one line in the log and the metrics of a request."""
    app = FastAPI()
    app.state.running = SimpleNamespace(telemetry=Telemetry())
    app.add_middleware(Door, max_body_bytes=1024 * 1024)
    problems.install(app)
    guards = [Guard(f"store {number}", Patience()) for number in range(CALLS)]
    log = structlog.get_logger("bench")

    @app.get("/resolve")
    async def answer() -> dict[str, int]:
        deadline = time.monotonic() + 2
        found = sum([await guard.call(nothing, deadline) for guard in guards])
        log.info("resolved", outcome="resolved", calls=CALLS)
        return {"value": found}

    return app


async def times(app: FastAPI, rounds: int) -> list[float]:
    """Processor milliseconds of each request, straight into the application."""
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/resolve",
        "raw_path": b"/resolve",
        "query_string": b"",
        "headers": [(b"host", b"bench")],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("bench", 80),
        "client": ("bench", 1),
        "root_path": "",
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    statuses: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    taken = []
    for _ in range(rounds):
        began = time.process_time()
        await app({**scope, "headers": list(scope["headers"])}, receive, send)
        taken.append((time.process_time() - began) * 1e3)
    assert set(statuses) == {200}
    return taken


def overhead(rounds: int) -> bool:
    with Path(os.devnull).open("w", encoding="utf-8") as stream:
        configure_logging("info", "json", stream)
        runs = []
        for _ in range(5):
            alone = np.percentile(asyncio.run(times(bare(), rounds)), [50, 99])
            around = np.percentile(asyncio.run(times(whole(), rounds)), [50, 99])
            runs.append((around[1] - alone[1], around[0], around[1], alone[0], alone[1]))
    more, middle, late, alone_middle, alone_late = min(runs)
    print(
        f"with guards, log, metrics, door: p50 {middle:.3f} ms, p99 {late:.3f}; bare p50 {alone_middle:.3f}, p99 {alone_late:.3f}: "
        f"{more:.3f} ms more at p99 (goal < 2), ratio {middle / alone_middle:.1f}"
    )
    return bool(more < 2)


# --- who calls ----------------------------------------------------------------------------------------------


class OneKey:
    """A store of keys that holds them in memory."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}

    async def add(self, key: Key) -> None:
        self.keys[key.id] = key

    async def find(self, identifier: str) -> Key | None:
        return self.keys.get(identifier)

    async def all(self) -> list[Key]:
        return list(self.keys.values())

    async def revoke(self, identifier: str, at: datetime) -> bool:
        return False


async def per_call(work: Callable[[], Awaitable[Any]], rounds: int = 20_000) -> float:
    """The best of five, in microseconds of processor time."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(rounds):
            await work()
        best = min(best, (time.process_time() - began) / rounds * 1e6)
    return best


async def callers() -> bool:
    ring, clock = KeyRing(OneKey(), secrets.token_bytes(32)), SystemClock()
    _, text = await ring.create(Order(name="bench", scopes=frozenset({Scope.READ})), datetime.now(UTC))
    acquaintances = Acquaintances(ring, clock)
    known = {text: 1}

    async def look_up() -> int:
        return known[text]

    again = await per_call(lambda: acquaintances.recognise(text))
    anew = await per_call(lambda: ring.recognise(text, clock.now()))
    raw = await per_call(look_up)
    print(
        f"API key: {again:.1f} us known for less than 5 s, {anew:.1f} us checked (beside the database); goal 10; "
        f"a look-up in a dict {raw:.2f} us, ratio {again / raw:.0f}"
    )
    return again <= 10 and await tokens()


async def tokens() -> bool:
    """The whole way of a token behind the interface, beside the signature alone."""
    secret = ECKey.generate_key("P-256")
    public = ECKey.import_key(secret.as_dict(private=False))
    clock, seconds = SystemClock(), int(time.time())
    claims = {
        "iss": "https://id.example.com/realms/corp",
        "aud": "penelope",
        "sub": "7f3c9a52-1d5e-4a0c-9b0e-2f6f0d7c8e11",
        "iat": seconds,
        "exp": seconds + 86_400,
        "jti": "5b1f0e3c",
        "client_id": "console",
        "scope": "openid profile",
        "groups": ["sre", "analysts", "everybody"],
    }
    token = jwt.encode({"alg": "ES256", "kid": "one", "typ": "at+jwt"}, claims, secret)

    async def keys(_trust: Trust, _seconds: float) -> dict[tuple[str, str], ECKey]:
        return {("one", "EC"): public}

    trust = Trust(
        name="corp",
        issuer="https://id.example.com/realms/corp",
        audience="penelope",
        scopes={"sre": frozenset({Scope.READ, Scope.WRITE})},
        roles={"analysts": Role(role="analyst")},
    )
    reader = AccessTokens([trust], Terms(), clock, Telemetry(), keys)
    ring = KeyRing(OneKey(), secrets.token_bytes(32))
    acquaintances = Acquaintances(ring, clock, reader)
    caller = await acquaintances.recognise(token)
    assert caller.allows(Scope.WRITE)

    async def decoded() -> Any:
        return jwt.decode(token, public, algorithms=["ES256"])

    async def anew() -> Any:
        return await Acquaintances(ring, clock, reader).recognise(token)

    first, again, alone = [], [], []
    # In turn, so that a busy moment of the machine meets all of them.
    for _ in range(3):
        first.append(await per_call(anew, 2_000))
        again.append(await per_call(lambda: acquaintances.recognise(token)))
        alone.append(await per_call(decoded, 2_000))
    print(
        f"JWT (ES256): {min(first):.0f} us checked (goal 100), {min(again):.1f} us known for less than 5 s; by joserfc alone, "
        f"signature and JSON, {min(alone):.0f} us, ratio {min(first) / min(alone):.2f}"
    )
    return min(first) <= 100


# --- the start, and the weight ------------------------------------------------------------------------------


def cold_start(runs: int) -> bool:
    """From the start of the process to the first answer, with a database that is there already."""
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "services.yaml").write_text(CATALOGUE, encoding="utf-8")
        for number in range(runs + 1):
            began = time.perf_counter()
            process = subprocess.Popen(
                [Path(sys.executable).with_name("penelope"), "serve", "--port", str(PORT)],
                cwd=folder,
                env={**os.environ, "PENELOPE_KEYS__PEPPER": "p" * 40},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            seconds = answered(process, began)
            used = os.times()
            process.send_signal(signal.SIGTERM)
            process.wait()
            after = os.times()
            processor = (
                after.children_user + after.children_system - used.children_user - used.children_system
            )
            if number:
                taken.append((seconds, processor))
    seconds, processor = min(taken)
    raw = min(started() for _ in range(3))
    print(
        f"cold start: {seconds:.2f} s to the first answer, {processor:.2f} s of processor start to end (goal 2), "
        f"an interpreter alone {raw * 1e3:.0f} ms; load {os.getloadavg()[0]:.1f}"
    )
    return seconds <= 2


def started() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - began


def answered(process: subprocess.Popen[bytes], began: float) -> float:
    while process.poll() is None and time.perf_counter() - began < 120:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=1).close()
        except urllib.error.HTTPError:
            return time.perf_counter() - began
        except OSError:
            time.sleep(0.01)
        else:
            return time.perf_counter() - began
    raise SystemExit("the server did not start")


def weight(folder: Path, most: int = 15) -> bool:
    """Of an environment's site-packages: make it with `uv build --wheel` and `uv pip install` of the wheel alone."""
    sizes: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.suffix != ".pyc":
            name = path.relative_to(folder).parts[0]
            sizes[name] = sizes.get(name, 0) + path.stat().st_size
    whole = sum(sizes.values()) / 2**20
    heavy = sorted(sizes.items(), key=lambda item: -item[1])[:most]
    print(
        f"installed: {whole:.0f} MB (goal 300): "
        + ", ".join(f"{name} {size / 2**20:.0f}" for name, size in heavy)
    )
    return whole <= 300


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument(
        "--installed", type=Path, help="The site-packages of an environment with the wheel alone."
    )
    given = parser.parse_args()
    random.seed(1)
    kept = [overhead(given.rounds), asyncio.run(callers()), cold_start(given.starts)]
    if given.installed:
        kept.append(weight(given.installed))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
