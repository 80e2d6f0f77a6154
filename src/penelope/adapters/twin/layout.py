"""What a sandbox sees of the machine: programs and libraries, read-only, and nothing else."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

INSIDE = "/.penelope"
"""Where the launcher and the copies lie in a sandbox."""
_PROGRAMS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl/certs", "mime.types", "localtime")
_ETC_FOLDERS = ("/etc/ssl/certs", f"{INSIDE}/source/0")
_ETC_FILES = Path(__file__).parent / "etc"
_SCRIPTS = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder that can be written in, in memory; `source` is a copy outside, with whose content it begins."""

    path: str
    size: int
    files: int
    source: Path | None = None


def arguments(places: Sequence[Place], also: Sequence[Path], seen_at: Mapping[str, Path]) -> Iterator[str]:
    """The arguments for bubblewrap that lay the files out. `also` are further folders to be seen, read-only; `seen_at` are
    files and folders that are seen under another path.
    """
    yield from _programs()
    seen = [*map(Path, _ETC_FOLDERS), *dict.fromkeys([Path(sys.base_prefix), Path(sys.prefix), *also])]
    yield from _open(seen)
    for file in sorted(_ETC_FILES.iterdir()):
        yield from ("--ro-bind", str(file), f"/etc/{file.name}")
    for name in _ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    for path in seen[len(_ETC_FOLDERS) :]:
        if not path.is_relative_to("/usr"):
            yield from ("--ro-bind", str(path), str(path))
    yield from ("--proc", "/proc", "--dev", "/dev")
    yield from _written(places)
    for script in ("inside.py", "replaying.py", "serving.py"):
        yield from ("--ro-bind", str(_SCRIPTS / script), f"{INSIDE}/{script}")
    yield from _open([Path(path) for path in seen_at if not path.startswith("/etc/")])
    for name, source in seen_at.items():
        yield from ("--ro-bind", str(source), name)
    # /dev keeps what bubblewrap made there, and takes nothing more: it would lie outside of every limit.
    yield from ("--remount-ro", "/dev", "--remount-ro", "/")


def _written(places: Sequence[Place]) -> Iterator[str]:
    """Where each place will be, and from what it will be filled."""
    for place in places:
        if place.path != "/dev/shm":  # noqa: S108 - it is there already, in the sandbox
            yield from ("--perms", "0755", "--dir", place.path)
    for number, place in enumerate(places):
        if place.source is not None:
            yield from ("--ro-bind", str(place.source), source_of(number))


def _programs() -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for name in _PROGRAMS:
        path = Path(name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), name)
        elif path.is_dir():
            yield from ("--ro-bind", name, name)


def source_of(number: int) -> str:
    """Where in a sandbox the copy lies from which its place of that number is filled."""
    return f"{INSIDE}/source/{number}"


def interpreter() -> str:
    """The interpreter that runs the launcher: the real file, for a venv's link may lead out of what is seen."""
    return os.path.realpath(sys.executable)


def launcher() -> tuple[str, ...]:
    """The command that runs the launcher; the order comes as its argument. No site: what is installed stays unread."""
    return (interpreter(), "-I", "-S", "-B", f"{INSIDE}/inside.py")


def _open(paths: Sequence[Path]) -> Iterator[str]:
    """Makes the folders above these, so that anybody may pass: left to itself bubblewrap makes some for one user only."""
    above = dict.fromkeys(folder for path in paths for folder in reversed(path.parents))
    for folder in above:
        if folder != Path("/") and not folder.is_relative_to("/usr"):
            yield from ("--perms", "0755", "--dir", str(folder))
