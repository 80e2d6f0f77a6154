"""Control groups, where this process may make them: the one limit on memory and processes that nothing can slip through."""

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from penelope.adapters.twin.limits import Limits

_ROOT = Path("/sys/fs/cgroup")
_PREFIX = "penelope-twin-"


@dataclass(frozen=True, slots=True)
class Group:
    """The folders of one run's groups: one in all with version 2, one for each controller with version 1."""

    folders: tuple[Path, ...]

    @property
    def doors(self) -> tuple[str, ...]:
        """The files into which a process writes its number to come under the limits."""
        return tuple(str(folder / "cgroup.procs") for folder in self.folders)

    def memory_ran_out(self) -> bool:
        """Whether the kernel ended something in it for want of memory."""
        for folder in self.folders:
            with suppress(OSError, ValueError):
                events = dict(line.split() for line in (folder / "memory.events").read_text().splitlines())
                return int(events.get("oom_kill", 0)) > 0
            with suppress(OSError, ValueError):
                control = dict(
                    line.split() for line in (folder / "memory.oom_control").read_text().splitlines()
                )
                return int(control.get("oom_kill", 0)) > 0
        return False

    def remove(self) -> None:
        """Takes the groups away; their processes must have ended."""
        for folder in self.folders:
            with suppress(OSError):
                folder.rmdir()


def usable() -> str:
    """`v2` or `v1`, whichever this process may make groups in; "" for none."""
    for version, parents in (("v2", _parents_v2()), ("v1", _parents_v1())):
        if parents and all(os.access(parent, os.W_OK) for parent in parents):
            return version
    return ""


def make(limits: Limits) -> Group | None:
    """Groups with these limits, None where there can be none."""
    version = usable()
    if not version:
        return None
    parents = _parents_v2() if version == "v2" else _parents_v1()
    name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    group = Group(tuple(parent / name for parent in parents))
    # What is written in memory counts too: both limits together hold, each by itself is held elsewhere.
    memory = str(limits.memory + limits.disk)
    try:
        for folder in group.folders:
            folder.mkdir()
            for file, value in (
                ("memory.max", memory),
                ("memory.swap.max", "0"),
                ("memory.limit_in_bytes", memory),
                # The launcher, bubblewrap and its init count as well.
                ("pids.max", str(limits.processes + 4)),
            ):
                if (folder / file).exists():
                    (folder / file).write_text(value)
    except OSError:
        group.remove()
        return None
    return group


def sweep() -> None:
    """Takes away the groups of processes of ours that are gone."""
    for parent in (*_parents_v2(), *_parents_v1()):
        for folder in parent.glob(f"{_PREFIX}*"):
            pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
            if pid.isdigit() and not Path(f"/proc/{pid}").exists():
                with suppress(OSError):  # one that still holds processes refuses by itself
                    folder.rmdir()


def _own() -> dict[str, str]:
    """The paths of this process's groups by controllers; version 2 bears no name."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {names: path for _, names, path in (line.split(":", 2) for line in lines)}


def _parents_v2() -> list[Path]:
    own = _own().get("")
    if own is None:
        return []
    parent = _ROOT / own.lstrip("/")
    with suppress(OSError):
        if {"memory", "pids"} <= set((parent / "cgroup.subtree_control").read_text().split()):
            return [parent]
    return []


def _parents_v1() -> list[Path]:
    parents = []
    for wanted in ("memory", "pids"):
        path = next((path for names, path in _own().items() if wanted in names.split(",")), None)
        folder = _ROOT / wanted / (path or "").lstrip("/")
        if path is None or not (folder / "cgroup.procs").exists():
            return []
        parents.append(folder)
    return parents
