"""Blocks, rollbacks, retries and bounded parameters: what is read, and every mistake with its place."""

from dataclasses import replace

import pytest

from penelope.adapters.actions.installed import operations
from penelope.adapters.playbooks.lint import check, lint
from penelope.domain.action import Retry, Tier
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.plan import BlockKind, BlockTemplate, Parameter, RollbackTemplate, StepTemplate

ADAPTERS = operations()

GOOD = """\
apiVersion: penelope.dev/v1
kind: Playbook
name: go-round
version: "1"
title: Restart one after the other
match: {names: [Slow], severities: [error, critical], expression: "'team' in incident.labels"}
parameters:
  instances: {type: list, from: change.pool.members, pattern: "[a-z-]+", at_least: 1, at_most: 4}
  zone: {type: string, from: label.zone, choices: [east, west]}
steps:
  - name: Round
    foreach: instances
    as: instance
    at_most: 4
    steps:
      - when: [{subject: metric.error_ratio, at_least: 0.1}]
        then:
          - {name: "Restart ${instance}", action: process.restart, target: "${instance}", tier: 1}
        otherwise:
          - {name: "Note ${zone}", action: http.call, target: hook, params: {method: POST, path: "/${zone}", probe_path: "/{key}"}, tier: 1}
      - {wait_for: [{subject: metric.up, at_least: 1}], within: 30s, hold: 5s}
  - parallel:
      - name: Switch
        action: process.switch_release
        target: a
        params: {release: r1}
        tier: 2
        retry: {attempts: 4, pause: 2s}
        idempotent: true
        rollback: {action: process.switch_release, params: {release: r0}, timeout: 10s}
      - sequence:
          - {name: Again, action: process.restart, target: b, tier: 3, rollback: none}
verify: {within: 60s, clauses: [{subject: metric.error_ratio, at_most: 0.1}]}
"""


@pytest.fixture
def linted(tmp_path):
    """Lints the good playbook with one text replaced by another."""
    path = tmp_path / "p.yaml"

    def run(old="", new="", adapters=ADAPTERS):
        assert old in GOOD
        path.write_text(GOOD.replace(old, new, 1))
        return [str(problem).removeprefix(f"{path}:") for problem in lint(path, adapters)]

    return run


def read(tmp_path, text=GOOD):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    found, problems = check(path, ADAPTERS)
    assert problems == []
    return found.playbook()


def test_blocks_become_what_rooms_know(tmp_path):
    playbook = read(tmp_path)

    foreach, parallel = playbook.steps
    assert foreach == BlockTemplate(
        kind=BlockKind.FOREACH,
        name="Round",
        items="instances",
        variable="instance",
        at_most=4,
        steps=foreach.steps,
    )
    condition, wait = foreach.steps
    assert (condition.kind, condition.name) == (BlockKind.CONDITION, "When metric.error_ratio")
    assert condition.condition == Contract(
        clauses=(Clause(subject="metric.error_ratio", comparator=Comparator.AT_LEAST, expected=0.1),),
        deadline_seconds=0.0,
    )
    assert [step.name for step in (*condition.steps, *condition.otherwise)] == [
        "Restart ${instance}",
        "Note ${zone}",
    ]
    assert (wait.kind, wait.name, wait.steps) == (BlockKind.WAIT, "Wait for metric.up", ())
    assert (wait.condition.deadline_seconds, wait.condition.hold_seconds) == (30.0, 5.0)
    assert (parallel.kind, parallel.name) == (BlockKind.PARALLEL, "Side by side")
    assert parallel.steps[0] == StepTemplate(
        name="Switch",
        adapter="process",
        operation="switch_release",
        target="a",
        params={"release": "r1"},
        tier=Tier.SNAPSHOT,
        timeout_seconds=60.0,
        retry=Retry(attempts=4, pause_seconds=2.0),
        idempotent=True,
        rollback=RollbackTemplate(
            adapter="process",
            operation="switch_release",
            target="a",
            params={"release": "r0"},
            timeout_seconds=10.0,
        ),
    )
    [again] = parallel.steps[1].steps
    assert (parallel.steps[1].kind, again.keep, again.rollback) == (BlockKind.SEQUENCE, True, None)
    assert playbook.parameters[0] == Parameter(
        name="instances",
        kind="list",
        source="change.pool.members",
        pattern="[a-z-]+",
        at_least=1,
        at_most=4,
    )
    assert playbook.tier is Tier.HARD_TO_REVERSE
    assert len(playbook.every_step) == 4


def test_what_is_not_said_about_a_rollback_is_left_to_the_adapter(tmp_path):
    step = read(tmp_path, GOOD.replace(", tier: 3, rollback: none}", ", tier: 3}")).every_step[-1]

    assert (step.keep, step.rollback, step.retry, step.idempotent) == (False, None, Retry(), False)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        # what an item is
        ("  - parallel:", "  - paralel:", "22:5: needs one of action, sequence, parallel, when, foreach, wait_for"),
        ("        action: process.switch_release\n", "        acton: process.switch_release\n", "24:9: unknown key 'acton'; did you mean 'action'?"),
        ("        action: process.switch_release\n", "        acton: process.switch_release\n", "23:9: the key 'action' is missing"),
        ("        action: process.switch_release\n", "        action: process.switch_release\n        parallel: []\n", "23:9: is either action or parallel; it cannot be both"),
        ("      - sequence:\n", "      - Again\n      - sequence:\n", "31:9: must be a mapping"),
        ("          - {name: Again, action: process.restart, target: b, tier: 3, rollback: none}", "          []", "32:11: must have at least 1 item"),
        # keys of blocks
        ("    as: instance\n", "    as: instance\n    at_mots: 1\n", "14:5: unknown key 'at_mots'; did you mean 'at_most'?"),
        ("    at_most: 4\n", "    at_most: 101\n", "14:14: must be less than or equal to 100"),
        ("    at_most: 4\n", "", "11:5: the key 'at_most' is missing"),
        ("    at_most: 4\n", "    at_most: 0\n", "14:14: must be greater than or equal to 1"),
        (", hold: 5s}", ", hodl: 5s}", "21:70: unknown key 'hodl'; did you mean 'hold'?"),
        ("within: 30s, ", "", "21:9: the key 'within' is missing"),
        ("within: 30s,", "within: 0s,", "21:65: must be longer than nothing"),
        ("{subject: metric.up, at_least: 1}", "{subject: metric.up}", "21:21: needs exactly one of equals, not_equals, at_most, at_least, between, one_of, matches, contains, changes_at_most, changes_at_least"),
        ("        then:", "        than:", "17:9: unknown key 'than'; did you mean 'then'?"),
        # what stands inside is judged as precisely
        ('target: "${instance}", tier: 1}', 'target: "${instance}", tier: 7}', "18:97: must be less than or equal to 4"),
        ("retry: {attempts: 4,", "retry: {attempts: 11,", "28:27: must be less than or equal to 10"),
        ("retry: {attempts: 4,", "retry: {atempts: 4,", "28:17: unknown key 'atempts'; did you mean 'attempts'?"),
        ("idempotent: true", 'idempotent: "yes"', "29:21: must be true or false"),
        ("tier: 3, rollback: none", "tier: 3, rollback: nothing", "32:82: must be none, or an action that takes the step back"),
        ("tier: 3, rollback: none", "tier: 3, rollback: ~", "32:82: must be none, or an action that takes the step back"),
        ("rollback: {action: process.switch_release,", "rollback: {acton: process.switch_release,", "30:20: unknown key 'acton'; did you mean 'action'?"),
        # match
        ("severities: [error, critical]", "severities: [fatal]", "6:37: must be 'info', 'warning', 'error' or 'critical'"),
        ("\"'team' in incident.labels\"", "\"'team' in incident.label\"", "6:67: the expression undeclared reference to 'incident.label' (in container '') (line 1, column 19 of the expression); did you mean 'incident.labels'?"),
        ("\"'team' in incident.labels\"", "incident.name", "6:67: the expression must be true or false, but it is of type string"),
        ("\"'team' in incident.labels\"", "\"incident.name.matches('(')\"", "6:67: the expression cannot be judged:"),
        ("apiVersion: penelope.dev/v1", "apiVersion: penelope.dev/v9", "1:13: is not a version that is read here: penelope.dev/v1"),
        # parameters
        ("choices: [east, west]", 'pattern: "[a-z]+", choices: [east, 3]', "9:77: must be of type string"),
        (", choices: [east, west]", "", "9:30: whoever sends an alert writes its labels: bound the text by 'pattern' or 'choices'"),
        ("choices: [east, west]", 'pattern: ".*"', "9:51: lets anything through; say which characters the label may have"),
        ("choices: [east, west]", 'pattern: "("', "9:51: the pattern cannot be used: missing ): ("),
        ("type: list, from: change.pool.members", "type: list, from: label.members", "8:33: a label is one text, not a list"),
        ("type: string, from: label.zone, choices: [east, west]", "type: integer, from: label.zone, at_most: 3", "9:31: whoever sends an alert writes its labels: bound the number by 'at_least' and 'at_most', or by 'choices'"),
        ("type: string, from: label.zone, choices: [east, west]", "type: number, from: change.x.y, pattern: a", "9:51: a pattern is for texts, not for a number"),
        ("at_least: 1, at_most: 4}", "at_least: 5, at_most: 4}", "8:96: is less than at_least, 5"),
        ("at_least: 1, at_most: 4}", "at_least: -1}", "8:84: is the length of a list, so it must be a whole number from 0"),
        ("at_least: 1, at_most: 4}", "default: [A]}", "8:83: breaks its own bounds: it has an item that does not follow its pattern [a-z-]+"),
        ("at_least: 1, at_most: 4}", "default: [3]}", "8:83: must be of type list"),
        # how parameters are used
        ("foreach: instances", "foreach: zone", "12:14: the parameter 'zone' is a string, not a list"),
        ("foreach: instances", "foreach: instance", "12:14: the parameter 'instance' is not declared; did you mean 'instances'?"),
        ("    as: instance\n", "    as: zone\n", "13:9: there is a parameter 'zone' already; call the item otherwise"),
        ("- name: Switch\n", "- name: Switch ${instance}\n", "23:15: the parameter 'instance' is not declared; did you mean 'instances'?"),
        ("- name: Switch\n", "- name: Switch ${instances}\n", "23:15: the parameter 'instances' is a list; it can only stand for a whole value"),
        ("params: {release: r1}", 'params: {release: "r-${instances}"}', "26:27: the parameter 'instances' is a list; it can only stand for a whole value"),
        ("        target: a\n", '        target: "${instances}"\n', "25:17: the parameter 'instances' is a list, not the name of a target"),
        ("        target: a\n", '        target: "x-${zone}"\n', "25:17: must be the name of a target (letters, digits, hyphens, underscores), or one parameter such as ${instance}"),
        ("{subject: metric.up, at_least: 1}", '{subject: metric.up, at_least: "${zone}"}', "21:52: the parameter 'zone' is a string, not a number"),
        # blocks
        ("{subject: metric.up, at_least: 1}", "{subject: state.up, at_least: 1}", "21:31: state.<key> can only be expected in a step; wait_for looks at metrics"),
        ("[{subject: metric.error_ratio, at_least: 0.1}]", "[{subject: state.x, equals: 1}]", "16:26: state.<key> can only be expected in a step; when looks at metrics"),
        ("target: b, tier: 3", "target: a, tier: 3", "31:9: acts on a, as branch 1 beside it does"),
        ("name: Again", "name: Switch", "32:20: another step is called 'Switch' already"),
        # what operations declare
        ("params: {release: r1}", "params: {relase: r1}", "26:17: the key 'release' is missing"),
        ("params: {release: r1}", "params: {release: r1, relase: r1}", "26:31: unknown key 'relase'; did you mean 'release'?"),
        ("params: {release: r1}", "params: {release: 7}", "26:27: must be of type string"),
        ("params: {release: r0}", "params: {release: [r0]}", "30:70: must be of type string"),
        ("rollback: {action: process.switch_release,", "rollback: {action: process.switch,", "30:28: the adapter 'process' has no operation 'switch'; did you mean 'switch_release'?"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_where_it_stands(linted, old, new, said):
    found = linted(old, new)

    assert [item for item in found if item.startswith(said)], found


def test_a_good_playbook_has_no_mistakes(linted):
    assert linted() == []


def test_one_mistake_in_a_block_is_told_once(linted):
    assert linted("retry: {attempts: 4,", "retry: {attempts: 0,") == [
        "28:27: must be greater than or equal to 1"
    ]
    assert linted("idempotent: true", "idempotent: 1") == ["29:21: must be true or false"]


def test_items_that_are_not_used_are_a_mistake(linted):
    text = 'name: "Restart ${instance}", action: process.restart, target: "${instance}"'

    assert "13:9: the item 'instance' is not used: the steps would do the same each time" in linted(
        text, "name: Restart, action: process.restart, target: c"
    )


def test_branches_of_two_lists_may_meet_only_when_they_are_bound(linted):
    parallel = """\
  - parallel:
      - {foreach: instances, as: x, at_most: 4, steps: [{name: One, action: process.restart, target: "${x}", tier: 1}]}
      - {name: Two, action: process.restart, target: c, tier: 1}
"""
    assert linted("  - parallel:\n", f"{parallel}  - parallel:\n") == []


def test_a_rollback_is_no_harder_than_its_step(linted):
    harder = replace(ADAPTERS["http"]["call"], tier=Tier.IRREVERSIBLE)
    claimed = {**ADAPTERS, "http": {**ADAPTERS["http"], "call": harder}}
    old = "rollback: {action: process.switch_release, params: {release: r0}"
    new = "rollback: {action: http.call, params: {method: POST, path: /, probe_path: '/{key}'}"

    assert "30:28: is of tier 4, above that of the step that it takes back" in linted(old, new, claimed)


def nested(depth):
    step = "{name: Deep, action: process.restart, target: deep, tier: 1}"
    return f"  - {'{sequence: [' * (depth - 1)}{step}{']}' * (depth - 1)}\n"


def test_blocks_stand_five_deep_at_most(linted):
    assert linted("  - parallel:\n", f"{nested(5)}  - parallel:\n") == []
    [said] = linted("  - parallel:\n", f"{nested(6)}  - parallel:\n")
    assert said == "22:65: stands more than 5 deep; make it a playbook of its own"


def test_a_playbook_has_a_hundred_steps_at_most(linted):
    def more(number):
        step = "  - {{name: More {0}, action: process.restart, target: t, tier: 1}}\n"
        return "".join(step.format(index) for index in range(number)) + "  - parallel:\n"

    present = 9
    assert linted("  - parallel:\n", more(100 - present)) == []
    [said] = linted("  - parallel:\n", more(101 - present))
    assert said == "11:3: a playbook has at most 100 steps and blocks, this one has 101"


def test_a_playbook_does_something(tmp_path):
    begin, end = GOOD.index("parameters:"), GOOD.index("verify:")
    waits = "steps: [{wait_for: [{subject: metric.up, at_least: 1}], within: 1m}]\n"
    path = tmp_path / "p.yaml"
    path.write_text(GOOD[:begin] + waits + GOOD[end:])

    assert [problem.message for problem in lint(path, ADAPTERS)] == ["nothing is done: no step has an action"]


def test_a_value_of_a_step_is_never_shown(linted):
    found = linted("params: {release: r1}", "params: {release: {password: s3cret}}")

    assert found == ["26:27: must be of type string"]


@pytest.mark.parametrize(
    "source",
    ["incident.labels.all(a, incident.labels.all(b, incident.labels.all(c, a != c || b == b)))", "a" * 1001],
)
def test_an_expression_that_costs_too_much_is_not_read(linted, source):
    [said] = linted("\"'team' in incident.labels\"", f'"{source}"')

    assert said.startswith(
        ("6:67: the expression cannot be judged: INTERNAL: Iteration", "6:67: the expression is longer than")
    )
