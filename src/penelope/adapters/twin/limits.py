"""What may be used up in a sandbox at the most, and which of these limits ended a run."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that one run may use. Sizes are in bytes, times in seconds.

    `memory` is for all processes together, `process_memory` for the address space of one. `disk` and `files` are for
    everything that is written together; it lies in memory, so that nothing is left when the run ends.
    """

    seconds: float = 60.0
    cpu_seconds: int = 30
    memory: int = 512 * MIB
    process_memory: int = 2048 * MIB
    processes: int = 64
    open_files: int = 256
    file_size: int = 64 * MIB
    disk: int = 256 * MIB
    files: int = 20_000
    output: int = 256 * 1024

    def words(self) -> tuple[str, ...]:
        """The limits for people."""
        return (
            f"{self.seconds:g} s, {self.cpu_seconds} s of processor time",
            f"{self.memory // MIB} MiB of memory, {self.process_memory // MIB} MiB of addresses a process",
            f"{self.processes} processes with {self.open_files} open files each",
            f"{self.disk // MIB} MiB in {self.files} files written, {self.file_size // MIB} MiB a file",
            f"{self.output // 1024} KiB of output",
        )


class Figures(Protocol):
    """What of the settings limits a run (settings/twin.py)."""

    @property
    def cpu_seconds(self) -> int: ...
    @property
    def memory_mib(self) -> int: ...
    @property
    def disk_mib(self) -> int: ...
    @property
    def processes(self) -> int: ...


def of_settings(figures: Figures) -> Limits:
    """The limits that settings ask for."""
    memory = figures.memory_mib * MIB
    return Limits(
        cpu_seconds=figures.cpu_seconds,
        memory=memory,
        # Of one process no more than this is ever used; addresses that are reserved only may be a multiple of it.
        process_memory=4 * memory,
        disk=figures.disk_mib * MIB,
        file_size=figures.disk_mib * MIB // 4,
        processes=figures.processes,
    )


class Stopped(StrEnum):
    """The limit that ended a run; NOTHING where it came to its own end."""

    NOTHING = ""
    TIME = "time"
    CPU = "processor time"
    MEMORY = "memory"
    FILE_SIZE = "file size"
    OUTPUT = "output"
