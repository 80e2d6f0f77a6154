"""The telemetry buffer: takes log records without ever blocking, and writes them in batches in the background."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from penelope.domain.log import LogLine, LogRecord, line
from penelope.kit.ids import new_id
from penelope.ledger.losses import DAMAGED, REJECTED, UNWRITABLE, UNWRITTEN, Losses, OnLoss
from penelope.ledger.spill import LogBatch, SpillFile

_LONGEST_TURN_SECONDS = 0.005
_LEAST_PAUSE_SECONDS = 0.001
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where the lines go."""

    async def write(self, batch_id: str, lines: Sequence[LogLine]) -> None:
        """Writes all of the lines or none, within a time of its own; a batch that is known by its id is not
        written again.

        The same batch may come twice: after a write whose outcome was not known, in this process or the next.
        Raises ValueError or TypeError for lines that can never be written, and any other error for what may
        pass.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Records since the start. At any quiet moment accepted = flushed + lost + waiting + spilled.

    `waiting` are in memory, `spilled` in the spill file; what was found there at the start is accepted too.
    `lost` were accepted and are not known to be written; `refused` were never accepted.
    """

    accepted: int
    flushed: int
    lost: int
    waiting: int
    spilled: int
    refused: int


class Observer(Protocol):
    """What metrics want to know; asked in the event loop, never by `record`."""

    def flushed(self, records: int, seconds: float) -> None:
        """The sink has written a batch of so many records in so many seconds."""

    def counted(self, counts: Counts) -> None:
        """How the buffer stands; after each turn of the background task, and at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many records the buffer holds at most, and when it writes them: so many together, or after this time."""

    capacity: int = 10_000
    batch: int = 1_000
    interval_seconds: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.batch <= self.capacity or self.interval_seconds <= 0:
            raise ValueError("a buffer holds at least one batch of at least one record, for some time")


class TelemetryBuffer:
    """A bounded queue of log records, oldest first, that any thread may fill.

    `record` may be called by any thread; everything else belongs to one event loop. Each place in memory is an
    item of a list: `list.pop` and `list.append` are atomic, so that the bound is exact without a lock, which
    could block. A few places are bells: who takes one wakes the background task, which so costs nothing
    while nothing happens, and comes in time when much does.

    With a spill file, what the sink does not take in time waits there; without one, records are refused. What
    memory holds is gone when the process is killed.
    """

    def __init__(
        self,
        sink: Sink,
        on_loss: OnLoss,
        observer: Observer,
        *,
        limits: Limits | None = None,
        spill: SpillFile | None = None,
    ) -> None:
        """`on_loss` makes a loss an entry of the ledger; it is called again until it does not raise."""
        self._sink = sink
        self._observer = observer
        self._limits = limits or Limits()
        self._spill = spill
        self._losses = Losses(on_loss)

        self._places: list[bool] = []
        self._items: list[LogRecord] = []
        self._refused = _Tally()
        # Batches on their way to the sink: out of memory, and out of the spill file.
        self._taken: deque[LogBatch] = deque()
        self._replayed: deque[LogBatch] = deque()
        self._out_of_items = self._found = self._flushed = 0
        self._closed = self._failing = False
        self._closed_places = 0

        self._one_at_a_time = asyncio.Lock()
        self._bell = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        batches, rest = divmod(self._limits.capacity, self._limits.batch)
        for places in (rest, *[self._limits.batch] * batches):
            self._release(places)
        if spill is not None:
            self._found = spill.records + spill.torn
            self._losses.add(spill.torn, DAMAGED)

    # --- any thread -----------------------------------------------------------------------------------------

    def record(self, item: LogRecord) -> bool:
        """Whether there was room for the record. Never waits, never raises."""
        try:
            bell = self._places.pop()
        except IndexError:
            self._refused.add()
            return False
        self._items.append(item)
        if bell:
            self._ring()
        return True

    def _ring(self) -> None:
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # a loop that is closed needs no waking
                loop.call_soon_threadsafe(self._bell.set)

    # --- the event loop -------------------------------------------------------------------------------------

    def counts(self) -> Counts:
        waiting = len(self._items)
        return Counts(
            accepted=self._found + self._out_of_items + waiting,
            flushed=self._flushed,
            lost=self._losses.total,
            waiting=waiting + _records(self._taken),
            spilled=_records(self._replayed) + (self._spill.records if self._spill else 0),
            refused=self._refused.total(),
        )

    async def run(self) -> None:
        """Writes by size and by time, and reports losses, until it is cancelled. Then call `flush_all`."""
        self._loop = asyncio.get_running_loop()
        self._bell.set()
        pause, due = 0.0, self._loop.time() + self._limits.interval_seconds
        while True:
            await self._rung(until=due)
            late = self._loop.time() >= due
            if pause and not late:
                async with self._one_at_a_time:
                    self._make_room()
                continue
            try:
                await self._drain(everything=late)
            except Exception:  # noqa: BLE001 - whatever a sink raises may pass, and this task must go on
                pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause or _FIRST_PAUSE_SECONDS)
                due = self._loop.time() + pause
            else:
                pause = 0.0
                due = self._loop.time() + self._limits.interval_seconds if late else due
            await self._losses.report()
            self._observer.counted(self.counts())

    async def flush(self) -> int:
        """Writes the oldest batch. How many records found their end, flushed or lost; 0 if none waited.

        What the sink rejects for good is halved until the records that it means are alone; they are lost. For
        any other error, which is raised again, the batch stays the oldest one.
        """
        async with self._one_at_a_time:
            before = self._flushed + self._losses.total
            while self._flushed + self._losses.total == before and (batches := self._oldest()):
                batch = batches[0]
                began = time.perf_counter()
                try:
                    await self._sink.write(batch.id, batch.lines)
                except (ValueError, TypeError):
                    self._halve(batches)
                except Exception as error:
                    self._fail(error)
                    raise
                else:
                    self._failing = False
                    self._flushed += self._end(batches)
                    self._observer.flushed(len(batch.lines), time.perf_counter() - began)
                    self._make_room()
            return self._flushed + self._losses.total - before

    async def flush_all(self, within_seconds: float) -> None:
        """Takes no more records, and writes all that were accepted; the last call, after `run` has ended.

        What cannot be written in that time goes into the spill file, and what finds no room there is lost. Each
        loss is reported, within the same time again.
        """
        self._close()
        try:
            async with asyncio.timeout(within_seconds):
                await self._empty()
        except TimeoutError:
            self._give_up()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await self._losses.report()
        self._observer.counted(self.counts())
        for loss in self._losses.unreported():
            _log.error(
                "%d log records are lost, and that is not in the ledger: %s", loss.records, loss.reason
            )

    # --- waiting --------------------------------------------------------------------------------------------

    async def _rung(self, *, until: float) -> None:
        """Waits for the bell, or for that time of the loop's clock."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._bell.wait()
        self._bell.clear()

    async def _drain(self, *, everything: bool) -> None:
        """Writes what waits at this moment: everything, or in full batches."""
        counts, full = self.counts(), len(self._items) // self._limits.batch
        wanted = counts.waiting + counts.spilled if everything else full * self._limits.batch
        began = time.perf_counter()
        while wanted > 0 and (ended := await self.flush()):
            wanted -= ended
            # A sink that never waits must not keep others from running; but to let them after each batch
            # would cost, while threads are busy, the interpreter's switch interval of 5 ms every time.
            if time.perf_counter() - began > _LONGEST_TURN_SECONDS:
                await asyncio.sleep(0)
                began = time.perf_counter()

    async def _empty(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while self._closed_places < self._limits.capacity or self.counts().spilled:
            try:
                if not await self.flush():
                    # A thread has taken a place, and not put its record there yet.
                    await asyncio.sleep(_LEAST_PAUSE_SECONDS)
            except Exception:  # noqa: BLE001 - as in `run`
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause)

    # --- batches --------------------------------------------------------------------------------------------

    def _oldest(self) -> deque[LogBatch]:
        """The queue at whose head the oldest batch stands; empty if nothing waits.

        The file is older than memory: from there batches are taken only while it is empty.
        """
        while self._spill is not None and self._spill.records and not self._replayed:
            records, batch = self._spill.take()
            if batch is not None:
                self._replayed.append(batch)
            else:
                self._losses.add(records, DAMAGED)
                self._spill.done()
        return self._replayed or self._from_memory()

    def _from_memory(self) -> deque[LogBatch]:
        while not self._taken and self._items:
            records = self._items[: self._limits.batch]
            del self._items[: len(records)]
            self._out_of_items += len(records)
            lines = tuple(each for each in map(_line, records) if each is not None)
            unwritable = len(records) - len(lines)
            self._losses.add(unwritable, UNWRITABLE)
            self._release(unwritable)
            if lines:
                self._taken.append(LogBatch(new_id("log"), lines))
        return self._taken

    def _halve(self, batches: deque[LogBatch]) -> None:
        """Half a batch gets an id that follows from the whole's, so that after a crash it is known again."""
        batch = batches[0]
        middle = len(batch.lines) // 2
        if not middle:
            self._losses.add(self._end(batches), REJECTED)
            return
        halves = (batch.lines[:middle], batch.lines[middle:])
        batches.popleft()
        batches.extendleft(LogBatch(f"{batch.id}.{n}", halves[n]) for n in (1, 0))

    def _end(self, batches: deque[LogBatch]) -> int:
        """Takes the head away, which is flushed, lost or spilled: how many records it had."""
        records = len(batches.popleft().lines)
        if batches is self._taken:
            self._release(records)
        elif self._spill is not None and not batches:
            self._spill.done()
        return records

    def _fail(self, error: Exception) -> None:
        if not self._failing:
            _log.warning("log records cannot be written and wait: %s", type(error).__name__)
        self._failing = True
        self._make_room()

    # --- room -----------------------------------------------------------------------------------------------

    def _release(self, places: int) -> None:
        """Makes places free; the last of them to be taken is a bell."""
        if self._closed:
            self._closed_places += places
        elif places:
            self._places += [True, *[False] * (places - 1)]

    def _close(self) -> None:
        """Takes all free places away, one by one: the others are those of accepted records, to the last."""
        self._closed = True
        with suppress(IndexError):
            while True:
                self._places.pop()
                self._closed_places += 1

    def _make_room(self) -> None:
        """Moves memory into the file when it is more than half full, and the sink fails or has the file before it."""
        counts = self.counts()
        if (self._failing or counts.spilled) and counts.waiting > self._limits.capacity // 2:
            self._spill_memory()

    def _spill_memory(self) -> None:
        """In the event loop, for what a thread does goes on when its task is cancelled."""
        try:
            while self._spill is not None and (batches := self._from_memory()):
                if not self._spill.append(batches[0]):
                    return
                self._end(batches)
        except OSError as error:
            _log.warning("the spill file cannot be written: %s", error.strerror)

    def _give_up(self) -> None:
        self._spill_memory()
        while batches := self._from_memory():
            self._losses.add(self._end(batches), UNWRITTEN)


class _Tally:
    """Counts steps of any thread without a lock: a step of `itertools.count` is atomic. One thread reads."""

    def __init__(self) -> None:
        self._steps = count()
        self._reads = 0
        self.add = self._steps.__next__

    def total(self) -> int:
        self._reads += 1
        return next(self._steps) - self._reads + 1


def _records(batches: deque[LogBatch]) -> int:
    return sum(len(batch.lines) for batch in batches)


def _line(record: LogRecord) -> LogLine | None:
    try:
        return line(record)
    except Exception:  # noqa: BLE001 - one bad record must not stop the others
        return None
