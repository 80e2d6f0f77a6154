"""A private folder for one rehearsal. What a killed Penelope left of one is taken away by the next."""

import asyncio
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from penelope.adapters.twin import cgroups

_PREFIX = "penelope-twin-"
_LOCK = "lock"
_UNLOCKED_SECONDS = 3600.0


@asynccontextmanager
async def workshop() -> AsyncIterator[Path]:
    """A folder for this rehearsal alone, which is gone afterwards. Raises OSError."""
    await asyncio.to_thread(sweep)
    folder, lock = await asyncio.to_thread(_made)
    try:
        inner = folder / "work"
        inner.mkdir()
        yield inner
    finally:
        await asyncio.shield(asyncio.to_thread(_removed, folder))
        os.close(lock)


def sweep() -> None:
    """Takes away what rehearsals left whose process is gone: the lock on a folder goes with its process."""
    cgroups.sweep()
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            about = folder.lstat()
            if (
                not folder.is_symlink()
                and about.st_uid == os.geteuid()
                and _abandoned(folder, about.st_mtime)
            ):
                _removed(folder)


def _abandoned(folder: Path, changed_at: float) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return time.time() - changed_at > _UNLOCKED_SECONDS  # one that is being made has none for a moment
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _made() -> tuple[Path, int]:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    # Locked under another name first: a lock that is to be seen is held.
    lock = os.open(folder / f".{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / f".{_LOCK}").rename(folder / _LOCK)
    return folder, lock


def _removed(folder: Path) -> None:
    def opened(_: object, path: str, __: object) -> None:
        # A copy may hold folders that even their owner must not write in.
        with suppress(OSError):
            Path(path).parent.chmod(0o700)
            if Path(path).is_dir() and not Path(path).is_symlink():
                Path(path).chmod(0o700)
                shutil.rmtree(path, ignore_errors=True)
            else:
                Path(path).unlink()

    shutil.rmtree(folder, onerror=opened)
    shutil.rmtree(folder, ignore_errors=True)
