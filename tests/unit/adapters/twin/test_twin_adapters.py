"""The twin tries plans with the adapters for files and for SQLite themselves, and what is real stays as it is."""

import asyncio
import hashlib
import os
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penelope.adapters.actions.file import FileAdapter
from penelope.adapters.actions.sql import SqlAdapter
from penelope.adapters.twin.copies import Bounds
from penelope.adapters.twin.limits import Limits
from penelope.adapters.twin.twin import Rules, SandboxTwin
from penelope.domain.action import Tier
from penelope.domain.rehearsal import Check, Rehearsal, RehearsalOutcome
from penelope.domain.service import Service, Target, TwinCheck, TwinSpec
from penelope.testing.gate import planned

RULES = Rules(
    limits=Limits(seconds=20), bounds=Bounds(size=4 << 20, files=200), required=True, timeout_seconds=60
)
LOG = "".join(f"{number:05d} a line\n" for number in range(2000))


pytestmark = pytest.mark.usefixtures("scratch")


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """What a service really has: files, a log, a cache, a database that somebody has open, and a trash."""
    folder = tmp_path / "real"
    (folder / "files" / "cache").mkdir(parents=True)
    (folder / "files" / "app.conf").write_text("workers = 4\n")
    (folder / "files" / "app.conf").chmod(0o640)
    (folder / "files" / "app.log").write_text(LOG)
    for number in range(3):
        file = folder / "files" / "cache" / f"{number}.tmp"
        file.write_text("x" * 100)
        os.utime(file, ns=(1, time.time_ns() - 10**15))
    (folder / "trash").mkdir()
    with sqlite3.connect(folder / "jobs.db") as writer:
        writer.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, state TEXT NOT NULL)")
        writer.executemany("INSERT INTO job VALUES (?, ?)", [(1, "stuck"), (2, "stuck"), (3, "done")])
    writer.close()
    return folder


def service(real: Path, *checks: TwinCheck) -> Service:
    files = {"root": str(real / "files"), "trash": str(real / "trash")}
    database = {"url": f"sqlite:///{real / 'jobs.db'}", "ledger_table": "penelope_ledger"}
    targets = {
        "conf": Target(name="conf", service="shop", adapter="file", options=files),
        "jobs": Target(name="jobs", service="shop", adapter="sql", options=database),
    }
    return Service(name="shop", owner="t", tier=2, targets=targets, twin=TwinSpec(checks=checks))


def step(target: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
    adapter = {"conf": "file", "jobs": "sql"}[target]
    return {
        "name": f"{operation} {target}",
        "adapter": adapter,
        "operation": operation,
        "target": Target(name=target, service="shop", adapter=adapter),
        "params": params,
        "tier": Tier.SNAPSHOT,
        "timeout_seconds": 20,
    }


EDIT = step(
    "conf", "edit_lines", {"path": "app.conf", "edits": [{"old": "workers = 4", "new": "workers = 8"}]}
)
CUT = step("conf", "truncate_log", {"path": "app.log", "keep_bytes": 500})
ROTATE = step("conf", "rotate", {"path": "app.log", "to": "app.log.1", "compress": True})
REMOVE = step(
    "conf",
    "remove_old",
    {"folder": "cache", "pattern": "*.tmp", "older_than_seconds": 60, "at_most_files": 9, "at_most_bytes": 900},
)  # fmt: skip
FREE = step("jobs", "update_rows", {"table": "job", "where": {"state": "stuck"}, "set": {"state": "new"}})
DROP = step("jobs", "delete_rows", {"table": "job", "where": {"state": "done"}})


def seen(real: Path) -> dict[str, Any]:
    """All of it, the time of each file and folder too."""
    return {
        str(path.relative_to(real)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in (real, *sorted(real.rglob("*")))
    }


def rehearsed(of: Service, *steps: dict[str, Any]) -> Rehearsal:
    kinds = {"file": FileAdapter, "sql": SqlAdapter}
    return asyncio.run(SandboxTwin(kinds, RULES).rehearse(planned(*steps), of))


def named(held: Rehearsal, name: str) -> Check:
    return next(check for check in held.checks if check.name == name)


def test_files_and_rows_are_tried_on_copies_and_taken_back_there(real: Path, scratch: Path) -> None:
    before = seen(real)
    steps = (EDIT, CUT, REMOVE, FREE, DROP)
    held = rehearsed(service(real), *steps)
    assert held.outcome is RehearsalOutcome.PASSED, held
    for each in steps:
        assert named(held, each["name"]).after == "done"
        assert named(held, f"take back: {each['name']}").after == "as before"
    assert seen(real) == before
    assert list(scratch.iterdir()) == []


def test_a_log_is_rotated_on_a_copy(real: Path) -> None:
    before = seen(real)
    held = rehearsed(service(real), ROTATE)
    assert held.outcome is RehearsalOutcome.PASSED, held
    assert seen(real) == before


def test_the_services_checks_see_the_changed_copies(real: Path) -> None:
    """They run on both targets at once, in the sandbox: the file is changed there, and so are the rows."""
    conf = TwinCheck(
        name="conf", argv=("grep", "-q", "workers = 4", "/twin/conf/app.conf"), timeout_seconds=10
    )
    count = (
        "import sqlite3, sys; rows = sqlite3.connect('jobs.db').execute(\"SELECT 1 FROM job WHERE state = 'stuck'\")\n"
        "sys.exit(len(rows.fetchall()) != 2)"
    )
    jobs = TwinCheck(name="jobs", argv=("python3", "-c", count), timeout_seconds=10, target="jobs")
    before = seen(real)
    held = rehearsed(service(real, conf, jobs), EDIT, FREE)
    assert held.outcome is RehearsalOutcome.FAILED, held
    assert [(named(held, name).before, named(held, name).after) for name in ("conf", "jobs")] == [
        ("passes", "ends with 1"),
        ("passes", "ends with 1"),
    ]
    assert seen(real) == before


def test_a_change_of_rows_that_does_not_fit_fails_and_leaves_the_database(real: Path) -> None:
    before = seen(real)
    none = step("jobs", "update_rows", {"table": "job", "where": {"state": "gone"}, "set": {"state": "new"}})
    held = rehearsed(service(real), none)
    assert held.outcome is RehearsalOutcome.FAILED, held
    assert seen(real) == before


def test_an_action_with_nothing_to_do_is_no_failure(real: Path) -> None:
    """A cache that was cleared already: the plan would do nothing, which is no reason to refuse it."""
    params = {**REMOVE["params"], "pattern": "*.none"}
    held = rehearsed(service(real), {**REMOVE, "params": params})
    assert held.outcome is RehearsalOutcome.PASSED, held


def test_a_folder_that_nests_too_deeply_is_not_copied(real: Path) -> None:
    place = os.open(real / "files", os.O_RDONLY)
    for _ in range(150):
        os.mkdir("d", dir_fd=place)
        below = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)
    held = rehearsed(service(real), EDIT)
    assert held.outcome is RehearsalOutcome.FAILED
    assert "nests" in held.reason


def test_a_target_without_a_repository_is_said_and_not_raised(real: Path) -> None:
    broken = Target(name="conf", service="shop", adapter="git_patch", options={})
    of = replace(service(real), targets={"conf": broken})
    held = asyncio.run(
        SandboxTwin({"git_patch": FileAdapter}, RULES).rehearse(planned({**EDIT, "adapter": "git_patch"}), of)
    )
    assert "repository" in held.reason
