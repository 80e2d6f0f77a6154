"""How much memory a process and its children hold, as the kernel tells (resident set size)."""

import asyncio
import os
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec

from penelope.adapters.actions.supervisor import Supervisor
from penelope.adapters.probes.installed import Surroundings, read, where
from penelope.domain.benchmark import Measurement, Probe
from penelope.domain.service import Service
from penelope.errors import InvalidCatalogue, Unavailable

_PROC = Path("/proc")
_MOST_PROCESSES = 1000
_LONGEST_PID_FILE = 64
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class MemoryOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either `pid_file`, or `supervisor` (a URL, which may hold user and password) and `program`."""

    pid_file: str | None = None
    supervisor: str | None = None
    program: str | None = None


class ProcessMemoryProbe:
    """Bytes that a process of this machine and its descendants hold. One that does not run has no figure."""

    name = "process_memory"

    @classmethod
    def made(cls, _: Surroundings) -> Self:
        return cls()

    @staticmethod
    def check(service: Service, probe: Probe) -> None:
        options = read(MemoryOptions, service, probe)
        by_supervisor = options.supervisor is not None and options.program is not None
        by_file = options.pid_file is not None
        if by_file == by_supervisor or (by_file and (options.supervisor or options.program)):
            raise InvalidCatalogue(f"{where(service, probe)} needs pid_file, or supervisor and program")

    async def measure(self, service: Service, probe: Probe, since: datetime) -> Measurement:  # noqa: ARG002 - memory is of now
        options = read(MemoryOptions, service, probe)
        if options.pid_file is not None:
            pid = await asyncio.to_thread(_pid_in, Path(options.pid_file))
        else:
            pid = (await Supervisor(options.supervisor or "", options.program or "").look()).pid
        if pid <= 0:
            return Measurement(note="does not run")
        held = await asyncio.to_thread(resident_bytes, pid)
        return Measurement(note="does not run") if held is None else Measurement(figure=float(held))


def _pid_in(file: Path) -> int:
    """Raises Unavailable for a file that holds no process id."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Unavailable("its pid file is no file")
            text = os.read(descriptor, _LONGEST_PID_FILE + 1).strip()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unavailable(f"its pid file cannot be read: {type(error).__name__}") from None
    if not text.isdigit() or len(text) > 10:
        raise Unavailable("its pid file holds no process id")
    return int(text)


def resident_bytes(pid: int) -> int | None:
    """What a process and its descendants hold, None where it does not run. Shared pages count in each of them."""
    own = _resident(pid)
    if own is None:
        return None
    return own + sum(_resident(child) or 0 for child in _descendants(pid))


def _resident(pid: int) -> int | None:
    try:
        fields = (_PROC / str(pid) / "statm").read_text().split()
    except OSError:
        return None
    # A process that has ended and was not yet waited for holds nothing, and so does not run.
    return int(fields[1]) * _PAGE_BYTES or None


def _descendants(pid: int) -> Iterator[int]:
    waiting, seen = [pid], {pid}
    while waiting and len(seen) <= _MOST_PROCESSES:
        for child in _children(waiting.pop()):
            if child not in seen:
                seen.add(child)
                waiting.append(child)
                yield child


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in (_PROC / str(pid) / "task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except OSError:
        pass  # it has ended meanwhile, or the kernel tells nobody
    return found
