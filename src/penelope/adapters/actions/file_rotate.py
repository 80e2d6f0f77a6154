"""Sets a log aside under another name and begins a new one, without an instant in which there is none."""

import gzip
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from penelope.adapters.actions.log_content import Contents, Log, Stage, opened
from penelope.adapters.actions.options import read_params
from penelope.adapters.actions.rooted import Place, Root, aside_name, check_path
from penelope.domain.action import Action, Difference, Progress
from penelope.errors import ActionFailed, CompensationFailed, InvalidPlaybook
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data


class RotateParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The log at `path` becomes `to`, a name in the same folder that is free, and `path` an empty file. `compress` makes
    it ``<to>.gz``: only where nobody has it open any more, for what is written into it then is lost.
    """

    path: str
    to: str
    compress: bool = False


def check(params: Mapping[str, Json]) -> None:
    """Raises InvalidPlaybook."""
    rotate = read_params(RotateParams, params)
    check_path(rotate.path)
    check_path(rotate.to)
    if "/" in rotate.to:
        raise InvalidPlaybook("`to` is a name in the log's own folder")
    if rotate.to == rotate.path.rpartition("/")[2]:
        raise InvalidPlaybook("the log would be set aside under its own name")


class Rotations:
    """The operation `rotate`."""

    def __init__(self, trash: Path, contents: Contents) -> None:
        self._trash = trash
        self._contents = contents

    def snapshot(self, root: Root, action: Action) -> dict[str, Json]:
        with root.at(str(action.params["path"])) as place:
            self._require_free(place, action)
            return {"log": to_data(self._contents.taken(place, action))}

    def probe(self, root: Root, action: Action, state: Mapping[str, Json]) -> Progress:
        with root.at(str(action.params["path"])) as place:
            return self._probe_rotated(place, action, from_data(Log, state["log"]))

    def apply(self, root: Root, action: Action, state: Mapping[str, Json]) -> str:
        with root.at(str(action.params["path"])) as place:
            self._rotate(place, action, from_data(Log, state["log"]))
            return f"{place.path} was set aside"

    def give_back(self, root: Root, action: Action, state: Mapping[str, Json]) -> bool:
        """Whether there was something to give back."""
        with root.at(str(action.params["path"])) as place:
            return self._rotate_back(place, action, from_data(Log, state["log"]))

    def differences(self, root: Root, action: Action, state: Mapping[str, Json]) -> list[Difference]:
        log = from_data(Log, state["log"])
        with root.at(str(action.params["path"])) as place:
            same = place.look() is not None and self._contents.begins_with(place, log)
            there = [aside.path for aside in self._asides(place, action) if aside.look() is not None]
        found = [Difference(subject=path, before="absent", now="there") for path in there]
        if not same:
            found.append(Difference(subject="content", before=log.content, now="changed"))
        return found

    def _asides(self, place: Place, action: Action) -> list[Place]:
        to = read_params(RotateParams, action.params).to
        return [place.beside(to), place.beside(f"{to}.gz")]

    def _require_free(self, place: Place, action: Action) -> None:
        for aside in self._asides(place, action):
            if aside.look() is not None:
                raise ActionFailed(f"{aside.path!a} is there already")

    def _probe_rotated(self, place: Place, action: Action, log: Log) -> Progress:
        present = place.plain_or_linked()
        aside, packed = (item.look() for item in self._asides(place, action))
        compress = read_params(RotateParams, action.params).compress
        stage = Stage(self._trash, action.key)
        if stage.rest.exists():
            return Progress.PARTIAL
        if aside is not None and str(aside.st_ino) != log.inode:
            return Progress.UNKNOWN
        if aside is None and packed is None:
            same = present is not None and self._contents.begins_with(place, log)
            return Progress.NOT_APPLIED if same else Progress.UNKNOWN
        if present is None or str(present.st_ino) == log.inode:
            return Progress.PARTIAL
        return Progress.PARTIAL if compress and aside is not None else Progress.APPLIED

    def _rotate(self, place: Place, action: Action, log: Log) -> None:
        aside, packed = self._asides(place, action)
        if self._probe_rotated(place, action, log) is Progress.UNKNOWN:
            raise ActionFailed(f"{place.path!a} or {aside.path!a} was changed by somebody else")
        present = place.look()
        if present is not None and str(present.st_ino) == log.inode:
            if aside.look() is None:
                os.link(place.name, aside.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
            self._renewed(place, action, log)
        if read_params(RotateParams, action.params).compress and aside.look() is not None:
            self._compress(aside, packed, action)
        place.settle()

    def _renewed(self, place: Place, action: Action, log: Log) -> None:
        """An empty file in the log's place, in one step: the path is never without one."""
        fresh = place.beside(aside_name(action.key))
        fresh.remove()
        descriptor = os.open(
            fresh.name,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
            dir_fd=fresh.folder,
        )
        try:
            if os.geteuid() == 0:
                os.fchown(descriptor, *log.owner)
            os.fchmod(descriptor, int(log.mode, 8))
        finally:
            os.close(descriptor)
        os.rename(fresh.name, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)

    def _compress(self, aside: Place, packed: Place, action: Action) -> None:
        fresh = aside.beside(aside_name(action.key))
        fresh.remove()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with (
            opened(aside, os.O_RDONLY) as source,
            os.fdopen(os.open(fresh.name, flags, 0o600, dir_fd=fresh.folder), "wb") as stream,
        ):
            with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packing:
                for chunk in self._contents.chunks(source, 0, os.fstat(source).st_size):
                    packing.write(chunk)
            os.fchmod(stream.fileno(), os.fstat(source).st_mode & 0o777)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(fresh.name, packed.name, src_dir_fd=fresh.folder, dst_dir_fd=fresh.folder)
        aside.settle()
        aside.remove()

    def _rotate_back(self, place: Place, action: Action, log: Log) -> bool:
        aside, packed = self._asides(place, action)
        progress = self._probe_rotated(place, action, log)
        if progress is Progress.NOT_APPLIED:
            place.beside(aside_name(action.key)).remove()
            return False
        if progress is Progress.UNKNOWN:
            raise CompensationFailed(f"{place.path!a} or {aside.path!a} was changed by somebody else since")
        stage, present, kept = Stage(self._trash, action.key), place.look(), aside.look()
        if kept is not None and not stage.rest.exists() and _may_return(present, log):
            if present is not None and str(present.st_ino) == log.inode:
                aside.remove()
            else:
                os.rename(aside.name, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
            packed.remove()
        else:
            self._require_unwritten(aside, log)
            self._contents.prepend(place, action, log, skip=0)
            packed.remove()
            aside.remove()
            # Last: as long as there is a rest, all of this is done again after a crash, and comes to the same.
            stage.over()
        place.beside(aside_name(action.key)).remove()
        place.settle()
        return True

    def _require_unwritten(self, aside: Place, log: Log) -> None:
        """The file set aside must be as it was: both files grew where the program writes into the old one still."""
        found = aside.look()
        if found is not None and found.st_size != log.size:
            raise CompensationFailed(
                f"{aside.path!a} and the new log were both written to since",
                hint="Join them by hand; nothing was taken away.",
            )


def _may_return(present: os.stat_result | None, log: Log) -> bool:
    """Whether the old file can simply take its place again: nothing was written into the new one."""
    return present is None or present.st_size == 0 or str(present.st_ino) == log.inode
