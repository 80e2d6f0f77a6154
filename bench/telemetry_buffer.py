"""Recording telemetry beside a bare list: what `record()` costs, with 1 and 4 threads, and how long a call takes."""

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Sequence
from threading import Barrier, Thread

from _ground import percentile

from penelope.domain.log import LogLine, LogRecord, LogType
from penelope.ledger.buffer import Counts, Limits, TelemetryBuffer
from penelope.ledger.losses import Loss

RECORDS = 200_000
ROUNDS = 7
PACED_PER_SECOND, PACED_SECONDS = 300_000, 4
DETAILS = {"expression": "error_ratio > 0.05", "result": True, "micros": 41}

Take = Callable[[LogRecord], object]
Loop = Callable[[Take, int], None]


class Nowhere:
    """A sink that takes everything, an observer that looks at nothing, a ledger that forgets losses."""

    async def write(self, batch_id: str, lines: Sequence[LogLine]) -> None:
        pass

    async def lose(self, loss: Loss) -> None:
        pass

    def flushed(self, records: int, seconds: float) -> None:
        pass

    def counted(self, counts: Counts) -> None:
        pass


def buffer(limits: Limits) -> TelemetryBuffer:
    nowhere = Nowhere()
    return TelemetryBuffer(nowhere, nowhere.lose, nowhere, limits=limits)


def make_and_take(take: Take, times: int) -> None:
    for _ in range(times):
        take(LogRecord(LogType.TELEMETRY, "guard.evaluated", DETAILS))


def only_take(take: Take, times: int) -> None:
    record = LogRecord(LogType.TELEMETRY, "guard.evaluated", DETAILS)
    for _ in range(times):
        take(record)


def _round(take: Take, loop: Loop, threads: int) -> float:
    gate = Barrier(threads + 1)

    def work() -> None:
        gate.wait()
        loop(take, RECORDS // threads)

    workers = [Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    gc.collect()
    gate.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    return RECORDS / (time.perf_counter() - began)


def new_list() -> Take:
    return list[LogRecord]().append


def new_buffer() -> Take:
    return buffer(Limits(capacity=RECORDS)).record


def compare(loop: Loop, threads: int) -> tuple[float, float]:
    """Records a second by all threads together, and the ratio to a list; the best of rounds in turn."""
    rounds = [(_round(new_list(), loop, threads), _round(new_buffer(), loop, threads)) for _ in range(ROUNDS)]
    bare, ours = map(max, zip(*rounds, strict=True))
    return ours, ours / bare


async def paced() -> tuple[list[int], Counts]:
    """Nanoseconds of each call at a steady rate from another thread, while the buffer flushes into nowhere."""
    telemetry = buffer(Limits())
    running = asyncio.create_task(telemetry.run())
    taken = await asyncio.to_thread(_steadily, telemetry.record)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await telemetry.flush_all(5)
    return taken, telemetry.counts()


def _steadily(take: Take) -> list[int]:
    step = 1_000_000_000 / PACED_PER_SECOND
    clock = time.perf_counter_ns
    began, taken = clock(), []
    for number in range(PACED_PER_SECOND * PACED_SECONDS):
        due = began + number * step
        while clock() < due:
            time.sleep(0)  # lets the flushing thread in, as any program does that does not only record
        record = LogRecord(LogType.TELEMETRY, "guard.evaluated", DETAILS)
        start = clock()
        take(record)
        taken.append(clock() - start)
    return taken


def main() -> int:
    good = True
    for threads in (1, 4):
        ours, ratio = compare(make_and_take, threads)
        strict, strict_ratio = compare(only_take, threads)
        print(
            f"{threads} thread(s): make and record  {ours / 1e6:5.2f} M/s, ratio to a bare list {ratio:.2f}"
        )
        print(
            f"{'':13}record alone     {strict / 1e6:5.2f} M/s, ratio to a bare list {strict_ratio:.2f} (stricter)"
        )
        good &= ours >= 1e6 and ratio >= 0.5
    taken, counts = asyncio.run(paced())
    micros = {rank: percentile(taken, rank) / 1000 for rank in (0.5, 0.99, 0.999, 1)}
    print(
        f"at {PACED_PER_SECOND}/s:   p50 {micros[0.5]:.1f} us, p99 {micros[0.99]:.1f} us, p99.9 {micros[0.999]:.1f} us, "
        f"worst {micros[1]:.0f} us"
    )
    print(f"accounts     {counts}")
    exact = counts.accepted == counts.flushed + counts.lost and counts.accepted + counts.refused == len(taken)
    good &= exact and micros[0.999] < 50
    print("as promised" if good else "NOT AS PROMISED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
