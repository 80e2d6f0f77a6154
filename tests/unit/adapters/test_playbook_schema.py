"""The published schema and the loader are one thing: what the schema refuses, the loader refuses."""

import copy
from enum import Enum, auto

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from penelope.adapters.playbooks.lint import check
from penelope.adapters.playbooks.load import shipped_folder
from penelope.adapters.playbooks.schema import playbook_schema
from penelope.adapters.yaml_source import read

SCHEMA = Draft202012Validator(playbook_schema())
ROLLBACK = read(shipped_folder() / "rollback-release.yaml").data


class Change(Enum):
    """What is no value. Its name is the same in every process, as those that share the tests ask."""

    REMOVED = auto()


REMOVED = Change.REMOVED

STEP = {"name": "A", "action": "process.restart", "target": "a", "tier": 1}
UP = {"subject": "metric.up", "at_least": 1}

CHANGES = [
    (("kind",), "Service"),
    (("apiVersion",), "penelope.dev/v2"),
    (("name",), "A B"),
    (("name",), "a" * 65),
    (("version",), 1),
    (("title",), ""),
    (("surprise",), 1),
    (("match",), {}),
    (("match",), {"names": []}),
    (("match",), {"services": ["shop"]}),
    (("match",), {"labels": {"a": 1}}),
    (("match",), {"labels": {"a": "b"}}),
    (("match", "names"), "x"),
    (("parameters", "release", "type"), "text"),
    (("parameters", "release", "from"), REMOVED),
    (("parameters", "release", "from"), "nodot"),
    (("parameters", "release", "default"), "r1"),
    (("parameters", "Release"), {"type": "string", "from": "a.b"}),
    (("preconditions", 0, "subject"), "nodot"),
    (("preconditions", 0, "subject"), "change.config.head"),
    (("preconditions", 0, "at_most"), 1),
    (("preconditions", 0, "at_least"), "5"),
    (("preconditions", 0, "at_least"), True),
    (("preconditions", 0, "at_least"), 5),
    (("steps",), []),
    (("steps", 0), "restart"),
    (("steps", 0, "action"), "restart"),
    (("steps", 0, "target"), "a b"),
    (("steps", 0, "tier"), 5),
    (("steps", 0, "tier"), REMOVED),
    (("steps", 0, "tier"), "1"),
    (("steps", 0, "timeout"), "15"),
    (("steps", 0, "timeout"), "1.5m"),
    (("steps", 0, "timeout"), 0),
    (("steps", 0, "timeout"), "0s"),
    (("steps", 0, "timeout"), "0.00ms"),
    (("steps", 0, "timeout"), 0.5),
    (("steps", 0, "timeout"), -1),
    (("steps", 0, "timeout"), True),
    (("steps", 0, "params"), []),
    (("steps", 0, "expect"), {"within": "1s"}),
    (("steps", 1, "expect", "clauses", 0, "subject"), "metric.Bad"),
    (("steps", 1, "expect", "clauses", 0, "subject"), "metric.error_ratio@b"),
    (("steps", 1, "expect", "clauses", 0, "equals"), None),
    (("steps", 1, "expect", "clauses", 0, "equals"), [1]),
    (("steps", 1, "expect", "clauses", 0, "equals"), REMOVED),
    (("steps", 1, "expect", "clauses", 0, "weight"), 0),
    (("steps", 1, "expect", "clauses", 0, "weight"), 0.5),
    (("rollout",), REMOVED),
    (("rollout", "steps"), []),
    (("rollout", "steps"), [0, 100]),
    (("rollout", "steps"), [5, 100]),
    (("rollout", "looks_per_step"), 0),
    (("rollout", "alpha"), 0),
    (("rollout", "alpha"), 0.01),
    (("rollout", "factor"), 1),
    (("rollout", "limits", "max_error_ratio"), 1),
    (("rollout", "limits", "min_success_ratio"), 1.1),
    (("rollout", "limits", "min_requests"), 2.5),
    (("rollout", "limits", "surprise"), 1),
    (("after",), REMOVED),
    (("approval",), "yes"),
    (("approval",), True),
    (("verify",), REMOVED),
    (("match", "severities"), ["error"]),
    (("match", "severities"), ["fatal"]),
    (("match",), {"fingerprints": ["a1"]}),
    (("match",), {"fingerprints": ["a 1"]}),
    (("match",), {"expression": "incident.name == 'x'"}),
    (("match",), {"expression": ""}),
    (("parameters", "release"), {"type": "string", "from": "label.app.io/name", "pattern": "r[0-9]+"}),
    (("parameters", "release"), {"type": "string", "from": "label.", "pattern": "r[0-9]+"}),
    (("parameters", "release", "choices"), ["r1"]),
    (("parameters", "release", "choices"), []),
    (("parameters", "release", "pattern"), "r[0-9]+"),
    (("parameters", "release", "pattern"), ""),
    (("parameters", "release", "at_most"), "5"),
    (("steps", 1, "retry"), {"attempts": 3, "pause": "1s"}),
    (("steps", 1, "retry"), {"attempts": 0}),
    (("steps", 1, "retry"), 3),
    (("steps", 1, "rollback"), "none"),
    (("steps", 1, "rollback"), "all"),
    (("steps", 1, "rollback"), None),
    (("steps", 1, "rollback"), {"action": "process.restart"}),
    (("steps", 1, "rollback"), {"target": "a"}),
    (("steps", 1, "idempotent"), True),
    (("steps", 1, "idempotent"), "yes"),
    (("steps", 0, "target"), "${release}"),
    (("steps", 0, "target"), "a-${release}"),
    (("steps", 0, "parallel"), []),
    (("steps", 0), {"sequence": [STEP]}),
    (("steps", 0), {"sequence": []}),
    (("steps", 0), {"parallel": [STEP, {**STEP, "name": "B", "target": "b"}]}),
    (("steps", 0), {"parallel": [STEP]}),
    (("steps", 0), {"when": [UP], "then": [STEP]}),
    (("steps", 0), {"when": [UP], "then": [STEP], "otherwise": [{**STEP, "name": "B"}]}),
    (("steps", 0), {"when": [UP]}),
    (("steps", 0), {"when": [], "then": [STEP]}),
    (("steps", 0), {"wait_for": [UP], "within": "1m", "hold": 5}),
    (("steps", 0), {"wait_for": [UP]}),
    (("steps", 0), {"wait_for": [UP], "within": "1m", "steps": [STEP]}),
    (("steps", 0), {"foreach": "list", "as": "x", "steps": [STEP]}),
    (("steps", 0), {"foreach": "list", "as": "X", "at_most": 3, "steps": [STEP]}),
    (("steps", 0), {"sequence": [{"sequence": [{**STEP, "tier": 9}]}]}),
    (("steps", 0), {}),
    (("verify", "hold"), 0),
    (("verify", "hold"), "1 s"),
    (("verify", "clauses"), []),
]


def changed(where, value):
    document = copy.deepcopy(ROLLBACK)
    part = document
    for step in where[:-1]:
        part = part[step]
    if value is REMOVED:
        del part[where[-1]]
    else:
        part[where[-1]] = value
    return document


def accepted_by_loader(document, path):
    with path.open("w") as stream:
        YAML(typ="safe").dump(document, stream)
    problems = check(path, None)[1]
    # What only the parts together show is beyond a schema, and asserted in test_playbook_lint.
    return not [item for item in problems if "not used" not in item.message]


def test_the_schema_is_a_schema_that_describes_itself():
    schema = playbook_schema()
    Draft202012Validator.check_schema(schema)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].endswith("playbook.schema.json")
    assert schema["title"] == "Playbook"
    parts = [schema, *schema["$defs"].values()]
    assert all(part["additionalProperties"] is False and part["description"] for part in parts)
    assert [
        (part["title"], name)
        for part in parts
        for name, item in part["properties"].items()
        if not item.get("description")
    ] == []


def test_what_ships_follows_the_schema():
    for path in shipped_folder().iterdir():
        SCHEMA.validate(read(path).data)


@pytest.mark.parametrize(("where", "value"), CHANGES, ids=str)
def test_schema_and_loader_agree(tmp_path, where, value):
    document = changed(where, value)

    assert SCHEMA.is_valid(document) == accepted_by_loader(document, tmp_path / "p.yaml")


def test_the_changes_are_of_both_kinds():
    answers = [SCHEMA.is_valid(changed(*change)) for change in CHANGES]

    assert answers.count(True) >= 12
    assert answers.count(False) >= 40
