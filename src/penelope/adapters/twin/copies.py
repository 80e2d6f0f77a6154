"""Copies of what a plan would change. No link is followed out of what is copied, and none can be written through."""

import asyncio
import os
import sqlite3
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from penelope.adapters.actions.git import Repository
from penelope.adapters.actions.git_patch import GitOptions
from penelope.adapters.actions.options import read_options
from penelope.domain.service import Target
from penelope.kit.canonical import Json

_LINK, _SUBMODULE = "120000", "160000"
_CHUNK = 1 << 20
_SQLITE = "sqlite:///"
_DEEPEST = 100


class CannotCopy(Exception):
    """Why there can be no copy of a target."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that one copy may hold."""

    size: int
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy of a target: `folder` holds it, `options` lead an adapter there. `notes` say what was left out."""

    folder: Path
    options: Mapping[str, Json]
    notes: tuple[str, ...] = ()


async def copied(target: Target, place: Path, bounds: Bounds) -> Copy:
    """A copy of a target below the folder `place`. Raises CannotCopy, PenelopeError, OSError."""
    await asyncio.to_thread(place.mkdir)
    if target.adapter == "git_patch":
        return await _git(target, place, bounds)
    if target.adapter == "file":
        return await asyncio.to_thread(_folder, target, place, bounds)
    if target.adapter == "sql":
        return await asyncio.to_thread(_sqlite, target, place, bounds)
    raise CannotCopy(f"there are no copies of {target.adapter} targets")


def obstacle(target: Target) -> str:
    """Why a target cannot be copied, as far as can be said without looking; nothing where it may be."""
    match target.adapter:
        case "git_patch" | "file":
            return ""
        case "sql" if _database_of(target) is not None or served(target):
            return ""
        case "sql":
            return (
                "only SQLite files are copied, and PostgreSQL databases for which the option `twin` says so"
            )
        case _:
            return f"there are no copies of {target.adapter} targets"


def served(target: Target) -> bool:
    """Whether its copy is a server, see pg_scratch.py, and no folder."""
    url = target.options.get("url")
    return (
        target.adapter == "sql"
        and isinstance(target.options.get("twin"), Mapping)
        # The scheme may come from a secret, with all the rest.
        and isinstance(url, str)
        and url.startswith(("postgresql://", "postgres://", "secret://"))
    )


def check(folder: Path, bounds: Bounds) -> None:
    """Looks through a copy that was changed, before anybody reads it again. Raises CannotCopy for what leads out."""
    size = files = 0
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            about = path.lstat()
            files, size = files + 1, size + about.st_size
            if stat.S_ISLNK(about.st_mode):
                inside = path.relative_to(folder)
                if _leaves(PurePosixPath(inside.parent), str(path.readlink())):
                    raise CannotCopy(f"the link {str(inside)!a} leads out of the copy")
            elif not stat.S_ISREG(about.st_mode) and not stat.S_ISDIR(about.st_mode):
                raise CannotCopy(f"{str(path.relative_to(folder))!a} is no file")
            _within(size, files, bounds)


def _within(size: int, files: int, bounds: Bounds) -> None:
    if size > bounds.size:
        raise CannotCopy(f"it holds more than {bounds.size} bytes (setting twin.copy_mib)")
    if files > bounds.files:
        raise CannotCopy(f"it holds more than {bounds.files} files (setting twin.copy_files)")


def _leaves(folder: PurePosixPath, link: str) -> bool:
    """Whether a link that lies in a folder of the copy leads out of it, by its text."""
    if link.startswith("/"):
        return True
    depth = len(folder.parts)
    for part in PurePosixPath(link).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


# --- git --------------------------------------------------------------------------------------------------


async def _git(target: Target, place: Path, bounds: Bounds) -> Copy:
    """A working tree at HEAD with a configuration of its own: no hook, filter or driver of the other one is known to it."""
    source = Repository(Path(read_options(GitOptions, target).repository))
    head = await source.text("rev-parse", "--verify", "HEAD^{commit}")
    branch = await source.text("rev-parse", "--abbrev-ref", "HEAD")
    form = await source.text("rev-parse", "--show-object-format")
    objects = (source.path / await source.text("rev-parse", "--git-path", "objects")).resolve()
    if any(character in str(objects) for character in '\n\r"') or str(objects).startswith("#"):
        raise CannotCopy("the path of the repository's objects cannot be written down")
    notes = await _surveyed(source, head, bounds)
    tree = place / "tree"
    tree.mkdir()
    copy = Repository(tree)
    start = "twin" if branch == "HEAD" else branch
    await copy.run(
        "init", "-q", "--template=", f"--object-format={form}", f"--initial-branch={start}",
        f"--separate-git-dir={place / 'git'}", ".",
    )  # fmt: skip
    (place / "git" / "objects" / "info").mkdir(exist_ok=True)
    (place / "git" / "objects" / "info" / "alternates").write_text(f"{objects}\n")
    await copy.run("update-ref", f"refs/heads/{start}", head)
    await copy.run("read-tree", head)
    await copy.run("checkout-index", "--all", "--force")
    await asyncio.to_thread(check, tree, bounds)
    return Copy(folder=tree, options={**target.options, "repository": str(tree)}, notes=notes)


async def _surveyed(source: Repository, head: str, bounds: Bounds) -> tuple[str, ...]:
    """What of a commit is left out. Raises CannotCopy before anything of it is written."""
    size = files = 0
    notes = []
    for entry in await source.names("ls-tree", "-r", "-l", "-z", head):
        about, _, path = entry.partition("\t")
        mode, _, blob, length = about.split()
        if mode == _SUBMODULE:
            notes.append(f"the submodule {path!a} is left out")
            continue
        files, size = files + 1, size + int(length)
        _within(size, files, bounds)
        if mode == _LINK:
            link = os.fsdecode(await source.run("cat-file", "blob", blob))
            if _leaves(PurePosixPath(path).parent, link):
                raise CannotCopy(f"the link {path!a} leads out of the repository")
    return tuple(notes)


# --- folders ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Filling:
    bounds: Bounds
    size: int = 0
    files: int = 0
    notes: list[str] = field(default_factory=list)


def _folder(target: Target, place: Path, bounds: Bounds) -> Copy:
    root = Path(str(target.options.get("root", "")))
    if not root.is_absolute():
        raise CannotCopy("its option `root` names no folder")
    filling = _Filling(bounds)
    source = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        (place / "tree").mkdir()
        _fill(source, PurePosixPath(), place / "tree", filling)
    finally:
        os.close(source)
    check(place / "tree", bounds)
    # Any other text may be a path too, such as that of a folder for what is removed: it would be the real one.
    plain = {name: value for name, value in target.options.items() if not isinstance(value, str)}
    options = {**plain, "root": str(place / "tree")}
    return Copy(folder=place / "tree", options=options, notes=tuple(filling.notes[:10]))


def _fill(source: int, inside: PurePosixPath, copy: Path, filling: _Filling) -> None:
    """Goes through open folders, never through paths: what becomes a link meanwhile is not followed."""
    if len(inside.parts) > _DEEPEST:
        # Each level holds a folder open, of which a process may have so many.
        raise CannotCopy(f"it nests more than {_DEEPEST} folders deep")
    for name in sorted(os.listdir(source)):
        about = os.stat(name, dir_fd=source, follow_symlinks=False)
        filling.files += 1
        _within(filling.size, filling.files, filling.bounds)
        path, here = inside / name, copy / name
        if stat.S_ISLNK(about.st_mode):
            link = os.readlink(name, dir_fd=source)
            if _leaves(inside, link):
                filling.notes.append(f"the link {str(path)!a} leads out and is left out")
            else:
                here.symlink_to(link)
        elif stat.S_ISDIR(about.st_mode):
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
            try:
                here.mkdir()
                _fill(below, path, here, filling)
            finally:
                os.close(below)
            here.chmod(stat.S_IMODE(about.st_mode) & 0o777 | 0o700)
        elif stat.S_ISREG(about.st_mode):
            _copy_file(source, name, here, filling)
        else:
            filling.notes.append(f"{str(path)!a} is no file and is left out")


def _copy_file(source: int, name: str, here: Path, filling: _Filling) -> None:
    # Not waiting, should it have become a pipe meanwhile.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    opened = os.open(name, flags, dir_fd=source)
    with os.fdopen(opened, "rb") as reader, here.open("xb") as writer:
        about = os.fstat(opened)
        if not stat.S_ISREG(about.st_mode):
            raise CannotCopy(f"{name!a} was replaced while it was copied")
        while chunk := reader.read(_CHUNK):
            filling.size += len(chunk)
            _within(filling.size, filling.files, filling.bounds)
            writer.write(chunk)
    here.chmod(stat.S_IMODE(about.st_mode) & 0o777)
    os.utime(here, ns=(about.st_atime_ns, about.st_mtime_ns))


# --- SQLite -----------------------------------------------------------------------------------------------


def _database_of(target: Target) -> tuple[str, Path] | None:
    """The option that names a SQLite file, and the file; None for a target that is something else."""
    for name, value in target.options.items():
        if isinstance(value, str) and value.startswith(_SQLITE):
            return name, Path(value.removeprefix(_SQLITE))
    for name in ("file", "path"):
        value = target.options.get(name)
        if isinstance(value, str):
            return name, Path(value)
    return None


def _sqlite(target: Target, place: Path, bounds: Bounds) -> Copy:
    """A copy as of one moment, whoever writes meanwhile."""
    found = _database_of(target)
    if found is None:
        raise CannotCopy(obstacle(target))
    option, file = found
    _within(file.stat().st_size, 1, bounds)
    (place / "tree").mkdir()
    copy = place / "tree" / file.name
    source = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=5)
    try:
        ours = sqlite3.connect(copy)
        try:
            source.backup(ours, pages=1024, progress=lambda *_: _within(copy.stat().st_size, 1, bounds))
        finally:
            ours.close()
    except sqlite3.Error as error:
        raise CannotCopy(f"the database cannot be copied: {error}") from error
    finally:
        source.close()
    prefix = _SQLITE if str(target.options[option]).startswith(_SQLITE) else ""
    return Copy(folder=place / "tree", options={**target.options, option: f"{prefix}{copy}"})
