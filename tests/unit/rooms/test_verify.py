import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.action import Action, Tier
from penelope.domain.contract import Clause, ClauseState, Comparator, Contract, Verdict
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
from penelope.rooms.verify.run import look
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
    return Verdict(score=float(passed), passed=passed, results=(), judged_at=at(seconds))


def step(seconds: float, *, passed: bool, since: float | None = None, contract: Contract = CONTRACT):
    holding = None if since is None else at(since)
    return progress(contract, START, holding, verdict_at(seconds, passed=passed), at(seconds))


@pytest.mark.parametrize(
    ("seconds", "passed", "since", "expected"),
    [
        (5, True, None, Waiting(holding_since=at(5))),
        (14, True, 5, Waiting(holding_since=at(5))),
        (15, True, 5, Passed),
        (12, False, 5, Waiting(holding_since=None)),
        (12, False, None, Waiting(holding_since=None)),
        (60, False, None, Waiting(holding_since=None)),
        (60, True, None, Waiting(holding_since=at(60))),
        (60.001, False, None, Drifted),
        (60.001, True, None, Drifted),
        (65, True, 60, Waiting(holding_since=at(60))),
        (65, False, 60, Drifted),
        (70, True, 60, Passed),
        (500, True, 60, Passed),
    ],
)
def test_the_deadline_is_for_the_beginning_of_the_hold(seconds, passed, since, expected):
    found = step(seconds, passed=passed, since=since)
    if isinstance(expected, Waiting):
        assert found == expected
    else:
        assert type(found) is expected
        assert found.verdict.waited_seconds == seconds
        assert found.verdict.passed is passed


def test_without_a_hold_one_look_is_enough():
    contract = Contract(clauses=(ERRORS,), deadline_seconds=60)
    assert type(step(60, passed=True, contract=contract)) is Passed
    assert type(step(61, passed=True, contract=contract)) is Drifted


def test_a_clock_that_was_set_back_passes_nothing():
    assert step(-100, passed=True, since=5) == Waiting(holding_since=at(5))


@pytest.mark.parametrize(
    "value",
    [
        Waiting(holding_since=START),
        Passed(verdict=verdict_at(1, passed=True)),
        Drifted(verdict=verdict_at(1, passed=False)),
    ],
)
def test_standings_can_be_stored(value):
    assert from_data(type(value), to_data(value)) == value
