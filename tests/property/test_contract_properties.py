import math
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.contract import Clause, ClauseState, Comparator, Contract, judge
from penelope.rooms.verify.hold import Drifted, Passed, Waiting, progress

START = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
SUBJECTS = ["metric.error_ratio", "metric.requests", "state.running"]
observed_values = (
    st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
)
clauses = st.builds(
    Clause,
    subject=st.sampled_from(SUBJECTS),
    comparator=st.sampled_from(Comparator),
    expected=observed_values,
    weight=st.floats(0.1, 10),
)
contracts = st.builds(
    Contract,
    clauses=st.lists(clauses, max_size=4).map(tuple),
    deadline_seconds=st.floats(0, 100),
    hold_seconds=st.floats(0, 50),
)
observations = st.dictionaries(st.sampled_from(SUBJECTS), observed_values)


@given(contracts, observations)
def test_a_verdict_passes_only_when_every_clause_was_seen_to_hold(contract, observed):
    verdict = judge(contract, observed, START)
    assert 0 <= verdict.score <= 1 + 1e-9
    assert len(verdict.results) == len(contract.clauses)
    if verdict.passed:
        assert contract.clauses
        assert not verdict.drift
        assert all(observed[clause.subject] is not None for clause in contract.clauses)
        assert math.isclose(verdict.score, 1)
    for result in verdict.results:
        assert (result.state is ClauseState.UNKNOWN) == (observed.get(result.clause.subject) is None)


@given(
    st.lists(st.tuples(st.floats(0.1, 30), st.sampled_from([None, True, False])), max_size=40),
    st.floats(0, 100),
    st.floats(0, 50),
)
def test_what_passes_held_long_enough_and_what_is_judged_ends(looks, deadline, hold):
    clause = Clause(subject="state.running", comparator=Comparator.EQUALS, expected=True)
    contract = Contract(clauses=(clause,), deadline_seconds=deadline, hold_seconds=hold)
    now, holding_since = START, None
    history: list[tuple[datetime, bool | None]] = []
    for seconds, running in looks:
        now += timedelta(seconds=seconds)
        history.append((now, running))
        verdict = judge(contract, {"state.running": running}, now)
        standing = progress(contract, START, holding_since, verdict, now)
        if isinstance(standing, Waiting):
            began = standing.holding_since
            assert (began is not None) == (running is True)
            assert ((began or now) - START).total_seconds() <= deadline
            holding_since = began
            continue
        streak = _streak(history)
        if isinstance(standing, Passed):
            assert streak
            assert (now - streak[0]).total_seconds() >= hold
            assert (streak[0] - START).total_seconds() <= deadline
        else:
            assert isinstance(standing, Drifted)
            assert ((streak[0] if streak else now) - START).total_seconds() > deadline
        return


def _streak(history):
    """The moments of the looks that held, back from the last one without a gap."""
    moments = []
    for moment, running in reversed(history):
        if running is not True:
            break
        moments.insert(0, moment)
    return moments
