import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.comparing import Comparator, holds
from penelope.domain.contract import Clause, ClauseState, Contract, Gravity, judge
from penelope.rooms.verify.hold import Drifted, Passed, Waiting, progress

START = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
SUBJECTS = ["metric.error_ratio", "metric.requests", "state.running"]
observed_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
clauses = st.builds(
    Clause,
    subject=st.sampled_from(SUBJECTS),
    comparator=st.sampled_from(Comparator),
    expected=observed_values | st.sampled_from(["10%", "-5", "+3%", ".*", [1, 2]]),
    weight=st.floats(0.1, 10),
    severity=st.sampled_from(Gravity),
)
contracts = st.builds(
    Contract,
    clauses=st.lists(clauses, max_size=4).map(tuple),
    deadline_seconds=st.floats(0, 100),
    hold_seconds=st.floats(0, 50),
    pass_at=st.just(1.0) | st.floats(0, 1),
)
observations = st.dictionaries(st.sampled_from(SUBJECTS), observed_values)


@given(contracts, observations, observations)
def test_a_verdict_passes_only_by_what_was_seen_to_hold(contract, observed, before):
    verdict = judge(contract, observed, START, before)
    assert 0 <= verdict.score <= 1
    assert len(verdict.results) == len(contract.clauses)
    assert not any(
        result.state is ClauseState.HOLDS and observed.get(result.clause.subject) is None
        for result in verdict.results
    )
    if verdict.passed:
        assert any(result.state is ClauseState.HOLDS for result in verdict.results)
        assert all(item.clause.severity is not Gravity.CRITICAL for item in verdict.drift)
        assert verdict.score >= contract.pass_at - 1e-9
        if contract.pass_at in {0, 1}:
            assert not verdict.drift
    if contract.clauses and not verdict.drift:
        assert verdict.passed
        assert math.isclose(verdict.score, 1)
    for result in verdict.results:
        subject, relative = result.clause.subject, result.clause.comparator.relative
        unseen = observed.get(subject) is None or (relative and before.get(subject) is None)
        assert (result.state is ClauseState.UNKNOWN) == unseen


@given(contracts, observations, observations, st.sampled_from(SUBJECTS))
def test_what_is_no_longer_seen_never_makes_a_verdict_better(contract, observed, before, lost):
    fewer = {subject: value for subject, value in observed.items() if subject != lost}
    seen, unseen = (judge(contract, looked, START, before) for looked in (observed, fewer))
    assert unseen.score <= seen.score
    assert seen.passed or not unseen.passed


@given(contracts, observations, observations, st.floats(0, 1), st.floats(0, 1))
def test_who_is_content_with_more_is_content_with_less(contract, observed, before, one, other):
    low, high = sorted((max(one, 1e-6), max(other, 1e-6)))
    strict = judge(replace(contract, pass_at=high), observed, START, before)
    lenient = judge(replace(contract, pass_at=low), observed, START, before)
    assert lenient.passed or not strict.passed
    assert lenient.score == strict.score


@given(observed_values, observed_values)
def test_equal_and_not_equal_are_never_both_and_the_same_both_ways(one, other):
    equal = holds(Comparator.EQUALS, one, other)
    assert equal == holds(Comparator.EQUALS, other, one)
    assert not (equal and holds(Comparator.NOT_EQUALS, one, other))


@given(
    st.lists(st.tuples(st.floats(0.1, 30), st.sampled_from([None, True, False])), max_size=40),
    st.floats(0, 100),
    st.floats(0, 50),
)
def test_what_passes_held_long_enough_and_what_is_judged_ends(looks, deadline, hold):
    clause = Clause(subject="state.running", comparator=Comparator.EQUALS, expected=True)
    contract = Contract(clauses=(clause,), deadline_seconds=deadline, hold_seconds=hold)
    now, waiting = START, None
    history: list[tuple[datetime, bool | None]] = []
    for seconds, running in looks:
        now += timedelta(seconds=seconds)
        history.append((now, running))
        verdict = judge(contract, {"state.running": running}, now)
        standing = progress(contract, START, waiting, verdict, now)
        streak = _streak(history)
        in_time = ((streak[0] if streak else now) - START).total_seconds() <= deadline
        if isinstance(standing, Waiting):
            assert standing.holding_since == (streak[0] if streak else None)
            assert in_time
            waiting = standing
            continue
        assert standing.verdict.passed == isinstance(standing, Passed)
        if isinstance(standing, Passed):
            assert streak
            assert (now - streak[0]).total_seconds() >= hold
            assert in_time
        else:
            assert isinstance(standing, Drifted)
            assert not in_time
        return


def _streak(history):
    """The moments of the looks that held, back from the last one without a gap."""
    moments = []
    for moment, running in reversed(history):
        if running is not True:
            break
        moments.insert(0, moment)
    return moments
