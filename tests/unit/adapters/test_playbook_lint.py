from dataclasses import replace

import pytest

from penelope.adapters.actions.installed import operations
from penelope.adapters.playbooks.lint import lint
from penelope.domain.action import Tier

ADAPTERS = operations()

GOOD = """\
apiVersion: penelope.dev/v1
kind: Playbook
name: go-back
version: "1"
title: Go back
match: {names: [HighErrorRate]}
parameters:
  release: {type: string, from: change.instance-b.previous_release}
  most: {type: number, default: 0.02}
steps:
  - name: Switch to ${release} for $${5}
    action: process.switch_release
    target: instance-b
    params: {release: "${release}"}
    tier: 2
    timeout: 20s
    expect: {within: 15s, clauses: [{subject: state.release, equals: "${release}"}]}
rollout: {canary: b, control: a, steps: [10, 100], interval: 2s, looks_per_step: 2, max_step: 60s}
after:
  - {name: Share, action: traffic.set_weights, target: traffic, params: {weights: {a: 50, b: 50}}, tier: 1}
verify: {within: 60s, hold: 3s, clauses: [{subject: metric.error_ratio@b, at_most: "${most}", weight: 2}]}
"""


@pytest.fixture
def problems(tmp_path):
    """Lints the good playbook with one text replaced by another."""
    path = tmp_path / "p.yaml"

    def run(old="", new="", adapters=ADAPTERS):
        assert old in GOOD
        path.write_text(GOOD.replace(old, new, 1))
        return [str(problem).removeprefix(f"{path}:") for problem in lint(path, adapters)]

    return run


def test_a_good_playbook_has_no_mistakes(problems):
    assert problems() == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: Playbook", "kind: Service", "2:7: must be 'Playbook'"),
        ("title: Go back", "titel: Go back", "1:1: the key 'title' is missing"),
        ("title: Go back", "title: x\nthing: 1", "6:1: unknown key 'thing'"),
        ("    timeout: 20s", "    timeuot: 20s", "16:5: unknown key 'timeuot'; did you mean 'timeout'?"),
        ("{within: 15s,", "{wihtin: 15s,", "17:14: unknown key 'wihtin'; did you mean 'within'?"),
        ("canary: b,", "canry: b, canary: b,", "18:11: unknown key 'canry'; did you mean 'canary'?"),
        ("type: string,", "typ: string,", "8:13: unknown key 'typ'; did you mean 'type'?"),
        ('version: "1"', "version: 1", "4:10: must be a text; put it in quotes"),
        ("name: go-back", "name: Go Back", "3:7: must be lower-case words joined by hyphens"),
        ("names: [HighErrorRate]", "names: HighErrorRate", "6:16: must be a list"),
        ("{names: [HighErrorRate]}", "{services: [shop]}", "6:8: needs names, labels, fingerprints or an expression, or it would fit every incident"),
        ("type: string", "type: text", "8:19: must be 'string', 'integer', 'number', 'boolean' or 'list'"),
        ("from: change.instance-b.previous_release", "from: release", "8:33: must be a concept of the evidence, such as metric.error_ratio or change.instance-b.previous_release, or label.<name> of the incident"),
        (", from: change.instance-b.previous_release", "", "8:12: needs 'from' or 'default'"),
        ("default: 0.02", "default: some", "9:33: must be of type number"),
        ("default: 0.02", "default: true", "9:33: must be of type number"),
        ("default: 0.02", "default: ~", "9:33: must not be empty"),
        ("  release: {type", "  Release: {type", "8:3: must be a name of lower-case letters, digits and underscores"),
        ("process.switch_release", "switch", "12:13: must be <adapter>.<operation>, such as process.restart"),
        ("process.switch_release", "proces.restart", "12:13: there is no adapter 'proces'; did you mean 'process'?"),
        ("process.switch_release", "process.switch_relase", "12:13: the adapter 'process' has no operation 'switch_relase'; did you mean 'switch_release'?"),
        ("process.switch_release", "process.explode", "12:13: the adapter 'process' has no operation 'explode'; it has restart, switch_release"),
        ("    tier: 2\n", "", "11:5: the key 'tier' is missing"),
        ("tier: 2", "tier: 5", "15:11: must be less than or equal to 4"),
        ("tier: 2", "tier: true", "15:11: must be a whole number"),
        ("timeout: 20s", "timeout: 20 s", "16:14: must be a duration such as 500ms, 15s, 5m or 1h, or seconds"),
        ("timeout: 20s", "timeout: -1", "16:14: must be a duration such as 500ms, 15s, 5m or 1h, or seconds"),
        ("timeout: 20s", "timeout: true", "16:14: must be a duration such as 500ms, 15s, 5m or 1h, or seconds"),
        ("timeout: 20s", "timeout: 0ms", "16:14: must be longer than nothing"),
        ('clauses: [{subject: state.release, equals: "${release}"}]', "clauses: []", "17:36: must have at least 1 item"),
        ("subject: state.release", "subject: release", "17:47: must be metric.<name>, metric.<name>@<arm> or state.<key>"),
        ('equals: "${release}"', "equals: ~", "17:70: must not be empty"),
        ('equals: "${release}"', 'at_most: "${release}"', "17:71: the parameter 'release' is a string, not a number"),
        ('equals: "${release}"', "at_most: many", "17:71: must be a number, or one parameter such as ${limit}"),
        ('equals: "${release}"', "at_most: true", "17:71: must be a number, or one parameter such as ${limit}"),
        ('equals: "${release}"', "equals: 1, at_least: 1", "17:37: needs exactly one of equals, not_equals, at_most, at_least, between, one_of, matches, contains, changes_at_most, changes_at_least"),
        ('state.release, equals: "${release}"', "state.release", "17:37: needs exactly one of equals, not_equals, at_most, at_least, between, one_of, matches, contains, changes_at_most, changes_at_least"),
        ('equals: "${release}"', "one_of: []", "17:70: must have at least 1 item"),
        ("weight: 2", "weight: 0", "21:103: must be greater than 0"),
        ("steps: [10, 100]", "steps: [10, 10, 100]", "18:46: the steps must rise, but 10 follows 10"),
        ("steps: [10, 100]", "steps: [10, 50]", "18:41: the last step must be 100"),
        ("steps: [10, 100]", "steps: [10, 101]", "18:46: must be less than or equal to 100"),
        ("control: a", "control: b", "18:31: canary and control must be two different arms"),
        ("max_step: 60s", "max_step: 3s", "18:95: is shorter than looks_per_step times interval: no step could be promoted"),
        ("a: 50, b: 50", "a: 50, b: 49", "20:83: weights must sum to 100, they sum to 99"),
        ("a: 50, b: 50", "a: 100.0, b: 0", "20:83: weights must be whole numbers from 0 to 100"),
        ("params: {weights: {a: 50, b: 50}}", "params: {}", "20:73: traffic.set_weights needs 'weights', a percentage for each arm"),
        ("metric.error_ratio@b", "state.release", "21:53: state.<key> can only be expected in a step; verify looks at metrics"),
        ("Switch to ${release}", "Switch to ${relase}", "11:11: the parameter 'relase' is not declared; did you mean 'release'?"),
        ("for $${5}", "for ${5}", "11:11: '${' must begin a parameter such as ${name}; write $${ for a literal ${"),
        ('at_most: "${most}"', "at_most: 1", "9:9: the parameter 'most' is declared but not used"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_place(problems, old, new, said):
    assert said in problems(old, new)


def test_a_mistake_is_reported_alone(problems):
    assert problems("tier: 2", "tier: 9") == ["15:11: must be less than or equal to 4"]


def test_all_mistakes_are_reported_in_the_order_of_the_file(problems):
    found = problems('version: "1"\ntitle: Go back\n', "version: 1\n")

    assert found == ["1:1: the key 'title' is missing", "4:10: must be a text; put it in quotes"]


def test_parameters_are_found_in_lists_of_params_and_in_preconditions(problems):
    new = 'preconditions: [{subject: metric.x, one_of: [1, "${other}"]}]\nsteps:\n'

    assert problems("steps:\n", new) == ["10:49: the parameter 'other' is not declared"]


def test_weights_may_come_from_a_parameter(problems):
    assert problems("{a: 50, b: 50}", '{a: "${most}", b: 1}') == []


def test_every_parameter_that_is_missing_is_named(problems):
    step = "action: traffic.set_weights, target: traffic, params: {weights: {a: 50, b: 50}}, tier: 1"
    found = problems(step, "action: sql.create_index, target: traffic, params: {}, tier: 2")

    assert found == [f"20:70: the key '{key}' is missing" for key in ("columns", "name", "table")]


def test_weights_of_a_rollback_are_looked_at_too(problems):
    back = "tier: 1, rollback: {action: traffic.set_weights, params: {weights: {a: 50, b: 49}}}"

    assert problems("tier: 1", back) == ["20:167: weights must sum to 100, they sum to 99"]


def test_actions_are_checked_against_the_adapters_that_are_there(problems):
    assert problems(adapters={"process": ADAPTERS["process"]}) == ["20:27: there is no adapter 'traffic'"]


def test_a_step_claims_no_tier_below_its_operation_s(problems):
    switch = replace(ADAPTERS["process"]["switch_release"], tier=Tier.IRREVERSIBLE)
    claimed = {"process": {**ADAPTERS["process"], "switch_release": switch}}
    found = problems(adapters={**ADAPTERS, **claimed})
    assert found == ["15:11: process.switch_release is of tier 4 or above"]


def test_a_file_that_is_no_mapping_is_one_mistake(tmp_path):
    path = tmp_path / "list.yaml"
    path.write_text("- 1\n")

    assert [str(problem) for problem in lint(path, ADAPTERS)] == [f"{path}:1:1: must be a mapping"]
