"""Adapters that fail, or die with their process, where the kit says so; and watch where they write."""

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penelope.domain.action import Action, Difference, Effect, Operation, Preview, Progress, Snapshot
from penelope.errors import ActionFailed, OutcomeUnknown, PenelopeError, Unavailable
from penelope.kit.canonical import Json
from penelope.rooms.act.ports import ActionAdapter
from penelope.rooms.act.run import perform
from penelope.testing.kit_lane import Lane, die, reach

_ERRORS: Mapping[str, type[PenelopeError]] = {
    "ActionFailed": ActionFailed,
    "OutcomeUnknown": OutcomeUnknown,
    "Unavailable": Unavailable,
}

_WRITES = frozenset(
    {
        "os.chmod",
        "os.chown",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.symlink",
        "os.truncate",
        "os.utime",
        "shutil.rmtree",
    }
)
_BEGINNINGS = frozenset({"os.posix_spawn", "socket.connect", "sqlite3.connect", "subprocess.Popen"})
_PLAIN_PLACES = ("/dev/", "/proc/")


@dataclass
class Deed:
    """What an adapter's call has done outside so far; `dies_at` is the event before which the process dies."""

    dies_at: int = 0
    events: int = 0
    strays: set[str] = field(default_factory=set)


_present: ContextVar[Deed | None] = ContextVar("_present", default=None)


class Watch:
    """Sees what adapters do outside: files that are written, programs and connections that are begun. The interpreter
    tells of them; what libraries in C do by themselves it cannot see.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = tuple(os.path.realpath(root) for root in roots)
        sys.addaudithook(self._heard)

    @contextmanager
    def over(self, deed: Deed) -> Iterator[None]:
        """Counts what this task, and what it starts, does meanwhile."""
        token = _present.set(deed)
        try:
            yield
        finally:
            _present.reset(token)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        deed = _present.get()
        if deed is None or not (
            event in _WRITES or event in _BEGINNINGS or _opens_to_write(event, arguments)
        ):
            return
        deed.events += 1
        if deed.dies_at == deed.events:
            die()
        if event not in _BEGINNINGS:
            deed.strays |= {path for path in _paths(event, arguments) if self._strays(path)}

    def _strays(self, path: str) -> bool:
        if path.startswith(_PLAIN_PLACES) or "__pycache__" in path:
            return False
        return not any(path == root or path.startswith(root + os.sep) for root in self._roots)


def _opens_to_write(event: str, arguments: tuple[Any, ...]) -> bool:
    if event != "open":
        return False
    _, mode, flags = arguments
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def _paths(event: str, arguments: tuple[Any, ...]) -> Iterator[str]:
    """The absolute paths that an event names. One below an open folder (``dir_fd``) is left to who opened that."""
    count = 2 if event in {"os.link", "os.rename", "os.symlink"} else 1
    relative = any(isinstance(item, int) and item >= 0 for item in arguments[count:]) and event != "open"
    for item in arguments[:count]:
        if isinstance(item, str | bytes | os.PathLike):
            path = Path(os.fsdecode(item))
            if path.is_absolute() or not (relative or event in {"open", "os.symlink"}):
                # The folder is what matters: a link that is removed is no more than a name in it.
                yield str(path.parent.resolve() / path.name)


class Faulty:
    """An adapter that tells the kit where it is, and does what it is ordered there. Fulfils ActionAdapter."""

    def __init__(self, inner: ActionAdapter, lane: Lane, watch: Watch) -> None:
        self._inner = inner
        self._lane = lane
        self._watch = watch
        self.name = inner.name
        self.operations: Mapping[str, Operation] = inner.operations

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        self._inner.validate(operation, params)

    async def snapshot(self, action: Action) -> Snapshot:
        if not action.fence:
            # No lease is held: somebody only wants to know what it would change.
            return await self._inner.snapshot(action)
        await self._reach("before_snapshot", action)
        deed = Deed()
        with self._watch.over(deed):
            taken = await self._inner.snapshot(action)
        await self._reach("after_snapshot", action, deed)
        return taken

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        return await self._inner.dry_run(action, snapshot)

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        return await self._inner.probe(action, snapshot)

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        order = await self._reach("before_execute", action)
        _obey(order, action)
        deed, begun = Deed(dies_at=_dies_at(order)), time.monotonic()
        try:
            with self._watch.over(deed), _deadline(order):
                effect = await self._inner.execute(action, snapshot)
        except PenelopeError as error:
            await self._lane.ask("refused", key=action.key, error=type(error).__name__, said=error.message)
            await self._tell(action, deed)
            raise
        if order["do"] in {"die_at", "die_after"}:
            die()  # it did fewer things than were counted before, or took less time
        order = await self._reach("after_execute", action, deed, time.monotonic() - begun)
        _obey(order, action)
        if order["do"] == "repeat":
            await self._repeat(action, snapshot)
        return effect

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        order = await self._reach("before_compensate", action)
        deed = Deed(dies_at=_dies_at(order))
        with self._watch.over(deed):
            effect = await self._inner.compensate(action, snapshot)
        if deed.dies_at:
            die()
        await self._reach("after_compensate", action, deed)
        return effect

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        return await self._inner.differences(action, snapshot)

    async def observe(self, action: Action) -> Mapping[str, Json]:
        return await self._inner.observe(action)

    async def _repeat(self, action: Action, snapshot: Snapshot) -> None:
        """Does it again as after a crash in which the answer was lost."""
        progress = (await self._inner.probe(action, snapshot)).value
        try:
            effect = await perform(self._inner, action, snapshot, first_attempt=False)
            said = "repeated" if effect.repeated else "done"
        except OutcomeUnknown:
            said = "unknown"
        except PenelopeError as error:
            said = f"{type(error).__name__}: {error.message}"
        await self._lane.ask("repeated", name=action.name, progress=progress, said=said)

    async def _reach(
        self, place: str, action: Action, deed: Deed | None = None, seconds: float = 0.0
    ) -> dict[str, Json]:
        deed = deed or Deed()
        details: dict[str, Json] = {
            "events": deed.events,
            "strays": sorted(deed.strays),
            "seconds": seconds,
        }
        return await reach(self._lane, place, key=action.key, name=action.name, **details)

    async def _tell(self, action: Action, deed: Deed) -> None:
        if deed.strays:
            await self._lane.ask("strayed", name=action.name, strays=sorted(deed.strays))


def _obey(order: Mapping[str, Json], action: Action) -> None:
    if order["do"] == "raise":
        raise _ERRORS[order["error"]](f"{action.name}: {order['error']}, as the kit told it to")


@contextmanager
def _deadline(order: Mapping[str, Json]) -> Iterator[None]:
    """Ends the process after the time that was ordered, if any; a thread does, for the loop may be busy."""
    if order["do"] != "die_after":
        yield
        return
    timer = threading.Timer(float(order["seconds"]), die)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _dies_at(order: Mapping[str, Json]) -> int:
    return int(order["event"]) if order["do"] == "die_at" else 0
