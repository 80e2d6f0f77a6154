"""20,000 Alertmanager alerts over 200 services at once: none lost, one incident a fingerprint, memory bounded."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from _ground import furnish, raw_inserts

SERVICES, NAMES, INSTANCES = 200, 5, 20
SENDERS = 8
PORT = 18421


def webhook(service: str) -> dict[str, Any]:
    """One group as Alertmanager sends it: all alerts of a service."""
    began = datetime.now(UTC) - timedelta(seconds=30)
    alerts = [
        {
            "status": "firing",
            "labels": {
                "alertname": f"Trouble{name}",
                "service": service,
                "instance": f"{service}-{instance}:9100",
                "severity": "critical",
            },
            "annotations": {"summary": f"trouble {name} on {service}-{instance}"},
            "startsAt": began.isoformat().replace("+00:00", "Z"),
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example/graph",
            "fingerprint": f"{hash((service, name, instance)) & (2**64 - 1):016x}",
        }
        for name in range(NAMES)
        for instance in range(INSTANCES)
    ]
    return {
        "version": "4",
        "groupKey": f'{{}}:{{service="{service}"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "penelope",
        "groupLabels": {"service": service},
        "commonLabels": {"service": service},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": alerts,
    }


async def send_all(url: str, key: str, bodies: list[dict[str, Any]]) -> dict[str, int]:
    """Sends every body from a few senders at once and adds up the receipts."""
    total = {"accepted": 0, "duplicates": 0, "opened": 0}
    waiting = iter(bodies)
    async with httpx.AsyncClient(timeout=120, headers={"Authorization": f"Bearer {key}"}) as client:

        async def sender() -> None:
            for body in waiting:
                answer = (
                    (await client.post(f"{url}/api/v1/alertmanager", json=body)).raise_for_status().json()
                )
                total["accepted"] += answer["accepted"]
                total["duplicates"] += answer["duplicates"]
                total["opened"] += len(answer["opened"])

        await asyncio.gather(*(sender() for _ in range(SENDERS)))
    return total


def states(url: str, key: str) -> dict[str, int]:
    answer = httpx.get(f"{url}/api/v1/status", headers={"Authorization": f"Bearer {key}"}, timeout=60)
    found: dict[str, int] = answer.raise_for_status().json()["incidents"]
    return found


def peak_megabytes(pid: int) -> float:
    """The most resident memory that a process ever had (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="penelope-storm-") as name:
        folder = Path(name)
        services = [f"service-{number:03d}" for number in range(SERVICES)]
        furnish(folder, services, port=PORT)
        command = [str(Path(sys.executable).with_name("penelope")), "--config", str(folder / "penelope.yaml")]
        made = subprocess.run(
            [*command, "keys", "create", "storm", "--scope", "read", "--scope", "write"],
            capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip
        key = next(word for word in made.stdout.split() if word.startswith("pnl_"))
        with subprocess.Popen([*command, "serve"], cwd=folder) as server:
            try:
                return measure(folder, f"http://127.0.0.1:{PORT}", key, server.pid, services)
            finally:
                server.terminate()


def measure(folder: Path, url: str, key: str, pid: int, services: list[str]) -> int:
    while True:
        try:
            if httpx.get(f"{url}/health/ready").is_success:
                break
        except httpx.HTTPError:
            time.sleep(0.1)
    idle = peak_megabytes(pid)
    bodies = [webhook(service) for service in services]
    alerts = [json.dumps(alert) for body in bodies for alert in body["alerts"]]
    raw = raw_inserts(folder, alerts)

    began = time.perf_counter()
    first = asyncio.run(send_all(url, key, bodies))
    accepted = time.perf_counter() - began
    while states(url, key).get("escalated", 0) < SERVICES * NAMES and time.perf_counter() - began < 600:
        time.sleep(0.5)
    decided = time.perf_counter() - began
    again = asyncio.run(send_all(url, key, bodies))
    counts = states(url, key)

    print(f"alerts sent               {len(alerts)} over {SERVICES} services, by {SENDERS} senders")
    print(
        f"accepted                  {first['accepted']} in {accepted:.1f} s ({len(alerts) / accepted:.0f}/s)"
    )
    print(
        f"incidents                 {sum(counts.values())}, one for each of {SERVICES * NAMES} fingerprints"
    )
    print(f"all decided after         {decided:.1f} s (no playbook fits: handed to people)")
    print(f"sent again                {again['duplicates']} recognised as known, {again['accepted']} new")
    print(f"server's peak memory      {peak_megabytes(pid):.0f} MB ({idle:.0f} MB before the storm)")
    print(
        f"raw limit                 {raw:.2f} s for the same texts into bare SQLite; ratio {accepted / raw:.0f}"
    )
    good = (
        first == {"accepted": len(alerts), "duplicates": 0, "opened": SERVICES * NAMES}
        and again == {"accepted": 0, "duplicates": len(alerts), "opened": 0}
        and counts == {"escalated": SERVICES * NAMES}
    )
    print("none lost, none twice" if good else f"NOT AS PROMISED: {first} {again} {counts}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
