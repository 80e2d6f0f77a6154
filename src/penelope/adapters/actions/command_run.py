"""Starts a command under its guard (command_guard.py), which kills it when we go, give up or take too long."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from penelope.errors import Unavailable
from penelope.kit.spawn import spawn

_GUARD = Path(__file__).with_name("command_guard.py")
_GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """What a receipt shall say: while the command runs, and by what became of it; `by_exit` by its exit status."""

    begun: str
    by_exit: Mapping[str, str]
    failed: str
    killed: str
    refused: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One command with all that it gets. `receipt` is the file that tells what became of it, None for a mere question;
    it must say `expected_state` when the command begins (None: it is not there).
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    limits: Mapping[str, int]
    timeout_seconds: float
    receipt: str | None = None
    expected_state: str | None = None
    states: States | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a command. `error` says why it did not run, and `began` whether it may have nevertheless;
    `killed` why it was ended; `state` is what its receipt says.
    """

    exit: int = 0
    killed: str = ""
    cut: bool = False
    stdout: str = ""
    stderr: str = ""
    error: str = ""
    began: bool = True
    state: str = ""


async def run(order: Order) -> Answer:
    """Runs a command to its end. Cancelled, it kills the command and waits until that has ended.

    Raises Unavailable where its guard cannot be started, or dies.
    """
    try:
        guard = await spawn(
            sys.executable,
            "-I",
            "-S",
            str(_GUARD),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(f"no process can be started: {error.strerror}") from error
    assert guard.stdin is not None  # noqa: S101 - asked for as a pipe above
    assert guard.stdout is not None  # noqa: S101 - asked for as a pipe above
    try:
        # Of a pipe that is closed already uvloop says RuntimeError.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
            guard.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
            await guard.stdin.drain()
        said = await guard.stdout.read()
    finally:
        await _ended(guard)
    try:
        fields: dict[str, Any] = json.loads(said)
        return Answer(**fields)
    except (ValueError, TypeError):
        raise Unavailable("the guard of the command has died; what became of it is not known") from None


async def _ended(guard: asyncio.subprocess.Process) -> None:
    """Lets the life line go, and sees to it that nothing is left running."""
    if guard.stdin is not None:
        guard.stdin.close()
    ending = asyncio.ensure_future(guard.wait())
    done, _ = await asyncio.wait({ending}, timeout=_GRACE_SECONDS)
    if not done:
        with contextlib.suppress(ProcessLookupError):
            guard.kill()
        await ending
