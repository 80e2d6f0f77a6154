"""Runs one command for Penelope, as a process of its own between the two, and outlives neither of them.

Started as a script by its path, so it imports nothing but the standard library. A first line on its standard input is the
order (JSON); after it the pipe stays open as a life line: when it ends, Penelope has gone or has given up, and everything
that the command started is killed. What became of the command is written into a receipt before and after it runs, on
the disk, whoever dies meanwhile; the answer on standard output is only news of it.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_CHUNK = 65536
_LOOK_SECONDS = 0.1
_ORDER_BYTES = 1024 * 1024
_LOCK_SECONDS = 2.0


def write_durably(path: Path, content: bytes) -> None:
    """Replaces a file in one step that is on the disk when this returns."""
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _descendants() -> set[int]:
    """All processes below this one. As their reaper it keeps those, too, whose parents have ended."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name in parentheses may hold anything, blanks and parentheses too.
            after = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if after[0] != "Z":
                parents[int(entry.name)] = int(after[1])
    found: set[int] = set()
    layer = {os.getpid()}
    while layer := {pid for pid, parent in parents.items() if parent in layer} - found:
        found |= layer
    return found


def _end_all() -> None:
    """Kills whatever the command has started, its daemons too, until nothing is left."""
    for _ in range(50):
        running = _descendants()
        if not running:
            return
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


class _Run:
    """One run of the command: its process, its bounded output, and what ended it."""

    def __init__(self, order: dict[str, Any], lock: int | None) -> None:
        self._limits: dict[str, int] = order["limits"]
        self._deadline = time.monotonic() + order["timeout_seconds"]
        self._out: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._cut = False
        self._next_count = 0.0
        self.killed = ""
        self.process = subprocess.Popen(  # noqa: S603 - the argv was put together from the catalogue and checked by the adapter
            order["argv"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=order["environment"],
            cwd=order["folder"],
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
            preexec_fn=self._confine,  # noqa: PLW1509 - this process has one thread only
        )

    def _confine(self) -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.umask(0o077)
        for kind, name in (
            (resource.RLIMIT_CPU, "cpu_seconds"),
            (resource.RLIMIT_AS, "memory_bytes"),
            (resource.RLIMIT_FSIZE, "file_bytes"),
        ):
            _, hard = resource.getrlimit(kind)
            limit = self._limits[name] if hard == resource.RLIM_INFINITY else min(self._limits[name], hard)
            resource.setrlimit(kind, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def watch(self) -> None:
        """Returns when the command has ended, or had to be ended; `killed` says why then."""
        selector = selectors.DefaultSelector()
        selector.register(sys.stdin.buffer, selectors.EVENT_READ, "life")
        for name in self._out:
            selector.register(getattr(self.process, name), selectors.EVENT_READ, name)
        while self.process.poll() is None and not self.killed:
            for key, _ in selector.select(_LOOK_SECONDS):
                content = os.read(key.fd, _CHUNK)
                if key.data == "life":
                    self.killed = "" if content else "gave up"
                elif content:
                    self._take(key.data, content)
                else:
                    selector.unregister(key.fileobj)
            self._judge()
        self._drain(selector)
        _end_all()
        self.process.wait()

    def _judge(self) -> None:
        if time.monotonic() >= self._deadline:
            self.killed = self.killed or "timeout"
        if time.monotonic() < self._next_count:
            return
        self._next_count = time.monotonic() + _LOOK_SECONDS
        # The kernel counts processes by user, and not at all for root: so they are counted here.
        if len(_descendants()) > self._limits["processes"]:
            self.killed = self.killed or "processes"

    def _take(self, name: str, content: bytes) -> None:
        room = self._limits["output_bytes"] - len(self._out[name])
        self._out[name] += content[:room]
        self._cut = self._cut or len(content) > room

    def _drain(self, selector: selectors.BaseSelector) -> None:
        """What lies in the pipes still; a daemon may hold them open, so there is no waiting for their end."""
        for key in list(selector.get_map().values()):
            if key.data == "life":
                continue
            os.set_blocking(key.fd, False)
            with contextlib.suppress(BlockingIOError):
                while content := os.read(key.fd, _CHUNK):
                    self._take(key.data, content)
                    if self._cut:
                        break

    def answer(self) -> dict[str, Any]:
        return {
            "exit": self.process.returncode,
            "killed": self.killed,
            "cut": self._cut,
            **{name: bytes(content).decode("utf-8", "replace") for name, content in self._out.items()},
        }


def _locked(path: Path) -> int | None:
    """A lock that the command inherits: as long as anything of it runs, nobody takes it for ended."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return None
            time.sleep(0.02)
        else:
            return descriptor


def _carried_out(order: dict[str, Any]) -> dict[str, Any]:
    receipt = Path(order["receipt"]) if order["receipt"] else None
    lock = None
    if receipt is not None:
        lock = _locked(receipt.with_suffix(".lock"))
        if lock is None:
            return {"error": "it is still running", "began": True}
        before = json.loads(receipt.read_bytes()) if receipt.exists() else {}
        # Another worker may have carried it out between the adapter's look and this lock.
        if before.get("state") != order["expected_state"]:
            return {"error": "its receipt has changed meanwhile", "began": True}
        write_durably(receipt, json.dumps({**order["facts"], "state": order["states"]["begun"]}).encode())
    try:
        run = _Run(order, lock)
    except (OSError, ValueError) as error:
        if receipt is not None:
            write_durably(
                receipt, json.dumps({**order["facts"], "state": order["states"]["refused"]}).encode()
            )
        return {"error": getattr(error, "strerror", None) or "it cannot be started", "began": False}
    try:
        run.watch()
    finally:
        _end_all()
    answer = run.answer()
    if receipt is not None:
        state = (
            order["states"]["killed"]
            if run.killed
            else order["states"]["by_exit"].get(str(answer["exit"]), order["states"]["failed"])
        )
        write_durably(
            receipt, json.dumps({**order["facts"], "state": state, "exit": answer["exit"]}).encode()
        )
        answer["state"] = state
    return answer


def main() -> None:
    """Reads the order, carries it out, answers."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # Read byte-wise from the descriptor: a buffer would swallow the end of the life line.
    line = bytearray()
    while not line.endswith(b"\n"):
        content = os.read(0, 1 if len(line) > _ORDER_BYTES else _CHUNK)
        if not content or len(line) > _ORDER_BYTES:
            return
        line += content
    try:
        answer = _carried_out(json.loads(line))
    except OSError as error:
        answer = {"error": f"its receipt cannot be written: {error.strerror}", "began": True}
    # Penelope may have gone meanwhile; then the receipt says it all.
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(answer).encode())


if __name__ == "__main__":
    main()
