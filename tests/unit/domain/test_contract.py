import math
from datetime import UTC, datetime

import pytest

from penelope.domain.contract import Clause, ClauseState, Comparator, Contract, judge

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


def verdict(observed, *clauses):
    return judge(Contract(clauses=clauses, deadline_seconds=60), observed, NOW)


def clause(comparator, expected, subject="state.x", weight=1.0):
    return Clause(subject=subject, comparator=comparator, expected=expected, weight=weight)


@pytest.mark.parametrize(
    ("comparator", "expected", "actual", "state"),
    [
        (Comparator.EQUALS, "2.1", "2.1", ClauseState.HOLDS),
        (Comparator.EQUALS, "2.1", "2.0", ClauseState.BROKEN),
        (Comparator.EQUALS, ["a"], ["a"], ClauseState.HOLDS),
        (Comparator.AT_MOST, 0.02, 0.02, ClauseState.HOLDS),
        (Comparator.AT_MOST, 0.02, 0.021, ClauseState.BROKEN),
        (Comparator.AT_MOST, 0.02, math.nan, ClauseState.BROKEN),
        (Comparator.AT_LEAST, 0.98, 0.98, ClauseState.HOLDS),
        (Comparator.AT_LEAST, 0.98, 0.97, ClauseState.BROKEN),
        (Comparator.AT_LEAST, 0.98, math.nan, ClauseState.BROKEN),
        (Comparator.AT_LEAST, 1, False, ClauseState.BROKEN),
        (Comparator.ONE_OF, ["a", "b"], "b", ClauseState.HOLDS),
        (Comparator.ONE_OF, ["a", "b"], "c", ClauseState.BROKEN),
        (Comparator.ONE_OF, [{"a": 1}], {"a": 1}, ClauseState.HOLDS),
        (Comparator.ONE_OF, "running", "run", ClauseState.BROKEN),
        (Comparator.ONE_OF, None, "run", ClauseState.BROKEN),
        (Comparator.AT_MOST, 1, "many", ClauseState.BROKEN),
        (Comparator.AT_LEAST, 1, {"a": 1}, ClauseState.BROKEN),
        (Comparator.EQUALS, 1, None, ClauseState.UNKNOWN),
    ],
)
def test_a_clause_holds_is_broken_or_unknown(comparator, expected, actual, state):
    found = verdict({"state.x": actual}, clause(comparator, expected))
    (result,) = found.results
    assert result.state is state
    assert result.actual is actual
    assert found.passed is (state is ClauseState.HOLDS)
    assert found.score == (1.0 if found.passed else 0.0)
    assert found.judged_at == NOW


def test_the_score_is_the_weight_that_holds_and_drift_is_the_rest():
    found = verdict(
        {"state.a": 1, "state.b": 2},
        clause(Comparator.EQUALS, 1, "state.a", weight=3),
        clause(Comparator.EQUALS, 1, "state.b", weight=1),
        clause(Comparator.EQUALS, 1, "state.c", weight=2),
    )
    assert found.score == 0.5
    assert not found.passed
    assert [(item.clause.subject, item.state) for item in found.drift] == [
        ("state.b", ClauseState.BROKEN),
        ("state.c", ClauseState.UNKNOWN),
    ]


def test_a_contract_without_clauses_never_passes():
    assert not verdict({"state.x": 1}).passed
    assert verdict({}).score == 0.0
