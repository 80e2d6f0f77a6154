"""What the processes below another one use together, read from /proc."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Used:
    """`memory` counts what processes share once for each of them: it may be too high, never too low."""

    pids: tuple[tuple[int, str], ...]
    """Each with the moment of its start, so that another one of the same number is not taken for it."""
    memory: int = 0
    cpu_seconds: float = 0.0


def used(root: int) -> Used:
    """What the process and all below it use now."""
    parents = _parents()
    pids: list[tuple[int, str]] = []
    memory, ticks = 0, 0
    wanted = [root]
    while wanted:
        pid = wanted.pop()
        stat = _stat(pid)
        if stat is None:
            continue
        pids.append((pid, stat[19]))
        # utime and stime of its own, and of its children that have ended.
        ticks += sum(int(stat[number]) for number in (11, 12, 13, 14))
        memory += int(stat[21]) * _PAGE
        wanted += parents.get(pid, ())
    return Used(tuple(pids), memory, ticks / _TICKS)


def exactly(pids: tuple[tuple[int, str], ...]) -> int:
    """The memory in bytes of these processes, what they share counted once; where it cannot be read, all of it."""
    total = 0
    for pid, _ in pids:
        stat = _stat(pid)
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            total += next(
                int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")
            )
        except (OSError, StopIteration, ValueError):
            total += int(stat[21]) * _PAGE if stat else 0
    return total


def identified(pid: int) -> tuple[tuple[int, str], ...]:
    """The process of that number with the moment of its start, if there is one."""
    stat = _stat(pid)
    return () if stat is None else ((pid, stat[19]),)


def lives(process: tuple[int, str]) -> bool:
    """Whether the very process is still there; one that has ended and was not yet collected is not."""
    stat = _stat(process[0])
    return stat is not None and stat[19] == process[1] and stat[0] not in {"Z", "X"}


def _parents() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - twenty times a second: no Path for each
        if name.isdigit() and (stat := _stat(int(name))):
            found.setdefault(int(stat[1]), []).append(int(name))
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields after the name, which may hold anything."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].decode("ascii").split()
    return None
