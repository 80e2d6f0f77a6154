"""Runs `penelope`, and kills -9 itself once at every step boundary that it meets: ``dying.py FILE ARGUMENTS…``.

A step has two boundaries: before its body, and after its body (whose effects are there) but before the engine has
recorded that it ran. FILE keeps, one line each, where it has died already, so that the next process gets further.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from dbos._sys_db import SystemDatabase

from penelope.entry.cli.main import main
from penelope.flow.engine import Engine

_graves = Path(sys.argv[1])
_died = set(_graves.read_text(encoding="utf-8").splitlines()) if _graves.exists() else set()


def die_once(boundary: str) -> None:
    """Ends the process as a power cut would, unless it died here before."""
    if boundary in _died:
        return
    descriptor = os.open(_graves, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{boundary}\n".encode())
    os.fsync(descriptor)
    os.kill(os.getpid(), signal.SIGKILL)


def _dying(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def run(engine: Engine, name: str, body: Callable[..., Awaitable[Any]]) -> Any:
        async def mortal(*arguments: Any) -> Any:
            die_once(f"before {name}")
            return await body(*arguments)

        return await original(engine, name, mortal)

    return run


def _record(original: Callable[..., None]) -> Callable[..., None]:
    def run(self: SystemDatabase, result: Any, **options: Any) -> None:
        die_once(f"unrecorded {result['function_name']}")
        original(self, result, **options)

    return run


if __name__ == "__main__":
    Engine.step = _dying(Engine.step)  # type: ignore[method-assign]
    Engine.transaction = _dying(Engine.transaction)  # type: ignore[method-assign]
    SystemDatabase.record_operation_result = _record(SystemDatabase.record_operation_result)  # type: ignore[method-assign]
    sys.argv = ["penelope", *sys.argv[2:]]
    main()
