"""Ends a whole tree of processes: all that share the session of the leader that was started first."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

_POLL_SECONDS = 0.02


def members(session: int, mark: str) -> list[int]:
    """Living processes of a session whose command line holds `mark`, which tells them from a reused id."""
    return [pid for pid, command in _commands() if mark in command and _session(pid) == session]


def end_session(leader: int, mark: str) -> None:
    """Kills the leader before its children, so that it restarts none of them, and returns when all are gone."""
    while alive := members(leader, mark):
        for pid in [leader] if leader in alive else alive:
            _kill(pid)
        time.sleep(_POLL_SECONDS)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _commands(proc: Path = Path("/proc")) -> list[tuple[int, str]]:
    """Process ids and command lines, from ps where there is no /proc.

    A zombie has no command line there, so that a process that ended is not waited for.
    """
    if not (proc / "self" / "cmdline").exists():
        return _commands_by_ps()
    found = []
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:  # it ended meanwhile
                continue
            found.append((int(entry.name), os.fsdecode(command.replace(b"\0", b" "))))
    return found


def _commands_by_ps() -> list[tuple[int, str]]:
    listing = subprocess.run(["ps", "-A", "-o", "pid=,command="], capture_output=True, text=True, check=True)
    rows = (line.split(maxsplit=1) for line in listing.stdout.splitlines())
    return [(int(row[0]), row[1]) for row in rows if len(row) == 2]
