"""Runs `penelope` in a child process, and a new child each time it is killed: ``phoenix.py FILE|- ARGUMENTS…``.

The parent imports everything once and then only forks and waits, so that a life begins in a moment instead of after
seconds of imports; each child is a process of its own and dies alone. The parent writes the child's process id into
the file ``child`` in its working folder, and one line into ``deaths`` for each child that was killed.

With a FILE, a child kills itself (kill -9) once at every step boundary that it meets. A step has two: before its body,
and after its body (whose effects are there) but before the engine has recorded that it ran. FILE keeps, one line each,
where a child has died already, so that the next one gets further.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

from dbos._sys_db import SystemDatabase

import penelope.bootstrap
import penelope.entry.api.app
from penelope.entry.cli import serving
from penelope.entry.cli.main import main
from penelope.flow.engine import Engine

IMPORTED = (penelope.bootstrap, penelope.entry.api.app, serving)
"""What the command would import when it needs it; here before the first fork."""


class Graves:
    """Where children died; one boundary a line."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = set(file.read_text(encoding="utf-8").splitlines()) if file.exists() else set()

    def die_once(self, boundary: str) -> None:
        """Ends the process as a power cut would, unless one died here before."""
        if boundary in self._known:
            return
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(f"{boundary}\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.kill(os.getpid(), signal.SIGKILL)


def make_mortal(graves: Graves) -> None:
    """Puts a death before each step's body, and before each record of a step."""
    Engine.step = _mortal(graves, Engine.step)  # type: ignore[method-assign]  # the boundary is in there
    Engine.transaction = _mortal(graves, Engine.transaction)  # type: ignore[method-assign]  # likewise
    Engine.guarded = _mortal(graves, Engine.guarded)  # type: ignore[method-assign]  # likewise
    original = SystemDatabase.record_operation_result

    def record(self: SystemDatabase, result: Any, **options: Any) -> None:
        graves.die_once(f"unrecorded {result['function_name']}")
        original(self, result, **options)

    SystemDatabase.record_operation_result = record  # type: ignore[method-assign]  # likewise


def _mortal(graves: Graves, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def run(engine: Engine, name: str, body: Callable[..., Awaitable[Any]], **options: Any) -> Any:
        async def mortal(*arguments: Any) -> Any:
            graves.die_once(f"before {name}")
            return await body(*arguments)

        return await original(engine, name, mortal, **options)

    return run


def live(prepare: Callable[[], None], arguments: list[str]) -> None:
    """The life of a child; `prepare` says where it is to die."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    prepare()
    sys.argv = ["penelope", *arguments]
    try:
        main()
    finally:
        os._exit(0)


def rise_again(prepare: Callable[[], None], arguments: list[str]) -> int:
    """Forks until a child ends by itself, or this process is told to stop."""
    child = 0

    def stop(number: int, _frame: FrameType | None) -> None:
        if child:
            os.kill(child, signal.SIGKILL)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    while True:
        child = os.fork()
        if child == 0:
            live(prepare, arguments)
        Path("child.new").write_text(str(child), encoding="ascii")
        Path("child.new").replace("child")
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return os.waitstatus_to_exitcode(status)
        with Path("deaths").open("a", encoding="ascii") as stream:
            stream.write(f"{child}\n")


def at_every_boundary(graves: str) -> None:
    if graves != "-":
        make_mortal(Graves(Path(graves)))


if __name__ == "__main__":
    sys.exit(rise_again(lambda: at_every_boundary(sys.argv[1]), sys.argv[2:]))
