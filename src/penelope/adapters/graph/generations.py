"""The files of the embedded graph: each graph is a file of its own, and a small file names the one that counts.

A killed process leaves the graph that counted before, or the new one, and files that the next writer sweeps away.
"""

import fcntl
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from penelope.errors import Unavailable

_CURRENT = "CURRENT"
_LOCK = "LOCK"
_PREFIX = "graph-"
_NAME = re.compile(rf"{_PREFIX}[0-9a-f]{{32}}")
_SUFFIX = ".lbug"
_PAUSE_SECONDS = 0.05


class Generations:
    """A folder of graphs. What is in it belongs to Penelope alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def current(self) -> str | None:
        """The name of the graph that counts; None where none was kept yet. Raises Unavailable."""
        try:
            name = (self._folder / _CURRENT).read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise Unavailable("the folder of the graph cannot be read") from error
        if _NAME.fullmatch(name) is None:
            raise Unavailable(
                "the folder of the graph was changed by others",
                hint="Remove the folder of `graph.folder` and load the graph anew.",
            )
        return name

    def file(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"

    @contextmanager
    def building(self, patience_seconds: float) -> Iterator[str]:
        """The name of a graph to build, while no other process builds one here. It counts once it is published.

        Raises Unavailable where another goes on building for longer, or the folder cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"the folder of the graph cannot be written: {error.strerror}") from error
        try:
            _wait_for(lock, patience_seconds)
            self._sweep()
            yield f"{_PREFIX}{uuid.uuid4().hex}"
            self._sweep()
        finally:
            os.close(lock)  # and with it the lock, as the system does when the process dies

    def publish(self, name: str) -> None:
        """Makes the graph of that name, whole in its file, the one that counts."""
        _sync(self.file(name))
        aside = self._folder / f"{name}.current"
        aside.write_text(name, encoding="ascii")
        _sync(aside)
        aside.replace(self._folder / _CURRENT)
        _sync(self._folder)

    def _sweep(self) -> None:
        """Removes what belongs to no graph that counts; who still reads such a file goes on reading it."""
        current = self.current()
        for path in self._folder.glob(f"{_PREFIX}*"):
            if current is None or not path.name.startswith(current):
                with suppress(FileNotFoundError):
                    path.unlink()


def _wait_for(lock: int, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Unavailable("another process is replacing the graph") from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
