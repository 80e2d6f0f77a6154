"""The telemetry buffer: never blocks, loses nothing in silence, and its accounts are exact."""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from penelope.domain.log import LogLine, LogRecord, LogType
from penelope.errors import Unavailable
from penelope.ledger.buffer import Counts, Limits, TelemetryBuffer
from penelope.ledger.losses import DAMAGED, REJECTED, UNWRITABLE, UNWRITTEN, Loss
from penelope.ledger.spill import LogBatch, SpillFile
from penelope.testing.telemetry import FakeLossLedger, FakeObserver, FakeSink

LONG = 3600.0


def record(event: str) -> LogRecord:
    return LogRecord(LogType.TELEMETRY, event)


def names(start: int, end: int) -> list[str]:
    return [str(number) for number in range(start, end)]


def down(_: Sequence[LogLine]) -> Exception:
    return Unavailable("the sink is down")


def fine(_: Sequence[LogLine]) -> None:
    return None


class Stage:
    """A buffer with all that is around it."""

    def __init__(self, spill: SpillFile | None = None, **limits: Any) -> None:
        self.sink, self.ledger, self.observer = FakeSink(), FakeLossLedger(), FakeObserver()
        given = Limits(**{"capacity": 10, "batch": 4, "interval_seconds": LONG, **limits})
        self.buffer = TelemetryBuffer(self.sink, self.ledger, self.observer, limits=given, spill=spill)

    def fill(self, start: int, end: int) -> int:
        return sum(self.buffer.record(record(name)) for name in names(start, end))

    @property
    def written(self) -> list[str]:
        return [line.event for line in self.sink.lines]

    def counts(self, **expected: int) -> bool:
        zero = dict.fromkeys(Counts.__dataclass_fields__, 0)
        assert self.buffer.counts() == Counts(**{**zero, **expected})
        return True

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - polls what no event tells
                await asyncio.sleep(0.001)

    async def while_running(self, what: Callable[[], Awaitable[None]]) -> None:
        running = asyncio.create_task(self.buffer.run())
        try:
            await what()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def play(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


# --- recording --------------------------------------------------------------------------------------------


def test_a_full_buffer_refuses_and_counts() -> None:
    stage = Stage()
    assert stage.fill(0, 13) == 10
    assert stage.counts(accepted=10, waiting=10, refused=3)
    assert stage.counts(accepted=10, waiting=10, refused=3)


@pytest.mark.parametrize(
    "limits", [{"batch": 0}, {"batch": 11, "capacity": 10}, {"interval_seconds": 0}], ids=str
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Limits(**limits)


def test_a_bound_holds_exactly_between_threads() -> None:
    stage = Stage(capacity=1000, batch=7)
    gate = threading.Barrier(8)
    taken: list[int] = []

    def work() -> None:
        gate.wait()
        taken.append(stage.fill(0, 500))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 1000
    assert stage.counts(accepted=1000, waiting=1000, refused=3000)


# --- writing ----------------------------------------------------------------------------------------------


def test_a_flush_writes_the_oldest_batch_and_makes_room() -> None:
    async def story() -> None:
        stage = Stage()
        stage.fill(0, 10)
        assert await stage.buffer.flush() == 4
        assert stage.written == names(0, 4)
        assert stage.counts(accepted=10, flushed=4, waiting=6)
        assert stage.fill(10, 20) == 4
        assert [await stage.buffer.flush() for _ in range(4)] == [4, 4, 2, 0]
        assert stage.written == names(0, 14)
        assert stage.observer.sizes == [4, 4, 4, 2]
        assert stage.counts(accepted=14, flushed=14, refused=6)

    play(story())


def test_a_batch_that_fails_stays_the_oldest_under_its_id(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        stage = Stage()
        stage.fill(0, 6)
        stage.sink.trouble, stage.sink.after = down, True
        for _ in range(2):
            with pytest.raises(Unavailable):
                await stage.buffer.flush()
        assert stage.counts(accepted=6, waiting=6)
        stage.sink.trouble = fine
        assert await stage.buffer.flush() == 4
        assert len(set(stage.sink.tried)) == 1
        await stage.buffer.flush()
        assert stage.written == names(0, 6)
        assert stage.observer.sizes == [4, 2]

    play(story())
    assert caplog.messages == ["log records cannot be written and wait: Unavailable"]


def test_a_cancelled_write_is_tried_again_under_its_id() -> None:
    class Slow(FakeSink):
        async def write(self, batch_id: str, lines: Sequence[LogLine]) -> None:
            await super().write(batch_id, lines)
            if len(self.tried) == 1:
                await asyncio.sleep(LONG)

    async def story() -> None:
        stage, sink = Stage(), Slow()
        stage.buffer._sink = sink
        stage.fill(0, 3)
        task = asyncio.create_task(stage.buffer.flush())
        await stage.until(lambda: bool(sink.tried))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert stage.counts(accepted=3, waiting=3)
        assert await stage.buffer.flush() == 3
        assert sink.tried == sink.tried[:1] * 2
        assert [line.event for line in sink.lines] == names(0, 3)

    play(story())


@pytest.mark.parametrize("error", [ValueError("no"), TypeError("no")], ids=str)
def test_what_the_sink_rejects_is_isolated_lost_and_reported(error: Exception) -> None:
    async def story() -> None:
        stage = Stage(capacity=100, batch=50)
        bad = {"7", "8", "31"}
        stage.sink.trouble = lambda lines: error if bad & {line.event for line in lines} else None
        stage.fill(0, 50)
        while await stage.buffer.flush():
            pass
        assert stage.written == [name for name in names(0, 50) if name not in bad]
        assert stage.counts(accepted=50, flushed=47, lost=3)
        await stage.buffer.flush_all(1)
        assert stage.ledger.by_reason() == {REJECTED: 3}

    play(story())


def test_halves_are_known_by_ids_that_follow_from_the_whole() -> None:
    async def story() -> None:
        stage = Stage()
        stage.sink.trouble = lambda lines: ValueError() if "1" in {line.event for line in lines} else None
        stage.fill(0, 4)
        await stage.buffer.flush_all(1)
        whole = stage.sink.tried[0]
        assert stage.sink.tried == [f"{whole}{part}" for part in ("", ".0", ".0.0", ".0.1", ".1")]

    play(story())


def test_what_no_json_can_be_made_of_is_lost_alone() -> None:
    async def story() -> None:
        stage = Stage()
        stage.fill(0, 1)
        stage.buffer.record(LogRecord(LogType.TELEMETRY, "bad", {"x": object()}))
        stage.buffer.record(None)  # type: ignore[arg-type]  # a caller without a type checker
        stage.fill(1, 2)
        assert await stage.buffer.flush() == 4
        stage.buffer.record(LogRecord(LogType.TELEMETRY, "bad", {"x": object()}))
        assert await stage.buffer.flush() == 1
        assert stage.written == names(0, 2)
        assert stage.counts(accepted=5, flushed=2, lost=3)
        assert stage.fill(2, 20) == 10
        await stage.buffer.flush_all(1)
        assert stage.ledger.by_reason() == {UNWRITABLE: 3}

    play(story())


# --- the background task ----------------------------------------------------------------------------------


def test_it_writes_when_a_batch_is_full_long_before_the_time() -> None:
    async def story() -> None:
        stage = Stage()

        async def many_threads() -> None:
            await asyncio.to_thread(stage.fill, 0, 4)
            await stage.until(lambda: len(stage.written) == 4)
            await asyncio.to_thread(stage.fill, 4, 10)
            await stage.until(lambda: len(stage.written) == 8)

        await stage.while_running(many_threads)
        assert stage.counts(accepted=10, flushed=8, waiting=2)

    play(story())


def test_it_writes_a_batch_that_was_full_before_it_began() -> None:
    async def story() -> None:
        stage = Stage()
        stage.fill(0, 10)
        await stage.while_running(lambda: stage.until(lambda: len(stage.written) == 8))

    play(story())


def test_it_writes_in_time_what_is_no_full_batch() -> None:
    async def story() -> None:
        stage = Stage(interval_seconds=0.01)

        async def twice() -> None:
            for start in (0, 3):
                stage.fill(start, start + 3)
                await stage.until(lambda: stage.written == names(0, start + 3))  # noqa: B023 - awaited at once
            await stage.until(lambda: bool(stage.observer.standings))

        await stage.while_running(twice)
        assert stage.observer.standings[-1].flushed == 6

    play(story())


def test_an_idle_buffer_does_nothing() -> None:
    async def story() -> None:
        stage = Stage(interval_seconds=0.01)
        await stage.while_running(lambda: stage.until(lambda: bool(stage.observer.standings)))
        assert stage.sink.tried == []

    play(story())


def test_it_goes_on_after_failures_and_keeps_the_order() -> None:
    async def story() -> None:
        stage = Stage(interval_seconds=0.01)
        stage.sink.trouble = down

        async def outage() -> None:
            stage.fill(0, 3)
            await stage.until(lambda: len(stage.sink.tried) >= 2)
            stage.fill(3, 10)
            stage.sink.trouble = fine
            await stage.until(lambda: len(stage.written) == 10)

        await stage.while_running(outage)
        assert stage.written == names(0, 10)
        assert stage.counts(accepted=10, flushed=10)

    play(story())


def test_a_sink_that_never_waits_lets_others_run() -> None:
    class Busy(FakeSink):
        async def write(self, batch_id: str, lines: Sequence[LogLine]) -> None:
            await super().write(batch_id, lines)
            end = time.perf_counter() + 0.006
            while time.perf_counter() < end:
                pass

    async def story() -> None:
        stage, sink = Stage(capacity=40), Busy()
        stage.buffer._sink = sink
        stage.fill(0, 40)
        seen: list[int] = []

        async def watch() -> None:
            while len(sink.lines) < 40:
                seen.append(len(sink.lines))
                await asyncio.sleep(0)

        await stage.while_running(watch)
        assert len(set(seen)) > 3

    play(story())


def test_recording_after_the_loop_has_ended_does_not_raise() -> None:
    stage = Stage()

    async def story() -> None:
        await stage.while_running(lambda: asyncio.sleep(0))

    play(story())
    assert stage.fill(0, 11) == 10


def test_a_loss_is_told_until_the_ledger_has_it() -> None:
    async def story() -> None:
        stage = Stage(interval_seconds=0.01)
        stage.ledger.down = True
        stage.sink.trouble = lambda _: ValueError()

        async def outage() -> None:
            stage.fill(0, 2)
            await stage.until(lambda: stage.buffer.counts().lost == 2)
            stage.fill(2, 5)
            await stage.until(lambda: stage.buffer.counts().lost == 5)
            stage.ledger.down = False
            await stage.until(lambda: sum(stage.ledger.by_reason().values()) == 5)

        await stage.while_running(outage)
        assert stage.ledger.by_reason() == {REJECTED: 5}

    play(story())


# --- the end ----------------------------------------------------------------------------------------------


def test_the_end_writes_everything_and_takes_no_more() -> None:
    async def story() -> None:
        stage = Stage()
        stage.fill(0, 10)
        failures = iter([Unavailable("once"), TimeoutError()])
        stage.sink.trouble = lambda _: next(failures, None)
        await stage.buffer.flush_all(10)
        assert stage.written == names(0, 10)
        assert stage.fill(10, 12) == 0
        assert stage.counts(accepted=10, flushed=10, refused=2)
        await stage.buffer.flush_all(0)
        assert stage.observer.standings[-1].flushed == 10

    play(story())


def test_the_end_waits_for_a_thread_that_has_only_its_place_yet() -> None:
    class Hesitant(list[LogRecord]):
        def append(self, item: LogRecord) -> None:
            has_place.set()
            assert may_go_on.wait(10)
            super().append(item)

    has_place, may_go_on = threading.Event(), threading.Event()

    async def story() -> None:
        stage = Stage()
        stage.buffer._items = Hesitant()
        recording = asyncio.create_task(asyncio.to_thread(stage.fill, 0, 1))
        await asyncio.to_thread(has_place.wait, 10)
        ending = asyncio.create_task(stage.buffer.flush_all(10))
        await asyncio.sleep(0.02)
        assert not ending.done()
        may_go_on.set()
        await ending
        assert await recording == 1
        assert stage.written == ["0"]
        assert stage.counts(accepted=1, flushed=1)

    play(story())


def test_what_cannot_be_written_in_the_end_is_lost_and_reported() -> None:
    async def story() -> None:
        stage = Stage()
        stage.fill(0, 9)
        await stage.buffer.flush()
        stage.sink.trouble = down
        await stage.buffer.flush_all(0.05)
        assert stage.counts(accepted=9, flushed=4, lost=5)
        assert stage.ledger.by_reason() == {UNWRITTEN: 5}

    play(story())


@pytest.mark.parametrize("hangs", [True, False])
def test_a_loss_that_nobody_takes_is_logged_at_least(
    caplog: pytest.LogCaptureFixture, *, hangs: bool
) -> None:
    async def refuse(_: Loss) -> None:
        if hangs:
            await asyncio.sleep(LONG)
        raise Unavailable("down")

    async def story() -> None:
        stage = Stage()
        buffer = TelemetryBuffer(stage.sink, refuse, stage.observer)
        buffer.record(LogRecord(LogType.TELEMETRY, "bad", {"x": object()}))
        await buffer.flush()
        buffer.record(record("0"))
        stage.sink.trouble = down
        await buffer.flush_all(0.02)

    with caplog.at_level(logging.ERROR):
        play(story())
    assert sorted(caplog.messages) == [
        f"1 log records are lost, and that is not in the ledger: {reason}"
        for reason in sorted([UNWRITABLE, UNWRITTEN])
    ]


# --- the spill file ---------------------------------------------------------------------------------------


def open_spill(folder: Path, limit_bytes: int = 1 << 20) -> SpillFile:
    return SpillFile(folder / "spill", limit_bytes=limit_bytes)


async def fail_to_flush(stage: Stage) -> None:
    with pytest.raises(Unavailable):
        await stage.buffer.flush()


def test_an_outage_goes_to_the_file_and_comes_back_in_order(tmp_path: Path) -> None:
    async def story(spill: SpillFile) -> None:
        stage = Stage(spill)
        stage.sink.trouble, stage.sink.after = down, True
        stage.fill(0, 5)
        await fail_to_flush(stage)
        assert stage.counts(accepted=5, waiting=5)
        stage.fill(5, 8)
        await fail_to_flush(stage)
        assert stage.counts(accepted=8, spilled=8)
        assert stage.fill(8, 14) == 6
        await fail_to_flush(stage)
        assert stage.counts(accepted=14, spilled=14)
        stage.fill(14, 16)
        assert (tmp_path / "spill").stat().st_size > 0
        stage.sink.trouble = fine
        await stage.buffer.flush_all(10)
        assert stage.written == names(0, 16)
        assert stage.counts(accepted=16, flushed=16)
        assert (tmp_path / "spill").stat().st_size == 0

    with open_spill(tmp_path) as spill:
        play(story(spill))


def test_the_task_makes_room_while_it_waits_to_try_again(tmp_path: Path) -> None:
    async def story(spill: SpillFile) -> None:
        stage = Stage(spill, interval_seconds=0.01)
        stage.sink.trouble = down

        async def outage() -> None:
            stage.fill(0, 1)
            await stage.until(lambda: len(stage.sink.tried) == 4)  # the next pause is of 0.4 s
            tried = len(stage.sink.tried)
            for start in range(1, 55, 9):
                assert stage.fill(start, start + 9) == 9
                await stage.until(lambda: stage.buffer.counts().waiting == 0)
            assert len(stage.sink.tried) == tried
            stage.sink.trouble = fine
            await stage.until(lambda: len(stage.written) == 55)

        await stage.while_running(outage)
        assert stage.written == names(0, 55)
        assert stage.counts(accepted=55, flushed=55)

    with open_spill(tmp_path) as spill:
        play(story(spill))


def test_what_comes_while_the_file_is_replayed_goes_behind_it(tmp_path: Path) -> None:
    async def story(spill: SpillFile) -> None:
        stage = Stage(spill)
        stage.sink.trouble = down
        stage.fill(0, 10)
        await fail_to_flush(stage)
        stage.sink.trouble = fine
        stage.fill(10, 16)
        assert await stage.buffer.flush() == 4
        assert stage.counts(accepted=16, flushed=4, spilled=12)
        assert [await stage.buffer.flush() for _ in range(4)] == [4, 2, 4, 2]
        stage.fill(16, 26)
        assert await stage.buffer.flush() == 4
        assert stage.counts(accepted=26, flushed=20, waiting=6)
        await stage.buffer.flush_all(10)
        assert stage.written == names(0, 26)

    with open_spill(tmp_path) as spill:
        play(story(spill))


def test_a_full_file_means_refusal(tmp_path: Path) -> None:
    async def story(spill: SpillFile) -> None:
        stage = Stage(spill)
        stage.sink.trouble = down
        stage.fill(0, 10)
        await fail_to_flush(stage)
        spilled = stage.buffer.counts().spilled
        assert spilled == 4
        accepted = 10 + stage.fill(10, 20)
        assert accepted == 14
        await fail_to_flush(stage)
        assert stage.counts(accepted=14, spilled=4, waiting=10, refused=6)
        stage.sink.trouble = fine
        await stage.buffer.flush_all(10)
        assert stage.written == names(0, 14)

    with open_spill(tmp_path, limit_bytes=400) as spill:
        play(story(spill))


def test_a_disk_that_fails_means_refusal_not_loss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class BrokenFile(SpillFile):
        def append(self, batch: LogBatch) -> bool:
            assert batch.lines
            raise OSError(28, "No space left on device")

    async def story(spill: SpillFile) -> None:
        stage = Stage(spill)
        stage.sink.trouble = down
        stage.fill(0, 10)
        await fail_to_flush(stage)
        assert stage.counts(accepted=10, waiting=10)
        await stage.buffer.flush_all(0.01)
        assert stage.ledger.by_reason() == {UNWRITTEN: 10}

    with BrokenFile(tmp_path / "spill", limit_bytes=1000) as spill:
        play(story(spill))
    assert "the spill file cannot be written: No space left on device" in caplog.messages


def test_what_is_not_written_in_the_end_waits_for_the_next_start(tmp_path: Path) -> None:
    async def first(spill: SpillFile, sink: FakeSink) -> None:
        stage = Stage(spill)
        stage.buffer._sink = sink
        sink.trouble, sink.after = down, True
        stage.fill(0, 3)
        await stage.buffer.flush_all(0.05)
        assert stage.counts(accepted=3, spilled=3)
        assert stage.ledger.losses == {}

    async def second(spill: SpillFile, sink: FakeSink) -> None:
        stage = Stage(spill)
        stage.buffer._sink = sink
        sink.trouble = fine
        assert stage.counts(accepted=3, spilled=3)
        stage.fill(3, 5)
        assert [await stage.buffer.flush() for _ in range(3)] == [3, 2, 0]
        assert stage.counts(accepted=5, flushed=5)

    sink = FakeSink()
    for act in (first, second):
        with open_spill(tmp_path) as spill:
            play(act(spill, sink))
    assert [line.event for line in sink.lines] == names(0, 5)


def test_a_rejected_batch_of_the_file_survives_a_restart_between_its_halves(tmp_path: Path) -> None:
    async def outage(spill: SpillFile, sink: FakeSink) -> None:
        stage = Stage(spill)
        stage.buffer._sink = sink
        sink.trouble = down
        stage.fill(0, 4)
        await stage.buffer.flush_all(0.01)

    async def half(spill: SpillFile, sink: FakeSink) -> None:
        stage = Stage(spill)
        stage.buffer._sink = sink
        sink.trouble = bad
        assert await stage.buffer.flush() == 2
        assert stage.counts(accepted=4, flushed=2, spilled=2)

    async def again(spill: SpillFile, sink: FakeSink) -> None:
        stage = Stage(spill)
        stage.buffer._sink = sink
        await stage.buffer.flush_all(10)
        assert stage.counts(accepted=4, flushed=3, lost=1)
        assert stage.ledger.by_reason() == {REJECTED: 1}

    def bad(lines: Sequence[LogLine]) -> Exception | None:
        return ValueError() if "2" in {line.event for line in lines} else None

    sink = FakeSink()
    for act in (outage, half, again):
        with open_spill(tmp_path) as spill:
            play(act(spill, sink))
    assert [line.event for line in sink.lines] == ["0", "1", "3"]
    assert (tmp_path / "spill").stat().st_size == 0


def test_damage_in_the_file_is_a_loss_that_is_reported(tmp_path: Path) -> None:
    async def outage(spill: SpillFile) -> None:
        stage = Stage(spill)
        stage.sink.trouble = down
        stage.fill(0, 10)
        await stage.buffer.flush_all(0.01)
        assert stage.counts(accepted=10, spilled=10)

    async def after(spill: SpillFile) -> None:
        stage = Stage(spill)
        assert stage.counts(accepted=10, spilled=8, lost=2)
        await stage.buffer.flush_all(10)
        assert stage.written == names(4, 8)
        assert stage.counts(accepted=10, flushed=4, lost=6)
        assert stage.ledger.by_reason() == {DAMAGED: 6}

    with open_spill(tmp_path) as spill:
        play(outage(spill))
    data = (tmp_path / "spill").read_bytes()
    (tmp_path / "spill").write_bytes(data.replace(b'"1"', b'"x"')[:-5])
    with open_spill(tmp_path) as spill:
        play(after(spill))


# --- everything at once -----------------------------------------------------------------------------------


@pytest.mark.parametrize("spilling", [True, False])
def test_accounts_are_exact_under_threads_failures_and_flushes(tmp_path: Path, *, spilling: bool) -> None:
    chance = random.Random(3)
    poison = {"3-77", "5-1234"}

    def trouble(lines: Sequence[LogLine]) -> Exception | None:
        if poison & {line.event for line in lines}:
            return ValueError("poison")
        return Unavailable("now and then") if chance.random() < 0.1 else None

    accepted: list[list[str]] = []

    def hammer(stage: Stage, thread: int) -> None:
        mine = [f"{thread}-{number}" for number in range(2000)]
        accepted.append([name for name in mine if stage.buffer.record(record(name))])

    async def story(spill: SpillFile | None) -> None:
        stage = Stage(spill, capacity=1000, batch=64, interval_seconds=0.01)
        stage.sink.trouble, stage.sink.after = trouble, True
        for name in poison:
            assert stage.buffer.record(record(name))
        accepted.append(sorted(poison))

        async def storm() -> None:
            await asyncio.gather(*(asyncio.to_thread(hammer, stage, thread) for thread in range(6)))

        await stage.while_running(storm)
        await stage.buffer.flush_all(30)
        taken = [name for names in accepted for name in names]
        lost = [name for name in taken if name in poison]
        assert sorted(stage.written) == sorted(name for name in taken if name not in poison)
        for mine in accepted[1:]:
            of_thread = set(mine)
            assert [name for name in stage.written if name in of_thread] == [
                name for name in mine if name not in poison
            ]
        assert stage.counts(
            accepted=len(taken),
            flushed=len(taken) - len(lost),
            lost=len(lost),
            refused=6 * 2000 + len(poison) - len(taken),
        )
        assert stage.ledger.by_reason() == {REJECTED: len(lost)}

    if not spilling:
        play(story(None))
        return
    with open_spill(tmp_path, limit_bytes=1 << 24) as spill:
        play(story(spill))
