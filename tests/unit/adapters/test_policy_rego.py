"""Rego allows only where it says `true`; what it may call is listed."""

from pathlib import Path

import pytest

from penelope.adapters.policy.builtins import ADMITTED
from penelope.adapters.policy.cases import failures
from penelope.adapters.policy.cel import EXAMPLE
from penelope.adapters.policy.rego import Rego, load_rego, read_rego
from penelope.domain.gate import Ruling
from penelope.errors import InvalidPolicy

ROOT = Path(__file__).resolve().parents[3]
RULES = """\
package penelope.gate.hours
default allow := false
allow if count(reasons) == 0
reasons contains "tier one" if input.service.tier == 1
reasons contains "late" if input.now > 4000000000
"""


def rules(folder: Path, text: str) -> Rego:
    file = folder / "rules.rego"
    file.write_text(text)
    return load_rego([folder])


def test_it_allows_or_tells_every_reason(tmp_path: Path) -> None:
    rego = rules(tmp_path, RULES)
    assert rego.objections(EXAMPLE) == []
    [found] = rego.objections({**EXAMPLE, "service.tier": 1})
    assert (found.policy, found.ruling, found.message) == ("hours", Ruling.REFUSE, "tier one")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("allow if", "rules.rego:3:1"),
        ("allow if time.now_ns() > 1", "time.now_ns is not admitted"),
        ('allow if http.send({"url": "x"}).status_code == 200', "http.send is not admitted"),
        ('allow if crypto.sha256("x") == "y"', "crypto.sha256 is not admitted"),
        ("allow if { some x in numbers.range(1, 9000000); x == 0 }", "numbers.range is not admitted"),
        ("allow if input.service.tier == 9", "default allow := false"),
        ("allow if no_such_function(1)", "no_such_function is not admitted"),
    ],
)
def test_a_mistake_is_found_when_it_is_read(body: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        rules(tmp_path, f"package penelope.gate.x\n{body}\n")
    assert told in caught.value.message


def test_a_file_outside_the_asked_packages_is_no_rule(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy, match=r"only packages below data\.penelope\.gate are asked"):
        rules(tmp_path, "package other\nallow := true\n")


def test_functions_of_its_own_may_be_called(tmp_path: Path) -> None:
    (tmp_path / "lib.rego").write_text("package penelope.lib\ncritical(tier) if tier == 1\n")
    text = RULES.replace("input.service.tier == 1", "data.penelope.lib.critical(input.service.tier)")
    assert rules(tmp_path, text).objections({**EXAMPLE, "service.tier": 1})[0].message == "tier one"


@pytest.mark.parametrize("value", ["1", '"true"', "[]", '"<undefined>"'])
def test_only_true_is_a_yes(value: str, tmp_path: Path) -> None:
    text = f"package penelope.gate.x\nallow := {value} if input.service.tier == 1\nallow := true if input.service.tier == 2\nreasons := []\n"
    [found] = rules(tmp_path, text).objections({**EXAMPLE, "service.tier": 1})
    assert (found.ruling, found.broken) == (Ruling.REFUSE, "undefined")


def test_an_error_denies(tmp_path: Path) -> None:
    text = RULES + 'reasons contains "x" if 1 / (input.service.tier - 3) > 9\n'
    [found] = rules(tmp_path, text).objections({**EXAMPLE, "service.tier": 3})
    assert (found.ruling, found.broken) == (Ruling.REFUSE, "RuntimeError")


def test_work_that_grows_with_the_plan_is_refused_when_it_is_read(tmp_path: Path) -> None:
    each = " ".join(f"some {name} in input.plan.actions;" for name in "abcdef")
    with pytest.raises(InvalidPolicy, match="longer than"):
        rules(tmp_path, RULES + f'reasons contains "x" if {{ {each} a.tier + f.tier == 99 }}\n')


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("f(x) := y if { x > 0; y := f(x - 1) }", "rules.rego:5:1: the function f comes to call itself"),
        ("f(x) := g(x)\ng(x) := h(x)\nh(x) := data.penelope.gate.x.f(x)", "f comes to call itself"),
        ("f(x) := me.f(x)", "f comes to call itself"),
        (
            "f(x) := y if y := count(x) with count as f",
            "rules.rego:5:28: `with` may replace nothing but input",
        ),
        ("now_ns() := 1\nlate if time.now_ns() > 1", "time.now_ns is not admitted"),
        ("send(_) := 1\nsent if http.send({}) == 1", "http.send is not admitted"),
        ('a["b"](_) := 1\nlate if time["now_ns"]() > 1', "the function ? is not admitted"),
        ("late if me.nothing(1)", "me.nothing is not admitted"),
    ],
)
def test_no_function_hides_behind_a_name_or_calls_itself(body: str, told: str, tmp_path: Path) -> None:
    head = "package penelope.gate.x\nimport data.penelope.gate.x as me\ndefault allow := false\nallow if count([]) == 0\n"
    with pytest.raises(InvalidPolicy) as caught:
        rules(tmp_path, f"{head}{body}\n")
    assert told in caught.value.message


def test_input_may_be_replaced(tmp_path: Path) -> None:
    text = RULES + 'reasons contains "x" if { input.service.tier == 9 with input.service.tier as 9 }\n'
    assert rules(tmp_path, text).objections(EXAMPLE)[0].message == "x"


def test_a_package_that_is_not_asked_for_its_name_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "top.rego").write_text(RULES.replace("penelope.gate.hours", "penelope.gate"))
    with pytest.raises(InvalidPolicy, match=r"only packages below data\.penelope\.gate are asked"):
        rules(tmp_path, RULES)


@pytest.mark.parametrize("name", sorted(ADMITTED))
def test_every_admitted_function_exists(name: str, tmp_path: Path) -> None:
    text = f"package penelope.gate.x\nallow if is_boolean(answer == answer)\nanswer := {ADMITTED[name]}\nreasons := []\n"
    assert rules(tmp_path, text).objections(EXAMPLE) == []


def test_no_files_are_no_rules() -> None:
    rego, problems = read_rego([])
    assert rego is not None
    assert (len(rego), problems) == (0, [])


def test_the_shipped_policies_pass_their_cases() -> None:
    count, problems = failures(ROOT / "policies" / "examples_test.yaml")
    assert count >= 7
    assert problems == []
