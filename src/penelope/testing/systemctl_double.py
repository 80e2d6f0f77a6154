"""A little systemctl for where no systemd runs: ``python -m penelope.testing.systemctl_double --state FOLDER VERB -- UNIT``.

Units are files ``units/<name>.json`` in the folder, each with an `exec` (an argv); their state is kept in
``state.json`` under a lock, and their processes are real ones that outlive the command. It knows show, start, stop,
restart and reset-failed of plain services, each with the status and the properties that systemd's own has.
"""

import argparse
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_STOP_SECONDS = 2.0
_START_SECONDS = 0.05
_FRESH: dict[str, Any] = {
    "pid": 0,
    "born": "",
    "invocation": "",
    "failed": False,
    "wanted": False,
    "starts": 0,
}


def write_unit(folder: Path, name: str, argv: list[str]) -> None:
    """Makes a unit known."""
    units = folder / "units"
    units.mkdir(parents=True, exist_ok=True)
    (units / f"{name}.json").write_text(json.dumps({"exec": argv}), encoding="utf-8")


def stop_all(folder: Path) -> None:
    """Ends the processes of all units."""
    with _state(folder) as state:
        for unit in state.values():
            _kill(unit)


@contextmanager
def _state(folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """The state of all units, held alone, and kept when this ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = folder / "state.json"
        state: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}
        try:
            yield state
        finally:
            aside = folder / "state.new"
            aside.write_text(json.dumps(state))
            aside.replace(file)


def _born(pid: int) -> str:
    """When a process was started, in the kernel's ticks: a number that was given anew is another process."""
    try:
        after = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if after[0] == "Z" else after[19]


def _alive(unit: dict[str, Any]) -> bool:
    return bool(unit["pid"]) and _born(unit["pid"]) == unit["born"] != ""


def _refresh(unit: dict[str, Any]) -> None:
    """A process that has ended by itself leaves its unit failed."""
    if unit["wanted"] and not _alive(unit):
        unit.update(pid=0, born="", wanted=False, failed=True)


def _kill(unit: dict[str, Any]) -> None:
    for signum in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + _STOP_SECONDS
        if _alive(unit):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(unit["pid"], signum)
        while _alive(unit) and time.monotonic() < until:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(unit["pid"], os.WNOHANG)
            time.sleep(0.01)
    unit.update(pid=0, born="", wanted=False)


def _start(unit: dict[str, Any], argv: list[str]) -> bool:
    if _alive(unit):
        return True
    unit.update(failed=False, invocation=uuid.uuid4().hex, starts=unit["starts"] + 1)
    try:
        process = subprocess.Popen(  # noqa: S603 - the argv of a unit that a test wrote
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        unit.update(failed=True)
        return False
    unit.update(pid=process.pid, born=_born(process.pid), wanted=True)
    time.sleep(_START_SECONDS)
    process.poll()
    _refresh(unit)
    # Its process stays when this command ends; who waits for it then is the system's first process.
    process.returncode = 0
    return not unit["failed"]


def _shown(unit: dict[str, Any], loaded: str) -> str:
    active = "active" if _alive(unit) else "failed" if unit["failed"] else "inactive"
    sub = {"active": "running", "failed": "failed", "inactive": "dead"}[active]
    properties = {
        "LoadState": loaded,
        "ActiveState": active,
        "SubState": sub,
        "InvocationID": unit["invocation"],
        "MainPID": unit["pid"],
        "NRestarts": 0,
        "Result": "exit-code" if unit["failed"] else "success",
    }
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def main() -> int:
    """Carries one command out; returns the status that systemctl would."""
    parser = argparse.ArgumentParser(prog="systemctl")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--no-pager", action="store_true")
    parser.add_argument("--no-ask-password", action="store_true")
    parser.add_argument("--user", action="store_true")
    parser.add_argument("--property")
    parser.add_argument("verb", choices=["show", "start", "stop", "restart", "reset-failed"])
    parser.add_argument("unit")
    given = parser.parse_args()
    if not (given.state / "units").is_dir():
        sys.stderr.write("Failed to connect to bus: No such file or directory\n")
        return 1
    file = given.state / "units" / f"{given.unit}.json"
    with _state(given.state) as state:
        if not file.exists():
            if given.verb == "show":
                sys.stdout.write(_shown({**_FRESH}, "not-found"))
                return 0
            sys.stderr.write(f"Unit {given.unit} not found.\n")
            return 5
        unit = state.setdefault(given.unit, {**_FRESH})
        _refresh(unit)
        return _done(given.verb, unit, json.loads(file.read_text())["exec"], given.unit)


def _done(verb: str, unit: dict[str, Any], argv: list[str], name: str) -> int:
    if verb == "show":
        sys.stdout.write(_shown(unit, "loaded"))
    elif verb == "reset-failed":
        unit["failed"] = False
    else:
        if verb in {"stop", "restart"}:
            _kill(unit)
        if verb in {"start", "restart"} and not _start(unit, argv):
            sys.stderr.write(f"Job for {name} failed because the control process exited with error code.\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
