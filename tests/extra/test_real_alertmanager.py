"""The real Alertmanager sends to a real server: what it sends is understood, firing and resolved."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shop.control import ControlPlane
from shop.ports import free_ports
from shop.world import World

ALERTMANAGER = os.environ.get("ALERTMANAGER", "")

pytestmark = pytest.mark.skipif(
    not ALERTMANAGER, reason="ALERTMANAGER names no program; .ci/extra fetches one"
)

_PATIENCE_SECONDS = 60.0


@pytest.fixture
def penelope(tmp_path: Path) -> Iterator[ControlPlane]:
    """A server that knows the shop, which is not running: no playbook fits what the test sends."""
    with ControlPlane(tmp_path / "penelope", World(tmp_path / "shop")) as plane:
        yield plane


@pytest.fixture
def alertmanager(tmp_path: Path, penelope: ControlPlane) -> Iterator[str]:
    port = free_ports(1)[0]
    receiver = {
        "name": "penelope",
        "webhook_configs": [
            {
                "url": f"{penelope.url}/api/v1/alertmanager",
                "http_config": {"authorization": {"credentials": penelope.key}},
            }
        ],
    }
    route = {"receiver": "penelope", "group_by": ["service"], "group_wait": "1s", "group_interval": "1s"}
    (tmp_path / "alertmanager.yml").write_text(json.dumps({"route": route, "receivers": [receiver]}))
    command = [
        ALERTMANAGER,
        f"--config.file={tmp_path}/alertmanager.yml",
        f"--storage.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with (tmp_path / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{url}/-/ready"))
        yield url
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives once it gives something."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError("it never came true")


def post(url: str, *, ends_at: datetime | None) -> None:
    started = datetime.now(UTC) - timedelta(seconds=5)
    alerts = [
        {
            "labels": {
                "alertname": "Unheard",
                "service": "shop",
                "instance": f"i-{n}",
                "severity": "critical",
            },
            "annotations": {"summary": "never heard of"},
            "startsAt": started.isoformat(),
            **({"endsAt": ends_at.isoformat()} if ends_at else {}),
        }
        for n in range(3)
    ]
    httpx.post(f"{url}/api/v2/alerts", json=alerts, trust_env=False).raise_for_status()


def test_a_group_fires_and_resolves(penelope: ControlPlane, alertmanager: str) -> None:
    def incidents(state: str) -> list[dict[str, Any]]:
        with penelope.client() as client:
            return client.get("/api/v1/incidents", params={"state": state}).json()["incidents"]

    post(alertmanager, ends_at=None)
    (incident,) = until(lambda: incidents("escalated"))
    assert (incident["name"], incident["service"], incident["severity"]) == ("Unheard", "shop", "critical")
    assert incident["signal_count"] == 3
    post(alertmanager, ends_at=datetime.now(UTC))
    (resolved,) = until(lambda: incidents("resolved"))
    assert resolved["id"] == incident["id"]
