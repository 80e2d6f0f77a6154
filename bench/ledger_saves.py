"""How many saves of units of work a second are durable, beside what the disk can do: raw fdatasync of the same run."""

import asyncio
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

from _ground import change, nobody, postgresql

from penelope.kit.clock import SystemClock
from penelope.store.database import migrate, open_engine, parse_url
from penelope.store.group import GroupCommit

SECONDS = 3.0
ROUNDS = 3
NUMBERS = itertools.count()


def fdatasync_rate(folder: Path, seconds: float) -> float:
    """Writes of one page made durable one after the other, a second."""
    descriptor = os.open(folder / "raw", os.O_RDWR | os.O_CREAT)
    page, begun, count = b"x" * 4096, time.perf_counter(), 0
    try:
        while time.perf_counter() - begun < seconds:
            os.pwrite(descriptor, page, count * 4096 % (1 << 26))
            os.fdatasync(descriptor)
            count += 1
    finally:
        os.close(descriptor)
    return count / (time.perf_counter() - begun)


async def rate(group: GroupCommit, callers: int, seconds: float) -> tuple[float, float]:
    """Saves a second by so many callers, each waiting for its answer, and the 99th percentile of a save in seconds."""
    until, took = time.perf_counter() + seconds, []

    async def caller() -> None:
        while (begun := time.perf_counter()) < until:
            await group.save(change(next(NUMBERS)))
            took.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    spent = time.perf_counter() - begun
    return len(took) / spent, sorted(took)[int(len(took) * 0.99)]


async def measure(url: str, folder: Path, callers: tuple[int, ...]) -> None:
    engine = open_engine(parse_url(url))
    try:
        await migrate(engine)
        group = GroupCommit(engine, SystemClock(), nobody())
        await rate(group, 4, 0.5)
        for number in callers:
            found = []
            for _ in range(ROUNDS):
                raw = fdatasync_rate(folder, 0.7)
                saves, p99 = await rate(group, number, SECONDS / ROUNDS)
                found.append((saves / raw, saves, raw, p99))
            ratio, saves, raw, p99 = sorted(found)[ROUNDS // 2]
            print(
                f"  {number:>3} callers  {saves:>8,.0f} saves/s  raw fdatasync {raw:>7,.0f}/s  "
                f"ratio {ratio:.2f}  p99 {p99 * 1000:.1f} ms"
            )
        await group.close()
    finally:
        await engine.dispose()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="penelope-bench-") as name:
        folder = Path(name)
        print("SQLite, WAL, synchronous=FULL")
        asyncio.run(measure(f"sqlite:///{folder}/penelope.db", folder, (1, 16, 256)))
        print("PostgreSQL, synchronous_commit=on")
        with postgresql() as url:
            asyncio.run(measure(url, folder, (1, 16, 256)))


if __name__ == "__main__":
    sys.exit(main())
