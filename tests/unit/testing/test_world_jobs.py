import asyncio
from pathlib import Path

from carrying import tried

from penelope.testing.world_jobs import StuckJobsWorld


def test_jobs_of_a_dead_worker_are_freed(tmp_path: Path) -> None:
    params = {
        "table": "jobs",
        "where": {"state": "running", "worker": "worker-7", "heartbeat": {"older_than_seconds": 60}},
        "set": {"state": "pending", "worker": None, "heartbeat": None},
    }
    asyncio.run(tried(StuckJobsWorld(), [("queue", "update_rows", params)], tmp_path))
