"""Benches of the adapter for systemd, against the little systemctl that ships for tests: no systemd runs here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benching import Bench, an_action, with_options

from penelope.adapters.actions.systemd import SystemdAdapter
from penelope.domain.action import Snapshot
from penelope.testing.systemctl_double import stop_all, write_unit


def words(folder: Path) -> list[str]:
    return [sys.executable, "-m", "penelope.testing.systemctl_double", "--state", str(folder)]


def unit_of(folder: Path) -> dict[str, Any]:
    state: dict[str, dict[str, Any]] = json.loads((folder / "state.json").read_text())
    return state["app.service"]


def _bench(request: pytest.FixtureRequest, operation: str, *, running: bool) -> Bench:
    folder: Path = request.getfixturevalue("tmp_path") / "systemd"
    write_unit(folder, "app.service", ["/bin/sleep", "600"])
    request.addfinalizer(lambda: stop_all(folder))

    def do(verb: str) -> None:
        subprocess.run([*words(folder), verb, "--", "app.service"], check=True, capture_output=True)

    do("start" if running else "stop")
    began = unit_of(folder)["starts"]
    action = an_action("systemd", operation, {"unit": "app.service", "systemctl": words(folder)}, {})

    async def half(_: Snapshot) -> None:
        do("stop")

    def effects() -> int:
        unit = unit_of(folder)
        return int(not unit["pid"]) if operation == "stop" else int(unit["starts"]) - began

    return Bench(
        adapter=SystemdAdapter(),
        action=action,
        effects=effects,
        shown=("active", "running"),
        unreachable=(SystemdAdapter(), with_options(action, systemctl=words(folder / "nowhere"))),
        half=half,
        restores=operation != "restart",
    )


def systemd_restart(request: pytest.FixtureRequest) -> Bench:
    return _bench(request, "restart", running=True)


def systemd_start(request: pytest.FixtureRequest) -> Bench:
    return _bench(request, "start", running=False)


def systemd_stop(request: pytest.FixtureRequest) -> Bench:
    return _bench(request, "stop", running=True)


BENCHES = [systemd_restart, systemd_start, systemd_stop]
HALVED = [systemd_restart]
