"""Runs one Ansible playbook, as a script in a process of its own: it outlives Penelope, and leaves a verdict behind.

Its one argument is a folder with `job.json`. While it runs it holds the lock on the file `lock`; what came of it stands in
`outcome.json`, which is there whole or not at all. It imports nothing of Penelope, for it runs with a bare environment.
"""

import difflib
import fcntl
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

RUNS_ALREADY = 75
IDENT = "run"
MOST_TASKS = 200
_MOST_DIFF_CHARACTERS = 16_000
_TOLD = {"runner_on_ok", "runner_on_failed", "runner_on_unreachable"}


def main() -> int:
    folder = Path(sys.argv[1])
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return RUNS_ALREADY
        job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        try:
            outcome = _run(folder, job)
        finally:
            # They may be credentials, and nobody needs them any more.
            (folder / "env" / "extravars").unlink(missing_ok=True)
            (folder / "job.json").write_text("{}", encoding="utf-8")
        _write(folder / "outcome.json", outcome)
    return 0


def _run(folder: Path, job: Mapping[str, Any]) -> dict[str, Any]:
    import ansible_runner  # type: ignore[import-untyped]  # noqa: PLC0415 - it comes with an extra; it has no types

    done = ansible_runner.run(
        private_data_dir=str(folder),
        ident=IDENT,
        project_dir=job["folder"],
        playbook=job["playbook"],
        inventory=job["inventory"],
        extravars=job["variables"],
        limit=job["limit"] or None,
        cmdline="--check --diff" if job["check"] else None,
        timeout=int(job["timeout_seconds"]) + 1,
        quiet=True,
    )
    return {"status": done.status, "rc": done.rc, **told(done.events)}


def told(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The tasks that changed something, failed or did not reach their host, each as host and name; and diffs."""
    found: dict[str, list[list[str]]] = {"changed": [], "failed": [], "unreachable": []}
    diff = ""
    for event in events:
        if event.get("event") not in _TOLD:
            continue
        data = event.get("event_data", {})
        result = data.get("res") or {}
        task = [str(data.get("host", ""))[:200], str(data.get("task", ""))[:200]]
        if event["event"] == "runner_on_unreachable":
            found["unreachable"].append(task)
        elif event["event"] == "runner_on_failed" and not data.get("ignore_errors"):
            found["failed"].append(task)
        elif result.get("changed"):
            found["changed"].append(task)
            diff += _diff(task, result)
    return {
        **{name: tasks[:MOST_TASKS] for name, tasks in found.items()},
        "count": len(found["changed"]),
        "diff": diff[:_MOST_DIFF_CHARACTERS],
    }


def _diff(task: list[str], result: Mapping[str, Any]) -> str:
    parts = result.get("diff") or []
    lines: list[str] = []
    for part in parts if isinstance(parts, list) else [parts]:
        if isinstance(part, Mapping) and isinstance(part.get("prepared"), str):
            lines += str(part["prepared"]).splitlines()
        elif isinstance(part, Mapping):
            before, after = (_text(part.get(side)) for side in ("before", "after"))
            lines += list(difflib.unified_diff(before, after, lineterm="", n=1))[2:]
    return "".join(f"{line}\n" for line in (f"# {task[0]}: {task[1]}", *lines))


def _text(side: Any) -> list[str]:
    text = side if isinstance(side, str) else json.dumps(side, sort_keys=True, default=str)
    return text[:_MOST_DIFF_CHARACTERS].splitlines()


def _write(file: Path, content: Mapping[str, Any]) -> None:
    aside = file.with_name(f".{file.name}")
    with aside.open("w", encoding="utf-8") as stream:
        json.dump(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(file)


if __name__ == "__main__":
    sys.exit(main())
