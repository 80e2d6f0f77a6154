"""A breaker under any sequence of failures, successes, trials, people and waiting, against the plainest model of it."""

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penelope.domain.halt import FLEET, Breaker, Failure, FailureKind, Hold, Limits, State
from penelope.kit.codec import from_data, to_data

START = datetime(2026, 11, 21, 7, tzinfo=UTC)
MOST, WINDOW, COOLDOWN = 3, 60, 100
LIMITS = Limits(failures=MOST, window_seconds=WINDOW, cooldown_seconds=COOLDOWN)


class Halts(RuleBasedStateMachine):
    """The model keeps whole numbers: when what failed, since when it is open, who is on trial, until when it is held."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(scope=FLEET)
        self.now = 0
        self.failures: list[tuple[int, int]] = []
        self.open_until: int | None = None
        self.trial: int | None = None
        self.held_until: float | None = None
        self.incident = 0
        self.under_way: set[int] = set()

    @property
    def moment(self) -> datetime:
        return START + timedelta(seconds=self.now)

    @property
    def held(self) -> bool:
        return self.held_until is not None and self.now < self.held_until

    @property
    def expected(self) -> State:
        if self.held:
            return State.OPEN
        if self.open_until is None:
            return State.CLOSED
        return State.OPEN if self.now < self.open_until else State.HALF_OPEN

    @rule()
    def a_plan_asks(self) -> None:
        self.incident += 1
        name = str(self.incident)
        passes = not self.breaker.objection(name, self.moment)
        alone = self.expected is State.HALF_OPEN and self.trial is None
        assert passes is (self.expected is State.CLOSED or alone)
        if not passes:
            return
        self.breaker = self.breaker.taken(name, self.moment)
        self.under_way.add(self.incident)
        if alone:
            self.trial = self.incident

    @precondition(lambda self: self.trial is not None and not self.held)
    @rule()
    def the_trial_asks_again(self) -> None:
        assert self.breaker.objection(str(self.trial), self.moment) == ""
        assert self.breaker.taken(str(self.trial), self.moment) == self.breaker

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), kind=st.sampled_from(FailureKind), times=st.integers(1, 3))
    def one_fails(self, data: st.DataObject, kind: FailureKind, times: int) -> None:
        incident = data.draw(st.sampled_from(sorted(self.under_way)))
        self.under_way.remove(incident)
        failure = Failure(incident=str(incident), kind=kind, at=self.moment)
        for _ in range(times):
            self.breaker = self.breaker.noted(failure, LIMITS, self.moment)
        self.failures = [item for item in self.failures if item[0] >= self.now - WINDOW]
        self.failures.append((self.now, incident))
        is_trial = self.trial == incident
        if self.open_until is None:
            opens = len(self.failures) >= MOST
        else:
            opens = self.now >= self.open_until or is_trial
        if opens:
            self.open_until, self.trial = self.now + COOLDOWN, None

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def one_succeeds(self, data: st.DataObject) -> None:
        incident = data.draw(st.sampled_from(sorted(self.under_way)))
        self.under_way.remove(incident)
        self.breaker = self.breaker.succeeded(str(incident))
        if self.trial == incident:
            self.failures, self.open_until, self.trial = [], None, None

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def one_ends_without_a_verdict(self, data: st.DataObject) -> None:
        incident = data.draw(st.sampled_from(sorted(self.under_way)))
        self.under_way.remove(incident)
        self.breaker = self.breaker.freed(str(incident))
        if self.trial == incident:
            self.trial = None

    @rule(seconds=st.none() | st.integers(1, 50))
    def a_person_opens(self, seconds: int | None) -> None:
        until = None if seconds is None else self.moment + timedelta(seconds=seconds)
        self.breaker = self.breaker.opened(Hold(actor="key:ada", reason="so", since=self.moment, until=until))
        self.held_until = float("inf") if seconds is None else self.now + seconds

    @rule(forget=st.booleans())
    def a_person_closes(self, *, forget: bool) -> None:
        self.breaker = self.breaker.reset() if forget else self.breaker.closed()
        self.open_until = self.trial = self.held_until = None
        if forget:
            self.failures = []

    @rule(seconds=st.integers(0, 70))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def it_stands_as_the_model_does(self) -> None:
        assert self.breaker.state(self.moment) is self.expected
        trial = None if self.breaker.trip is None else self.breaker.trip.trial
        assert trial == (None if self.trial is None else str(self.trial))
        assert [item.incident for item in self.breaker.failures] == [str(name) for _, name in self.failures]
        assert len({item.incident for item in self.breaker.failures}) == len(self.breaker.failures)

    @invariant()
    def it_says_until_when(self) -> None:
        until = self.breaker.until(self.moment)
        if until is not None:
            assert self.expected is State.OPEN
            assert self.breaker.state(until - timedelta(microseconds=1)) is State.OPEN
            assert self.breaker.state(until) is not State.OPEN

    @invariant()
    def it_is_the_same_after_a_restart(self) -> None:
        assert from_data(Breaker, to_data(self.breaker)) == self.breaker


TestHalts = Halts.TestCase
TestHalts.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
