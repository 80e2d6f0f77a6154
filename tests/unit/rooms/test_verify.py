import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.action import Action, Tier
from penelope.domain.contract import Clause, ClauseState, Comparator, Contract, Gravity, Verdict, judge
from penelope.domain.service import (
    CounterQuery,
    ErrorSelector,
    HistogramQuery,
    MetricQueries,
    Service,
    Target,
)
from penelope.errors import ActionFailed, Timeout, Unavailable
from penelope.kit.codec import from_data, to_data
from penelope.rooms.verify.hold import Drifted, Passed, Waiting, progress
from penelope.rooms.verify.run import look, observe
from penelope.rooms.verify.watch import Watch
from penelope.testing.clock import FakeClock
from penelope.testing.metrics import FakeMetrics, Figures, Question, figures

START = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
SHOP = Service(
    name="shop",
    owner="team",
    tier=1,
    metrics=MetricQueries(
        source="scrape",
        instances={"a": "http://a/metrics", "b": "http://b/metrics"},
        requests=CounterQuery(counter="requests_total"),
        errors=ErrorSelector(label="code", pattern="5.."),
        latency=HistogramQuery(histogram="seconds"),
    ),
)
ACTION = Action(
    key="k", name="Restart", adapter="process", operation="restart", params={}, tier=Tier.LOCAL,
    target=Target(name="instance-a", service="shop", adapter="process"), timeout_seconds=10,
)  # fmt: skip
ERRORS = Clause(subject="metric.error_ratio", comparator=Comparator.AT_MOST, expected=0.02)
ERRORS_OF_B = Clause(subject="metric.error_ratio@b", comparator=Comparator.AT_MOST, expected=0.02)
RUNNING = Clause(subject="state.running", comparator=Comparator.EQUALS, expected=True)
HEALTHY = Figures({"a": figures(100), "b": figures(100, 1)})


class State:
    def __init__(self, answer) -> None:
        self.answer = answer
        self.asked: list[Action] = []

    async def observe(self, action: Action):
        self.asked.append(action)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def seen(*clauses: Clause, metrics=HEALTHY, state=None, action=ACTION, service=SHOP):
    clock = FakeClock(START + timedelta(seconds=30))
    reader = FakeMetrics(clock)
    reader.script("shop", metrics)
    contract = Contract(clauses=clauses, deadline_seconds=60)
    verdict = asyncio.run(
        look(contract, service, action, reader, state, since=START, window_seconds=20, now=clock.now())
    )
    return verdict, reader


def states(verdict: Verdict) -> list[ClauseState]:
    return [result.state for result in verdict.results]


def test_figures_and_state_are_held_against_the_contract():
    state = State({"running": True})
    verdict, reader = seen(ERRORS, ERRORS_OF_B, RUNNING, state=state)
    assert verdict.passed
    assert [result.actual for result in verdict.results] == [0.005, 0.01, True]
    assert verdict.judged_at == START + timedelta(seconds=30)
    assert reader.questions == [Question("shop", 20, START)]
    assert state.asked == [ACTION]


def test_only_what_the_clauses_name_is_asked_for():
    state = State({"running": True})
    assert seen(RUNNING, state=state)[1].questions == []
    assert seen(ERRORS, state=state)[0].passed
    assert len(state.asked) == 1


@pytest.mark.parametrize("error", [Unavailable("out of reach"), Timeout("too late")])
def test_what_cannot_be_seen_is_unknown_and_never_passes(error):
    verdict, _ = seen(ERRORS, RUNNING, metrics=error, state=State(error))
    assert states(verdict) == [ClauseState.UNKNOWN, ClauseState.UNKNOWN]
    assert not verdict.passed
    assert verdict.score == 0


def test_a_state_that_takes_longer_than_the_action_may_is_unknown():
    class Hanging:
        async def observe(self, action: Action):  # noqa: ARG002 - the port's shape
            await asyncio.Event().wait()

    contract = Contract(clauses=(RUNNING,), deadline_seconds=60)
    hurried = replace(ACTION, timeout_seconds=0.05)

    async def looked():
        async with asyncio.timeout(1):
            return await observe(contract, SHOP, hurried, None, Hanging(), window_seconds=20)

    assert asyncio.run(looked()) == {}


def test_state_without_an_action_or_a_reader_is_unknown():
    assert states(seen(RUNNING, state=State({"running": True}), action=None)[0]) == [ClauseState.UNKNOWN]
    assert states(seen(RUNNING, state=None)[0]) == [ClauseState.UNKNOWN]
    assert states(seen(RUNNING, state=State({"pid": 7}))[0]) == [ClauseState.UNKNOWN]


def test_a_figure_of_the_service_needs_every_instance():
    verdict, _ = seen(ERRORS, ERRORS_OF_B, metrics=Figures({"b": figures(100)}))
    assert states(verdict) == [ClauseState.UNKNOWN, ClauseState.HOLDS]
    unlisted = Service(name="shop", owner="team", tier=1)
    assert seen(ERRORS, metrics=Figures({"b": figures(100)}), service=unlisted)[0].passed


def test_no_traffic_is_not_health():
    assert states(seen(ERRORS, metrics=Figures({"a": figures(0), "b": figures(0)}))[0]) == [
        ClauseState.UNKNOWN
    ]


def test_other_errors_are_not_hidden():
    with pytest.raises(ActionFailed):
        seen(RUNNING, state=State(ActionFailed("a bug")))


CONTRACT = Contract(clauses=(ERRORS,), deadline_seconds=60, hold_seconds=10)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def verdict_at(seconds: float, *, passed: bool) -> Verdict:
    return judge(CONTRACT, {"metric.error_ratio": 0.0 if passed else 0.5}, at(seconds))


def holding(since: float | None) -> Waiting:
    return Waiting(since=(None if since is None else at(since),))


def step(seconds: float, *, passed: bool, before: Waiting | None = None, contract: Contract = CONTRACT):
    return progress(contract, START, before, verdict_at(seconds, passed=passed), at(seconds))


@pytest.mark.parametrize(
    ("seconds", "passed", "before", "expected"),
    [
        (5, True, None, holding(5)),
        (14, True, holding(5), holding(5)),
        (15, True, holding(5), Passed),
        (12, False, holding(5), holding(None)),
        (12, False, None, holding(None)),
        (60, False, None, holding(None)),
        (60, True, None, holding(60)),
        (60, True, holding(None), holding(60)),
        (60.001, False, None, Drifted),
        (60.001, True, None, Drifted),
        (60.001, True, holding(None), Drifted),
        (65, True, holding(60), holding(60)),
        (65, False, holding(60), Drifted),
        (70, True, holding(60), Passed),
        (500, True, holding(60), Passed),
    ],
)
def test_the_deadline_is_for_the_beginning_of_the_hold(seconds, passed, before, expected):
    found = step(seconds, passed=passed, before=before)
    if isinstance(expected, Waiting):
        assert found == expected
    else:
        assert type(found) is expected
        assert found.verdict.waited_seconds == seconds
        assert found.verdict.passed is (expected is Passed)


def test_without_a_hold_one_look_is_enough():
    contract = Contract(clauses=(ERRORS,), deadline_seconds=60)
    assert type(step(60, passed=True, contract=contract)) is Passed
    assert type(step(61, passed=False, contract=contract)) is Drifted
    late = step(61, passed=True, contract=contract)
    assert type(late) is Drifted
    assert states(late.verdict) == [ClauseState.LATE]


def test_a_clock_that_was_set_back_passes_nothing():
    assert step(-100, passed=True, before=holding(5)) == holding(5)


def watched(*looks: tuple[float, bool]):
    """Where a contract stands after looks of half a second, at most two seconds apart if nothing is in the way."""
    watch, waiting = Watch(START, 2), None
    for seconds, passed in looks:
        moment = watch.looked(at(seconds), at(seconds + 0.5))
        waiting = progress(CONTRACT, START, waiting, verdict_at(seconds, passed=passed), moment)
    return waiting, watch.unwatched_seconds


@pytest.mark.parametrize(
    ("looks", "expected", "unwatched"),
    [
        ([(1, True)], holding(1), 0),
        ([(500, True)], holding(2), 498),  # nobody looked before: it begins to hold
        ([(500, False)], holding(None), 498),
        ([(500, False), (558, False)], holding(None), 553.5),  # nor does a second gap lose it
        ([(1, False), (500, True)], holding(3.5), 496.5),
        ([(1, True), (500, True)], holding(1), 496.5),  # nobody saw it hold for 10 s
        ([(1, True), (500, False)], holding(None), 496.5),
        ([(500, True), *((500 + 2.5 * n, True) for n in range(1, 5))], Passed, 498),
        ([(2.5 * n, False) for n in range(26)], Drifted, 0),  # who looks all the time keeps to the time
        ([(100 * n, False) for n in range(26)], Drifted, 2437.5),  # and it ends however rarely somebody looks
    ],
)
def test_time_in_which_nobody_looked_counts_neither_for_a_contract_nor_against_it(looks, expected, unwatched):
    found, blind = watched(*looks)
    assert found == expected if isinstance(expected, Waiting) else type(found) is expected
    assert blind == unwatched


def test_a_clock_that_was_set_back_adds_no_time_in_which_nobody_looked():
    watch = Watch(START, 2)
    assert watch.looked(at(10), at(11)) == at(2)
    assert watch.looked(at(-60), at(-59)) == at(-68)
    assert watch.looked(at(12), at(13)) == at(4)
    assert watch.unwatched_seconds == 8


def test_each_clause_may_have_a_deadline_and_a_hold_of_its_own():
    soon = replace(ERRORS, within_seconds=5)
    steady = replace(RUNNING, hold_seconds=20)
    contract = Contract(clauses=(soon, steady), deadline_seconds=60)
    both = {"metric.error_ratio": 0.0, "state.running": True}
    verdict = judge(contract, both, at(4))
    waiting = progress(contract, START, None, verdict, at(4))
    assert isinstance(waiting, Waiting)
    assert waiting.holding_since == at(4)
    assert isinstance(progress(contract, START, waiting, judge(contract, both, at(24)), at(24)), Passed)
    slow = judge(contract, {**both, "metric.error_ratio": 0.5}, at(6))
    drifted = progress(contract, START, None, slow, at(6))
    assert isinstance(drifted, Drifted)
    assert [item.clause for item in drifted.verdict.drift] == [soon]


def test_a_contract_that_is_content_with_less_waits_for_what_is_open_and_never_counts_what_was_late():
    soon = replace(ERRORS, within_seconds=5, weight=1.0)
    contract = Contract(clauses=(soon, replace(RUNNING, weight=3)), deadline_seconds=60, pass_at=0.7)

    def looked(seconds, before, ratio, running):
        verdict = judge(contract, {"metric.error_ratio": ratio, "state.running": running}, at(seconds))
        return progress(contract, START, before, verdict, at(seconds))

    waiting = looked(6, None, 0.5, False)
    assert isinstance(waiting, Waiting)
    passed = looked(10, waiting, 0.0, True)
    assert isinstance(passed, Passed)
    assert passed.verdict.passed
    assert passed.verdict.score == 0.75
    assert states(passed.verdict) == [ClauseState.LATE, ClauseState.HOLDS]
    critical = replace(contract, clauses=(replace(soon, severity=Gravity.CRITICAL), contract.clauses[1]))
    seen = judge(critical, {"metric.error_ratio": 0.5, "state.running": True}, at(6))
    assert isinstance(progress(critical, START, None, seen, at(6)), Drifted)


def test_what_was_there_before_is_seen_the_same_way():
    clock = FakeClock(START)
    reader = FakeMetrics(clock)
    reader.script("shop", HEALTHY)
    used = Clause(subject="state.used", comparator=Comparator.CHANGES_AT_LEAST, expected="-20%")
    contract = Contract(clauses=(used, ERRORS), deadline_seconds=60)

    def seen_of(state, metrics=reader):
        return asyncio.run(observe(contract, SHOP, ACTION, metrics, state, window_seconds=20))

    before = seen_of(State({"used": 100, "other": 1}))
    assert before == {"state.used": 100, "metric.error_ratio": 0.005}
    assert seen_of(State({"used": float("nan")})) == {"metric.error_ratio": 0.005}
    assert seen_of(State({"used": b"bytes"})) == {"metric.error_ratio": 0.005}
    assert seen_of(State(Unavailable("away"))) == {"metric.error_ratio": 0.005}
    later = {"since": START, "window_seconds": 20, "now": at(30)}
    clock.advance(30)

    def verdict_of(used, **extra):
        state = State({"used": used})
        return asyncio.run(look(contract, SHOP, ACTION, reader, state, **later, **extra))

    assert states(verdict_of(80, before=before))[0] is ClauseState.HOLDS
    assert states(verdict_of(81, before=before))[0] is ClauseState.BROKEN
    assert states(verdict_of(80))[0] is ClauseState.UNKNOWN


def test_a_large_observation_is_judged_whole_and_shown_short():
    text = "x" * 10_000 + "end"
    clause = Clause(subject="state.running", comparator=Comparator.CONTAINS, expected="end")
    verdict, _ = seen(clause, state=State({"running": text}))
    assert verdict.passed
    shown = verdict.results[0].actual
    assert shown["bytes"] == len(text) + 2
    assert shown["begins"] == "x" * 256


@pytest.mark.parametrize(
    "value",
    [
        holding(1),
        Passed(verdict=verdict_at(1, passed=True)),
        Drifted(verdict=verdict_at(1, passed=False)),
    ],
)
def test_standings_can_be_stored(value):
    assert from_data(type(value), to_data(value)) == value
