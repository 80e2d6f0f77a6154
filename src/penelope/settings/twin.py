"""Settings of the digital twin."""

from typing import Annotated

from pydantic import Field

from penelope.settings.section import Count, Seconds, Section


class Twin(Section):
    """How plans are tried on a copy before anything real is touched, see [the twin](../twin.md)."""

    enabled: bool = True
    """Whether plans are rehearsed at all."""

    required: bool = False
    """Whether a plan of which nothing can be rehearsed is given to people. Otherwise that is recorded, with the reason,
    and the plan goes on. A plan that fails its rehearsal never goes on."""

    timeout_seconds: Seconds = 120
    """How long, in seconds, the rehearsal of one plan may take."""

    cpu_seconds: Count = 30
    """The most processor time, in seconds, of one command in the sandbox."""

    memory_mib: Annotated[int, Field(ge=16)] = 512
    """The most memory of one command in the sandbox with all its processes, in MiB."""

    disk_mib: Annotated[int, Field(ge=8)] = 256
    """The most that one command in the sandbox may write, in MiB. It is kept in memory, beside `twin.memory_mib`."""

    processes: Annotated[int, Field(ge=4)] = 64
    """The most processes and threads of one command in the sandbox."""

    copy_mib: Count = 64
    """The largest target, in MiB, of which a copy is made."""

    copy_files: Count = 5000
    """The most files of a target of which a copy is made."""
