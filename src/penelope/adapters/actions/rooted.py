"""Walks below one folder and never out of it: component by component, from one open folder to the next, no link followed."""

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from penelope.errors import ActionFailed, InvalidCatalogue, InvalidPlaybook, Unavailable

MOST_PATH_CHARACTERS = 1000
_GIT_FOLDER = re.compile(r"\.git|git~\d+", re.IGNORECASE)
_OURS = ".penelope-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def check_path(path: str) -> str:
    """The path itself. Raises InvalidPlaybook unless it is plain, relative, and outside of git's own folder and ours."""
    shown = ascii(path[:120])
    if not path or len(path) > MOST_PATH_CHARACTERS:
        raise InvalidPlaybook(f"a path has 1 to {MOST_PATH_CHARACTERS} characters")
    if any(unicodedata.category(character)[0] == "C" for character in path):
        raise InvalidPlaybook(f"the path {shown} contains control or invisible characters")
    if path.startswith("/"):
        raise InvalidPlaybook(f"the path {shown} is absolute", hint="Paths count from the target's root.")
    if "\\" in path:
        raise InvalidPlaybook(f"the path {shown} is written the Windows way")
    for component in path.split("/"):
        plain = component.split(":")[0].rstrip(" .")
        if not plain:
            raise InvalidPlaybook(f"the path {shown} leaves the root, or is not plain")
        if _GIT_FOLDER.fullmatch(plain):
            raise InvalidPlaybook(f"the path {shown} lies in git's own folder")
        if component.startswith(_OURS):
            raise InvalidPlaybook(f"the path {shown} is of Penelope's own")
    return path


def aside_name(key: str) -> str:
    """The name under which an action prepares what it then puts in place."""
    return f"{_OURS}{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def walkable(name: str) -> bool:
    """Whether a folder found on a walk is neither git's nor ours."""
    return not _GIT_FOLDER.fullmatch(name) and not name.startswith(_OURS)


def kind_of(found: os.stat_result) -> str:
    """What stands at a place, in words; nothing for a plain file."""
    return next((words for test, words in _KINDS if test(found.st_mode)), "")


@dataclass(frozen=True, slots=True)
class Place:
    """A name in an open folder."""

    folder: int
    name: str
    path: str

    def look(self) -> os.stat_result | None:
        """What stands there, a link itself and not what it leads to; None for nothing."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def plain(self) -> os.stat_result | None:
        """The plain file that stands there, None for nothing. Raises ActionFailed for anything else."""
        found = self.plain_or_linked()
        if found is not None and found.st_nlink > 1:
            raise ActionFailed(f"{self.path!a} has {found.st_nlink} hard links: it stands elsewhere, too")
        return found

    def plain_or_linked(self) -> os.stat_result | None:
        """Like `plain`, but a file may stand elsewhere, too."""
        found = self.look()
        if found is not None and (words := kind_of(found)):
            raise ActionFailed(f"{self.path!a} is {words}, no plain file")
        return found

    def open(self, flags: int = os.O_RDONLY) -> int:
        """A descriptor of the file there; a pipe or device put in its place meanwhile is refused, and never waited for."""
        descriptor = os.open(
            self.name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.folder
        )
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise ActionFailed(f"{self.path!a} is no plain file any more")

    def beside(self, name: str) -> "Place":
        """Another name in the same folder."""
        return Place(self.folder, name, name)

    def remove(self) -> None:
        """Takes the name away; nothing happens where it is not there."""
        try:
            os.unlink(self.name, dir_fd=self.folder)
        except FileNotFoundError:
            return
        self.settle()

    def settle(self) -> None:
        """Puts what happened to the folder on the disk."""
        os.fsync(self.folder)


class Root:
    """The folder that a target's paths count from. Raises InvalidCatalogue where it is not an absolute path."""

    def __init__(self, root: str) -> None:
        path = Path(root)
        if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2 or "\0" in root:
            raise InvalidCatalogue("the option `root` must be an absolute path of a folder, and not / itself")
        self.path = path

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Raises Unavailable where the folder is not there."""
        try:
            descriptor = os.open(self.path, _FOLDER)
        except OSError as error:
            raise Unavailable(f"the root cannot be opened: {error.strerror}") from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def at(self, path: str) -> Iterator[Place]:
        """The place of a path, whose folders must exist. Raises ActionFailed where the way there is not plain."""
        *folders, name = check_path(path).split("/")
        with self.opened() as root:
            device = os.fstat(root).st_dev
            descriptor = os.dup(root)
            try:
                for folder in folders:
                    below = entered(descriptor, folder, path, device)
                    os.close(descriptor)
                    descriptor = below
                yield Place(descriptor, name, path)
            finally:
                os.close(descriptor)


def entered(folder: int, name: str, path: str, device: int) -> int:
    """A descriptor of a folder in an open folder. Raises ActionFailed where it is none, or of another file system."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            raise ActionFailed(f"the path {path!a} leads through a symbolic link")
        descriptor = os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        raise ActionFailed(f"the path {path!a} leads through a folder that is not there") from None
    except NotADirectoryError:
        raise ActionFailed(f"the path {path!a} leads through what is no folder") from None
    if os.fstat(descriptor).st_dev == device:
        return descriptor
    os.close(descriptor)
    raise ActionFailed(f"the path {path!a} leads onto another file system")
