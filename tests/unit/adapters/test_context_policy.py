"""Policies of access are checked when they are read: what evaluators read differently, what costs too much, what says too little."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from penelope.adapters.policy.cases import failures
from penelope.adapters.policy.context_rego import linted, load_governor, shipped_folder
from penelope.domain.access import AccessQuestion, Asset, Classification, Subject, Verb
from penelope.errors import InvalidPolicy

ROOT = Path(__file__).resolve().parents[3]
GOOD = 'default allow := false\nallow if count(reasons) == 0\nrow_filters := []\nmasks := {}\nreasons contains "no" if input.subject.role == "nobody"\n'


def refused(folder: Path, text: str) -> str:
    (folder / "own.rego").write_text(f"package penelope.context\n{text}\n")
    with pytest.raises(InvalidPolicy) as caught:
        load_governor([folder])
    return caught.value.message


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ("hidden[n] := kinds[c] if some n, c in input.asset.columns", 8),
        ('hidden[n] := {"v": kinds[c]} if some n, c in input.asset.columns', 8),
        ("hidden[n] := upper(c) if some n, c in input.asset.columns", 8),
        ("hidden[kinds[c]] := n if some n, c in input.asset.columns", 8),
        ("hidden contains kinds[c] if some n, c in input.asset.columns", 8),
        ("hidden contains n.part if some n in input.asset.columns", 8),
        ('hidden contains sprintf("%s", [input.verb])', 8),
    ],
)
def test_what_is_looked_up_in_the_head_of_a_rule_of_many_values_is_refused(
    line: str, at: int, tmp_path: Path
) -> None:
    told = refused(tmp_path, f'{GOOD}kinds := {{"pii": "hash"}}\n{line}')
    assert f"own.rego:{at}:" in told
    assert "bind it to a name in the rule's body" in told


@pytest.mark.parametrize(
    "line",
    [
        "odd if not kinds[input.verb]",
        "odd if not input.asset.columns[input.verb]",
        'odd if not startswith(input.verb, "a")',
        "odd if not count(input.verb) == 1",
        'odd if not input.verb in {"a"}',
        "odd if not known(input.verb)",
        "odd if not input.subject.age + 1 == 2",
        'odd if not {"a"}[input.verb]',
        'odd if not input.asset.columns[_] == "pii"',
    ],
)
def test_not_over_what_may_be_missing_is_refused(line: str, tmp_path: Path) -> None:
    told = refused(tmp_path, f'{GOOD}kinds := {{"pii": "hash"}}\nknown(x) if x == "a"\n{line}')
    assert "own.rego:9:" in told
    assert "before `not`" in told


@pytest.mark.parametrize(
    "line",
    [
        "fine if not input.verb",
        'fine if not input.verb == "read"',
        "fine if { verb := input.verb; not kinds[verb] }",
        "fine if { some name, kind in input.asset.columns; not startswith(name, kind) }",
        "fine if not kinds.pii",
        "fine if not rule_of_its_own",
        "hidden contains input.verb",
        'hidden[n] := "null" if some n, _ in input.asset.columns',
        'hidden contains {"member": n, "values": [input.verb]} if some n, _ in input.asset.columns',
        "all := {n: kinds[c] | some n, c in input.asset.columns}",
    ],
)
def test_what_both_read_alike_is_admitted(line: str, tmp_path: Path) -> None:
    file = tmp_path / "own.rego"
    text = f'package penelope.context\n{GOOD}kinds := {{"pii": "hash"}}\nrule_of_its_own if input.verb == "x"\n{line}\n'
    file.write_text(text)
    assert linted([file]) == (1, [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("allow if time.now_ns() > 1", "time.now_ns is not admitted"),
        ('allow if crypto.sha256("x") == "y"', "crypto.sha256 is not admitted"),
        ('allow if io.jwt.decode("x")', "io.jwt.decode is not admitted"),
        ('allow if http.send({"url": "x"}).status_code == 200', "http.send is not admitted"),
        ("allow if opa.runtime().env.HOME", "opa.runtime is not admitted"),
        ("allow := true", "the policy says nothing"),
        ('allow := "yes"\nreasons := []\nmasks := {}\nrow_filters := []', "neither yes nor no"),
        ("allow := true\nreasons := []\nmasks := []\nrow_filters := []", "masks are no mapping"),
        ("allow if", "own.rego:3:1"),
    ],
)
def test_a_mistake_is_found_when_it_is_read(text: str, told: str, tmp_path: Path) -> None:
    assert told in refused(tmp_path, text)


def test_work_that_grows_with_the_columns_is_refused_when_it_is_read(tmp_path: Path) -> None:
    each = " ".join(f"some {name}, _ in input.asset.columns;" for name in "abcdef")
    assert "longer than" in refused(tmp_path, GOOD + f'reasons contains "x" if {{ {each} a == f; a == "" }}')


def test_files_without_the_package_are_no_policy(tmp_path: Path) -> None:
    (tmp_path / "other.rego").write_text("package penelope.contexts\nallow := true\n")
    with pytest.raises(InvalidPolicy, match=r"none of the files is of the package penelope\.context"):
        load_governor([tmp_path])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidPolicy, match="is in this folder"):
        load_governor([tmp_path / "empty"])


def test_the_shipped_folder_can_be_named_as_a_whole() -> None:
    assert linted(sorted(shipped_folder().glob("*.rego"))) == (3, [])
    question = AccessQuestion(
        subject=Subject(actor="ann", role="admin"),
        verb=Verb.READ,
        asset=Asset(name="a", kind="cube", classification=Classification.PUBLIC),
    )
    assert asyncio.run(load_governor([shipped_folder()]).judge([question]))[0].allow


def test_another_package_of_the_batch_is_not_taken_beside_ours(tmp_path: Path) -> None:
    (tmp_path / "own.rego").write_text(f"package penelope.context\n{GOOD}")
    other = 'package penelope.context_batch\ndecisions["0"] := {"allow": true, "row_filters": [], "masks": {}, "reasons": []}\n'
    (tmp_path / "context_batch.rego").write_text(other)
    with pytest.raises(InvalidPolicy, match="belongs to Penelope"):
        load_governor([tmp_path])


def test_the_shipped_policy_passes_its_cases() -> None:
    count, problems = failures(ROOT / "policies" / "context_test.yaml")
    assert count >= 20
    assert problems == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("expect: allow", "expect: deny"), "expected deny, but the answer is allow"),
        (("orders.email: hash", "orders.email: partial"), "expected the masks"),
        (("values: [APAC]", "values: [EMEA]"), "expected the row filters"),
    ],
)
def test_a_case_that_comes_out_otherwise_is_told(change: tuple[str, str], told: str, tmp_path: Path) -> None:
    text = (ROOT / "policies" / "context_test.yaml").read_text().replace(*change, 1)
    (tmp_path / "context.rego").write_text((shipped_folder() / "context.rego").read_text())
    (tmp_path / "context_test.yaml").write_text(text)
    _, [problem] = failures(tmp_path / "context_test.yaml")
    assert told in str(problem)
    assert "context_test.yaml:" in str(problem)


def test_any_thread_may_ask() -> None:
    governor = load_governor([])
    question = AccessQuestion(
        subject=Subject(actor="ann", role="admin"),
        verb=Verb.READ,
        asset=Asset(name="a", kind="cube", classification=Classification.PUBLIC),
    )
    questions = [
        replace(question, subject=Subject(actor=f"ann {number}", role="admin")) for number in range(40)
    ]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: asyncio.run(governor.judge([one]))[0].allow, questions))
    assert found == [True] * 40


def test_a_file_that_changes_later_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "own.rego"
    file.write_text(f"package penelope.context\n{GOOD}")
    governor = load_governor([file])
    file.write_text("package penelope.context\nallow := true\n")
    question = AccessQuestion(
        subject=Subject(actor="ann", role="nobody"),
        verb=Verb.READ,
        asset=Asset(name="a", kind="cube", classification=Classification.PUBLIC),
    )
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(lambda: asyncio.run(governor.judge([question]))[0].allow).result()
