"""Worlds of real files: a folder that is full of what nobody needs, and a log that a program fills."""

import asyncio
import hashlib
import os
import shutil
import stat
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from penelope.domain.service import Service, Target
from penelope.kit.canonical import Json
from penelope.testing import log_writer
from penelope.testing.detached import Detached, until
from penelope.testing.worlds import World

_QUOTA_BYTES = 100_000
_FULL, _FINE = 0.9, 0.8
_LOG_BYTES = 200_000
_OLD, _OLD_LINES = b" an old line", 10_000
_TWO_DAYS_SECONDS = 2 * 86_400


class FullFolder(World):
    """A cache below a quota, full of files that were last used two days ago."""

    playbook = "clear-disk-space"
    thing = "real files in a folder with a quota"
    real = True
    signal_name = "DiskAlmostFull"

    def __init__(self) -> None:
        self._folder = Path()
        self._opened = time.time()  # of which all times in it are made, so that they are alike in each trial

    @property
    def _cache(self) -> Path:
        return self._folder / "cache"

    async def open(self, folder: Path) -> None:
        self._folder = folder
        await self.reset()

    async def close(self) -> None:
        """Nothing runs."""

    async def reset(self) -> None:
        await asyncio.to_thread(self._made)

    async def break_it(self) -> None:
        await asyncio.to_thread(self._filled)

    def service(self) -> Service:
        options = {"root": str(self._cache), "trash": str(self._folder / "trash")}
        target = Target(name="cache", service="files", adapter="file", options=options)
        return Service(name="files", owner="team files", tier=3, targets={"cache": target})

    async def healthy(self) -> bool:
        return await asyncio.to_thread(self._used) <= _FINE

    async def state(self) -> Json:
        return await asyncio.to_thread(self._seen)

    async def gauges(self) -> Mapping[str, float]:
        return {"disk_used_ratio": await asyncio.to_thread(self._used)}

    def _made(self) -> None:
        for name in ("cache", "trash"):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        (self._cache / "thumbnails").mkdir(parents=True)
        for number in range(5):
            file = self._cache / "thumbnails" / f"fresh-{number}.tmp"
            file.write_bytes(b"f" * 1000)
            os.utime(file, (self._opened, self._opened))
        (self._cache / "index.db").write_bytes(b"i" * 5000)
        os.utime(self._cache / "index.db", (1, 1))

    def _filled(self) -> None:
        long_ago = self._opened - _TWO_DAYS_SECONDS
        for number in range(22):
            file = self._cache / ("thumbnails" if number % 2 else "") / f"old-{number:02d}.tmp"
            file.write_bytes(bytes([65 + number]) * 4000)
            os.utime(file, (long_ago + number, long_ago + number))

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        """What is there; an action that runs meanwhile may take a file away between the list and the look."""
        found = []
        for path in sorted(self._cache.rglob("*")):
            with suppress(FileNotFoundError):
                found.append((path, path.stat()))
        return [(path, about) for path, about in found if stat.S_ISREG(about.st_mode)]

    def _used(self) -> float:
        return sum(about.st_size for _, about in self._files()) / _QUOTA_BYTES

    def _seen(self) -> Json:
        seen = []
        for path, about in self._files():
            with suppress(FileNotFoundError):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                name = str(path.relative_to(self._cache))
                seen.append([name, f"{about.st_mode:o}", str(about.st_mtime_ns), digest])
        return seen


class FullLog(World):
    """A log that has outgrown its limit, while its program goes on writing into it."""

    playbook = "rotate-full-log"
    thing = "a real log, and a real process that appends to it"
    real = True
    signal_name = "LogAlmostFull"

    def __init__(self) -> None:
        self._folder = Path()
        self._writer: Detached | None = None

    @property
    def _log(self) -> Path:
        return self._folder / "log" / "app.log"

    async def open(self, folder: Path) -> None:
        self._folder = folder
        self._log.parent.mkdir(parents=True)
        self._writer = Detached([sys.executable, "-I", "-S", log_writer.__file__, str(self._log)])
        await until(self._log.exists, "its program does not write")

    async def close(self) -> None:
        if self._writer is not None:
            await self._writer.end()

    async def reset(self) -> None:
        shutil.rmtree(self._folder / "trash", ignore_errors=True)
        os.truncate(self._log, 0)

    async def break_it(self) -> None:
        old = b"".join(b"%08d%s\n" % (number, _OLD) for number in range(_OLD_LINES))
        with self._log.open("ab", buffering=0) as stream:
            stream.write(
                old
            )  # at once: its program writes meanwhile, and would come between two halves of a line

    def service(self) -> Service:
        options = {"root": str(self._log.parent), "trash": str(self._folder / "trash")}
        target = Target(name="logs", service="writer", adapter="file", options=options)
        return Service(name="writer", owner="team writer", tier=3, targets={"logs": target})

    async def healthy(self) -> bool:
        """Its log has room, and its program is alive and writes into it."""
        if self._writer is None or not self._writer.running():
            return False
        before = self._size()
        await asyncio.sleep(0.1)
        return self._ratio() <= _FINE and self._size() > before

    async def state(self) -> Json:
        """Which of the old lines are there. How many a cut keeps depends on what its program wrote before it."""
        lines = (await asyncio.to_thread(self._log.read_bytes)).split(b"\n")
        old = [int(line[:8]) for line in lines if line[8:] == _OLD and line[:8].isdigit()]
        if not old:
            return {"old lines": "none"}
        return {
            "old lines": "all" if old[0] == 0 else "the end",
            "in order": old == list(range(old[0], _OLD_LINES)),
        }

    async def gauges(self) -> Mapping[str, float]:
        return {"log_used_ratio": self._ratio()}

    def _size(self) -> int:
        return self._log.stat().st_size

    def _ratio(self) -> float:
        return self._size() / (_LOG_BYTES * _FULL)
