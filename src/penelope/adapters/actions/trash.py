"""The folder that keeps what was cut away or removed: in it one folder for each action, with a label that says whose it is."""

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from penelope.adapters.actions.command_guard import write_durably
from penelope.domain.action import Action

_LABEL = "of.json"
_NAME = re.compile(r"[0-9a-f]{64}")
_LABEL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Label:
    """Which target and action a folder belongs to, and when it was made, in whole epoch seconds."""

    place: str
    key: str
    at: int

    @property
    def incident(self) -> str:
        """The first part of an action's key."""
        return self.key.partition("/")[0]


def place_of(action: Action) -> str:
    return f"{action.target.service}/{action.target.name}"


def bin_of(trash: Path, key: str) -> Path:
    """The folder of one action."""
    return trash / hashlib.sha256(key.encode()).hexdigest()


def made(trash: Path, action: Action) -> Path:
    """Makes the folder of an action, and labels it anew: what is put into it is young."""
    folder = bin_of(trash, action.key)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    label = Label(place_of(action), action.key, int(time.time()))
    write_durably(folder / _LABEL, msgspec.json.encode(asdict(label)))
    settle(trash)
    return folder


def label_of(folder: Path) -> Label | None:
    """What the label says; None for a folder that is not ours, or not there."""
    try:
        descriptor = os.open(folder / _LABEL, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            return msgspec.json.decode(stream.read(_LABEL_BYTES), type=Label)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def labelled(trash: Path) -> Iterator[tuple[Path, Label]]:
    """The folders of actions in a trash, links and what has no sound label left out."""
    try:
        names = sorted(os.listdir(trash))  # noqa: PTH208 - names, not paths
    except FileNotFoundError:
        return
    for name in names:
        folder = trash / name
        if not _NAME.fullmatch(name) or not stat.S_ISDIR(folder.lstat().st_mode):
            continue
        label = label_of(folder)
        # A label that was carried into another folder names an action that did not fill it.
        if label is not None and bin_of(trash, label.key) == folder:
            yield folder, label


def size_of(folder: Path) -> int:
    """The bytes of the files in an action's folder, its label not counted."""
    with os.scandir(folder) as entries:
        return sum(
            entry.stat(follow_symlinks=False).st_size
            for entry in entries
            if entry.name != _LABEL and entry.is_file(follow_symlinks=False)
        )


def settle(folder: Path) -> None:
    """Puts what happened to a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
