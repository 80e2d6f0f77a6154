"""Breaker and bulkhead under any order of calls, ends, cancellations and time, against a plain model of what they promise."""

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penelope.errors import DependencyError, InvalidQuery, Unavailable
from penelope.kit.call_breaker import BreakerState
from penelope.kit.guard import Guard, Patience, Surroundings
from penelope.testing.clock import FakeClock

START = datetime(2026, 11, 21, 7, tzinfo=UTC)
AT_ONCE, WAITING, FAILURES, REST = 2, 2, 3, 60
ERRORS = {
    "bad": DependencyError("broken"),
    "asked_wrongly": InvalidQuery("unknown"),
    "garbage": KeyError("x"),
}


class Call:
    """One call under way: the future that its work waits for, once it runs."""

    def __init__(self) -> None:
        self.gate: asyncio.Future[int] | None = None
        self.task: asyncio.Task[int] | None = None
        self.era = -1


class Guarding(RuleBasedStateMachine):
    """`era` of the model counts changes of the breaker; only a call of the present era has a say."""

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.clock = FakeClock(START)
        around = Surroundings(now=self.seconds, clock=self.clock)
        patience = Patience(
            timeout_seconds=1e6,
            attempts=1,
            failures=FAILURES,
            recovery_seconds=REST,
            at_once=AT_ONCE,
            waiting=WAITING,
        )
        self.guard = Guard("store", patience, around)
        self.running: list[Call] = []
        self.queue: list[Call] = []
        self.row = self.era = 0
        self.next_try: float | None = None
        self.trial: Call | None = None

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.close()

    def seconds(self) -> float:
        return (self.clock.now() - START).total_seconds()

    def _settle(self) -> None:
        async def settle() -> None:
            for _ in range(12):
                await asyncio.sleep(0)

        self.runner.run(settle())

    def _start(self, call: Call) -> None:
        async def work() -> int:
            call.gate = asyncio.get_running_loop().create_future()
            return await call.gate

        async def begin() -> None:
            call.task = asyncio.create_task(self.guard.call(work))

        self.runner.run(begin())
        self._settle()

    def _enters(self, call: Call) -> bool:
        """The model's word on whether a call that has its turn may be made."""
        if self.next_try is not None:
            if self.seconds() < self.next_try:
                return False
            self.next_try = self.seconds() + REST
            self.era += 1
            self.trial = call
        call.era = self.era
        self.running.append(call)
        return True

    def _freed(self) -> None:
        """Those who wait get the place; whom the breaker stops gives it on at once."""
        while self.queue:
            following = self.queue.pop(0)
            if self._enters(following):
                assert following.gate is not None
                return
            self._refused(following)

    def _refused(self, call: Call) -> None:
        assert call.task is not None
        assert call.task.done()
        assert isinstance(call.task.exception(), Unavailable)

    @rule()
    def somebody_calls(self) -> None:
        call = Call()
        stopped = self.next_try is not None and self.seconds() < self.next_try and self.trial is None
        self._start(call)
        if stopped:
            self._refused(call)
        elif len(self.running) < AT_ONCE:
            if self._enters(call):
                assert call.gate is not None
            else:
                self._refused(call)
        elif len(self.queue) < WAITING:
            assert call.gate is None
            self.queue.append(call)
        else:
            self._refused(call)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(["good", *ERRORS]))
    def one_ends(self, data: st.DataObject, how: str) -> None:
        call = data.draw(st.sampled_from(self.running))
        assert call.gate is not None
        assert call.task is not None
        if how == "good":
            call.gate.set_result(7)
        else:
            call.gate.set_exception(ERRORS[how])
        self._settle()
        assert call.task.done()
        assert (call.task.result() if how == "good" else call.task.exception()) in {7, ERRORS.get(how)}
        self.running.remove(call)
        if call.era == self.era:
            self._told(call, good=how in {"good", "asked_wrongly"})
        self._freed()

    def _told(self, call: Call, *, good: bool) -> None:
        self.row = 0 if good else self.row + 1
        tried = call is self.trial
        self.trial = None if tried else self.trial
        if good and tried:
            self.next_try, self.era = None, self.era + 1
        elif not good and (tried or self.row >= FAILURES):
            self.next_try, self.era = self.seconds() + REST, self.era + 1

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def one_is_cancelled(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.running))
        self._cancel(call)
        self.running.remove(call)
        if call is self.trial and call.era == self.era:
            self.trial, self.next_try, self.era = None, self.seconds(), self.era + 1
        self._freed()

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def one_who_waits_is_cancelled(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.queue))
        self._cancel(call)
        self.queue.remove(call)

    def _cancel(self, call: Call) -> None:
        assert call.task is not None
        call.task.cancel()
        self._settle()
        assert call.task.cancelled()

    @rule(seconds=st.sampled_from([1, 30, 60, 61]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def it_stands_as_the_model_does(self) -> None:
        if not hasattr(self, "guard"):
            return
        state = self.guard.state()
        assert (state.running, state.waiting, state.failures) == (
            len(self.running),
            len(self.queue),
            self.row,
        )
        if self.next_try is None:
            assert state.breaker is BreakerState.CLOSED
        elif self.trial is not None or self.seconds() >= self.next_try:
            assert state.breaker is BreakerState.HALF_OPEN
        else:
            assert state.breaker is BreakerState.OPEN
        assert state.since <= self.clock.now() + timedelta(microseconds=1)
        assert state.running <= AT_ONCE
        assert state.waiting <= WAITING


TestGuarding = Guarding.TestCase
TestGuarding.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
