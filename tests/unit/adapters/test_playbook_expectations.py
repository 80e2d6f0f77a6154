import pytest
from pydantic import ValidationError

from penelope.adapters.playbooks.model import Effect, Expectation, Precondition
from penelope.domain.contract import Clause, Comparator, Contract, Gravity


def clause(**said):
    return Expectation.model_validate({"subject": "state.x", **said}).clause("state.x")


@pytest.mark.parametrize(
    ("said", "comparator", "expected"),
    [
        ({"not_equals": 1}, Comparator.NOT_EQUALS, 1),
        ({"between": [1, 5]}, Comparator.BETWEEN, [1, 5]),
        ({"between": ["${low}", 5]}, Comparator.BETWEEN, ["${low}", 5]),
        ({"matches": r"v\d+"}, Comparator.MATCHES, r"v\d+"),
        ({"contains": "ok"}, Comparator.CONTAINS, "ok"),
        ({"changes_at_most": "10%"}, Comparator.CHANGES_AT_MOST, "10%"),
        ({"changes_at_most": "${margin}"}, Comparator.CHANGES_AT_MOST, "${margin}"),
        ({"changes_at_least": -5}, Comparator.CHANGES_AT_LEAST, -5),
    ],
)
def test_a_file_says_all_that_a_clause_can(said, comparator, expected):
    assert clause(**said) == Clause(subject="state.x", comparator=comparator, expected=expected)


def test_a_clause_has_a_time_and_a_gravity_of_its_own():
    found = clause(equals=1, within="5s", hold="1s", severity="critical", weight=2)
    assert (found.within_seconds, found.hold_seconds) == (5, 1)
    assert (found.severity, found.weight) == (Gravity.CRITICAL, 2)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"between": [5, 1]}, "lower bound"),
        ({"between": [1]}, "two bounds"),
        ({"between": [True, 5]}, "must be a number"),
        ({"matches": "("}, "no regular expression"),
        ({"matches": "(?=a)"}, "no regular expression"),
        ({"matches": "a" * 1001}, "at most 1000"),
        ({"changes_at_most": "ten"}, "how far it may move"),
        ({"changes_at_most": "10 %"}, "how far it may move"),
        ({"changes_at_most": True}, "must be a number"),
        ({"equals": 1, "contains": 1}, "exactly one of"),
        ({"equals": 1, "severity": "terrible"}, "critical"),
        ({"equals": 1, "weight": 0}, "greater than 0"),
        ({"equals": 1, "weight": float("inf")}, "less than or equal"),
        ({"equals": 1, "weight": float("nan")}, "weight"),
        ({"equals": 1, "within": 0}, "longer than nothing"),
    ],
)
def test_what_cannot_be_held_against_anything_is_refused(said, complaint):
    with pytest.raises(ValidationError, match=complaint):
        clause(**said)


def test_a_precondition_knows_no_before():
    for said in ({"changes_at_most": 1}, {"hold": "1s"}):
        with pytest.raises(ValidationError):
            Precondition.model_validate({"subject": "metric.x", "equals": 1, **said})


def test_an_effect_may_be_content_with_less():
    said = {"within": "1m", "pass_at": 0.5, "clauses": [{"subject": "metric.up", "equals": 1}]}
    made = Effect.model_validate(said).contract()
    up = Clause(subject="metric.up", comparator=Comparator.EQUALS, expected=1)
    assert made == Contract(clauses=(up,), deadline_seconds=60, pass_at=0.5)
    for odd in (0, 1.1, -1, float("nan"), "half"):
        with pytest.raises(ValidationError):
            Effect.model_validate({**said, "pass_at": odd})
