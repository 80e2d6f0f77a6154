"""Expressions are typed and bounded when they are read, and deny when they cannot be judged."""

import re
from pathlib import Path

import pytest

from penelope.adapters.cel import LONGEST
from penelope.adapters.policy.builtins import ADMITTED
from penelope.adapters.policy.cel import EXAMPLE, Expressions, compiled
from penelope.adapters.policy.load import files_in, load_expressions
from penelope.domain.gate import Ruling
from penelope.errors import InvalidPolicy
from penelope.rooms.gate.facts import ACTION_KEYS, VARIABLES

FILE = """\
apiVersion: penelope.dev/v1
kind: PolicySet
policies:
  - name: first
    description: Shows what a policy looks like.
    expression: {expression}
    effect: {effect}
    message: it says no
"""


def policies(*sources: str, ruling: Ruling = Ruling.REFUSE) -> Expressions:
    return Expressions([compiled(f"p{number}", ruling, "no", text) for number, text in enumerate(sources)])


def written(folder: Path, expression: str, effect: str = "deny") -> Path:
    file = folder / "policies.yaml"
    file.write_text(FILE.format(expression=expression, effect=effect))
    return file


def test_the_example_has_every_variable_and_key() -> None:
    assert list(EXAMPLE) == [item.name for item in VARIABLES]
    assert tuple(EXAMPLE["plan.actions"][0]) == ACTION_KEYS


@pytest.mark.parametrize(
    "expression",
    [
        "service.tier == 2 && decision.risk < 0.5",
        "plan.actions.exists(action, action.adapter == 'process' && action.params.release == '1.4.2')",
        "incident.severity in ['critical', 'error'] // a comment",
        "now.getHours('Europe/Berlin') == 11",
        "!('team' in incident.labels)",
        "plan.actions.all(action, action.operation.matches('^switch_'))",
        "record.successes + record.failures >= 5",
    ],
)
def test_what_is_true_objects(expression: str) -> None:
    [found] = policies(expression).objections(EXAMPLE)
    assert (found.ruling, found.message, found.broken) == (Ruling.REFUSE, "no", "")
    assert policies(f"!({expression}\n)").objections(EXAMPLE) == []


def test_all_are_looked_at_and_each_has_its_own_effect() -> None:
    made = [
        compiled("asks", Ruling.ASK, "please", "service.tier == 2"),
        compiled("silent", Ruling.REFUSE, "no", "service.tier == 1"),
        compiled("denies", Ruling.REFUSE, "no", "plan.canary"),
    ]
    found = Expressions(made).objections(EXAMPLE)
    assert [(item.policy, item.ruling) for item in found] == [("asks", Ruling.ASK), ("denies", Ruling.REFUSE)]


def test_one_that_fails_denies_and_does_not_silence_the_others() -> None:
    found = policies("incident.labels.team == 'x'", "plan.canary", ruling=Ruling.ASK).objections(EXAMPLE)
    assert [(item.policy, item.ruling, item.broken) for item in found] == [
        ("p0", Ruling.REFUSE, "NOT_FOUND"),
        ("p1", Ruling.ASK, ""),
    ]


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("service.teir == 1", "did you mean 'service.tier'"),
        ("nothing == 1", "docs/policy.md lists the variables"),
        ("service.tier == '1'", "found no matching overload"),
        ("service.tier + 1", "must be true or false"),
        ("plan.actions.exists(action, action.adaptor == 'x')", "did you mean 'adapter'"),
        ("service.name.matches('[')", "missing ]"),
        ("now.getHours('Mars/Olympus') > 3", "timezone"),
        ("service.tier == 1 &&", "Syntax error"),
        ("true) || (true", "Syntax error"),
        ("a" * (LONGEST + 1), "longer than"),
    ],
)
def test_a_mistake_is_found_when_it_is_read(expression: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        compiled("p", Ruling.REFUSE, "no", expression)


def test_a_mistake_is_told_with_its_place(tmp_path: Path) -> None:
    file = written(tmp_path, "service.teir == 1")
    with pytest.raises(
        InvalidPolicy, match=r"policies\.yaml:6:17: first: .*column 8.*did you mean"
    ) as caught:
        load_expressions([file])
    assert "policy lint" in caught.value.advice


def test_an_unknown_effect_and_a_name_twice_are_mistakes(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy, match="7:13"):
        load_expressions([written(tmp_path, "true", "warn")])
    file = written(tmp_path, "plan.canary")
    with pytest.raises(InvalidPolicy, match="two policies 'first'"):
        load_expressions([file, file])


def test_a_folder_gives_its_policies_but_not_their_tests(tmp_path: Path) -> None:
    file = written(tmp_path, "plan.canary")
    (tmp_path / "policies_test.yaml").write_text("anything")
    assert files_in([tmp_path], "*.y*ml") == [file]
    assert len(load_expressions([tmp_path])) == 1


def test_no_policy_is_missed_because_of_where_it_lies(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy, match=r"no \*\.y\*ml is in this folder"):
        load_expressions([tmp_path])
    (tmp_path / "team").mkdir()
    (tmp_path / "..2026").mkdir()
    older = written(tmp_path / "..2026", "plan.canary")
    inner = written(tmp_path / "team", "plan.canary")
    assert files_in([tmp_path], "*.y*ml") == [inner]
    assert files_in([older], "*.y*ml") == [older]
    assert files_in([tmp_path / "named_test.yaml"], "*.y*ml") == [tmp_path / "named_test.yaml"]


def test_an_expression_that_is_slow_on_the_largest_request_is_not_read() -> None:
    often = " && ".join(f"incident.labels[{name}].matches('(x|a)*$')" for name in "abababab")
    source = f"incident.labels.all(a, incident.labels.all(b, {often}))"
    with pytest.raises(ValueError, match="on the largest request"):
        compiled("p", Ruling.REFUSE, "no", source)


def test_without_policies_nothing_objects() -> None:
    assert not len(Expressions([]))
    assert Expressions([]).objections(EXAMPLE) == ()


def test_the_page_lists_every_variable_and_function() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "policy.md").read_text()
    assert [
        item for item in VARIABLES if f"| `{item.name}` | `{item.kind.value}` | {item.meaning} |" not in page
    ] == []
    assert [name for name in ADMITTED if f"`{name}`" not in page] == []
