"""Playbook files of strangers: each is refused in short time, with a mistake that says where it stands."""

import time

import pytest

from penelope.adapters.actions.installed import operations
from penelope.adapters.playbooks.lint import lint

HEAD = """\
apiVersion: penelope.dev/v1
kind: Playbook
name: p
version: "1"
title: P
match: {names: [X]}
verify: {within: 1m, clauses: [{subject: metric.x, at_most: 1}]}
"""
STEP = "{name: A, action: process.restart, target: a, tier: 1}"
QUOTED = f"'{'${x}' * 50}'"

BOMB = "a: &a [x, x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}, *{old}, *{old}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, ":1:4: not YAML: anchors and aliases are refused; write the value out"),
        (HEAD + f"steps: [{STEP}]\nparameters: {{<<: {{}}}}\n", ":9:14: merge keys are refused"),
        (HEAD + "steps: !!python/object/apply:os.system [reboot]\n", ":8:8: not YAML: tags are refused"),
        (HEAD + "steps:\n" + "- sequence: [" + "{sequence: [" * 30 + STEP, "not YAML: nested more than 40 deep"),
        (HEAD + "steps: [" + "{sequence: [" * 17 + STEP + "]}" * 17 + "]\n", "stands more than 5 deep"),
        (HEAD + "steps:\n  - parallel:\n" + f"      - {STEP}\n" * 3500, "a playbook has at most 100 steps"),
        (HEAD + "steps:\n" + f"  - {STEP.replace('A', QUOTED)}\n" * 700, "at most 100 steps"),
        (HEAD + f"steps: [{STEP}]\nparameters: {{x: {{type: string, default: a, pattern: \"{'(' * 400}\"}}}}\n", "the pattern cannot be used: missing )"),
        (HEAD + f'steps: [{STEP}]\nparameters: {{x: {{type: string, default: a, pattern: "((a{{999}}){{999}}){{999}}"}}}}\n', "the pattern cannot be used: invalid repetition size"),
        (HEAD.replace("{names: [X]}", '{expression: "' + "(" * 900 + '"}') + f"steps: [{STEP}]\n", "the expression"),
        (HEAD + "steps: [[], 1, null, true, {}]\n", ":8:9: must be a mapping"),
        (HEAD + "steps: {name: A}\n", ":8:8: must be a list"),
        (HEAD + "steps:\n", "must be a list"),
        (HEAD + "steps: [{action: {}, parallel: 1, foreach: [], when: null}]\n", "it cannot be both"),
        (HEAD + "steps: [{foreach: {}, as: [], at_most: .5, steps: x}]\n", ":8:19: must be a text"),
        (HEAD + "steps: [{name: A, action: process.restart, target: a, tier: 1, rollback: [none]}]\n", "must be none, or an action"),
        ("\x00", ""),
        ("[" * 5000, "nested more than 40 deep"),
        ("x" * 300_000, "the file is larger than 256 KiB"),
        ("- 1", "must be a mapping"),
        ("", "must be a mapping"),
    ],
    ids=range(21),
)  # fmt: skip
def test_each_is_refused(tmp_path, text, said):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    began = time.thread_time()

    problems = [str(problem) for problem in lint(path, operations())]

    assert any(said in problem for problem in problems), problems[:5]
    assert all(problem.startswith(f"{path}:") for problem in problems)
    assert time.thread_time() - began < 20


@pytest.mark.parametrize("bound", ["true", '"3"', "[]", "1e400"])
def test_bounds_are_numbers(tmp_path, bound):
    path = tmp_path / "p.yaml"
    path.write_text(
        HEAD + f"steps: [{STEP}]\nparameters: {{x: {{type: integer, default: 1, at_most: {bound}}}}}\n"
    )

    assert lint(path, operations())[0].line == 9
