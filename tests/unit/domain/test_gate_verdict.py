import pytest

from penelope.domain.gate import GateVerdict, RuleVerdict, Ruling


def gate(*rulings):
    return GateVerdict(
        verdicts=tuple(
            RuleVerdict(rule=f"rule-{index}", ruling=ruling, reason=f"because {index}")
            for index, ruling in enumerate(rulings)
        )
    )


@pytest.mark.parametrize(
    ("rulings", "expected"),
    [
        ((), Ruling.REFUSE),
        ((Ruling.PASS, Ruling.PASS), Ruling.PASS),
        ((Ruling.PASS, Ruling.ASK), Ruling.ASK),
        ((Ruling.ASK, Ruling.REFUSE, Ruling.PASS), Ruling.REFUSE),
    ],
)
def test_the_strictest_ruling_counts_and_no_rule_is_no_permission(rulings, expected):
    assert gate(*rulings).ruling is expected


def test_reasons_are_those_of_the_rules_that_did_not_pass():
    assert gate(Ruling.PASS, Ruling.ASK, Ruling.REFUSE).reasons == ("rule-1: because 1", "rule-2: because 2")
