"""Worlds of the crash matrix for adapters that no shipped playbook uses: systemd, webhook, Ansible."""

import asyncio
import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import matrix_receiver

from penelope.domain.service import Service, Target
from penelope.errors import Unavailable
from penelope.testing import systemctl_double
from penelope.testing.detached import Detached, read_number, until
from penelope.testing.worlds import World


def a_service(*targets: Target) -> Service:
    return Service(name="shop", owner="team", tier=3, targets={target.name: target for target in targets})


class UnitWorld(World):
    """Two units: one runs with a configuration that is no longer the one in its file, the other was killed."""

    playbook = "mend-units"
    thing = "real processes under a double of systemctl: no systemd runs here"
    real = False
    signal_name = "UnitsBroken"

    def __init__(self) -> None:
        self._folder = Path()

    async def open(self, folder: Path) -> None:
        self._folder = folder
        for name in ("web", "mail"):
            said = f"echo $$ > {folder}/{name}.pid; cp {folder}/wanted {folder}/{name}.read; exec sleep 3600"
            systemctl_double.write_unit(folder / "systemd", f"{name}.service", ["/bin/sh", "-c", said])
        await self.reset()

    async def close(self) -> None:
        await asyncio.to_thread(systemctl_double.stop_all, self._folder / "systemd")

    async def reset(self) -> None:
        (self._folder / "wanted").write_text("1")
        await asyncio.to_thread(self._begun)

    def _begun(self) -> None:
        systemctl_double.stop_all(self._folder / "systemd")
        (self._folder / "systemd" / "state.json").unlink(missing_ok=True)
        for name in ("web", "mail"):
            subprocess.run([*self._words, "start", "--", f"{name}.service"], check=True, capture_output=True)

    async def break_it(self) -> None:
        (self._folder / "wanted").write_text("2")
        await asyncio.to_thread(
            subprocess.run, [*self._words, "stop", "--", "mail.service"], check=True, capture_output=True
        )

    @property
    def _words(self) -> list[str]:
        double = [sys.executable, "-I", "-S", systemctl_double.__file__]
        return [*double, "--state", str(self._folder / "systemd")]

    def service(self) -> Service:
        return a_service(
            *(
                Target(
                    name=name,
                    service="shop",
                    adapter="systemd",
                    options={"unit": f"{name}.service", "systemctl": self._words},
                )
                for name in ("web", "mail")
            )
        )

    async def healthy(self) -> bool:
        wanted = (self._folder / "wanted").read_text()
        return all(
            self._runs(name) and (self._folder / f"{name}.read").read_text() == wanted
            for name in ("web", "mail")
        )

    async def state(self) -> Any:
        return {name: self._runs(name) for name in ("web", "mail")}

    async def effects(self) -> Mapping[str, int]:
        units = json.loads((self._folder / "systemd" / "state.json").read_text())
        return {name: unit["starts"] for name, unit in units.items()}

    def _runs(self, name: str) -> bool:
        """By the process that the unit's program says it is; one that nobody has waited for yet has ended."""
        try:
            pid = read_number(self._folder / f"{name}.pid")
            status = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False
        return status.rpartition(")")[2].split()[0] != "Z"


class EventWorld(World):
    """A service that serves from a poisoned cache until an event tells it to flush."""

    playbook = "flush-by-event"
    thing = "a real HTTP service that checks signatures, and tells what it took in"
    real = True
    signal_name = "CachePoisoned"

    _SECRET = "a secret of the matrix, 32 bytes"

    def __init__(self) -> None:
        self._process: Detached | None = None
        self._url = ""

    async def open(self, folder: Path) -> None:
        port = folder / "port"
        self._process = Detached(
            [sys.executable, "-I", "-S", matrix_receiver.__file__, self._SECRET, str(port)]
        )
        await until(port.exists, "its service does not start")
        self._url = f"http://127.0.0.1:{read_number(port)}"

    async def close(self) -> None:
        if self._process is not None:
            await self._process.end()

    async def reset(self) -> None:
        await self._ask("POST", "/mend")

    async def break_it(self) -> None:
        await self._ask("POST", "/poison")

    async def _ask(self, method: str, path: str) -> Any:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            return (await client.request(method, self._url + path)).raise_for_status().json()

    def service(self) -> Service:
        options = {
            "url": f"{self._url}/hook",
            "secret": self._SECRET,
            "status_url": self._url + matrix_receiver.EVENTS + "{id}",
            "reverts": True,
        }
        return a_service(Target(name="cache", service="shop", adapter="webhook", options=options))

    async def healthy(self) -> bool:
        return bool((await self._ask("GET", "/"))["healthy"])

    async def state(self) -> Any:
        return (await self._ask("GET", "/"))["in effect"]

    async def effects(self) -> Mapping[str, int]:
        return {"flushes": (await self._ask("GET", "/"))["taken"]}


_SET = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: Set the limit
      ansible.builtin.copy: {{dest: "{folder}/limit.conf", content: "limit = {{{{ limit }}}}\\n"}}
"""


class PlayWorld(World):
    """A limit in a file is too low. Ansible sets it, and sets it back."""

    playbook = "raise-limit"
    thing = "a real ansible-playbook on this machine"
    real = True
    signal_name = "LimitReached"

    def __init__(self) -> None:
        self._folder = Path()

    async def open(self, folder: Path) -> None:
        if importlib.util.find_spec("ansible_runner") is None:
            raise Unavailable("Ansible is missing")
        self._folder = folder
        plays = folder / "plays"
        plays.mkdir()
        play = _SET.format(folder=folder)
        (plays / "limit.yml").write_text(play)
        (plays / "unlimit.yml").write_text(play.replace("{{ limit }}", "1"))
        (folder / "inventory").write_text(
            f"here ansible_connection=local ansible_python_interpreter={sys.executable}\n"
        )
        await self.reset()

    async def close(self) -> None:
        """Its processes end by themselves; the folder is the kit's."""

    async def reset(self) -> None:
        self._put(7)

    async def break_it(self) -> None:
        self._put(1)

    def _put(self, limit: int) -> None:
        aside = self._folder / "limit.new"
        aside.write_text(f"limit = {limit}\n")
        aside.replace(self._folder / "limit.conf")

    def service(self) -> Service:
        options = {
            "folder": str(self._folder / "plays"),
            "playbooks": ["limit.yml"],
            "inventory": str(self._folder / "inventory"),
            "variables": {"limit": "integer"},
            "undo": {"limit.yml": "unlimit.yml"},
        }
        return a_service(Target(name="host", service="shop", adapter="ansible", options=options))

    async def healthy(self) -> bool:
        return await self.state() == "limit = 7\n"

    async def state(self) -> Any:
        return (self._folder / "limit.conf").read_text()
