"""`penelope serve` in a process of its own, and the command line beside it."""

import json
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from doorstep import BATCH, PLAYBOOK, SERVICES, event
from typer.testing import CliRunner, Result

from penelope.entry.cli.main import app

PATIENCE_SECONDS = 120
PENELOPE = [sys.executable, "-c", "from penelope.entry.cli.main import main; main()"]

SETTINGS = """\
api: {{port: {port}}}
engine: {{poll_seconds: 0.05}}
decide: {{confidence_floor: 0.1}}
approval: {{expires_seconds: 600}}
playbooks: {{paths: [playbook.yaml], shipped: false}}
"""


@dataclass
class Server:
    """`penelope serve` in a folder."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    key: str = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, *arguments: str, key: str | None = None) -> Result:
        """A command as a user would type it beside the server."""
        shown = {"PENELOPE_API_KEY": self.key if key is None else key, "COLUMNS": "80"}
        return CliRunner(env=shown).invoke(app, ["--config", str(self.folder / "penelope.yaml"), *arguments])

    def open(self, **changes: Any) -> str:
        headers = {"Content-Type": BATCH, "Authorization": f"Bearer {self.key}"}
        url = f"{self.address}/api/v1/events"
        answer = httpx.post(url, json=[event(**changes)], headers=headers, trust_env=False)
        (opened,) = answer.json()["opened"]
        return str(opened)

    def wait_for(self, incident: str, state: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := json.loads(self.run("show", incident, "--json").stdout))["incident"][
            "state"
        ] != state:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log()
            try:
                answer = httpx.get(f"{self.address}/health/ready", trust_env=False)
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                assert answer.status_code == 200
                return
        raise AssertionError(self.log())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def log(self) -> str:
        return (self.folder / "log").read_text()


def start(
    folder: Path, *, services: str = SERVICES, playbook: str = PLAYBOOK, settings: str = SETTINGS
) -> Server:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "penelope.yaml").write_text(settings.format(port=port))
    (folder / "services.yaml").write_text(services)
    (folder / "playbook.yaml").write_text(playbook)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*PENELOPE, "serve"], cwd=folder, stdout=log, stderr=log)
    return Server(folder, port, process)
