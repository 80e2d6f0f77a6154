"""A supervisord in a folder of its own, with programs in it; it and they live on when the process that started it dies."""

import asyncio
import importlib.util
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from penelope.errors import Unavailable

READY_SECONDS = 30.0
_POLL_SECONDS = 0.05
_FAULTS_WHEN_DONE = {60, 70}
"""Already started, not running: what was asked for is so."""

_HEAD = """\
[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
identifier={mark}

[inet_http_server]
port=127.0.0.1:{port}
username=world
password={password}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

_PROGRAM = """
[program:{name}]
command={command}
autostart={autostart}
autorestart=false
startsecs=0
stopwaitsecs=1
redirect_stderr=true
stdout_logfile={folder}/{name}.log
environment=PENELOPE_WORLD="{mark}"
"""


def free_ports(count: int) -> list[int]:
    """Local ports that nobody listens on now; all are held until all are found, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def until(holds: Callable[[], bool], complaint: str, seconds: float = READY_SECONDS) -> None:
    """Returns once something is so. Raises Unavailable with the complaint."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise Unavailable(f"{complaint} within {seconds:g} s")
        time.sleep(_POLL_SECONDS)


class Supervised:
    """`programs` are commands by name; those in `idle` wait to be started."""

    def __init__(
        self, folder: Path, programs: Mapping[str, Sequence[str]], *, idle: Sequence[str] = ()
    ) -> None:
        self._folder = folder
        self._programs = programs
        self._idle = idle
        self._mark = secrets.token_hex(16)
        self._password = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self._port = free_ports(1)[0]

    @property
    def url(self) -> str:
        """The address for an option `supervisor`, password and all."""
        return f"http://world:{self._password}@127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Returns when all programs that shall run do. Raises Unavailable."""
        if importlib.util.find_spec("supervisor") is None:
            raise Unavailable("supervisord is missing", hint="Install the package supervisor.")
        await asyncio.to_thread(self._start)

    def _start(self) -> None:
        file = self._folder / "supervisord.conf"
        file.touch(mode=0o600)
        file.write_text(self._configuration(), encoding="utf-8")
        with (self._folder / "supervisord.out").open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed program with a file of ours
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(file)],
                cwd=self._folder,
                env={**os.environ, "PENELOPE_WORLD": self._mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        for name in self._programs:
            if name not in self._idle:
                until(lambda name=name: self._runs(name), f"{name} has not started")  # type: ignore[misc]  # bound now

    def _configuration(self) -> str:
        text = _HEAD.format(folder=self._folder, port=self._port, password=self._password, mark=self._mark)
        for name, command in self._programs.items():
            text += _PROGRAM.format(
                name=name,
                command=shlex.join(command).replace("%", "%%"),
                autostart=str(name not in self._idle).lower(),
                folder=self._folder,
                mark=self._mark,
            )
        return text

    async def close(self) -> None:
        """Kills the supervisor, then whatever runs of it; harmless twice."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()  # first, so that it restarts nothing
            self._process.wait()
            self._process = None
        while alive := processes_with(f"PENELOPE_WORLD={self._mark}"):
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_POLL_SECONDS)

    async def run(self, name: str) -> None:
        """Has a program run, unless it does."""
        await asyncio.to_thread(self._do, "startProcess", name)

    async def end(self, name: str) -> None:
        """Has a program not run, unless it does not."""
        await asyncio.to_thread(self._do, "stopProcess", name)

    async def pid(self, name: str) -> int:
        """0 while it does not run."""
        return int(str((await asyncio.to_thread(self._info, name))["pid"]))

    async def runs(self, name: str) -> bool:
        return await asyncio.to_thread(self._runs, name)

    def _runs(self, name: str) -> bool:
        try:
            return self._info(name)["statename"] == "RUNNING"
        except OSError:
            return False

    def _info(self, name: str) -> dict[str, object]:
        with xmlrpc.client.ServerProxy(self.url) as server:
            found = server.supervisor.getProcessInfo(name)
        return dict(found)  # type: ignore[arg-type]  # a struct of the protocol

    def _do(self, method: str, name: str) -> None:
        with xmlrpc.client.ServerProxy(self.url) as server:
            try:
                getattr(server.supervisor, method)(name, True)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode not in _FAULTS_WHEN_DONE:
                    raise Unavailable(f"{name}: the supervisor says {fault.faultString}") from None


def processes_with(variable: str) -> list[int]:
    """Living processes that bear ``NAME=value`` in their environment, wherever they were forked to."""
    wanted, found = variable.encode(), []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
    return found
