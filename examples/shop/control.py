"""Penelope beside the shop: its files, its server process, and a client of its API."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from shop.ports import free_ports
from shop.world import INSTANCES, World

_READY_SECONDS = 30.0
_STOP_SECONDS = 15.0

# The same code as in production; only the windows are short, so that a demo takes minutes and not hours.
QUICK: Mapping[str, Mapping[str, Any]] = {
    "metrics": {"interval_seconds": 0.5, "timeout_seconds": 1, "retention_seconds": 300, "window_seconds": 5},
    "decide": {"observe_seconds": 20, "recheck_seconds": 0.5},
    "gate": {"rate_actions": 60},
    # The shop is there to show healing at work; a new one of your own begins with `suggest` and earns the rest.
    "autonomy": {"start": "autonomous"},
    "rest": {"cooldown_seconds": 0},
    "verify": {"poll_seconds": 0.5},
    "engine": {"reconcile_seconds": 2},
}


class ControlPlane:
    """One Penelope whose data lies in `directory`. Killed and started again it is the same one."""

    def __init__(self, directory: Path, world: World) -> None:
        self.directory = directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self._port}"
        self.settings_file = self.directory / "penelope.yaml"
        self.services_file = self.directory / "services.yaml"
        self.log_file = self.directory / "penelope.log"
        self.key = ""
        self._process: subprocess.Popen[bytes] | None = None
        _write(self.services_file, services(world))
        _write(self.settings_file, self._settings())

    def __enter__(self) -> Self:
        self.key = self.key or self.create_key("demo", "read", "write", "approve")
        self.start()
        self.await_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _settings(self) -> dict[str, Any]:
        return {
            **QUICK,
            "database": {"url": "sqlite:///penelope.db"},
            "keys": {"pepper_file": "pepper"},
            "catalogue": {"path": "services.yaml"},
            "api": {"port": self._port},
            "log": {"format": "json"},
        }

    def create_key(self, name: str, *scopes: str) -> str:
        """An API key with these scopes."""
        options = [option for scope in scopes for option in ("--scope", scope)]
        output = self.penelope("keys", "create", name, *options)
        return next(word for word in output.split() if word.startswith("pnl_"))

    def penelope(self, *arguments: str) -> str:
        """What a command prints. Raises RuntimeError with its complaint when it fails."""
        command = [*_PENELOPE, "--config", str(self.settings_file), *arguments]
        environment = {**os.environ, "PENELOPE_API_KEY": self.key, "NO_COLOR": "1", "COLUMNS": "200"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            raise RuntimeError(f"penelope {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, command: Sequence[str] = ()) -> None:
        """Starts the server; `command` replaces the usual one, for tests that want to watch it die."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*(command or _PENELOPE), "--config", str(self.settings_file), "serve"],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def await_ready(self) -> None:
        """Returns when the server says that it is ready. Raises RuntimeError when it died or never does."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if not self.runs:
                raise RuntimeError(f"Penelope ended while it started; see {self.log_file}")
            try:
                if httpx.get(f"{self.url}/health/ready", timeout=2, trust_env=False).is_success:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"Penelope was not ready within {_READY_SECONDS:g} s; see {self.log_file}")

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self, seconds: float) -> int | None:
        """The exit code once the server has ended, None while it runs."""
        if self._process is None:
            return None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """kill -9: no goodbye, no flush."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self.runs:
            self._process.send_signal(number)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def client(self) -> httpx.Client:
        """A client of the API that bears the key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=10, trust_env=False)


_PENELOPE = (str(Path(sys.executable).with_name("penelope")),)


def services(world: World) -> dict[str, Any]:
    """The catalogue that tells Penelope of the shop."""
    instances = {
        f"instance-{name}": {
            "adapter": "process",
            "options": {
                "supervisor": world.supervisor_url,
                "program": f"shop-{name}",
                "release_link": str(world.release_link(name)),
                "releases": str(world.releases_dir),
            },
        }
        for name in INSTANCES
    }
    admin = {
        f"admin-{name}": {"adapter": "http", "options": {"base_url": url}}
        for name, url in world.instance_urls.items()
    }
    shop = {
        "owner": "team-shop",
        "tier": 2,
        "dependencies": ["shop-db"],
        "slos": [
            {"name": "availability", "metric": "error_ratio", "at_most": 0.02},
            {"name": "latency", "metric": "latency_p99_seconds", "at_most": 0.25},
        ],
        "metrics": {
            "source": "scrape",
            "instances": {name: f"{url}/metrics" for name, url in world.instance_urls.items()},
            "requests": {"counter": "shop_requests_total"},
            "errors": {"label": "code", "pattern": "5.."},
            "latency": {"histogram": "shop_request_duration_seconds"},
            "gauges": {"config_valid": "shop_config_valid", "schema_version": "shop_schema_version"},
        },
        "router": {
            "kind": "traefik",
            "options": {"file": str(world.dynamic_file), "service": "shop", "api": world.traefik_api},
            "arms": {name: f"shop-{name}" for name in INSTANCES},
        },
        "targets": {
            **instances,
            **admin,
            "config": {"adapter": "git_patch", "options": {"repository": str(world.config_repository)}},
            "traffic": {"adapter": "traffic"},
        },
    }
    return {"apiVersion": "penelope.dev/v1", "kind": "Services", "services": {"shop": shop}}


def _write(file: Path, content: Mapping[str, Any]) -> None:
    # JSON is YAML, too.
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
