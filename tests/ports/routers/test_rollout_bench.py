"""The benchmark on a real Traefik, small: nothing fails, nothing reaches a canary after its rollback is confirmed."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_a_small_run_loses_no_request_and_keeps_to_the_planned_shares() -> None:
    command = [
        sys.executable,
        "bench/rollout_traefik.py",
        "--rollbacks",
        "2",
        "--step-seconds",
        "0.5",
        "--json",
    ]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True).stdout
    found = json.loads(told)
    assert (found["changes"], found["rollbacks"]) == (8, 2)
    assert found["requests"] >= 1000
    assert (found["failed"], found["after_confirmation"], found["shares_not_as_planned"]) == (0, 0, 0)
    assert found["shares_as_planned"] >= 6
    # In steps as short as these a single request weighs more than it does in the benchmark itself.
    assert found["share_error_points"] <= 1.0
    assert 0 < found["last_on_canary_ms"]["max"] < 10_000
