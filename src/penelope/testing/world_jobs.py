"""A world of a queue in an SQLite file, whose jobs a dead worker still holds."""

import asyncio
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from penelope.domain.service import Service, Target
from penelope.kit.canonical import Json
from penelope.testing.worlds import World

_STUCK_SECONDS = 60
_SHAPE = """
CREATE TABLE jobs (id INTEGER PRIMARY KEY, payload TEXT NOT NULL, state TEXT NOT NULL, worker TEXT, heartbeat REAL,
  attempts INTEGER NOT NULL DEFAULT 0);
"""


class StuckJobsWorld(World):
    """Workers take jobs by writing their name and a heartbeat. One died, and nobody takes its jobs."""

    playbook = "fix-stuck-jobs"
    thing = "a real SQLite file"
    real = True
    signal_name = "QueueJobsStuck"
    labels: ClassVar[Mapping[str, str]] = {"worker": "worker-7"}

    def __init__(self) -> None:
        self._path = Path()

    async def open(self, folder: Path) -> None:
        self._path = folder / "queue.db"
        with closing(sqlite3.connect(self._path)) as database:
            database.executescript("PRAGMA journal_mode = WAL;" + _SHAPE)
        await self.reset()

    async def close(self) -> None:
        """There is no process; the folder is the kit's."""

    async def reset(self) -> None:
        await asyncio.to_thread(self._fill, None)

    async def break_it(self) -> None:
        # Whole seconds, long ago: the same in every trial.
        await asyncio.to_thread(self._fill, float(int(time.time()) - 10 * _STUCK_SECONDS))

    def service(self) -> Service:
        options = {"url": f"sqlite:///{self._path}", "ledger_table": "penelope_actions"}
        target = Target(name="queue", service="shop", adapter="sql", options=options)
        return Service(name="shop", owner="team-shop", tier=2, targets={"queue": target})

    async def healthy(self) -> bool:
        return await asyncio.to_thread(self._stuck) == 0

    async def gauges(self) -> Mapping[str, float]:
        return {"stuck_jobs": float(await asyncio.to_thread(self._stuck))}

    async def state(self) -> Json:
        rows = await asyncio.to_thread(self._ask, "SELECT * FROM jobs ORDER BY id")
        return {"jobs": [list(row) for row in rows]}

    def _fill(self, died_at: float | None) -> None:
        """Jobs that wait, run and are done; with a time, a worker that died then holds some."""
        far = 4_102_444_800.0  # the live worker's heartbeat never lapses
        jobs: list[tuple[Any, ...]] = [
            (1, "mail 1", "done", None, None, 1),
            (2, "mail 2", "running", "worker-3", far, 1),
            *((number, f"mail {number}", "pending", None, None, 0) for number in range(3, 10)),
        ]
        if died_at is not None:
            held = [(number, f"mail {number}", "running", "worker-7", died_at, 1) for number in (4, 6, 8)]
            jobs = [job for job in jobs if job[0] not in {4, 6, 8}] + held
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=10)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("DELETE FROM jobs")
            database.executemany("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?)", jobs)
            database.execute("DROP TABLE IF EXISTS penelope_actions")
            database.execute("COMMIT")

    def _stuck(self) -> int:
        seen = f"SELECT count(*) FROM jobs WHERE state = 'running' AND heartbeat < {time.time() - _STUCK_SECONDS}"  # noqa: S608 - a number
        return int(self._ask(seen)[0][0])

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._path, timeout=10)) as database:
            return database.execute(sql).fetchall()
