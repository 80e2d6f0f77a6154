import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from penelope.domain.contract import Clause, ClauseState, Comparator, Contract, Gravity, judge

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
        (Comparator.EQUALS, 1, 1.0, ClauseState.HOLDS),
        (Comparator.EQUALS, 1, True, ClauseState.BROKEN),
        (Comparator.EQUALS, "1", 1, ClauseState.BROKEN),
        (Comparator.EQUALS, [1, {"a": 0}], (1, {"a": False}), ClauseState.BROKEN),
        (Comparator.EQUALS, {"a": [1]}, {"a": (1.0,)}, ClauseState.HOLDS),
        (Comparator.EQUALS, math.nan, math.nan, ClauseState.BROKEN),
        (Comparator.NOT_EQUALS, 1, 2, ClauseState.HOLDS),
        (Comparator.NOT_EQUALS, 1, 1, ClauseState.BROKEN),
        (Comparator.NOT_EQUALS, 1, "1", ClauseState.BROKEN),
        (Comparator.NOT_EQUALS, 1, True, ClauseState.BROKEN),
        (Comparator.NOT_EQUALS, 1, math.nan, ClauseState.BROKEN),
        (Comparator.NOT_EQUALS, 1, None, ClauseState.UNKNOWN),
        (Comparator.AT_MOST, 1, "0", ClauseState.BROKEN),
        (Comparator.AT_MOST, "b", "a", ClauseState.BROKEN),
        (Comparator.AT_LEAST, 1, True, ClauseState.BROKEN),
        (Comparator.AT_LEAST, 1, math.inf, ClauseState.BROKEN),
        (Comparator.AT_LEAST, 1, 10**400, ClauseState.BROKEN),
        (Comparator.BETWEEN, [1, 2], 1, ClauseState.HOLDS),
        (Comparator.BETWEEN, [1, 2], 2.0, ClauseState.HOLDS),
        (Comparator.BETWEEN, [1, 2], 2.1, ClauseState.BROKEN),
        (Comparator.BETWEEN, [2, 1], 1.5, ClauseState.BROKEN),
        (Comparator.BETWEEN, [1], 1, ClauseState.BROKEN),
        (Comparator.BETWEEN, [1, "2"], 1, ClauseState.BROKEN),
        (Comparator.BETWEEN, None, 1, ClauseState.BROKEN),
        (Comparator.BETWEEN, [0, 1], True, ClauseState.BROKEN),
        (Comparator.MATCHES, r"v\d+", "v12", ClauseState.HOLDS),
        (Comparator.MATCHES, r"v\d+", "xv12", ClauseState.BROKEN),
        (Comparator.MATCHES, r"v\d+", 12, ClauseState.BROKEN),
        (Comparator.MATCHES, "(", "(", ClauseState.BROKEN),
        (Comparator.MATCHES, "(?=a)a", "a", ClauseState.BROKEN),
        (Comparator.MATCHES, ".*", "\ud800", ClauseState.BROKEN),
        (Comparator.MATCHES, "a*", "a" * 70_000, ClauseState.BROKEN),
        (Comparator.MATCHES, "(a+)+b", "a" * 60_000, ClauseState.BROKEN),
        (Comparator.CONTAINS, "b", "abc", ClauseState.HOLDS),
        (Comparator.CONTAINS, 1, "1", ClauseState.BROKEN),
        (Comparator.CONTAINS, 1, [2, 1.0], ClauseState.HOLDS),
        (Comparator.CONTAINS, 1, [True], ClauseState.BROKEN),
        (Comparator.CONTAINS, "a", {"a": 1}, ClauseState.BROKEN),
        (Comparator.CHANGES_AT_MOST, 1, 1, ClauseState.UNKNOWN),
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


@pytest.mark.parametrize(
    ("expected", "before", "actual", "most", "least"),
    [
        (5, 100, 105, True, True),
        (5, 100, 95, True, True),
        (5, 100, 106, False, True),
        (5, 100, 104, True, False),
        ("10%", 200, 220, True, True),
        ("10%", 200, 221, False, True),
        ("10%", -200, -221, False, True),
        ("+10%", 200, 100, True, False),
        ("+10%", 200, 230, False, True),
        ("-10%", 200, 230, True, False),
        ("-10%", 200, 150, False, True),
        (-5, 100, 90, False, True),
        ("-5", 100, 90, False, True),
        ("10%", 0, 0, True, False),
        ("10%", 0, 0.1, False, True),
        (0, 3, 3, True, True),
        ("ten", 100, 100, False, False),
        ("10 %", 100, 100, False, False),
        ("1e9%", 100, 100, False, False),
        (True, 100, 100, False, False),
        (5, True, 1, False, False),
        (5, "100", 100, False, False),
        (5, math.nan, 100, False, False),
        (5, 100, math.inf, False, False),
        (5, 1.7e308, -1.7e308, False, True),
    ],
)
def test_a_change_is_held_against_what_was_there_before(expected, before, actual, most, least):
    for comparator, wanted in ((Comparator.CHANGES_AT_MOST, most), (Comparator.CHANGES_AT_LEAST, least)):
        contract = Contract(clauses=(clause(comparator, expected),), deadline_seconds=60)
        found = judge(contract, {"state.x": actual}, NOW, {"state.x": before})
        assert found.passed is wanted, comparator
        assert found.results[0].before is before
        unseen = judge(contract, {"state.x": actual}, NOW, {"state.y": before})
        assert unseen.results[0].state is ClauseState.UNKNOWN


def test_a_contract_may_be_content_with_less_but_never_without_what_is_critical():
    heavy = clause(Comparator.EQUALS, 1, "state.a", weight=3)
    light = clause(Comparator.EQUALS, 1, "state.b", weight=1)
    seen = {"state.a": 1, "state.b": 2}

    def passed(observed, *clauses, pass_at=0.75):
        contract = Contract(clauses=clauses, deadline_seconds=60, pass_at=pass_at)
        return judge(contract, observed, NOW).passed

    assert passed(seen, heavy, light)
    assert passed({"state.a": 1}, heavy, light)
    assert not passed(seen, heavy, light, pass_at=0.76)
    assert not passed(seen, heavy, light, pass_at=1.0)
    assert not passed({"state.b": 1}, heavy, light)
    assert not passed(seen, heavy, replace(light, severity=Gravity.CRITICAL))
    assert not passed({"state.a": 1}, heavy, replace(light, severity=Gravity.CRITICAL))
    for odd in (0, -1, 2, math.nan, math.inf):
        assert not passed(seen, heavy, light, pass_at=odd)
        assert passed({"state.a": 1, "state.b": 1}, heavy, light, pass_at=odd)


@pytest.mark.parametrize("weight", [1e308, 1e-308, math.inf, math.nan, -1.0, 0.0])
def test_no_weight_makes_a_score_beyond_its_bounds(weight):
    clauses = (
        clause(Comparator.EQUALS, 1, "state.a", weight=weight),
        clause(Comparator.EQUALS, 1, "state.b", weight=weight),
        clause(Comparator.EQUALS, 1, "state.c", weight=1.0),
    )
    found = verdict({"state.a": 1, "state.b": 1}, *clauses)
    assert 0 <= found.score <= 1
    assert not found.passed


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
