import pytest

from penelope.domain.decision import Contribution, score


def part(value):
    return Contribution(name="part", value=value, reason="test")


@pytest.mark.parametrize(
    ("values", "expected", "limit"),
    [((), 0.0, None), ((0.25, 0.5), 0.75, None), ((0.75, 0.5), 1.0, -0.25), ((0.25, -0.5), 0.0, 0.25)],
)
def test_a_score_is_the_sum_of_its_contributions_within_its_bounds(values, expected, limit):
    found = score(*map(part, values))
    assert found.value == expected
    assert sum(item.value for item in found.contributions) == expected
    limits = [item.value for item in found.contributions if item.name == "limit"]
    assert limits == ([] if limit is None else [limit])
