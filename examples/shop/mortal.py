"""Runs `penelope` so that it kills itself (kill -9) where a file says: ``mortal.py FILE ARGUMENTS…``.

FILE is read at each boundary that is met; it names the one to die at, and is emptied before the death, so that the next life
survives. A step has three: ``before NAME``; ``written NAME``, right after the configuration file of Traefik was replaced
in it; and ``unrecorded NAME``, after all of its effects, but before the engine has kept that it ran.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from dbos._sys_db import SystemDatabase

from penelope.adapters.routers import traefik_file
from penelope.entry.cli.main import main
from penelope.flow.engine import Engine
from penelope.kit.canonical import Json

_STEP: ContextVar[str] = ContextVar("step", default="")


class Doom:
    """Where this process is to die."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def meet(self, boundary: str) -> None:
        """Ends the process as a power cut would, if it is this one's turn."""
        if not self._file.exists() or self._file.read_text(encoding="utf-8") != boundary:
            return
        self._file.write_text("", encoding="utf-8")
        os.kill(os.getpid(), signal.SIGKILL)


def make_mortal(doom: Doom) -> None:
    """Puts a possible death at each boundary."""
    step, change, record = Engine.step, traefik_file.change, SystemDatabase.record_operation_result

    async def mortal_step(engine: Engine, name: str, body: Callable[[], Awaitable[Json]]) -> Json:
        async def mortal() -> Json:
            doom.meet(f"before {name}")
            token = _STEP.set(name)
            try:
                return await body()
            finally:
                _STEP.reset(token)

        return await step(engine, name, mortal)

    def mortal_change(file: Path, edit: Callable[[Json], bool]) -> Json:
        document = change(file, edit)
        doom.meet(f"written {_STEP.get()}")
        return document

    def mortal_record(self: SystemDatabase, result: Any, **options: Any) -> None:
        doom.meet(f"unrecorded {result['function_name']}")
        record(self, result, **options)

    Engine.step = mortal_step  # type: ignore[method-assign]  # the boundaries are in there
    traefik_file.change = mortal_change
    SystemDatabase.record_operation_result = mortal_record  # type: ignore[method-assign]  # likewise


if __name__ == "__main__":
    make_mortal(Doom(Path(sys.argv[1])))
    sys.argv = ["penelope", *sys.argv[2:]]
    main()
