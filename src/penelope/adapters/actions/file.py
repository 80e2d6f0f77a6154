"""Changes files below one folder of a target."""

import asyncio
import contextlib
import difflib
import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self, TypeVar

import msgspec

from penelope.adapters.actions import file_empty, file_entry, file_log, file_old, file_rotate
from penelope.adapters.actions.file_empty import Emptying, EmptyTrashParams
from penelope.adapters.actions.file_entry import (
    EditParams,
    Entries,
    Entry,
    LinkParams,
    ModeParams,
    ReplaceParams,
)
from penelope.adapters.actions.file_log import Cuts, TruncateParams
from penelope.adapters.actions.file_old import OldFiles, RemoveOldParams
from penelope.adapters.actions.file_rotate import RotateParams, Rotations
from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.log_content import Contents
from penelope.adapters.actions.options import operation, read_options, require_operation
from penelope.adapters.actions.rooted import Place, Root
from penelope.adapters.scanners.secrets import redacted
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot, Tier
from penelope.errors import ActionFailed, CompensationFailed, InputError, InvalidCatalogue, Unavailable
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data

Result = TypeVar("Result")

_LOGS = frozenset({"truncate_log", "rotate"})
_FILE, _CONTENT = "write: the files below root", "the content, mode, owner and time of the file"
_SHOWN_LINES, _SHOWN_CHARACTERS = 200, 300


class FileOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a target: the folder that all paths count from, and the one that keeps what is cut away or removed
    (one of Penelope's own where it is not given). Files larger than `most_bytes` are not replaced or edited, logs larger
    than `most_log_bytes` not cut.
    """

    root: str
    trash: str | None = None
    most_bytes: int = 16 * 1024**2
    most_log_bytes: int = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class _Parts:
    """What carries out the operations of one target. `stop` ends what takes long."""

    root: Root
    entries: Entries
    cuts: Cuts
    rotations: Rotations
    old: OldFiles
    emptying: Emptying
    stop: threading.Event


class FileAdapter:
    """Operations on files, links and logs; all of them below the target's root, through no link, onto no other disk.

    Contents are kept apart from history, by their hash. A change that is no single step is recognised half-done by what
    stands there, and carried to its end.
    """

    name = "file"
    operations = MappingProxyType(
        {
            "replace": operation(
                "Give a file another content", ReplaceParams, _FILE, tier=Tier.SNAPSHOT, snapshots=(_CONTENT,)
            ),
            "edit_lines": operation(
                "Change single lines of a file", EditParams, _FILE, tier=Tier.SNAPSHOT, snapshots=(_CONTENT,)
            ),
            "set_mode": operation(
                "Set who may do what with a file",
                ModeParams,
                _FILE,
                tier=Tier.SNAPSHOT,
                snapshots=("the mode",),
            ),
            "symlink": operation(
                "Let a link lead elsewhere",
                LinkParams,
                _FILE,
                tier=Tier.SNAPSHOT,
                snapshots=("what the link leads to",),
            ),
            "truncate_log": operation(
                "Cut a log, but for its end",
                TruncateParams,
                _FILE,
                "write: trash",
                tier=Tier.SNAPSHOT,
                snapshots=("the log, packed",),
            ),
            "rotate": operation(
                "Set a log aside and begin a new one",
                RotateParams,
                _FILE,
                "write: trash",
                tier=Tier.SNAPSHOT,
                snapshots=("the log, packed",),
            ),
            "remove_old": operation(
                "Move old files into the trash",
                RemoveOldParams,
                _FILE,
                "write: trash",
                tier=Tier.SNAPSHOT,
                snapshots=("the files themselves, in the trash",),
            ),
            "empty_trash": operation(
                "Take away for good what was put into the trash",
                EmptyTrashParams,
                "write: trash",
                tier=Tier.IRREVERSIBLE,
                snapshots=("the list of what lies there",),
            ),
        }
    )

    def __init__(self, keep: Path) -> None:
        self._folder = keep

    @classmethod
    def made(cls, surroundings: Surroundings) -> Self:
        return cls(surroundings.keep)

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        require_operation(self.name, self.operations, operation)
        match operation:
            case "remove_old":
                file_old.check(params)
            case "empty_trash":
                file_empty.check(params)
            case "truncate_log":
                file_log.check(params)
            case "rotate":
                file_rotate.check(params)
            case _:
                file_entry.check(operation, params)

    async def snapshot(self, action: Action) -> Snapshot:
        self.validate(action.operation, action.params)

        def taken(parts: _Parts) -> dict[str, Json]:
            return _part(action, parts).snapshot(parts.root, action)

        return Snapshot(state=await self._run(action, taken))

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        self.validate(action.operation, action.params)

        def shown(parts: _Parts) -> Preview:
            part = _part(action, parts)
            if isinstance(part, OldFiles | Emptying):
                return part.preview(parts.root, action, snapshot.state)
            with parts.root.at(str(action.params["path"])) as place:
                if action.operation in _LOGS:
                    found = place.plain()
                    size = 0 if found is None else found.st_size
                    return Preview(summary=f"{place.path} ({size} bytes) would be made short")
                return self._compared(parts, place, action, snapshot)

        return await self._run(action, shown)

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        def found(parts: _Parts) -> Progress:
            part = _part(action, parts)
            if not isinstance(part, Entries):
                return part.probe(parts.root, action, snapshot.state)
            before, wanted = (from_data(Entry, snapshot.state[name]) for name in ("before", "wanted"))
            with parts.root.at(str(action.params["path"])) as place:
                now = parts.entries.now(place, action)
            if now.shape == wanted.shape:
                return Progress.APPLIED
            return Progress.NOT_APPLIED if now.shape == before.shape else Progress.UNKNOWN

        return await self._seen(action, found)

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        self.validate(action.operation, action.params)

        def done(parts: _Parts) -> str:
            return _part(action, parts).apply(parts.root, action, snapshot.state)

        return Effect(summary=await self._run(action, done))

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        def given_back(parts: _Parts) -> bool:
            return _part(action, parts).give_back(parts.root, action, snapshot.state)

        try:
            returned = await self._run(action, given_back)
        except (ActionFailed, InputError) as error:
            raise CompensationFailed(error.message, hint=error.advice) from error
        what = str(action.params.get("path", action.params.get("folder", "the trash")))
        summary = f"{what} is as it was before" if returned else f"nothing of {what} had changed"
        return Effect(summary=summary, repeated=not returned)

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        def found(parts: _Parts) -> list[Difference]:
            return _part(action, parts).differences(parts.root, action, snapshot.state)

        return await self._seen(action, found)

    async def observe(self, action: Action) -> Mapping[str, Json]:
        def seen(parts: _Parts) -> dict[str, Json]:
            part = _part(action, parts)
            if isinstance(part, OldFiles | Emptying):
                return part.observe(parts.root, action)
            with parts.root.at(str(action.params["path"])) as place:
                if action.operation in _LOGS:
                    return _seen_log(place)
                entry = parts.entries.now(place, action)
                return {**entry.shape, "size": entry.size}

        return await self._seen(action, seen)

    async def _seen(self, action: Action, look: Callable[[_Parts], Result]) -> Result:
        """A way that is no longer plain hides what stands behind it: nothing is known then, of either state."""
        try:
            return await self._run(action, look)
        except ActionFailed as error:
            raise Unavailable(error.message, hint=error.advice) from error

    async def _run(self, action: Action, work: Callable[[_Parts], Result]) -> Result:
        """Works in a thread. Given up, it waits until the thread has come to a stop: nothing happens behind our back."""
        parts = self._parts(action)

        def guarded() -> Result:
            try:
                return work(parts)
            except OSError as error:
                raise Unavailable(f"the files are out of reach: {error.strerror}") from error

        task = asyncio.ensure_future(asyncio.to_thread(guarded))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            parts.stop.set()
            with contextlib.suppress(BaseException):
                await task
            raise

    def _parts(self, action: Action) -> _Parts:
        options = read_options(FileOptions, action.target)
        trash = self._folder / "trash" if options.trash is None else Path(options.trash)
        if not trash.is_absolute() or ".." in trash.parts:
            raise InvalidCatalogue("the option `trash` must be an absolute path of a folder")
        keep, stop = Keep(self._folder), threading.Event()
        contents = Contents(trash, options.most_log_bytes, stop)
        return _Parts(
            Root(options.root),
            Entries(keep, options.most_bytes),
            Cuts(trash, contents),
            Rotations(trash, contents),
            OldFiles(keep, trash, stop),
            Emptying(keep, trash, stop),
            stop,
        )

    def _compared(self, parts: _Parts, place: Place, action: Action, snapshot: Snapshot) -> Preview:
        """What would change, in words and lines; lines of files that hold a secret are masked."""
        wanted = from_data(Entry, snapshot.state["wanted"])
        now, content = parts.entries.read(place, whole=action.operation != "set_mode")
        changed = [key for key, value in now.shape.items() if wanted.shape[key] != value]
        summary = f"{place.path} would change its {', '.join(changed)}" if changed else "nothing would change"
        if action.operation == "set_mode":
            return Preview(summary=summary, diff=f"-mode {now.mode}\n+mode {wanted.mode}\n")
        if action.operation == "symlink":
            return Preview(summary=summary, diff=f"-link {now.link}\n+link {wanted.link}\n")
        fresh = Keep(self._folder).get(wanted.content)
        lines = difflib.unified_diff(_lines(content or b""), _lines(fresh), "before", "after", lineterm="")
        shown = [redacted(line, _SHOWN_CHARACTERS) for line in list(lines)[:_SHOWN_LINES]]
        return Preview(summary=summary, diff="".join(f"{line}\n" for line in shown))


def _part(action: Action, parts: _Parts) -> Entries | Cuts | Rotations | OldFiles | Emptying:
    """What carries an action's operation out."""
    match action.operation:
        case "remove_old":
            return parts.old
        case "empty_trash":
            return parts.emptying
        case "truncate_log":
            return parts.cuts
        case "rotate":
            return parts.rotations
        case _:
            return parts.entries


def _seen_log(place: Place) -> dict[str, Json]:
    found = place.plain_or_linked()
    if found is None:
        return {"kind": "absent", "size": 0}
    digest = hashlib.sha256()
    descriptor = place.open()
    with os.fdopen(descriptor, "rb") as stream:
        while chunk := stream.read(1024 * 1024):
            digest.update(chunk)
    return {"kind": "file", "size": found.st_size, "content": digest.hexdigest()}


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()
