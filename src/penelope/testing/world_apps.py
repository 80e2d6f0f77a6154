"""Worlds of one small service: one that hangs, one that is overloaded, one whose new flag breaks it."""

import asyncio
import importlib.util
import json
import os
import signal
import sys
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import httpx

from penelope.domain.service import Service, Target
from penelope.errors import Unavailable
from penelope.kit.canonical import Json
from penelope.testing import flag_service, small_load, small_service
from penelope.testing.supervised import Supervised, free_ports, until
from penelope.testing.worlds import World

_NAME = "app"
_LOAD = "customers"
_PATIENCE_SECONDS = 1.0


class AppWorld(World):
    """What they have in common: one program `app` under a real supervisord, on a local port."""

    real: ClassVar[bool] = True

    def __init__(self) -> None:
        self._supervised: Supervised | None = None
        self.folder = Path()
        self.url = ""

    @property
    def supervised(self) -> Supervised:
        if self._supervised is None:
            raise Unavailable("the world is not open")
        return self._supervised

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """What runs as the program `app`."""

    def others(self) -> Mapping[str, list[str]]:
        """Programs that wait to be started."""
        return {}

    async def open(self, folder: Path) -> None:
        port = free_ports(1)[0]
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"
        others = self.others()
        self._supervised = Supervised(folder, {_NAME: self.command(port), **others}, idle=tuple(others))
        await self.reset_files()
        await self._supervised.start()
        await self.until_healthy()

    async def reset_files(self) -> None:
        """Puts in order what the program reads."""

    async def close(self) -> None:
        if self._supervised is not None:
            await self._supervised.close()

    async def until_healthy(self) -> None:
        await self._until(True, f"the service at {self.url} is not healthy")

    async def until_broken(self) -> None:
        await self._until(False, "the fault does not show")

    async def _until(self, wanted: bool, complaint: str) -> None:  # noqa: FBT001 - of two private callers
        loop = asyncio.get_running_loop()

        def holds() -> bool:
            return asyncio.run_coroutine_threadsafe(self.healthy(), loop).result() is wanted

        await asyncio.to_thread(until, holds, complaint)

    async def get(self, path: str) -> httpx.Response | None:
        """None where there is no answer in time."""
        async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE_SECONDS) as client:
            try:
                return await client.get(self.url + path)
            except httpx.HTTPError:
                return None

    async def post(self, path: str) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
            (await client.post(self.url + path)).raise_for_status()

    async def healthy(self) -> bool:
        answer = await self.get("/")
        return answer is not None and answer.status_code == 200

    def catalogue(self, *targets: Target) -> Service:
        return Service(
            name="shop", owner="team-shop", tier=2, targets={target.name: target for target in targets}
        )


class RestartHungProcessWorld(AppWorld):
    """The process is stopped in its tracks: it holds its port, takes connections, and answers none."""

    playbook: ClassVar[str] = "restart-hung-process"
    thing: ClassVar[str] = "a real process under a real supervisord, stopped by SIGSTOP"
    signal_name: ClassVar[str] = "ProcessHung"

    def command(self, port: int) -> list[str]:
        return [sys.executable, small_service.__file__, "--port", str(port)]

    async def reset(self) -> None:
        await self.supervised.end(_NAME)
        await self.supervised.run(_NAME)
        await self.until_healthy()

    async def break_it(self) -> None:
        os.kill(await self.supervised.pid(_NAME), signal.SIGSTOP)
        await self.until_broken()

    def service(self) -> Service:
        options = {"supervisor": self.supervised.url, "program": _NAME}
        return self.catalogue(Target(name="process", service="shop", adapter="process", options=options))

    async def state(self) -> Json:
        return {"running": await self.supervised.runs(_NAME)}


class ShedLoadWorld(AppWorld):
    """More customers come than the service can serve: its queue grows, and everybody waits."""

    playbook: ClassVar[str] = "shed-load"
    thing: ClassVar[str] = "a real HTTP service with one slot, and customers that overload it"
    signal_name: ClassVar[str] = "ServiceOverloaded"

    rate: ClassVar[float] = 20.0
    busy_seconds: ClassVar[float] = 0.1
    slow_seconds: ClassVar[float] = 0.5

    def command(self, port: int) -> list[str]:
        slots = ["--slots", "1", "--busy", str(self.busy_seconds)]
        return [sys.executable, small_service.__file__, "--port", str(port), *slots]

    def others(self) -> Mapping[str, list[str]]:
        rate = ["--url", f"{self.url}/", "--rate", str(self.rate)]
        return {_LOAD: [sys.executable, small_load.__file__, *rate]}

    async def healthy(self) -> bool:
        """Whether those who are let in are served in time."""
        answer = await self.get("/figures")
        if answer is None:
            return False
        seen = answer.json()
        return bool(seen["slowest_seconds"] <= self.slow_seconds and seen["errors"] == 0)

    async def reset(self) -> None:
        await self.supervised.end(_LOAD)
        await self.post("/reset")
        await self.until_healthy()
        await asyncio.to_thread(until, self._idle, "the queue does not empty")
        await self.post("/reset")

    def _idle(self) -> bool:
        try:
            seen = httpx.get(f"{self.url}/figures", trust_env=False, timeout=_PATIENCE_SECONDS).json()
        except (httpx.HTTPError, ValueError):
            return False
        return bool(seen["waiting"] == 0)

    async def break_it(self) -> None:
        await self.supervised.run(_LOAD)
        await self.until_broken()

    def service(self) -> Service:
        options = {"base_url": self.url, "observe_path": "/health"}
        return self.catalogue(Target(name="admission", service="shop", adapter="http", options=options))

    async def state(self) -> Json:
        answer = await self.get("/admin/admission")
        return None if answer is None else answer.json()


class DisableFeatureFlagWorld(AppWorld):
    """A flag was switched on whose code fails."""

    playbook: ClassVar[str] = "disable-feature-flag"
    thing: ClassVar[str] = "a real service that asks the OpenFeature SDK with flagd's file provider"
    signal_name: ClassVar[str] = "FeatureFailing"
    labels: ClassVar[Mapping[str, str]] = {"flag": flag_service.FLAG}

    @property
    def file(self) -> Path:
        return self.folder / "flags.json"

    def command(self, port: int) -> list[str]:
        if importlib.util.find_spec("openfeature") is None:
            raise Unavailable(
                "OpenFeature is missing", hint="Install openfeature-sdk and openfeature-provider-flagd."
            )
        where = ["--port", str(port), "--flags", str(self.file)]
        return [sys.executable, flag_service.__file__, *where]

    async def reset_files(self) -> None:
        self._write("off")

    def _write(self, variant: str) -> None:
        """As a deployment does: the whole file, in one step."""
        variants = {"on": True, "off": False}
        flags = {
            flag_service.FLAG: {"state": "ENABLED", "variants": variants, "defaultVariant": variant},
            "other": {"state": "ENABLED", "variants": variants, "defaultVariant": "on"},
        }
        aside = self.folder / ".flags.next"
        aside.write_text(json.dumps({"flags": flags}, indent=2) + "\n", encoding="utf-8")
        aside.replace(self.file)

    async def reset(self) -> None:
        self._write("off")
        with suppress(Unavailable):
            await self.supervised.run(_NAME)
        await self.until_healthy()

    async def break_it(self) -> None:
        self._write("on")
        await self.until_broken()

    def service(self) -> Service:
        options = {"file": str(self.file), "flags": [flag_service.FLAG]}
        return self.catalogue(Target(name="flags", service="shop", adapter="feature_flag", options=options))

    async def state(self) -> Json:
        return await asyncio.to_thread(self.file.read_text, encoding="utf-8")
