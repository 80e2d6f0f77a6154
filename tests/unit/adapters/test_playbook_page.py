"""What docs/playbooks.md shows can be used as it stands there."""

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from penelope.adapters.actions.installed import operations
from penelope.adapters.playbooks.expression import VARIABLES
from penelope.adapters.playbooks.file import MatchRule, ParameterRule, PlaybookFile
from penelope.adapters.playbooks.lint import check, lint
from penelope.adapters.playbooks.schema import playbook_schema
from penelope.adapters.playbooks.steps import KINDS, StepRule

PAGE = (Path(__file__).parents[3] / "docs" / "playbooks.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
BASE = {
    "apiVersion": "penelope.dev/v1",
    "kind": "Playbook",
    "name": "p",
    "version": "1",
    "title": "P",
    "match": {"names": ["X"]},
    "steps": [{"name": "A", "action": "process.restart", "target": "z", "tier": 1}],
    "verify": {"within": "1m", "clauses": [{"subject": "metric.x", "at_most": 1}]},
}


def test_the_first_example_is_a_playbook(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(EXAMPLES[0])

    assert lint(path, operations()) == []


@pytest.mark.parametrize("text", EXAMPLES[1:], ids=lambda text: text.split(":")[0])
def test_every_part_fits_into_a_playbook(text, tmp_path):
    document = {**BASE, **YAML(typ="safe").load(text)}

    Draft202012Validator(playbook_schema()).validate(document)
    path = tmp_path / "p.yaml"
    with path.open("w") as stream:
        YAML(typ="safe").dump(document, stream)
    assert [item for item in check(path, operations())[1] if "not used" not in item.message] == []


def test_every_key_is_explained():
    parts = (PlaybookFile, MatchRule, ParameterRule, StepRule, *KINDS.values())
    keys = {field.alias or name for part in parts for name, field in part.model_fields.items()}
    shown = {key for text in EXAMPLES for key in re.findall(r"[\w]+(?=:)", text)}

    assert len(EXAMPLES) >= 8
    assert keys - shown == set()


def test_every_variable_of_expressions_is_named():
    assert {name for name in VARIABLES if f"`{name}`" not in PAGE} == set()
