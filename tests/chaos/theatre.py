"""What the chaos tests do to Penelope, and how they count at the shop what she did."""

import os
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from shop.control import ControlPlane
from shop.release import GOOD, Release
from shop.watch import Watch
from shop.world import INSTANCES, World

_PHOENIX = Path(__file__).with_name("phoenix.py")
_CALM_SECONDS = 60.0
_ENDS = frozenset({"healed", "resolved", "escalated"})


@dataclass
class Theatre:
    """The shop, its Penelope, and the watch that tells her of trouble."""

    world: World
    penelope: ControlPlane
    watch: Watch

    def open(self, graves: Path | None = None) -> None:
        """Starts a Penelope that comes back whenever she is killed; with `graves` she kills herself."""
        self.penelope.start([sys.executable, str(_PHOENIX), "-" if graves is None else str(graves)])

    def kill(self) -> bool:
        """kill -9 to the present process; False if there was none."""
        try:
            os.kill(int((self.penelope.directory / "child").read_text(encoding="ascii")), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return True

    def deaths(self) -> int:
        """How many processes were killed so far."""
        file = self.penelope.directory / "deaths"
        return len(file.read_text(encoding="ascii").splitlines()) if file.exists() else 0

    def incidents(self) -> list[dict[str, Any]]:
        """Every incident, or none where the server does not answer (it may be dead)."""
        try:
            with self.penelope.client() as client:
                answer = client.get("/api/v1/incidents", params={"limit": 100}, timeout=2)
                return list(answer.raise_for_status().json()["incidents"])
        except httpx.HTTPError:
            return []

    def ended(self, known: set[str]) -> list[dict[str, Any]]:
        """Incidents beyond the known ones that have ended."""
        return [item for item in self.incidents() if item["id"] not in known and item["state"] in _ENDS]

    def await_calm(self) -> None:
        """Until no alert fires: what comes next is a new incident."""
        deadline = time.monotonic() + _CALM_SECONDS
        while self.watch.firing():
            assert time.monotonic() < deadline, f"still firing: {self.watch.firing()}"
            time.sleep(0.2)

    def ledger(self) -> dict[str, Any]:
        with self.penelope.client() as client:
            found: dict[str, Any] = client.get("/api/v1/ledger/verify", timeout=60).raise_for_status().json()
            return found

    def attempts(self, incident: str) -> Counter[str]:
        """How often each action of an incident was started, by its name."""
        with self.penelope.client() as client:
            path = f"/api/v1/incidents/{incident}/timeline"
            entries = client.get(path, params={"limit": 1000}).raise_for_status().json()["entries"]
        return Counter(item["details"]["action"] for item in entries if item["event"] == "ActionStarted")

    def starts(self) -> Counter[tuple[str, str]]:
        """How often the shop saw each instance start with each release."""
        return Counter((item["instance"], item["release"]) for item in self.world.starts())

    def is_restored(self) -> bool:
        return all(self.world.release_link(name).resolve().name == GOOD.name for name in INSTANCES)


def each(release: Release) -> Counter[tuple[str, str]]:
    """One start of this release on each instance."""
    return Counter({(name, release.name): 1 for name in INSTANCES})
