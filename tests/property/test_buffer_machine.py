"""The telemetry buffer under any sequence of records, flushes, outages, poison, crashes and restarts."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penelope.domain.log import LogLine, LogRecord, LogType
from penelope.errors import Unavailable
from penelope.ledger.buffer import Limits, TelemetryBuffer
from penelope.ledger.losses import REJECTED, UNWRITABLE, UNWRITTEN
from penelope.ledger.spill import SpillFile
from penelope.testing.telemetry import FakeLossLedger, FakeObserver, FakeSink

CAPACITY, BATCH = 9, 4


class BufferMachine(RuleBasedStateMachine):
    """`order` is what was accepted and may still be written, in order; the sink must have a prefix of it."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.sink, self.ledger = FakeSink(), FakeLossLedger()
        self.sink.trouble = self.trouble
        self.order: list[str] = []
        self.poisoned: set[str] = set()
        self.unwritable = 0
        self.given_up = 0
        self.number = 0
        self.down = self.crashed = False

    def trouble(self, lines: Sequence[LogLine]) -> Exception | None:
        if self.poisoned & {line.event for line in lines}:
            return ValueError("poison")
        return Unavailable("down") if self.down else None

    @initialize(spilling=st.booleans(), limit=st.sampled_from([300, 1000, 1 << 20]))
    def begin(self, *, spilling: bool, limit: int) -> None:
        self.spill_limit = limit if spilling else 0
        self.open()

    def open(self) -> None:
        path = Path(self.folder.name) / "spill"
        self.spill = SpillFile(path, limit_bytes=self.spill_limit) if self.spill_limit else None
        limits = Limits(capacity=CAPACITY, batch=BATCH)
        self.buffer = TelemetryBuffer(self.sink, self.ledger, FakeObserver(), limits=limits, spill=self.spill)
        self.accepted = self.buffer.counts().accepted
        self.refused = 0

    @rule(kinds=st.lists(st.sampled_from(["good", "good", "good", "poison", "unwritable"]), max_size=12))
    def record(self, kinds: list[str]) -> None:
        for kind in kinds:
            self.number += 1
            name = str(self.number)
            had_room = self.buffer.counts().waiting < CAPACITY
            details = {"x": object()} if kind == "unwritable" else {}
            assert self.buffer.record(LogRecord(LogType.TELEMETRY, name, details)) == had_room
            self.refused += not had_room
            self.accepted += had_room
            if not had_room:
                continue
            if kind == "unwritable":
                self.unwritable += 1
            else:
                self.order.append(name)
            if kind == "poison":
                self.poisoned.add(name)

    @rule()
    def flush(self) -> None:
        before = self.buffer.counts()
        try:
            ended = self.runner.run(self.buffer.flush())
        except Unavailable:
            assert self.down
            return
        after = self.buffer.counts()
        assert ended == after.flushed + after.lost - before.flushed - before.lost
        assert bool(ended) == bool(before.waiting + before.spilled)

    @rule(down=st.booleans(), nonetheless=st.booleans())
    def change_sink(self, *, down: bool, nonetheless: bool) -> None:
        self.down, self.sink.after = down, nonetheless

    @rule(down=st.booleans())
    def change_ledger(self, *, down: bool) -> None:
        self.ledger.down = down

    @rule()
    def report(self) -> None:
        self.runner.run(self.buffer._losses.report())

    @precondition(lambda self: self.spill_limit)
    @rule()
    def restart(self) -> None:
        """An orderly end and a new start, which finds in the file what could not be written."""
        self.end()
        self.open()

    @rule()
    def crash(self) -> None:
        """What was in memory is gone, with the losses that were not told; what was in the file is not."""
        gone = {item.event for item in self.buffer._items}
        gone |= {line.event for batch in self.buffer._taken for line in batch.lines}
        self.keep_of(gone)
        self.crashed = True
        if self.spill is not None:
            self.spill.close()
        self.open()

    def keep_of(self, gone: set[str]) -> None:
        """Only what an unclear write has written nonetheless."""
        gone -= {line.event for line in self.sink.lines}
        self.order = [name for name in self.order if name not in gone]

    def end(self) -> None:
        self.ledger.down = False
        before = self.ledger.by_reason().get(UNWRITTEN, 0)
        self.runner.run(self.buffer.flush_all(0.002 if self.down else 10))
        self.accounts_are_exact()
        counts = self.buffer.counts()
        assert counts.waiting == 0
        assert not counts.spilled or self.down
        lost = self.ledger.by_reason().get(UNWRITTEN, 0) - before
        self.given_up += lost
        self.keep_of(set(self.order[len(self.order) - lost :]))  # the youngest
        if self.spill is not None:
            self.spill.close()

    @invariant()
    def accounts_are_exact(self) -> None:
        if not hasattr(self, "buffer"):
            return
        counts = self.buffer.counts()
        assert (counts.accepted, counts.refused) == (self.accepted, self.refused)
        assert counts.accepted == counts.flushed + counts.lost + counts.waiting + counts.spilled

    @invariant()
    def the_sink_has_a_prefix_without_duplicates(self) -> None:
        good = [name for name in self.order if name not in self.poisoned]
        written = [line.event for line in self.sink.lines]
        assert written == good[: len(written)]

    def teardown(self) -> None:
        if hasattr(self, "buffer"):
            self.down = False
            self.end()
            good = [name for name in self.order if name not in self.poisoned]
            assert [line.event for line in self.sink.lines] == good
            if not self.crashed:
                told = self.ledger.by_reason()
                assert told.get(UNWRITABLE, 0) == self.unwritable
                assert told.get(UNWRITTEN, 0) == self.given_up
                assert told.get(REJECTED, 0) <= len(self.poisoned)
        self.runner.close()
        self.folder.cleanup()


TestBuffer = BufferMachine.TestCase
